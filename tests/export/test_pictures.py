"""Maps, strips, animations and OBJ files."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from relightify_jax.export.maps import write_maps
from relightify_jax.export.obj import write_obj
from relightify_jax.export.turntable import contact_strip, side_by_side, write_animation


def test_maps_are_written_in_their_encodings(tmp_path):
    grey = np.full((4, 4, 3), 0.2158605)  # sRGB step 128.
    paths = write_maps(
        tmp_path / "maps",
        {
            "diffuse_albedo": grey,
            "specular_albedo": grey[..., :1],
            "normals": np.broadcast_to([0.0, 0.0, 1.0], (4, 4, 3)),
        },
    )
    pixels = {name: np.asarray(Image.open(path))[0, 0] for name, path in paths.items()}
    np.testing.assert_array_equal(pixels["diffuse_albedo"], [128] * 3)
    assert pixels["specular_albedo"] == 55
    np.testing.assert_array_equal(pixels["normals"], [128, 128, 255])


def test_an_unknown_map_is_refused(tmp_path):
    with pytest.raises(ValueError, match="glossiness"):
        write_maps(tmp_path, {"glossiness": np.zeros((2, 2, 1))})


def test_an_animation_has_all_frames_and_the_right_length(tmp_path):
    frames = np.random.default_rng(0).uniform(size=(7, 24, 16, 3))
    write_animation(tmp_path / "turn.webp", frames, fps=24)
    with Image.open(tmp_path / "turn.webp") as image:
        assert image.n_frames == 7 and image.size == (16, 24)
        assert image.info["loop"] == 0
        total = 0
        for index in range(7):
            image.seek(index)
            image.load()
            total += image.info["duration"]
    assert total == pytest.approx(7 / 24 * 1000, abs=1)


@pytest.mark.parametrize(
    ("name", "shape"), [("a.gif", (2, 4, 4, 3)), ("a.webp", (4, 4, 3)), ("a.webp", (0, 4, 4, 3))]
)
def test_what_is_no_animation_is_refused(tmp_path, name, shape):
    with pytest.raises(ValueError, match="Cannot write"):
        write_animation(tmp_path / name, np.zeros(shape))


def test_a_strip_holds_its_pictures_and_labels():
    pictures = {name: np.full((40, 30, 3), value) for name, value in (("day", 0.2), ("night", 0.6))}
    strip = contact_strip(pictures)
    np.testing.assert_allclose(strip[:40, :30], 0.2, atol=0.005)
    np.testing.assert_allclose(strip[:40, -30:], 0.6, atol=0.005)
    assert strip[40:, :30].max() > 0.3  # Ink.
    assert contact_strip({"": pictures["day"]}).shape == (40, 30, 3)
    stacked = contact_strip(pictures, columns=1)
    assert stacked.shape[1] == 30 and stacked.shape[0] > 2 * 40


def test_a_strip_needs_pictures_of_one_size():
    with pytest.raises(ValueError, match="one size"):
        contact_strip({"a": np.zeros((4, 4, 3)), "b": np.zeros((4, 5, 3))})
    with pytest.raises(ValueError, match="at least one"):
        contact_strip({})


def test_side_by_side_keeps_the_pictures():
    row = side_by_side(np.full((8, 6, 3), 0.25), np.full((8, 9, 3), 0.75))
    np.testing.assert_allclose(row[:, :6], 0.25)
    np.testing.assert_allclose(row[:, -9:], 0.75)


def test_obj_keeps_quads_and_textures(small_model, small_head, tmp_path):
    points = np.asarray(small_model.mean)
    path = write_obj(tmp_path, small_model, points, small_head)
    lines = path.read_text().splitlines()
    polygons = [line.split()[1:] for line in lines if line.startswith("f ")]
    assert len(polygons) == len(small_model.quads)
    corners = np.array([[corner.split("/") for corner in polygon] for polygon in polygons], int) - 1
    np.testing.assert_array_equal(corners[..., 0], small_model.quads)
    read = np.array([line.split()[1:] for line in lines if line.startswith("vt ")], float)
    first = np.asarray(small_model.uv)[np.asarray(small_model.uv_faces)[0, 0]]
    np.testing.assert_allclose(read[corners[0, 0, 1]], [first[0], 1 - first[1]], atol=1e-5)
    mtl = (tmp_path / "head.mtl").read_text()
    for line in mtl.splitlines():
        if line.startswith("map_"):
            assert (tmp_path / line.split()[-1]).is_file()
    scene = trimesh.load(path, process=False, group_material=False)
    meshes = scene.geometry.values() if hasattr(scene, "geometry") else [scene]
    assert sum(len(mesh.faces) for mesh in meshes) == len(small_model.faces)

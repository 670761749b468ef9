"""The parts of the reader of captures: PNG of sixteen bits, filling, meshes, colours, pose."""

import pathlib

import numpy as np
import pytest
from capture_twins import face_mesh, person, png16_bytes, write_obj
from PIL import Image

from data_pipeline.captures.checks import colour_warning, green_correlation, skin_distance
from data_pipeline.captures.fill import fill_unknown
from data_pipeline.captures.images import read_picture
from data_pipeline.captures.maps import linear_from_code, roughness
from data_pipeline.captures.meshes import MeshFile, read_mesh
from data_pipeline.captures.png16 import decode_png16, is_png16
from data_pipeline.captures.transfer import _block_mean
from relightify_jax.core.color import linear_from_srgb, srgb_from_linear


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("filters", [(0,), (1,), (2,), (3,), (4,), (4, 3, 1, 2, 0)])
def test_png_of_sixteen_bits_comes_back_exactly(channels, filters):
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    data = png16_bytes(pixels, filters)
    assert is_png16(data)
    np.testing.assert_array_equal(decode_png16(data), pixels)


def test_png_of_sixteen_bits_as_another_program_reads_it(tmp_path):
    """Pillow keeps the high bytes of RGB and all of grey."""
    pixels = np.random.default_rng(1).integers(0, 65536, (12, 20, 3), dtype=np.uint16)
    for name, values in (("rgb", pixels), ("grey", pixels[..., :1])):
        (tmp_path / name).write_bytes(png16_bytes(values, (4, 3, 2, 1)))
    with Image.open(tmp_path / "rgb") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels >> 8)
    with Image.open(tmp_path / "grey") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels[..., 0])


def test_a_wrong_checksum_is_noticed():
    data = bytearray(png16_bytes(np.zeros((4, 4, 1), np.uint16)))
    data[45] ^= 1
    with pytest.raises(ValueError, match="checksum"):
        decode_png16(bytes(data))


def test_alpha_is_no_colour(tmp_path):
    pixels = np.zeros((4, 5, 4), np.uint8)
    pixels[..., :3], pixels[:2, :, 3] = 51, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    picture = read_picture("diffuse_albedo", tmp_path / "a.png")
    np.testing.assert_allclose(picture.values, 0.2)
    assert picture.values.shape == (4, 5, 3) and picture.bits == 8
    np.testing.assert_array_equal(picture.opaque[:, 0], [1, 1, 0, 0])


def test_filling_keeps_what_is_known_and_is_smooth():
    ticks = np.linspace(0, 1, 50)
    x, y = np.meshgrid(ticks, ticks)
    known = np.hypot(x - 0.5, y - 0.5) > 0.2
    known[:, -5:] = False
    values = np.stack([x, x * y], -1)  # Harmonic, so that the hole is known too.
    filled = fill_unknown(np.where(known[..., None], values, 99.0), known)
    np.testing.assert_allclose(filled[known], values[known], rtol=1e-6)
    hole = ~known & (x < 0.8)
    assert np.abs(filled - values)[hole].max() < 0.05
    assert np.abs(np.diff(filled[..., 0], axis=1)).max() < 0.06
    assert not fill_unknown(values, np.zeros_like(known)).any()


def test_averages_over_blocks():
    image = np.arange(5 * 7, dtype=float).reshape(5, 7, 1)
    assert _block_mean(image, 2).shape == (3, 4, 1)
    np.testing.assert_allclose(_block_mean(image, 2)[0, 0, 0], (0 + 1 + 7 + 8) / 4)


def test_transfer_curves():
    values = np.linspace(0, 1, 11)
    np.testing.assert_allclose(
        linear_from_code(values, "srgb"), np.asarray(linear_from_srgb(values)), atol=1e-6
    )
    np.testing.assert_allclose(linear_from_code(values, "gamma2.2"), values**2.2)
    # GGX alpha is the square of roughness, redner's roughness the square of alpha.
    for meaning, stored in (("alpha", 0.25), ("alpha_squared", 0.0625), ("glossiness", 0.5)):
        np.testing.assert_allclose(roughness(np.array(stored), meaning), 0.5)


def test_skin_is_told_from_skin_read_wrongly():
    """Most people; a fair one read too dark can pass for a dark one, never the other way."""
    rng = np.random.default_rng(0)
    told = {"srgb": [], "linear": []}
    # Cheeks of the measured groups, people spread around them.
    for cheek in ((0.43, 0.237, 0.177), (0.323, 0.182, 0.108), (0.161, 0.071, 0.034)):
        for _ in range(40):
            tone = np.array(cheek) * np.exp(0.15 * rng.normal() + 0.04 * rng.normal(size=3))
            skin = tone * np.exp(0.2 * rng.normal(size=(300, 1)))
            path, srgb = pathlib.Path("a.png"), np.asarray(srgb_from_linear(skin))
            dark = np.asarray(linear_from_srgb(skin))
            assert not colour_warning(path, "linear", {"linear": skin, "srgb": dark})
            assert not colour_warning(path, "srgb", {"linear": srgb, "srgb": skin})
            told["linear"].append(colour_warning(path, "linear", {"linear": srgb, "srgb": skin}))
            told["srgb"].append(colour_warning(path, "srgb", {"linear": skin, "srgb": dark}))
    assert np.mean([sentence != "" for sentence in told["linear"]]) > 0.85
    assert np.mean([sentence != "" for sentence in told["srgb"]]) > 0.85
    assert 'looks like "srgb"' in told["linear"][0] and "0." in told["linear"][0]
    assert skin_distance(np.full((9, 3), [0.1, 0.5, 0.2])) > 5


def test_green_is_told_by_crossed_slopes():
    rng = np.random.default_rng(2)
    height = np.cumsum(np.cumsum(rng.normal(size=(64, 64)), 0), 1) / 20
    h_v, h_u = np.gradient(height)
    normals = np.stack([-2 * h_u, 0.5 * h_v, np.ones_like(h_u)], -1)  # A stretched layout.
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals += rng.normal(0, 0.01, normals.shape)
    known = np.ones((64, 64), bool)
    assert green_correlation(normals, known) > 0.3
    assert green_correlation(normals * [1, -1, 1], known) < -0.3


def test_meshes_in_other_frames(tmp_path):
    points, triangles, uv, uv_triangles = face_mesh()
    path = tmp_path / "mesh.obj"
    # Z up, facing -Y, millimetres: their X is the subject's left.
    theirs = 1000 * points[:, [0, 2, 1]] * [1, -1, 1]
    write_obj(path, theirs, triangles, uv, uv_triangles)
    mesh = read_mesh(MeshFile(path, ("+X", "+Z", "-Y"), "mm"))
    np.testing.assert_allclose(mesh.points, points, atol=1e-6)
    np.testing.assert_allclose(mesh.uv, uv, atol=1e-6)
    path.write_text(
        "v 0 0 0\nv 0 .2 0 0.5 0.5 0.5\nv .1 .2 0\nv .1 0 0\n# comment\n"
        "vt 0 0\nvt 0 1\nvt 1 1\nvt 1 0\nf -4/1 -3/2 -2/3/1 -1/4\n"
    )
    quad = read_mesh(MeshFile(path, ("+X", "+Y", "+Z"), "m"))
    np.testing.assert_array_equal(quad.triangles, [[0, 1, 2], [0, 2, 3]])
    np.testing.assert_array_equal(quad.uv[0], [0, 1])


def test_people_differ():
    assert np.abs(person(np.array([2.0])) - person(np.zeros(1))).max() > 1e-3

"""Synthetic twins of every layout of captures, read back and compared with what they hold."""

import json
import pickle

import jax
import numpy as np
import pytest
from capture_twins import (
    FACTS,
    albedo_of,
    canonical_place,
    face_mesh,
    grey_of,
    paint,
    person,
    save_png,
    source_maps,
    warp,
    write_facts,
    write_maps,
    write_obj,
    write_template,
)
from scipy.spatial.transform import Rotation

from data_pipeline.captures import read_captures
from relightify_jax.core.color import srgb_from_linear
from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.face_models.surfaces import vertex_normals
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.mesh import tangent_from_object, vertex_tangents

SIZE, SOURCE = 64, 192


def true_normals(points, size=SIZE):
    _, triangles, uv, uv_triangles = face_mesh()
    normals = paint(uv, uv_triangles, vertex_normals(points, triangles), triangles, size)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)


def angles(record, truth):
    """Degrees between normals where the record is valid."""
    cosine = (record.normals * truth).sum(-1)[record.valid[..., 0] > 0]
    return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))


def check_colours(record, tolerance=0.01):
    place, valid = canonical_place(SIZE), record.valid[..., 0] > 0
    assert valid.mean() > 0.9
    for name, truth in (
        ("diffuse_albedo", albedo_of(place)),
        ("specular_albedo", grey_of(place, 0.2, 0.6)),
        ("roughness", grey_of(place, 0.3, 0.7)),
    ):
        error = np.abs(getattr(record, name) - truth)
        assert error[valid].max() < tolerance, name
        # What is filled goes on smoothly.
        assert error.max() < 0.2, name


def check_form(record):
    for name, channels in (("diffuse_albedo", 3), ("normals", 3), ("specular_albedo", 1),
                           ("roughness", 1), ("valid", 1)):  # fmt: skip
        array = getattr(record, name)
        assert array.shape == (SIZE, SIZE, channels) and array.dtype == np.float32
        assert np.isfinite(array).all()
    assert set(np.unique(record.valid)) <= {0.0, 1.0}
    np.testing.assert_allclose(np.linalg.norm(record.normals, axis=-1), 1, atol=1e-5)


def test_plain_captures_with_a_mesh(tmp_path):
    """Posed, in centimetres, in a layout of their own: identity, pose and maps come back."""
    code = np.array([1.0, -0.8, 0.5, 0.3])
    points = person(code)
    turn = Rotation.from_euler("xyz", [5, 8, -4], degrees=True).as_matrix()
    _, triangles, uv, uv_triangles = face_mesh()
    _, maps = source_maps(points, SOURCE)
    maps["normals"] = ((2 * maps["normals"] - 1) @ turn.T + 1) / 2
    write_template(tmp_path)
    write_facts(tmp_path, **FACTS)
    for name in ("neutral", "again"):
        folder = tmp_path / "anna" / name
        posed = 100 * points @ turn.T + [3, 100, -20]
        write_obj(folder / "mesh.obj", posed, triangles, warp(uv), uv_triangles)
        write_maps(folder, maps)
        write_facts(folder, unit="cm")
    captures = read_captures(tmp_path, "plain", SIZE)
    assert [(c.subject, c.name) for c in captures] == [
        ("anna", "anna/again"),
        ("anna", "anna/neutral"),
    ]
    record = pickle.loads(pickle.dumps(captures[1])).load()
    check_form(record)
    check_colours(record)
    np.testing.assert_allclose(record.identity[:4], code, atol=0.05)
    assert np.abs(record.identity[4:]).max() < 0.05
    assert np.median(angles(record, true_normals(points))) < 0.5


def test_plain_captures_in_our_layout_with_a_mask(tmp_path):
    """Tangent space, green down, sRGB of eight bits: the embedded head comes back."""
    points, triangles, uv, uv_triangles = face_mesh()
    place, maps = source_maps(points, 4 * SIZE, layout=lambda uv: uv)
    maps["diffuse_albedo"] = np.asarray(srgb_from_linear(maps["diffuse_albedo"]))
    flat = vertex_normals(points, triangles)
    tangents = np.asarray(jax.jit(vertex_tangents)(
        points.astype(np.float32), flat.astype(np.float32), triangles, uv.astype(np.float32),
        uv_triangles,
    ))  # fmt: skip
    # A relief whose normals lean by up to 15 degrees.
    lean = np.stack([0.2 * np.sin(40 * place[..., 0]), 0.2 * np.cos(30 * place[..., 1])], -1)
    small = np.concatenate([lean, np.sqrt(1 - (lean**2).sum(-1, keepdims=True))], -1)
    maps["normals"] = (small * [1, -1, 1] + 1) / 2
    mask = (place[..., 1:] < 0.6).astype(float)
    folder = tmp_path / "bert"
    write_maps(folder, maps | {"mask": mask}, bits=8)
    write_facts(
        tmp_path,
        **FACTS | {"uv_layout": "canonical", "diffuse_encoding": "srgb", "normal_space": "tangent"},
        normal_green="down",
    )
    (capture,) = read_captures(tmp_path, "plain", SIZE)
    record = capture.load()
    check_form(record)
    np.testing.assert_array_equal(record.identity, 0)
    valid = record.valid[..., 0] > 0
    assert not valid[int(0.6 * SIZE) + 1 :].any() and valid[: int(0.6 * SIZE) - 1].mean() > 0.9
    error = np.abs(record.diffuse_albedo - albedo_of(canonical_place(SIZE)))
    assert error[valid].max() < 0.01
    # The relief is what the normals are in the tangent frame of the mesh.
    frames = paint(uv, uv_triangles, tangents, uv_triangles, SIZE)
    local = np.asarray(jax.jit(tangent_from_object)(record.normals, true_normals(points), frames))
    place = canonical_place(SIZE)
    lean = np.stack([0.2 * np.sin(40 * place[..., 0]), 0.2 * np.cos(30 * place[..., 1])], -1)
    assert np.median(np.abs(local[..., :2] - lean)[valid]) < 0.01


def intrinsics(tmp_path, turn_green=1.0):
    """FFHQ-UV-Intrinsics: eight bits, no mesh, normals of an unstated convention."""
    points = person(np.zeros(1))
    place, maps = source_maps(points, SOURCE)
    maps["diffuse_albedo"] = np.asarray(srgb_from_linear(maps["diffuse_albedo"]))
    maps["normals"] = ((2 * maps["normals"] - 1) * [1, turn_green, 1] + 1) / 2
    names = {"diffuse_albedo": "diffuse", "specular_albedo": "specular", "normals": "normal"}
    del maps["roughness"]
    write_template(tmp_path)
    write_maps(tmp_path / "Data" / "part-0" / "00012", maps, 8, names)
    save_png(
        tmp_path / "Data" / "part-0" / "00012" / "translucency.png", maps["specular_albedo"], 8
    )
    return points


@pytest.mark.parametrize("turn_green", [1.0, -1.0])
def test_ffhq_uv_intrinsics(tmp_path, turn_green):
    points = intrinsics(tmp_path, turn_green)
    (capture,) = read_captures(tmp_path, "ffhq_uv_intrinsics", SIZE)
    assert capture.subject == "00012" and "NC-ND" in capture.licence()
    record = capture.load()
    check_form(record)
    valid = record.valid[..., 0] > 0
    error = np.abs(record.diffuse_albedo - albedo_of(canonical_place(SIZE)))
    assert error[valid].max() < 0.015
    # Relative intensities: the median is skin's, proportions stay.
    assert abs(np.median(record.specular_albedo[valid]) - SKIN_SPECULAR_ALBEDO) < 0.01
    truth = grey_of(canonical_place(SIZE), 0.2, 0.6)
    ratio = (record.specular_albedo / truth)[valid]
    assert np.ptp(ratio) / ratio.mean() < 0.05
    assert np.median(angles(record, true_normals(points))) < 1.0
    assert np.all(record.roughness == 0.5) and not record.identity.any()


def test_nextface(tmp_path):
    """Gamma 2.2 on all maps, the camera's frame, millimetres, no normals."""
    points = person(np.array([0.5, 0.5]))
    _, triangles, uv, uv_triangles = face_mesh()
    _, maps = source_maps(points, SOURCE)
    folder = tmp_path / "photo"
    camera = points * [1, -1, -1] * 1000 + [0, 0, 600]
    write_obj(folder / "mesh0.obj", camera, triangles, warp(uv), uv_triangles)
    write_template(tmp_path, scale=1000)  # In the frame of the meshes, as its capture.json says.
    for name in ("template.obj", "template_canonical.obj"):
        turned = [
            f"v {x} {-float(y)} {-float(z)}" if kind == "v" else line
            for line in (tmp_path / name).read_text().splitlines()
            for kind, x, y, z in [(line.split() + [""] * 3)[:4]]
        ]
        (tmp_path / name).write_text("\n".join(turned))
    stems = {
        "diffuse_albedo": "diffuseMap_0",
        "specular_albedo": "specularMap_0",
        "roughness": "roughnessMap_0",
    }
    coded = {kind: maps[kind] ** (1 / 2.2) for kind in stems}
    # Redner's roughness is the square of GGX's alpha.
    coded["roughness"] = (maps["roughness"] ** 4) ** (1 / 2.2)
    for kind in ("specular_albedo", "roughness"):
        coded[kind] = np.repeat(coded[kind], 3, -1)  # Grey, saved as RGB.
    write_maps(folder, coded, 16, stems)
    (capture,) = read_captures(tmp_path, "nextface", SIZE)
    record = capture.load()
    check_form(record)
    valid = record.valid[..., 0] > 0
    place = canonical_place(SIZE)
    assert np.abs(record.diffuse_albedo - albedo_of(place))[valid].max() < 0.01
    assert np.abs(record.roughness - grey_of(place, 0.3, 0.7))[valid].max() < 0.01
    np.testing.assert_allclose(record.identity[:2], 0.5, atol=0.05)
    assert np.median(angles(record, true_normals(points))) < 0.5


def test_patches_need_their_places(tmp_path):
    points = person(np.zeros(1))
    _, maps = source_maps(points, SOURCE)
    del maps["roughness"]
    window = slice(40, 140), slice(60, 150)
    names = {"diffuse_albedo": "{id}_diffuse.png", "specular_albedo": "{id}_specular.png",
             "normals": "{id}_normal.png"}  # fmt: skip
    for kind, name in names.items():
        save_png(tmp_path / name.format(id="0007"), maps[kind][window], 16)
    with pytest.raises(InputError, match="nothing says where on the face.*patches.json"):
        read_captures(tmp_path, "realfacedb", SIZE)

    write_template(tmp_path)
    write_facts(tmp_path, diffuse_encoding="linear", specular_meaning="albedo")
    places = {"map_size": [SOURCE, SOURCE], "files": names, "places": {"0007": [60, 40]}}
    (tmp_path / "patches.json").write_text(json.dumps(places | {"subjects": {"0007": "dora"}}))
    (capture,) = read_captures(tmp_path, "realfacedb", SIZE)
    assert (capture.subject, capture.name) == ("dora", "0007")
    record = capture.load()
    check_form(record)
    valid, place = record.valid[..., 0] > 0, canonical_place(SIZE)
    # Valid is exactly what the window shows.
    x, y = np.moveaxis(SOURCE * warp(place.reshape(-1, 2)).reshape(place.shape), -1, 0)
    inner = (x > 62) & (x < 148) & (y > 42) & (y < 138)
    assert valid[inner].mean() > 0.98
    assert not valid[(x < 58) | (x > 152) | (y < 38) | (y > 142)].any()
    assert np.abs(record.diffuse_albedo - albedo_of(place))[valid].max() < 0.01
    assert np.median(angles(record, true_normals(points))) < 0.5


def test_displacement_makes_relief_where_there_are_no_normals(tmp_path):
    points, triangles, uv, uv_triangles = face_mesh()
    place, maps = source_maps(points, 4 * SIZE, layout=lambda uv: uv)
    del maps["normals"]
    ridges = np.cos(2 * np.pi * 8 * place[..., 1:])
    folder = tmp_path / "emil"
    write_maps(folder, maps | {"displacement": 0.5 + 0.5 * ridges})
    write_obj(folder / "mesh.obj", points, triangles, uv, uv_triangles)
    write_facts(tmp_path, **FACTS | {"uv_layout": "canonical"})
    with pytest.raises(InputError, match="emil: .*displacement_mm"):
        read_captures(tmp_path, "plain", SIZE)[0].load()
    write_facts(tmp_path, **FACTS | {"uv_layout": "canonical"}, displacement_mm=[-1, 1])
    record = read_captures(tmp_path, "plain", SIZE)[0].load()
    check_form(record)
    # On the forehead the normals nod with the ridges: h_v over the height of a texel.
    texel = 295 / SIZE
    column = record.normals[:, SIZE // 2, 1] - true_normals(points)[:, SIZE // 2, 1]
    rows = np.arange(6, 20)
    slope = -2 * np.pi * 8 / SIZE / texel * np.sin(2 * np.pi * 8 * (rows + 0.5) / SIZE)
    assert np.corrcoef(column[rows], slope)[0, 1] > 0.9


@pytest.mark.slow
def test_a_topology_is_found_by_the_landmark_network(tmp_path, monkeypatch):
    """Without a twin the mesh is registered; the embedded head, a minute."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = load_embedded_model()
    uv, uv_faces = np.asarray(model.uv, np.float64), np.asarray(model.uv_faces)
    on_face = np.isin(np.arange(len(uv)), uv_faces[np.asarray(model.face_part) == 0])
    # The other parts lie in other tiles, as they do in many models.
    uv = np.where(on_face[:, None], warp(uv), uv + [2, 0])
    write_obj(
        tmp_path / "template.obj", np.asarray(model.mean), np.asarray(model.faces), uv, uv_faces
    )
    place, maps = source_maps(person(np.zeros(1)), 4 * SOURCE)
    # Colours that say where on the face they are.
    maps["diffuse_albedo"] = np.concatenate([place, 0 * place[..., :1]], -1)
    write_maps(tmp_path / "frida", maps)
    write_facts(tmp_path, **FACTS)
    record = read_captures(tmp_path, "plain", 256)[0].load()
    off = 256 * np.linalg.norm(record.diffuse_albedo[..., :2] - canonical_place(256), axis=-1)
    off = off[record.valid[..., 0] > 0]
    assert record.valid.mean() > 0.85
    assert np.median(off) < 2.5 and np.quantile(off, 0.9) < 8
    assert list((tmp_path / "cache" / "relightify_jax").glob("topology-*.npz"))

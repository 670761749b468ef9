"""What can be wrong with a capture, and that the sentence names it and says what to do."""

import json
import shutil

import numpy as np
import pytest
from absl import logging
from capture_twins import (
    FACTS,
    albedo_of,
    face_mesh,
    png16_bytes,
    save_png,
    source_maps,
    warp,
    write_facts,
    write_maps,
    write_obj,
    write_template,
)

from data_pipeline.captures import read_captures
from data_pipeline.captures.facts import read_facts
from relightify_jax.core.color import srgb_from_linear
from relightify_jax.core.errors import InputError

SIZE, SOURCE = 32, 96


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A folder with a topology and one good capture, "good"."""
    root = tmp_path_factory.mktemp("studio")
    points, *_ = face_mesh()
    _, maps = source_maps(points, SOURCE)
    write_template(root)
    write_facts(root, **FACTS)
    write_maps(root / "good", maps)
    return root, maps


@pytest.fixture
def subject(studio):
    """Copies the good capture to "bad"; returns its folder, its maps and how to load it."""
    root, maps = studio
    folder = root / "bad"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "good", folder)

    def load():
        captures = {c.name: c for c in read_captures(root, "plain", SIZE)}
        assert {"bad", "good"} <= set(captures)  # The rest of the folder is still there.
        return captures["bad"].load()

    yield folder, dict(maps), load
    shutil.rmtree(folder)


def refuse(load, *words):
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith("bad: ") and message.endswith(".")
    for word in words:
        assert word in message, message


def test_a_good_capture_is_read(subject):
    assert subject[2]().valid.mean() > 0.9


def test_missing_map(subject):
    folder, _, load = subject
    (folder / "specular_albedo.png").unlink()
    refuse(load, "lacks specular_albedo.png", "add it or leave the capture out")


def test_an_empty_folder_is_a_missing_map(subject):
    folder, _, load = subject
    for file in folder.iterdir():
        file.unlink()
    refuse(load, "lacks diffuse_albedo.png")


@pytest.mark.parametrize("kind", ["diffuse_albedo", "normals"])
def test_grey_where_colour_belongs(subject, kind):
    folder, maps, load = subject
    save_png(folder / f"{kind}.png", maps[kind][..., :1])
    refuse(load, f"{kind}.png has 1 channel", f"{kind} has 3", "RGB")


def test_colour_where_grey_belongs(subject):
    folder, maps, load = subject
    save_png(folder / "roughness.png", maps["normals"])
    refuse(load, "roughness.png has three channels", "one channel")


def test_sizes_that_differ(subject):
    folder, maps, load = subject
    save_png(folder / "normals.png", maps["normals"][::2, ::2])
    refuse(load, "96x96", "48x48", "scale them to one size")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no picture at all",
        lambda data: data[: len(data) // 2],
        lambda data: data[:200] + bytes(8) + data[208:],
    ],
    ids=["empty", "text", "cut off", "overwritten"],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_damaged_files(subject, damage, bits):
    folder, maps, load = subject
    path = folder / "diffuse_albedo.png"
    save_png(path, maps["diffuse_albedo"], bits)
    path.write_bytes(damage(path.read_bytes()))
    refuse(load, "diffuse_albedo.png is damaged or no picture", "export it again")


def test_nan_in_a_float_map(subject):
    exr = pytest.importorskip("OpenEXR")
    folder, maps, load = subject
    (folder / "diffuse_albedo.png").unlink()
    values = maps["diffuse_albedo"].astype(np.float32)
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, {"RGB": values}).write(str(folder / "diffuse_albedo.exr"))
    assert load().valid.mean() > 0.9
    values[40, 40] = np.nan
    exr.File(header, {"RGB": values}).write(str(folder / "diffuse_albedo.exr"))
    refuse(load, "diffuse_albedo.exr holds NaN or infinity", "mask")


def test_normals_that_are_none(subject):
    folder, maps, load = subject
    save_png(folder / "normals.png", maps["diffuse_albedo"])
    refuse(load, "check that map, mesh and UVs belong together")
    save_png(folder / "normals.png", np.repeat(maps["roughness"], 3, -1))
    refuse(load, "holds no unit normals", "median length", "(n + 1) / 2")


def test_object_space_declared_as_tangent(subject):
    folder, _, load = subject
    write_facts(folder, normal_space="tangent")
    refuse(load, "contradicts", 'state "normal_space": "object"', "degrees")


def tangent_relief(place, green):
    """A bumpy tangent-space map; its slopes are those of one height."""
    u, v = np.moveaxis(place, -1, 0)
    h_u = 0.4 * np.cos(35 * u) * np.cos(30 * v)
    h_v = -0.4 * 30 / 35 * np.sin(35 * u) * np.sin(30 * v)
    normals = np.stack([-h_u, green * h_v, np.ones_like(u)], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return (normals + 1) / 2


def test_tangent_space_declared_as_object(subject):
    folder, _, load = subject
    ticks = (np.arange(SOURCE) + 0.5) / SOURCE
    place = np.stack(np.meshgrid(ticks, ticks), -1)
    save_png(folder / "normals.png", tangent_relief(place, 1))
    refuse(load, "contradicts", 'state "normal_space": "tangent"')
    write_facts(folder, normal_space="tangent")
    up = load().normals
    # Green the other way is told by the relief, and read alike once it is stated.
    save_png(folder / "normals.png", tangent_relief(place, -1))
    refuse(load, 'state "normal_green": "down"', "correlation")
    write_facts(folder, normal_space="tangent", normal_green="down")
    np.testing.assert_allclose(load().normals, up, atol=2e-3)
    write_facts(folder, normal_space="detect", normal_green="detect")
    np.testing.assert_allclose(load().normals, up, atol=2e-3)


def test_green_and_axes_of_object_space(subject):
    folder, maps, load = subject
    truth, vectors = load().normals, 2 * maps["normals"] - 1
    save_png(folder / "normals.png", (vectors * [1, -1, 1] + 1) / 2)
    refuse(load, 'state "normal_green": "down"')
    write_facts(folder, normal_green="down")
    np.testing.assert_allclose(load().normals, truth, atol=1e-3)
    write_facts(folder)
    save_png(folder / "normals.png", (vectors[..., [2, 0, 1]] + 1) / 2)
    refuse(load, "['+Y', '+Z', '+X']")


@pytest.mark.parametrize(("stated", "looks"), [("linear", "srgb"), ("srgb", "linear")])
def test_the_wrong_colour_encoding_is_a_warning_with_numbers(subject, caplog, stated, looks):
    folder, maps, load = subject
    linear = maps["diffuse_albedo"]
    coded = np.asarray(srgb_from_linear(linear)) if looks == "srgb" else linear
    save_png(folder / "diffuse_albedo.png", coded)
    logging.get_absl_logger().propagate = True
    write_facts(folder, diffuse_encoding=stated)
    load()
    (message,) = (r.getMessage() for r in caplog.records if "encoding" in r.getMessage())
    assert message.startswith("bad: ") and f'looks like "{looks}"' in message
    assert "deviations from measured skin" in message
    caplog.clear()
    write_facts(folder, diffuse_encoding=looks)
    load()
    assert not [r for r in caplog.records if "encoding" in r.getMessage()]


def test_linear_light_in_eight_bits_is_a_warning(subject, caplog):
    folder, maps, load = subject
    save_png(folder / "diffuse_albedo.png", maps["diffuse_albedo"], bits=8)
    logging.get_absl_logger().propagate = True
    load()
    assert any("linear light in 8 bits" in record.getMessage() for record in caplog.records)


def test_a_crop_outside_the_map(subject):
    folder, _, load = subject
    write_facts(folder, crop=[40, 0, 128, 128])
    refuse(load, "96x96 pixels at (40, 0) do not fit", '"crop"')


def test_a_mask_that_leaves_nothing(subject):
    folder, maps, load = subject
    save_png(folder / "mask.png", 0 * maps["roughness"])
    refuse(load, "cover 0.0% of the face", "the mask")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ("cannot be read as JSON",)),
        ("[]", ("must hold one JSON object",)),
        ('{"normal_space": "world"}', ("world", "object | tangent | detect")),
        ('{"colour": "srgb"}', ("'colour', which means nothing", "diffuse_encoding")),
        ('{"axes": ["+X", "+Y"]}', ("axes", "three of")),
        ('{"axes": ["+X", "+Y", "-Z"]}', ("no right-handed frame",)),
        ('{"crop": [0, 0, 0, 0]}', ("crop", "whole map")),
        ('{"licence": ""}', ("licence", "a text")),
    ],
)
def test_facts_that_cannot_be(subject, text, words):
    folder, _, load = subject
    (folder / "capture.json").write_text(text)
    refuse(load, "capture.json" if "right" not in words[0] else "axes", *words)


def test_facts_that_are_missing(tmp_path):
    with pytest.raises(InputError, match="does not state licence, uv_layout, .*add"):
        read_facts([tmp_path], {})
    facts = dict(FACTS)
    del facts["normal_space"]
    write_facts(tmp_path, **facts)
    with pytest.raises(InputError, match='add "normal_space": object | tangent'):
        read_facts([tmp_path], {})
    # The nearer file wins, entry by entry.
    near = tmp_path / "near"
    write_facts(near, normal_space="object", diffuse_encoding="srgb")
    found = read_facts([tmp_path, near], {})
    assert (found.diffuse_encoding, found.specular_encoding) == ("srgb", "linear")


def test_meshes_that_cannot_be(subject):
    folder, _, load = subject
    points, triangles, uv, uv_triangles = face_mesh()
    path = folder / "mesh.obj"
    write_obj(path, 1000 * points, triangles, warp(uv), uv_triangles)
    refuse(load, "mesh.obj is 2", "m high", '"unit"')
    path.write_text("v 0 0 0\nv 0 1 0\nv 1 0 0\nf 1 2 3\n")
    refuse(load, "0 of them with texture", "UVs")
    path.write_text("v 0 0 zero\n")
    refuse(load, "no OBJ that can be read")
    write_obj(path, points, triangles + 9, warp(uv), uv_triangles)
    refuse(load, "is damaged", "vertices that are not there")


def test_no_mesh_for_maps_in_its_layout(tmp_path, studio):
    shutil.copytree(studio[0] / "good", tmp_path / "bad")
    write_facts(tmp_path, **FACTS)
    (capture,) = read_captures(tmp_path, "plain", SIZE)
    refuse(capture.load, "template.obj", "mesh.obj beside the maps")


def test_a_twin_of_another_mesh(tmp_path):
    write_template(tmp_path)
    points, triangles, uv, uv_triangles = face_mesh()
    write_obj(tmp_path / "template_canonical.obj", points, triangles[::-1], uv, uv_triangles)
    save_png(tmp_path / "a" / "diffuse_albedo.png", albedo_of(np.zeros((8, 8, 2))))
    # It would be wrong with every capture: said before the first is read.
    with pytest.raises(InputError, match="has other faces than .*same vertex and face order"):
        read_captures(tmp_path, "plain", SIZE)


def test_folders_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        read_captures(tmp_path / "nowhere", "plain", SIZE)
    with pytest.raises(InputError, match="holds no capture .*SUBJECT"):
        read_captures(tmp_path, "plain", SIZE)
    with pytest.raises(InputError, match="Unknown layout 'ours'.*plain, ffhq"):
        read_captures(tmp_path, "ours", SIZE)
    with pytest.raises(InputError, match="8 texels"):
        read_captures(tmp_path, "plain", 8)
    (tmp_path / "patches.json").write_text(json.dumps({"map_size": [4, 4]}))
    with pytest.raises(InputError, match='cannot be used .*"places"'):
        read_captures(tmp_path, "realfacedb", SIZE)


def test_interlaced_sixteen_bits(subject):
    folder, _, load = subject
    data = bytearray(png16_bytes(np.zeros((4, 4, 3), np.uint16)))
    import struct
    import zlib

    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (folder / "diffuse_albedo.png").write_bytes(bytes(data))
    refuse(load, "interlaced")

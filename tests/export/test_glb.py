"""The GLB file: read back by trimesh, by the Khronos validator and by ourselves."""

import io
import json
import os
import shutil
import struct
import subprocess

import numpy as np
import pytest
import trimesh
from PIL import Image

from relightify_jax.export.glb import IOR_AT_SPECULAR_ONE, encode_glb, write_glb

VALIDATE = """
const validator = require('gltf-validator'), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])), {maxIssues: 50})
  .then((report) => console.log(JSON.stringify(report.issues)));
"""


@pytest.fixture(scope="module")
def glb(small_head):
    return encode_glb(small_head.parts, small_head.materials, copyright="CC0", extras={"a": [1]})


def read(glb):
    """JSON and binary chunk."""
    magic, version, length, size, kind = struct.unpack_from("<4sIIII", glb)
    assert (magic, version, length, kind) == (b"glTF", 2, len(glb), 0x4E4F534A)
    rest, kind = struct.unpack_from("<II", glb, 20 + size)
    assert kind == 0x004E4942 and size % 4 == 0 and rest % 4 == 0
    assert 28 + size + rest == len(glb)
    return json.loads(glb[20 : 20 + size]), glb[28 + size :]


def accessor(document, blob, index):
    entry = document["accessors"][index]
    view = document["bufferViews"][entry["bufferView"]]
    kind = {5125: "<u4", 5126: "<f4"}[entry["componentType"]]
    data = blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    array = np.frombuffer(data, kind)
    return array.reshape(entry["count"], -1)


def texture(document, blob, info):
    image = document["images"][document["textures"][info["index"]]["source"]]
    view = document["bufferViews"][image["bufferView"]]
    data = blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    return np.asarray(Image.open(io.BytesIO(data)))


def test_arrays_are_what_went_in(glb, small_head):
    document, blob = read(glb)
    primitives = document["meshes"][0]["primitives"]
    assert len(primitives) == len(small_head.parts)
    for primitive, part in zip(primitives, small_head.parts, strict=True):
        names = {"POSITION": part.points, "NORMAL": part.normals, "TEXCOORD_0": part.uv}
        if small_head.materials[part.name].normals is not None:
            names["TANGENT"] = part.tangents
        assert set(primitive["attributes"]) == set(names)
        for name, array in names.items():
            np.testing.assert_array_equal(
                accessor(document, blob, primitive["attributes"][name]), array
            )
        indices = accessor(document, blob, primitive["indices"])
        np.testing.assert_array_equal(indices.reshape(-1, 3), part.faces)


def test_structure_follows_the_specification(glb):
    document, blob = read(glb)
    assert document["asset"]["version"] == "2.0"
    assert document["asset"]["copyright"] == "CC0"
    assert document["asset"]["extras"] == {"a": [1]}
    end = 0
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0 and view["byteOffset"] >= end
        end = view["byteOffset"] + view["byteLength"]
    assert end <= document["buffers"][0]["byteLength"] <= len(blob)
    for primitive in document["meshes"][0]["primitives"]:
        positions = document["accessors"][primitive["attributes"]["POSITION"]]
        values = accessor(document, blob, primitive["attributes"]["POSITION"])
        np.testing.assert_array_equal(np.float32(positions["min"]), values.min(0))
        np.testing.assert_array_equal(np.float32(positions["max"]), values.max(0))
        assert accessor(document, blob, primitive["indices"]).max() < len(values)
        normals = accessor(document, blob, primitive["attributes"]["NORMAL"])
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)


def test_materials_carry_the_maps_in_their_encodings(glb, small_head):
    document, blob = read(glb)
    skin = document["materials"][0]
    look = small_head.materials["face"]
    specular = skin["extensions"]["KHR_materials_specular"]
    alpha = texture(document, blob, specular["specularTexture"])[..., 3] / 255
    np.testing.assert_allclose(alpha, look.specular[..., 0], atol=0.51 / 255)
    normals = texture(document, blob, skin["normalTexture"]) / 127.5 - 1
    np.testing.assert_allclose(normals, look.normals, atol=1.01 / 255)
    base = texture(document, blob, skin["pbrMetallicRoughness"]["baseColorTexture"]) / 255
    linear = np.where(base <= 0.04045, base / 12.92, ((base + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(linear, look.base_color, atol=0.005)
    assert skin["pbrMetallicRoughness"]["metallicFactor"] == 0


def test_specular_one_has_the_reflectance_of_the_house_convention():
    f0 = ((IOR_AT_SPECULAR_ONE - 1) / (IOR_AT_SPECULAR_ONE + 1)) ** 2
    assert f0 == pytest.approx(0.08, abs=1e-4)


def test_equal_images_are_stored_once(glb):
    document, _ = read(glb)
    sources = [
        material["pbrMetallicRoughness"]["baseColorTexture"]["index"]
        for material in document["materials"]
        if material["name"].startswith("eye")
    ]
    assert len(sources) == 2 and sources[0] == sources[1]


def test_the_same_head_gives_the_same_bytes(glb, small_head, tmp_path):
    path = tmp_path / "head.glb"
    written = write_glb(
        path, small_head.parts, small_head.materials, copyright="CC0", extras={"a": [1]}
    )
    assert path.read_bytes() == written == glb


def test_trimesh_reads_the_same_head(glb, small_head):
    scene = trimesh.load(io.BytesIO(glb), file_type="glb", process=False)
    read_back = sorted(scene.geometry.values(), key=lambda mesh: mesh.vertices[:, 0].tolist())
    parts = sorted(small_head.parts, key=lambda part: part.points[:, 0].tolist())
    assert len(read_back) == len(parts)
    for mesh, part in zip(read_back, parts, strict=True):
        np.testing.assert_array_equal(mesh.vertices, part.points)
        np.testing.assert_array_equal(mesh.faces, part.faces)
        # trimesh turns v up.
        np.testing.assert_allclose(mesh.visual.uv, part.uv * [1, -1] + [0, 1], atol=1e-6)


def test_the_khronos_validator_finds_nothing(glb, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    has_validator = subprocess.run(
        [node, "-e", "require('gltf-validator')"], capture_output=True, env=os.environ
    )
    if has_validator.returncode != 0:
        pytest.skip("no gltf-validator: npm install gltf-validator, and set NODE_PATH")
    (tmp_path / "head.glb").write_bytes(glb)
    done = subprocess.run(
        [node, "-e", VALIDATE, str(tmp_path / "head.glb")], capture_output=True, text=True
    )
    issues = json.loads(done.stdout)
    counts = [issues[name] for name in ("numErrors", "numWarnings", "numInfos", "numHints")]
    assert counts == [0, 0, 0, 0], issues["messages"]

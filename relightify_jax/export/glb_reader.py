"""Reads a head back from a GLB that `glb.write_glb` wrote, ready to render."""

import io
import os
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pygltflib as gltf
from PIL import Image

from relightify_jax.core.color import linear_from_srgb
from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.rendering.renderer import HeadAssets, HeadMesh

_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TYPES = {5125: "<u4", 5126: "<f4"}


class StoredHead(NamedTuple):
    """A head as a GLB holds it."""

    mesh: HeadMesh
    points: np.ndarray  # (V, 3) metres.
    assets: HeadAssets


def read_glb(path: str | os.PathLike[str]) -> StoredHead:
    """Reads a head.

    Args:
        path: A GLB of this project.

    Raises:
        InputError: If the file is missing or is no such GLB.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path} does not exist; give the head.glb of a finished run.")
    try:
        file = gltf.GLTF2().load_binary(os.fspath(path))
        blob = file.binary_blob()
        return _read_head(file, blob)
    except Exception as error:  # A foreign or damaged file fails anywhere in here.
        raise InputError(
            f"{path} is not a head of this project ({type(error).__name__}: {error}); give the "
            "head.glb of a finished run."
        ) from None


def _read_head(file: gltf.GLTF2, blob: bytes) -> StoredHead:
    points, uvs, faces, parts = [], [], [], []
    looks: dict[int, gltf.Material] = {}
    offset = 0
    for primitive in file.meshes[0].primitives:
        material = file.materials[primitive.material]
        name = _part_of_material(material.name, {PARTS[part] for part in looks})
        part = PARTS.index(name)
        looks[part] = material
        points.append(_accessor(file, blob, primitive.attributes.POSITION))
        uvs.append(_accessor(file, blob, primitive.attributes.TEXCOORD_0))
        triangles = _accessor(file, blob, primitive.indices).reshape(-1, 3).astype(np.int64)
        faces.append(triangles + offset)
        parts.append(np.full(len(triangles), part))
        offset += len(points[-1])
    faces_array = jnp.asarray(np.concatenate(faces), jnp.int32)
    welded, index = np.unique(np.concatenate(points), axis=0, return_inverse=True)
    mesh = HeadMesh(
        # Seams of the UV layout are welded again, or normals would break there.
        faces=jnp.asarray(index.reshape(-1)[np.asarray(faces_array)], jnp.int32),
        uv=jnp.asarray(np.concatenate(uvs)),
        uv_faces=faces_array,
        face_part=jnp.asarray(np.concatenate(parts), jnp.int32),
    )
    return StoredHead(mesh, welded, _assets(file, blob, looks))


def _part_of_material(name: str, taken: set[str]) -> str:
    """The part that wears a material; the first eye is the left one, as in `PARTS`."""
    if name.startswith("eye"):
        return "eye_right" if "eye_left" in taken else "eye_left"
    return name.removeprefix("skin_")


def _accessor(file: gltf.GLTF2, blob: bytes, index: int) -> np.ndarray:
    accessor = file.accessors[index]
    view = file.bufferViews[accessor.bufferView]
    size = _SIZES[accessor.type]
    start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
    values = np.frombuffer(blob, _TYPES[accessor.componentType], accessor.count * size, start)
    return values.reshape(accessor.count, size)


def _image(file: gltf.GLTF2, blob: bytes, texture: int) -> np.ndarray:
    """Pixels (H, W, C) float32 in [0, 1], as stored."""
    view = file.bufferViews[file.images[file.textures[texture].source].bufferView]
    start = view.byteOffset or 0
    picture = Image.open(io.BytesIO(blob[start : start + view.byteLength]))
    pixels = np.asarray(picture, np.float32) / 255
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _assets(file: gltf.GLTF2, blob: bytes, looks: dict) -> HeadAssets:
    def diffuse(*names: str) -> jnp.ndarray:
        part = next(PARTS.index(name) for name in names if PARTS.index(name) in looks)
        index = looks[part].pbrMetallicRoughness.baseColorTexture.index
        return linear_from_srgb(jnp.asarray(_image(file, blob, index)[..., :3]))

    skin = looks[PARTS.index("face")]
    face = diffuse("face")
    extension = skin.extensions["KHR_materials_specular"]
    if "specularTexture" in extension:
        specular = _image(file, blob, extension["specularTexture"]["index"])[..., 3:]
    else:
        level = extension.get("specularFactor", SKIN_SPECULAR_ALBEDO)
        specular = np.full((*face.shape[:2], 1), level, np.float32)
    if skin.normalTexture is None:
        normals = np.broadcast_to(np.array([0.5, 0.5, 1.0], np.float32), face.shape)
    else:
        normals = _image(file, blob, skin.normalTexture.index)[..., :3]
    normals = normals * 2 - 1
    return HeadAssets(
        face_diffuse=face,
        face_specular=jnp.asarray(specular),
        face_normal=jnp.asarray(normals / np.linalg.norm(normals, axis=-1, keepdims=True)),
        head_diffuse=diffuse("head", "face"),
        eye_diffuse=diffuse("eye_left", "eye_right", "face"),
        mouth_diffuse=diffuse("mouth", "face"),
    )

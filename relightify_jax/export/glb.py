"""Binary glTF 2.0: the head with physically based materials, read by every 3D program.

Conventions (Khronos glTF 2.0 specification): metres, +Y up, face along +Z, texture v
down, base colour sRGB, normal maps in tangent space with +Y up. The specular albedo S of
this project (F0 = 0.08 S) is the alpha of `KHR_materials_specular`'s texture over an
index of refraction of 1.789, whose F0 is 0.08. The same input gives the same bytes.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pygltflib as gltf

from relightify_jax.core.files import atomic_path
from relightify_jax.export.encoding import png_bytes, quantize
from relightify_jax.export.materials import Material
from relightify_jax.export.parts import MeshPart

# ((n - 1) / (n + 1))^2 = 0.08, the reflectance of specular albedo 1.
IOR_AT_SPECULAR_ONE = 1.789
CLAMP_TO_EDGE, LINEAR, LINEAR_MIPMAP_LINEAR = 33071, 9729, 9987
FLOAT, UNSIGNED_INT = 5126, 5125
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963


class _Writer:
    """Collects accessors, images and materials of one GLB with a single buffer."""

    def __init__(self) -> None:
        self.file = gltf.GLTF2()
        self.chunks: list[bytes] = []
        self.size = 0
        self.textures: dict[bytes, int] = {}  # PNG bytes -> texture: equal images once.

    def view(self, data: bytes, target: int | None = None) -> int:
        self.file.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=self.size, byteLength=len(data), target=target)
        )
        data += b"\0" * (-len(data) % 4)
        self.chunks.append(data)
        self.size += len(data)
        return len(self.file.bufferViews) - 1

    def accessor(self, array: np.ndarray, kind: str, *, bounds: bool = False) -> int:
        is_index = kind == "SCALAR"
        array = np.ascontiguousarray(array, np.dtype("<u4" if is_index else "<f4"))
        self.file.accessors.append(
            gltf.Accessor(
                bufferView=self.view(
                    array.tobytes(), ELEMENT_ARRAY_BUFFER if is_index else ARRAY_BUFFER
                ),
                componentType=UNSIGNED_INT if is_index else FLOAT,
                count=len(array),
                type=kind,
                min=array.min(0).tolist() if bounds else None,
                max=array.max(0).tolist() if bounds else None,
            )
        )
        return len(self.file.accessors) - 1

    def texture(self, name: str, values: np.ndarray, *, srgb: bool) -> int:
        data = png_bytes(quantize(values, srgb=srgb))
        if data not in self.textures:
            self.file.images.append(
                gltf.Image(name=name, mimeType="image/png", bufferView=self.view(data))
            )
            self.file.textures.append(gltf.Texture(sampler=0, source=len(self.file.images) - 1))
            self.textures[data] = len(self.file.textures) - 1
        return self.textures[data]

    def material(self, look: Material) -> int:
        specular: dict[str, Any] = {}
        if np.ndim(look.specular):
            # Only alpha counts; white colour keeps programs that read RGB right as well.
            alpha = np.asarray(look.specular)
            rgba = np.concatenate([np.ones((*alpha.shape[:2], 3)), alpha], axis=-1)
            index = self.texture(f"{look.name}_specular", rgba, srgb=False)
            specular["specularTexture"] = {"index": index}
        else:
            specular["specularFactor"] = float(look.specular)
        base = self.texture(f"{look.name}_diffuse", look.base_color, srgb=True)
        material = gltf.Material(
            name=look.name,
            pbrMetallicRoughness=gltf.PbrMetallicRoughness(
                baseColorTexture=gltf.TextureInfo(index=base),
                metallicFactor=0.0,
                roughnessFactor=float(look.roughness),
            ),
            extensions={
                "KHR_materials_specular": specular,
                "KHR_materials_ior": {"ior": IOR_AT_SPECULAR_ONE},
            },
        )
        if look.normals is not None:
            values = np.asarray(look.normals) * 0.5 + 0.5
            index = self.texture(f"{look.name}_normal", values, srgb=False)
            material.normalTexture = gltf.NormalMaterialTexture(index=index)
        if look.occlusion is not None:
            index = self.texture(f"{look.name}_occlusion", look.occlusion, srgb=False)
            material.occlusionTexture = gltf.OcclusionTextureInfo(index=index)
        self.file.materials.append(material)
        return len(self.file.materials) - 1

    def primitive(self, part: MeshPart, material: int, *, tangents: bool) -> gltf.Primitive:
        attributes = gltf.Attributes(
            POSITION=self.accessor(part.points, "VEC3", bounds=True),
            NORMAL=self.accessor(part.normals, "VEC3"),
            TEXCOORD_0=self.accessor(part.uv, "VEC2"),
        )
        if tangents:
            attributes.TANGENT = self.accessor(part.tangents, "VEC4")
        indices = self.accessor(part.faces.reshape(-1), "SCALAR")
        return gltf.Primitive(attributes=attributes, indices=indices, material=material)


def encode_glb(
    parts: Sequence[MeshPart],
    materials: Mapping[str, Material],
    *,
    copyright: str = "",
    extras: Mapping[str, Any] | None = None,
) -> bytes:
    """Returns the bytes of a GLB file with one mesh, one primitive per part.

    Args:
        parts: Parts of the head, e.g. from `split_parts`.
        materials: The material of every part by part name. Equal images are stored once.
        copyright: `asset.copyright`, shown by viewers: whose face model, what licence.
        extras: JSON values stored in `asset.extras`, e.g. licence notes.

    Raises:
        KeyError: If a part has no material.
    """
    writer = _Writer()
    file = writer.file
    file.samplers = [
        gltf.Sampler(
            magFilter=LINEAR,
            minFilter=LINEAR_MIPMAP_LINEAR,
            wrapS=CLAMP_TO_EDGE,
            wrapT=CLAMP_TO_EDGE,
        )
    ]
    primitives = []
    for part in parts:
        look = materials[part.name]
        material = writer.material(look)
        primitives.append(writer.primitive(part, material, tangents=look.normals is not None))
    file.meshes = [gltf.Mesh(name="head", primitives=primitives)]
    file.nodes = [gltf.Node(name="head", mesh=0)]
    file.scenes = [gltf.Scene(name="head", nodes=[0])]
    file.scene = 0
    file.asset = gltf.Asset(generator="relightify_jax", copyright=copyright or None)
    file.asset.extras = dict(extras or {})
    file.extensionsUsed = ["KHR_materials_ior", "KHR_materials_specular"]
    file.buffers = [gltf.Buffer(byteLength=writer.size)]
    file.set_binary_blob(b"".join(writer.chunks))
    return b"".join(file.save_to_bytes())


def write_glb(
    path: str | os.PathLike[str],
    parts: Sequence[MeshPart],
    materials: Mapping[str, Material],
    *,
    copyright: str = "",
    extras: Mapping[str, Any] | None = None,
) -> bytes:
    """Writes `encode_glb` to `path` and returns the bytes."""
    data = encode_glb(parts, materials, copyright=copyright, extras=extras)
    with atomic_path(path) as partial:
        partial.write_bytes(data)
    return data

"""A finished head for export: every part of the mesh with its material.

The face wears the maps that were inferred from the photo. What the photo cannot tell is
procedural and says so: scalp and neck continue the face's colours, eyes and mouth are
painted in the colours that were measured, if they were.
"""

from typing import NamedTuple

import jax
import numpy as np

from relightify_jax.core.part_looks import PartLooks
from relightify_jax.core.uv_layout import UVMaps
from relightify_jax.export.eyes import paint_eye
from relightify_jax.export.head_texture import (
    FEATHER,
    bake_vertex_colors,
    border_distance,
    extend_vertex_colors,
    feather,
    mottle,
    resolved,
    vertex_averages,
)
from relightify_jax.export.materials import Material, tangent_normals
from relightify_jax.export.mouth import mouth_cells, paint_mouth
from relightify_jax.export.parts import MeshPart, split_parts
from relightify_jax.geometry.embedded import EYE_IRIS_RADIUS
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.uv_atlas import UVAtlas, build_uv_atlas
from relightify_jax.rendering.shading import SKIN_ROUGHNESS

EYE_ROUGHNESS = 0.1  # A film of tears.
EYE_SPECULAR = 0.31  # Cornea: refractive index 1.376, F0 = 0.025.
MOUTH_ROUGHNESS = 0.35
MOUTH_SPECULAR = 0.4
_EYE_SIZE, _MOUTH_SIZE, _OCCLUSION_SIZE = 512, 128, 256
# Shading does not mind a few texels that belong to two places; the tongue's two sides do.
_MAX_OVERLAP = 1.0

_tangent_normals = jax.jit(tangent_normals)


class Head(NamedTuple):
    """Parts in the order of `PARTS` and the material of each by name."""

    parts: tuple[MeshPart, ...]
    materials: dict[str, Material]


def dress_head(
    model: MorphableModel,
    points: np.ndarray,
    rest_points: np.ndarray,
    maps: UVMaps,
    face_atlas: UVAtlas,
    *,
    occlusion: np.ndarray | None = None,
    looks: PartLooks = PartLooks(),  # noqa: B008  (immutable)
    head_size: int = 512,
) -> Head:
    """Gives every part of a head its material.

    Args:
        model: The morphable model; topology, UVs and parts are read.
        points: (V, 3) vertices to export, metres.
        rest_points: (V, 3) vertices of the same person in the rest pose, in which
            `maps.normals` are given.
        maps: Maps of the face tile, (R, R, C) each; the texture is not used.
        face_atlas: Atlas of the face tile of side R, triangles counted from 0.
        occlusion: (V,) ambient occlusion from `rendering.occlusion.mesh_occlusion`, 1 =
            open. Without it eye sockets and mouth glow.
        looks: Colours of eyes and mouth.
        head_size: Texels per side of the tile of scalp, back and neck.
    """
    points = np.asarray(points)
    parts = split_parts(model, points)
    by_name = {part.name: part for part in parts}
    faces = {
        name: np.asarray(model.faces)[np.asarray(model.face_part) == PARTS.index(name)]
        for name in by_name
    }
    skin = np.concatenate([maps.diffuse_albedo, maps.specular_albedo], axis=-1)
    colors = _skin_colors(faces, face_atlas, skin, len(model.mean))
    rest_face = split_parts(model, rest_points)[0]
    materials = {
        "face": _face_material(
            faces, points, face_atlas, skin, colors, np.asarray(maps.normals), rest_face
        )
    }
    if "head" in faces:
        materials["head"] = _head_material(model, faces, points, colors, head_size)
    eye = paint_eye(
        _EYE_SIZE,
        iris_rgb=looks.eyes.iris_rgb,
        sclera_rgb=looks.eyes.sclera_rgb,
        iris_radius=looks.eyes.iris_scale * EYE_IRIS_RADIUS,
    )
    for name in ("eye_left", "eye_right"):
        if name in faces:
            materials[name] = Material(name, eye, EYE_SPECULAR, EYE_ROUGHNESS)
    if "mouth" in faces:
        materials["mouth"] = Material(
            "mouth",
            paint_mouth(_MOUTH_SIZE, mouth_cells(looks.mouth)),
            MOUTH_SPECULAR,
            MOUTH_ROUGHNESS,
        )
    if occlusion is not None:
        for part in parts:
            baked = _bake_occlusion(part, np.asarray(occlusion))
            materials[part.name] = materials[part.name]._replace(occlusion=baked)
    return Head(parts, materials)


def _bake_occlusion(part: MeshPart, occlusion: np.ndarray) -> np.ndarray:
    """Ambient occlusion (r, r, 1) in the tile of a part."""
    baked = []
    # Of triangles that share a texel (the tongue's two sides) the first one counts, so both
    # orders are averaged.
    for faces in (part.faces, part.faces[::-1]):
        atlas = build_uv_atlas(part.uv, faces, _OCCLUSION_SIZE, max_overlap=_MAX_OVERLAP)
        baked.append(bake_vertex_colors(atlas, faces, occlusion[part.vertex][:, None]))
    return (baked[0] + baked[1]) / 2


def _skin_colors(
    faces: dict[str, np.ndarray], atlas: UVAtlas, skin: np.ndarray, num_vertices: int
) -> np.ndarray:
    """Albedo and specular albedo (V, 4) at every vertex of face and head."""
    colors, known = vertex_averages(atlas, faces["face"], skin, num_vertices)
    all_skin = np.concatenate([faces[name] for name in ("face", "head") if name in faces])
    return extend_vertex_colors(all_skin, known, colors)


def _border_distance(faces: dict[str, np.ndarray], part: str, points: np.ndarray) -> np.ndarray:
    """Distance (V,) on a part to where face and head meet, up to twice `FEATHER`."""
    if "head" not in faces:
        return np.full(len(points), 2 * FEATHER)
    border = np.intersect1d(faces["face"], faces["head"])
    return border_distance(faces[part], points, border, limit=2 * FEATHER)


def _face_material(
    faces: dict[str, np.ndarray],
    points: np.ndarray,
    atlas: UVAtlas,
    skin: np.ndarray,
    colors: np.ndarray,
    object_normals: np.ndarray,
    rest: MeshPart,
) -> Material:
    """Skin from the maps, fading into the vertex colours at the border to the head."""
    distance = _border_distance(faces, "face", points)
    colors_and_distance = np.concatenate([colors, distance[:, None]], axis=-1)
    baked = bake_vertex_colors(atlas, faces["face"], colors_and_distance)
    smooth, distance = baked[..., :4], baked[..., 4]
    skin = feather(skin, smooth, distance)
    normals = _tangent_normals(object_normals, atlas, rest.faces, rest.normals, rest.tangents)
    normals = feather(np.asarray(normals), np.array([0.0, 0.0, 1.0]), distance)
    return Material(
        name="skin_face",
        base_color=skin[..., :3],
        specular=skin[..., 3:],
        roughness=SKIN_ROUGHNESS,
        normals=normals / np.linalg.norm(normals, axis=-1, keepdims=True),
    )


def _head_material(
    model: MorphableModel,
    faces: dict[str, np.ndarray],
    points: np.ndarray,
    colors: np.ndarray,
    size: int,
) -> Material:
    """Skin of scalp, back and neck: vertex colours and a mottle that grows from the border."""
    is_head = np.asarray(model.face_part) == PARTS.index("head")
    atlas = build_uv_atlas(
        np.asarray(model.uv), np.asarray(model.uv_faces)[is_head], size, max_overlap=_MAX_OVERLAP
    )
    distance = _border_distance(faces, "head", points)
    attributes = np.concatenate([colors, points, distance[:, None]], axis=-1)
    baked = bake_vertex_colors(atlas, faces["head"], attributes)
    skin, place, distance = baked[..., :4], baked[..., 4:7], baked[..., 7]
    noise = sum(
        weight * mottle(place, cell, seed) * resolved(place, cell)
        for seed, (weight, cell) in enumerate(((0.6, 0.02), (0.4, 0.002)))
    )
    noise = feather(noise[..., None], np.zeros(1), distance)
    # Skin varies along the blood axis: green and blue more than red.
    tint = 1.0 + noise * np.array([0.08, 0.14, 0.14, 0.1])
    skin = np.clip(skin * tint, 0.0, 1.0)
    return Material(
        name="skin_head",
        base_color=skin[..., :3],
        specular=skin[..., 3:],
        roughness=SKIN_ROUGHNESS,
    )

"""Normals of a capture in object space, in the frame of the mesh that carries them."""

import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data_pipeline.captures.checks import (
    FLIP_GREEN,
    check_green,
    check_space,
    decode_normals,
    green_correlation,
    read_bearing,
)
from data_pipeline.captures.facts import Facts, axes_matrix
from data_pipeline.captures.head import unit
from data_pipeline.captures.images import Picture
from data_pipeline.captures.meshes import SurfaceMesh
from data_pipeline.captures.transfer import MapShape, TexelMap, attributes, sample_map, to_texels
from relightify_jax.face_models.surfaces import vertex_normals
from relightify_jax.geometry.mesh import object_from_tangent, vertex_tangents
from relightify_jax.skin.relief import bump_normals

# Compiled whole; one operation after the other they take seconds to compile.
_bump_normals, _vertex_tangents, _object_from_tangent = (
    jax.jit(function) for function in (bump_normals, vertex_tangents, object_from_tangent)
)
_ENOUGH = 40_000  # Samples that decide on conventions.


class Surface(NamedTuple):
    """A capture's mesh at the samples of a texel map, (S, S, 3) each; the mesh's frame."""

    mesh: SurfaceMesh
    texels: TexelMap
    normals: np.ndarray  # Unit, of the mesh; zero where there is none.


def build_surface(mesh: SurfaceMesh, texels: TexelMap) -> Surface:
    """Interpolates the normals of a mesh."""
    normals = vertex_normals(mesh.points, mesh.triangles)
    return Surface(mesh, texels, unit(attributes(texels, mesh.triangles, normals)))


def object_normals(
    path: pathlib.Path,
    picture: Picture,
    weight: np.ndarray,
    shape: MapShape,
    surface: Surface,
    facts: Facts,
) -> np.ndarray:
    """Normals (R, R, 3) of a normal map, unit where known.

    Args:
        path: Of the map, for messages.
        picture: The map.
        weight: (H, W), 0 where it says nothing.
        shape: Of the map.
        surface: That it lies on.
        facts: What was declared about it.

    Raises:
        InputError: If the map is no normal map or contradicts what was declared.
    """
    known = weight > 0.5
    vectors = decode_normals(path, picture, known)
    if facts.normal_green == "down":
        vectors = vectors * FLIP_GREEN
    sampled, total = sample_map(surface.texels, vectors, weight, shape)
    sure = np.flatnonzero((total > 0.9).ravel())
    sure = sure[:: max(1, len(sure) // _ENOUGH)]
    to_ours = axes_matrix(facts.axes)
    bearing = read_bearing(
        sampled.reshape(-1, 3)[sure], surface.normals.reshape(-1, 3)[sure], to_ours
    )
    space = check_space(path, facts, bearing)
    if space == "tangent":
        correlation = green_correlation(vectors, known)
        green = check_green(path, facts.normal_green, correlation)
        if facts.normal_green == "detect" and green == "down":
            sampled = sampled * FLIP_GREEN
        sampled = _turn_out(sampled, surface)
    else:
        if facts.normal_green == "detect" and bearing.to_flipped < bearing.to_surface:
            sampled = sampled * FLIP_GREEN
        sampled = sampled @ to_ours.T
    return unit(to_texels(unit(sampled), total, surface.texels.factor)[0])


def mesh_normals(surface: Surface, height: np.ndarray | None) -> np.ndarray:
    """Normals (R, R, 3) of the mesh itself, with the relief of a height map (R, R) in mm."""
    covered = (surface.texels.triangle >= 0).astype(np.float32)
    normals = unit(to_texels(surface.normals, covered, surface.texels.factor)[0])
    if height is None:
        return normals
    places = attributes(surface.texels, surface.mesh.triangles, surface.mesh.points * 1e3)
    places, total = to_texels(places, covered, surface.texels.factor)
    along_v, along_u = (np.gradient(places, axis=axis) for axis in (0, 1))
    inner = total >= 1
    for axis in (0, 1):
        inner &= (np.roll(total, 1, axis) >= 1) & (np.roll(total, -1, axis) >= 1)
    bumped = _bump_normals(
        jnp.asarray(normals, jnp.float32),
        jnp.asarray(height, jnp.float32),
        jnp.asarray(along_u, jnp.float32),
        jnp.asarray(along_v, jnp.float32),
    )
    return np.where(inner[..., None], np.asarray(bumped), normals)


def _turn_out(sampled: np.ndarray, surface: Surface) -> np.ndarray:
    """Tangent-space normals (S, S, 3) in the frame of the mesh."""
    mesh = surface.mesh
    normals = vertex_normals(mesh.points, mesh.triangles)
    tangents = _vertex_tangents(
        jnp.asarray(mesh.points, jnp.float32),
        jnp.asarray(normals, jnp.float32),
        jnp.asarray(mesh.triangles),
        jnp.asarray(mesh.uv, jnp.float32),
        jnp.asarray(mesh.uv_triangles),
    )
    across = attributes(surface.texels, mesh.uv_triangles, np.asarray(tangents))
    return np.asarray(
        _object_from_tangent(
            jnp.asarray(sampled, jnp.float32),
            jnp.asarray(surface.normals, jnp.float32),
            jnp.asarray(across, jnp.float32),
        )
    )

"""The parts of a head as a GPU draws them: one vertex per (model vertex, UV) pair.

A `MorphableModel` indexes points and texture coordinates apart, so that a seam in UV
space is no seam in space. glTF and WebGL have one index per vertex; here the pairs are
welded, deterministically, part by part.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.geometry.mesh import vertex_normals, vertex_tangents
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel


class MeshPart(NamedTuple):
    """One part of a head: N vertices, f triangles, all arrays on the host."""

    name: str  # One of `PARTS`.
    points: np.ndarray  # (N, 3) float32, metres.
    normals: np.ndarray  # (N, 3) float32, unit; smooth across the borders of parts.
    tangents: np.ndarray  # (N, 4) float32: unit, along +u; w = +-1, bitangent w * (n x t).
    uv: np.ndarray  # (N, 2) float32, u right, v down.
    faces: np.ndarray  # (f, 3) int32 into the N vertices, counter-clockwise from outside.
    vertex: np.ndarray  # (N,) int32: the model vertex of each vertex.


def weld_corners(*indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives every distinct tuple of indices among the corners one new index.

    New indices are in the order of first use, which is deterministic and keeps the
    locality of the triangle list.

    Args:
        *indices: k arrays (f, 3) of integers, e.g. model vertex and texture coordinate of
            each corner.

    Returns:
        Welded faces (f, 3) int32 and the old indices (N, k) int32 of each new one.
    """
    keys = np.stack([index.ravel() for index in indices], axis=-1)
    unique, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    welded = rank[inverse.ravel()].reshape(indices[0].shape)
    return welded.astype(np.int32), unique[order].astype(np.int32)


def split_parts(model: MorphableModel, points: np.ndarray) -> tuple[MeshPart, ...]:
    """Splits a head into its parts and at its UV seams.

    Args:
        model: The morphable model; only its topology and UVs are read.
        points: (V, 3) vertices of this head in metres.

    Returns:
        The non-empty parts, in the order of `PARTS`.
    """
    points = np.asarray(points, np.float32)
    faces, part_of_face = np.asarray(model.faces), np.asarray(model.face_part)
    part_of_corner = np.repeat(part_of_face[:, None], 3, axis=1)
    welded, keys = weld_corners(part_of_corner, faces, np.asarray(model.uv_faces))
    part_of_vertex, vertex, uv_index = keys.T
    uv = np.asarray(model.uv, np.float32)[uv_index]
    normals, tangents = map(np.asarray, _vertex_frames(points, faces, vertex, welded, uv))
    parts = []
    for index, name in enumerate(PARTS):
        # Triangles are sorted by part and vertices by first use: each part is one range.
        rows = slice(*np.searchsorted(part_of_vertex, [index, index + 1]))
        if rows.start == rows.stop:
            continue
        part_faces = welded[part_of_face == index] - rows.start
        arrays = points[vertex[rows]], normals[rows], tangents[rows], uv[rows]
        parts.append(MeshPart(name, *arrays, part_faces, vertex[rows]))
    return tuple(parts)


@jax.jit
def _vertex_frames(
    points: jax.Array, faces: jax.Array, vertex: jax.Array, welded: jax.Array, uv: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Unit normals (N, 3) of the whole surface and tangents (N, 4) of the welded vertices."""
    normals = vertex_normals(points, faces)[vertex]
    # A vertex whose triangles have no area has no normal; glTF wants a unit one all the same.
    length = jnp.linalg.norm(normals, axis=-1, keepdims=True)
    normals = jnp.where(length > 0.1, normals / length, jnp.array([0.0, 0.0, 1.0]))
    return normals, vertex_tangents(points[vertex], normals, welded, uv, welded)

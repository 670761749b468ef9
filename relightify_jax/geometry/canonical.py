"""Landmarks in the canonical UV layout, and from there on any mesh that carries it."""

import numpy as np

from relightify_jax.geometry.morphable_model import PARTS, MorphableModel, landmarks
from relightify_jax.geometry.uv_atlas import build_uv_atlas

_LOOKUP_SIZE = 1024  # Texels per side of the lookup: 0.2 mm on a face.


def face_vertex_uv(model: MorphableModel) -> np.ndarray:
    """Canonical texture coordinates (V, 2) of the vertices, v down; NaN off the face part."""
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    uv_of_vertex = np.full((model.mean.shape[0], 2), np.nan)
    faces = np.asarray(model.faces)[on_face]
    uv_of_vertex[faces] = np.asarray(model.uv)[np.asarray(model.uv_faces)[on_face]]
    return uv_of_vertex


def landmark_uv(model: MorphableModel) -> np.ndarray:
    """Positions (468, 2) of the FaceMesh landmarks in the canonical UV layout, v down."""
    uv_of_vertex = face_vertex_uv(model)
    # A landmark on the rim of the face part may touch vertices without a canonical UV.
    corners = uv_of_vertex[np.asarray(model.landmark_vertices)]
    weights = np.where(np.isnan(corners[..., 0]), 0.0, np.asarray(model.landmark_bary))
    total = weights.sum(-1, keepdims=True)
    uv = (np.nan_to_num(corners) * weights[..., None]).sum(1) / np.maximum(total, 1e-6)
    lost = total[:, 0] < 1e-3
    if lost.any():
        points = np.asarray(landmarks(model, model.mean))
        vertices = np.flatnonzero(~np.isnan(uv_of_vertex[:, 0]))
        offsets = points[lost, None] - np.asarray(model.mean)[None, vertices]
        uv[lost] = uv_of_vertex[vertices[np.argmin((offsets**2).sum(-1), axis=1)]]
    return uv


def locate_in_uv(
    points: np.ndarray, uv: np.ndarray, uv_faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of a UV layout that hold, or lie nearest to, given places.

    Args:
        points: (N, 2) places, v down.
        uv: (T, 2) texture coordinates of the tile [0, 1]^2.
        uv_faces: (f, 3) integers into `uv`.

    Returns:
        Triangle (N,) and barycentric coordinates (N, 3) in [0, 1].
    """
    atlas = build_uv_atlas(uv, uv_faces, _LOOKUP_SIZE, gutter=_LOOKUP_SIZE, max_overlap=0.05)
    column, row = np.clip((points * _LOOKUP_SIZE).astype(int), 0, _LOOKUP_SIZE - 1).T
    face = np.asarray(atlas.face)[row, column]
    a, b, c = np.moveaxis(np.asarray(uv, np.float64)[np.asarray(uv_faces)[face]], 1, 0)
    solved = np.linalg.solve(np.stack([b - a, c - a], axis=-1), (points - a)[..., None])[..., 0]
    bary = np.clip(np.concatenate([1 - solved.sum(-1, keepdims=True), solved], -1), 0.0, 1.0)
    return face, bary / bary.sum(-1, keepdims=True)

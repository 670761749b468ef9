"""The face model's own surface as maps: what a capture does not know continues on it."""

import functools

import numpy as np

from data_pipeline.captures.fill import fill_unknown
from relightify_jax.face_models.surfaces import vertex_normals
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.geometry.uv_atlas import build_uv_atlas


def head_normals(identity: np.ndarray, size: int) -> np.ndarray:
    """Normals (R, R, 3) float32 of a head of the face model, continued beside the face.

    Args:
        identity: (K,) coefficients.
        size: Texels per side R.
    """
    model = load_embedded_model()
    points = np.asarray(model.mean, np.float64)
    if identity.any():
        points = points + np.tensordot(identity, np.asarray(model.identity, np.float64), 1)
    face, bary, inside = _atlas(size)
    triangles = np.asarray(model.faces)
    normals = vertex_normals(points, triangles).astype(np.float32)[triangles[face]]
    normals = unit(np.einsum("yxkc,yxk->yxc", normals, bary))
    return unit(fill_unknown(normals, inside))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors along the last axis; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(length, 1e-9)


@functools.lru_cache(maxsize=1)
def _atlas(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangle, barycentric coordinates and coverage of the texels of the face."""
    model = load_embedded_model()
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    atlas = build_uv_atlas(
        np.asarray(model.uv),
        np.asarray(model.uv_faces)[on_face],
        size,
        first_face=int(np.argmax(on_face)),
    )
    inside = np.asarray(atlas.inside)
    return np.maximum(np.asarray(atlas.face), 0), np.asarray(atlas.bary), inside

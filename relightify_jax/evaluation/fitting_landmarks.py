"""Landmarks as a network would give them: with errors that neighbours share."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from relightify_jax.core.numerics import normalize
from relightify_jax.evaluation.fitting_cases import stream
from relightify_jax.evaluation.fitting_heads import Casting
from relightify_jax.evaluation.fitting_photos import Truth
from relightify_jax.geometry.camera import Camera, project, to_camera_frame
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import PARTS, landmarks
from relightify_jax.rendering.occlusion import directional_visibility

_BUFFER_SIZE = 1024  # Pixels per side of the z-buffer that says what is seen.
REFERENCE_WIDTH = 256  # Pixels of the photo in which noise is given.
# Errors that agree over this many metres leave 468 landmarks as many degrees of freedom,
# (tr C)^2 / tr C^2, as 68 independent ones have. Those of the face mesh network on rendered
# heads agree over about 0.016: 20 degrees of freedom.
AS_68_LANDMARKS = 0.007


class LandmarkNoise(NamedTuple):
    """Errors of made-up landmarks."""

    deviation: float = 1.5  # Pixels, in a photo of 256 pixels with a face of 150.
    length: float = 0.015  # Metres over which errors agree; 0 = every landmark its own.


def perturb_landmarks(truth: Truth, casting: Casting, noise: LandmarkNoise) -> np.ndarray:
    """Landmarks (468, 2) in pixels of the photo: what is hidden is moved, then all are shaken.

    A network puts a landmark that the head itself hides onto the contour that hides it;
    here that is the nearest point of the surface that is seen.
    """
    pixels = move_hidden(truth, casting)
    generator = stream(truth.case.seed, "landmarks")
    white = generator.standard_normal((len(pixels), 2))
    scale = truth.photo.shape[1] / REFERENCE_WIDTH
    where = np.asarray(landmarks(casting.model, casting.model.mean), np.float64)
    return pixels + scale * noise.deviation * correlate(white, where, noise.length)


def correlate(white: np.ndarray, places: np.ndarray, length: float) -> np.ndarray:
    """Unit-variance noise (N, C) of a Gaussian process from white noise (N, C).

    Args:
        white: Independent standard normal.
        places: (N, 3).
        length: Of the squared-exponential covariance, in the unit of `places`; 0 leaves
            the noise white.
    """
    if length <= 0:
        return white
    squared = ((places[:, None] - places) ** 2).sum(-1)
    covariance = np.exp(-0.5 * squared / length**2) + 1e-6 * np.eye(len(places))
    return np.linalg.cholesky(covariance) @ white


def move_hidden(truth: Truth, casting: Casting) -> np.ndarray:
    """True landmarks (468, 2), the hidden ones at the nearest point of the face that is seen."""
    points = jnp.asarray(truth.points)
    seen = seen_vertices(truth, casting)
    at = np.asarray(landmarks(casting.model, points), np.float64)
    corners = np.asarray(casting.model.landmark_vertices)
    hidden = ~seen[corners].any(axis=1)
    moved = truth.landmark_pixels.copy()
    candidates = np.flatnonzero(seen)
    if hidden.any() and len(candidates):
        nearest = candidates[cKDTree(truth.points[candidates]).query(at[hidden])[1]]
        moved[hidden] = np.asarray(_vertex_pixels(truth.camera, points))[nearest]
    return moved


def seen_vertices(truth: Truth, casting: Casting) -> np.ndarray:
    """(V,) bool: the vertex belongs to the face and nothing of the bare head is before it."""
    model = casting.model
    on_face = np.zeros(len(truth.points), bool)
    on_face[np.asarray(model.faces)[np.asarray(model.face_part) == PARTS.index("face")]] = True
    return on_face & np.asarray(_in_sight(truth.points, model.faces, truth.camera))


@jax.jit
def _vertex_pixels(camera: Camera, points: jax.Array) -> jax.Array:
    return project(camera, points)[0]


@jax.jit
def _in_sight(points: jax.Array, faces: jax.Array, camera: Camera) -> jax.Array:
    """(V,) bool: nothing of the mesh lies between a vertex and the camera that it faces."""
    in_camera = to_camera_frame(camera, points)
    towards = normalize(-in_camera)
    facing = jnp.sum(vertex_normals(in_camera, faces) * towards, axis=-1) > 0
    # Divided by depth, lines of sight are parallel, which a shadow's z-buffer takes.
    depth = -in_camera[:, 2]
    across = in_camera[:, :2] * (jnp.mean(depth) / depth)[:, None]
    flat = jnp.concatenate([across, in_camera[:, 2:]], axis=-1)
    ahead = jnp.array([[0.0, 0.0, 1.0]])
    normals = vertex_normals(flat, faces)
    seen = directional_visibility(flat, faces, ahead, flat, normals, size=_BUFFER_SIZE)
    return facing & (seen[0] > 0.5)

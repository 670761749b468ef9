"""Pose and identity of a captured head: the face model laid onto its mesh."""

import functools
from typing import NamedTuple

import numpy as np

from data_pipeline.captures.correspondence import Topology
from relightify_jax.face_models.registration import Similarity, fit_similarity
from relightify_jax.geometry.canonical import face_vertex_uv, locate_in_uv
from relightify_jax.geometry.embedded import load_embedded_model

# Metres that a vertex may lie off for reasons no mode describes, and how many vertices
# of a smooth surface say something of their own.
_DEVIATION, _INDEPENDENT = 0.001, 1000.0
_MAX_COEFFICIENT = 3.0
_ANCHORS = 1200  # Far more than coefficients.
_ROUNDS = 4
_MAX_MISS = 1e-3  # Of the tile's side; farther from the mesh's chart a vertex has no partner.


class Anchors(NamedTuple):
    """N vertices of the face model and where they lie on a topology."""

    vertices: np.ndarray  # (N,) of the face model.
    corners: np.ndarray  # (N, 3) vertices of the topology's mesh.
    bary: np.ndarray  # (N, 3).


class Alignment(NamedTuple):
    """The face model on a captured mesh."""

    pose: Similarity  # From the model's frame to the capture's.
    identity: np.ndarray  # (K,) float32 coefficients ~N(0, 1).
    error: float  # Metres, root mean square distance of the anchors, in the model's frame.


def find_anchors(topology: Topology) -> Anchors:
    """Looks up the face model's vertices on a topology."""
    uv = _vertex_uv()
    vertices = np.flatnonzero(np.isfinite(uv[:, 0]))
    vertices = vertices[:: max(1, len(vertices) // _ANCHORS)]
    flat = topology.canonical.reshape(-1, 2)
    faces = np.arange(len(flat)).reshape(-1, 3)
    found, bary = locate_in_uv(uv[vertices], flat, faces)
    miss = np.linalg.norm((flat[faces[found]] * bary[..., None]).sum(1) - uv[vertices], axis=1)
    kept = miss < _MAX_MISS
    corners = topology.mesh.triangles[topology.used[found[kept]]]
    return Anchors(vertices[kept], corners, bary[kept])


def align(anchors: Anchors, points: np.ndarray) -> Alignment:
    """Fits pose and identity to the vertices of a mesh; ridge regression.

    Args:
        anchors: Of the mesh's topology.
        points: (V, 3) metres.
    """
    mean, modes = _shape_basis()
    mean, modes = mean[anchors.vertices], modes[:, anchors.vertices]
    target = (points[anchors.corners] * anchors.bary[..., None]).sum(1)
    weight = np.ones(len(target))
    design = modes.reshape(len(modes), -1).T
    damping = np.full(len(modes) + 7, _DEVIATION**2 * len(target) / _INDEPENDENT)
    damping[len(modes) :] = 1e-9  # Pose costs nothing.
    shape, identity = mean, np.zeros(len(modes))
    for _ in range(_ROUNDS):
        pose = fit_similarity(shape, target, weight)
        # Modes turn and stretch the head a little themselves: both are solved for at once.
        full = np.concatenate([design, _motions(shape)], axis=1)
        residual = (pose.invert(target) - mean).ravel()
        solved = np.linalg.solve(full.T @ full + np.diag(damping), full.T @ residual)
        identity = np.clip(solved[: len(modes)], -_MAX_COEFFICIENT, _MAX_COEFFICIENT)
        shape = mean + np.tensordot(identity, modes, 1)
    pose = fit_similarity(shape, target, weight)
    off = np.linalg.norm(pose.invert(target) - shape, axis=1)
    return Alignment(pose, identity.astype(np.float32), float(np.sqrt(np.mean(off**2))))


def _motions(points: np.ndarray) -> np.ndarray:
    """Columns (3 N, 7): how points (N, 3) move when turned, moved and scaled."""
    axes = np.eye(3)
    turned = [np.cross(axis, points) for axis in axes]
    moved = [np.broadcast_to(axis, points.shape) for axis in axes]
    return np.stack([*turned, *moved, points], axis=-1).reshape(-1, 7)


def num_identity() -> int:
    """Coefficients of the face model, K."""
    return len(_shape_basis()[1])


@functools.cache
def _shape_basis() -> tuple[np.ndarray, np.ndarray]:
    model = load_embedded_model()
    return np.asarray(model.mean, np.float64), np.asarray(model.identity, np.float64)


@functools.cache
def _vertex_uv() -> np.ndarray:
    return face_vertex_uv(load_embedded_model())

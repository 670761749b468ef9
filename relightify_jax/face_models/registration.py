"""Non-rigid registration of a statistical face mesh to another head.

A statistical fit to landmarks, a smooth warp through them, then non-rigid ICP with a
falling stiffness (Amberg et al. 2007, with translations for the local transforms).
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sparse_linalg
from absl import logging
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from relightify_jax.face_models.surfaces import closest_points, interpolate, vertex_normals

# (stiffness, iterations) of non-rigid ICP, from stiff to soft.
_STAGES = ((30.0, 3), (8.0, 4), (2.0, 5), (0.6, 5))
_MAX_DISTANCE = 1.5  # cm; a farther closest point is no correspondence.
_MIN_COSINE = 0.4  # Between the normals of corresponding points.
_NUM_MODES = 40


class Template(NamedTuple):
    """The deformed mesh, in centimetres: V vertices, K modes, L landmarks."""

    mean: np.ndarray  # (V, 3).
    identity: np.ndarray  # (K, V, 3), coefficients ~N(0, 1).
    triangles: np.ndarray  # (F, 3).
    landmarks: sp.csr_matrix  # (L, V), each row interpolates one landmark.
    is_outer: np.ndarray  # (V,) bool, not hidden inside the nostrils or the mouth.


class Similarity(NamedTuple):
    """The map x -> scale * rotation @ x + translation."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Maps points (N, 3)."""
        return self.scale * points @ self.rotation.T + self.translation

    def invert(self, points: np.ndarray) -> np.ndarray:
        """Maps points (N, 3) back."""
        return (points - self.translation) @ self.rotation / self.scale


def fit_similarity(source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Similarity:
    """Weighted least-squares similarity from source to target (N, 3); Umeyama 1991."""
    weight = weight / weight.sum()
    source_mean, target_mean = weight @ source, weight @ target
    a, b = source - source_mean, target - target_mean
    left, singular, right = np.linalg.svd((b * weight[:, None]).T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    rotation = (left * signs) @ right
    scale = (singular * signs).sum() / (weight @ (a**2).sum(1))
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def _fit_statistics(
    template: Template, target: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, Similarity]:
    """Ridge fit of the template's modes to target landmarks (L, 3); returns vertices, pose."""
    modes = template.identity[:_NUM_MODES]
    design = np.stack([template.landmarks @ mode for mode in modes], axis=-1)
    design = design.reshape(-1, len(modes))
    row_weight = np.repeat(weight, 3)[:, None]
    vertices = template.mean
    for _ in range(5):
        pose = fit_similarity(template.landmarks @ vertices, target, weight)
        residual = (pose.invert(target) - template.landmarks @ template.mean).ravel()
        normal = design.T @ (design * row_weight) + 0.02 * np.eye(len(modes))
        code = np.linalg.solve(normal, design.T @ (row_weight[:, 0] * residual))
        vertices = template.mean + np.tensordot(code, modes, 1)
    return vertices, pose


def _warp(vertices: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Thin-plate warp that takes source landmarks near target ones, fading 2 cm away."""
    warp = RBFInterpolator(
        source, target - source, kernel="thin_plate_spline", smoothing=0.05, neighbors=80
    )
    away = cKDTree(source).query(vertices)[0]
    fade = np.exp(-(np.maximum(away - 2.0, 0) ** 2) / 8.0)
    return vertices + warp(vertices) * fade[:, None]


def _graph_laplacian(triangles: np.ndarray, num_vertices: int) -> sp.csr_matrix:
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.sort(sides, axis=1), axis=0)
    rows = np.arange(len(edges))
    ones = np.ones(len(edges))
    shape = (len(edges), num_vertices)
    difference = sp.coo_matrix((ones, (rows, edges[:, 0])), shape=shape)
    difference -= sp.coo_matrix((ones, (rows, edges[:, 1])), shape=shape)
    return (difference.T @ difference).tocsr()


def align(
    template: Template, target_landmarks: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, Similarity]:
    """Brings the template's landmarks to those of a target: statistics, then a smooth warp.

    Args:
        template: The mesh to deform, with its statistics.
        target_landmarks: (L, 3), in the target's frame; of weight 0 may be NaN.
        weight: (L,) in [0, 1], 0 for a landmark not to use.

    Returns:
        The template's vertices (V, 3), and the map from its frame to the target's.
    """
    used = weight > 0
    target = np.where(used[:, None], target_landmarks, 0.0)
    vertices, pose = _fit_statistics(template, target, weight)
    wanted = pose.invert(target)
    return _warp(vertices, (template.landmarks @ vertices)[used], wanted[used]), pose


def register(
    template: Template,
    target_vertices: np.ndarray,
    target_triangles: np.ndarray,
    target_landmarks: np.ndarray,
    weight: np.ndarray,
    *,
    reach: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Deforms the template onto a target head.

    Args:
        template: The mesh to deform, with its statistics.
        target_vertices: (N, 3), any unit and pose.
        target_triangles: (G, 3), the surface to match, without interior parts.
        target_landmarks: (L, 3), in the target's frame; of weight 0 may be NaN.
        weight: (L,) in [0, 1], 0 for a landmark not to use.
        reach: Centimetres that a difference of normals counts for, see `closest_points`;
            0 compares places alone.

    Returns:
        The template's vertices (V, 3) and the target's (N, 3), both in centimetres in the
        template's frame.
    """
    vertices, pose = align(template, target_landmarks, weight)
    target = pose.invert(target_vertices)
    wanted = np.where((weight > 0)[:, None], pose.invert(target_landmarks), 0.0)
    laplacian = _graph_laplacian(template.triangles, len(vertices))
    target_normals = vertex_normals(target, target_triangles)
    for stiffness, iterations in _STAGES:
        pull = sp.diags(weight * min(stiffness, 3.0) * 0.6)
        for _ in range(iterations):
            normals = vertex_normals(vertices, template.triangles)
            points = closest_points(
                target, target_triangles, vertices, normals=normals if reach else None, reach=reach
            )
            normal = interpolate(target_normals, target_triangles, points)
            normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-20)
            cosine = (normal * normals).sum(1)
            matched = (points.distance < _MAX_DISTANCE) & (cosine > _MIN_COSINE)
            match = sp.diags((matched & template.is_outer).astype(float))
            closest = interpolate(target, target_triangles, points)
            system = stiffness * laplacian + match + 1e-3 * sp.identity(len(vertices))
            system = system + template.landmarks.T @ pull @ template.landmarks
            force = match @ (closest - vertices)
            force += template.landmarks.T @ pull @ (wanted - template.landmarks @ vertices)
            vertices = vertices + sparse_linalg.spsolve(system.tocsc(), force)
    distance = closest_points(target, target_triangles, vertices[template.is_outer]).distance
    logging.info(
        "registration: median %.4f cm, 95 %% under %.3f cm",
        np.median(distance),
        np.quantile(distance, 0.95),
    )
    return vertices, target

"""Bringing one surface onto another, and the distance that is left.

As the NoW and REALY benchmarks do: a few landmarks first, then closest points. Everything
is on the host in float64.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

_CANDIDATES = 8  # Triangles of nearest centroid that are tried per point.
_MAX_STEPS = 40
_TOLERANCE = 1e-4  # Relative change of the mean squared distance that ends an alignment.


class Similarity(NamedTuple):
    """x -> scale * rotation x + translation."""

    scale: float
    rotation: np.ndarray  # (3, 3).
    translation: np.ndarray  # (3,).

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Moves points (N, 3)."""
        return self.scale * points @ self.rotation.T + self.translation

    def inverse(self) -> "Similarity":
        """The way back."""
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -rotation @ self.translation / self.scale)


class Surface(NamedTuple):
    """Triangles that can be asked for their closest points."""

    corners: np.ndarray  # (F, 3, 3): triangle, corner, coordinate.
    tree: cKDTree  # Of the centroids.


def align(source: np.ndarray, target: np.ndarray, *, with_scale: bool) -> Similarity:
    """The least-squares motion of corresponding points onto each other.

    Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", 1991.

    Args:
        source: (N, 3).
        target: (N, 3).
        with_scale: Whether the size may change too.
    """
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    left, singular, right = np.linalg.svd((target - target_mean).T @ centred)
    sign = np.array([1.0, 1.0, np.linalg.det(left) * np.linalg.det(right)])
    rotation = (left * sign) @ right
    scale = float((singular * sign).sum() / max((centred**2).sum(), 1e-30)) if with_scale else 1.0
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def make_surface(points: np.ndarray, faces: np.ndarray) -> Surface:
    """Prepares points (V, 3) and triangles (F, 3) for `closest_points`."""
    corners = np.asarray(points, np.float64)[np.asarray(faces)]
    return Surface(corners, cKDTree(corners.mean(axis=1)))


def closest_points(surface: Surface, queries: np.ndarray) -> np.ndarray:
    """The point of the surface that is nearest to each query, (N, 3).

    Only the triangles of nearest centroid are tried, which is exact where triangles are of
    like size.
    """
    count = min(_CANDIDATES, len(surface.corners))
    _, near = surface.tree.query(queries, k=np.arange(1, count + 1))
    found = closest_on_triangles(queries[:, None], surface.corners[near])
    distance = ((found - queries[:, None]) ** 2).sum(-1)
    return found[np.arange(len(queries)), distance.argmin(axis=1)]


def closest_on_triangles(point: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Closest point (..., 3) of triangles (..., 3, 3), corner by coordinate.

    The foot on the plane if it lies inside, else the nearest of the three edges.
    """
    first, sides = triangle[..., 0, :], np.roll(triangle, -1, axis=-2) - triangle
    normal = np.cross(sides[..., 0, :], -sides[..., 2, :])
    squared = np.maximum((normal**2).sum(-1, keepdims=True), 1e-60)
    foot = point - normal * ((point - first) * normal).sum(-1, keepdims=True) / squared
    turns = np.cross(sides, foot[..., None, :] - triangle)
    inside = ((turns * normal[..., None, :]).sum(-1) >= 0).all(-1, keepdims=True)
    inside &= squared > 1e-60

    length = np.maximum((sides**2).sum(-1, keepdims=True), 1e-60)
    share = ((point[..., None, :] - triangle) * sides).sum(-1, keepdims=True) / length
    on_edges = triangle + np.clip(share, 0, 1) * sides
    distance = ((on_edges - point[..., None, :]) ** 2).sum(-1)
    best = distance.argmin(-1)[..., None, None]
    return np.where(inside, foot, np.take_along_axis(on_edges, best, axis=-2)[..., 0, :])


def align_to_surface(
    samples: np.ndarray, surface: Surface, start: Similarity, *, with_scale: bool
) -> Similarity:
    """Iterative closest points from `start`.

    Args:
        samples: (N, 3) points of the true surface.
        surface: The surface that is judged, in its own frame.
        start: Moves `surface` to `samples`.
        with_scale: Whether its size may change.

    Returns:
        What moves `surface` to `samples`.
    """
    motion, last = start, np.inf
    for _ in range(_MAX_STEPS):
        found = closest_points(surface, motion.inverse().apply(samples))
        motion = align(found, samples, with_scale=with_scale)
        error = ((motion.apply(found) - samples) ** 2).sum(-1).mean()
        if last - error <= _TOLERANCE * error:
            break
        last = error
    return motion


def distances(samples: np.ndarray, surface: Surface, motion: Similarity) -> np.ndarray:
    """How far (N,) samples are from the surface after `motion`, in the samples' unit."""
    there = motion.inverse().apply(samples)
    return motion.scale * np.linalg.norm(closest_points(surface, there) - there, axis=-1)


def sample_surface(
    points: np.ndarray, faces: np.ndarray, num: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random points, evenly spread over the area.

    Returns:
        Triangles (num,) and barycentric coordinates (num, 3).
    """
    corners = np.asarray(points, np.float64)[faces]
    doubled = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(doubled, axis=-1)
    triangle = generator.choice(len(faces), num, p=area / area.sum())
    root, share = np.sqrt(generator.random(num)), generator.random(num)
    return triangle, np.stack([1 - root, root * (1 - share), root * share], axis=-1)


def summarise(values: np.ndarray | Sequence[float], prefix: str) -> dict[str, float]:
    """Median, mean and standard deviation, under names that begin with `prefix`."""
    values = np.asarray(values, np.float64)
    names = ("median", "mean", "std")
    return {
        f"{prefix}_{name}": float(getattr(np, name)(values)) if values.size else float("nan")
        for name in names
    }

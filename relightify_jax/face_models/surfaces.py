"""Closest points on triangle meshes and vertex normals, on the host."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree


class SurfacePoints(NamedTuple):
    """N points on a triangle mesh."""

    triangle: np.ndarray  # (N,) int.
    bary: np.ndarray  # (N, 3), barycentric coordinates, sum 1.
    distance: np.ndarray  # (N,), from the query point.


def interpolate(values: np.ndarray, triangles: np.ndarray, points: SurfacePoints) -> np.ndarray:
    """Interpolates per-vertex values (V, C) at surface points, giving (N, C)."""
    return (values[triangles[points.triangle]] * points.bary[..., None]).sum(1)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3); zero for a vertex without triangles."""
    corners = vertices[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], normal)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)


def bary_of_closest(point: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Barycentric coordinates (..., 3) of the closest point of each triangle.

    Ericson, Real-Time Collision Detection (2004), section 5.1.5, without branches.

    Args:
        point: (..., 3).
        triangle: (..., 3, 3), corner by coordinate.
    """
    a, b, c = triangle[..., 0, :], triangle[..., 1, :], triangle[..., 2, :]
    ab, ac = b - a, c - a

    def dot(u, v):
        return (u * v).sum(-1)

    d1, d2 = dot(ab, point - a), dot(ac, point - a)
    d3, d4 = dot(ab, point - b), dot(ac, point - b)
    d5, d6 = dot(ab, point - c), dot(ac, point - c)
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    zero, one = np.zeros_like(d1), np.ones_like(d1)

    def ratio(numerator, denominator):
        return numerator / np.where(denominator == 0, 1, denominator)

    on_ab, on_ac = ratio(d1, d1 - d3), ratio(d2, d2 - d6)
    on_bc = ratio(d4 - d3, (d4 - d3) + (d5 - d6))
    total = np.where(va + vb + vc == 0, 1, va + vb + vc)
    cases = [
        ((d1 <= 0) & (d2 <= 0), (one, zero, zero)),
        ((d3 >= 0) & (d4 <= d3), (zero, one, zero)),
        ((d6 >= 0) & (d5 <= d6), (zero, zero, one)),
        ((vc <= 0) & (d1 >= 0) & (d3 <= 0), (1 - on_ab, on_ab, zero)),
        ((vb <= 0) & (d2 >= 0) & (d6 <= 0), (1 - on_ac, zero, on_ac)),
        ((va <= 0) & (d4 >= d3) & (d5 >= d6), (zero, 1 - on_bc, on_bc)),
    ]
    conditions = [condition for condition, _ in cases]
    inside = (va / total, vb / total, vc / total)
    return np.stack(
        [np.select(conditions, [w[k] for _, w in cases], inside[k]) for k in range(3)], axis=-1
    )


def closest_points(
    vertices: np.ndarray,
    triangles: np.ndarray,
    queries: np.ndarray,
    candidates: int = 24,
    *,
    normals: np.ndarray | None = None,
    reach: float = 0.0,
) -> SurfacePoints:
    """Finds the closest mesh point of each query among the triangles of nearest centroid.

    With normals, points are compared by place and normal: the two sides of a lip, or of a
    wing of the nose, are then far from one another.

    Args:
        vertices: (V, 3).
        triangles: (F, 3) int; for a search on part of a mesh, pass that part only.
        queries: (N, 3).
        candidates: Triangles tried per query; enough where triangles are of like size.
        normals: (N, 3) unit normals of the queries.
        reach: The distance that counts as much as normals at a right angle times sqrt 2.
    """
    corners = vertices[triangles]
    count = np.arange(1, min(candidates, len(triangles)) + 1)
    keys, wanted = corners.mean(1), queries
    if normals is not None:
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-20)
        keys = np.concatenate([keys, reach * facing], axis=1)
        wanted = np.concatenate([queries, reach * normals], axis=1)
    _, near = cKDTree(keys).query(wanted, k=count)
    bary = bary_of_closest(queries[:, None], corners[near])
    found = (corners[near] * bary[..., None]).sum(-2)
    distance = np.linalg.norm(found - queries[:, None], axis=-1)
    cost = distance**2
    if normals is not None:
        smooth = vertex_normals(vertices, triangles)[triangles[near]]
        smooth = (smooth * bary[..., None]).sum(-2)
        smooth /= np.maximum(np.linalg.norm(smooth, axis=-1, keepdims=True), 1e-20)
        cost = cost + reach**2 * ((smooth - normals[:, None]) ** 2).sum(-1)
    best = cost.argmin(axis=1)
    rows = np.arange(len(queries))
    return SurfacePoints(near[rows, best], bary[rows, best], distance[rows, best])


def exposure(
    vertices: np.ndarray, triangles: np.ndarray, num_views: int = 64, size: int = 400
) -> np.ndarray:
    """Share of the views from all around, 0 to 1, that see each triangle.

    A triangle inside the nostrils, the mouth or behind the eyelids has a low share.

    Args:
        vertices: (V, 3).
        triangles: (F, 3) int.
        num_views: Orthographic views, evenly spread over the sphere (Fibonacci).
        size: Pixels per side of a view of the whole mesh.

    Returns:
        (F,) float64, relative to the views that the triangle faces.
    """
    index = np.arange(num_views) + 0.5
    z = 2 * index / num_views - 1
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - z**2)
    views = np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=-1)
    corners = vertices[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    scale = (size - 2) / np.linalg.norm(np.ptp(vertices, axis=0))
    middle = (vertices.max(0) + vertices.min(0)) / 2
    seen, faced = np.zeros(len(triangles)), np.zeros(len(triangles))
    for view in views:
        right = np.cross([0.0, 1.0, 0.0], view)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(view, right), view])
        local = (vertices - middle) @ axes.T * scale
        # The centroid is seen when nothing lies a pixel in front of it.
        centroid = local[triangles].mean(1)
        depth = _depth_buffer(local, triangles, size)
        column, row = np.floor(centroid[:, :2] + size / 2).astype(int).T
        facing = normal @ view > 0
        faced += facing
        seen += facing & (centroid[:, 2] > depth[row, column] - 1.0)
    return seen / np.maximum(faced, 1)


def _depth_buffer(local: np.ndarray, triangles: np.ndarray, size: int) -> np.ndarray:
    """Largest z per pixel (size, size), from samples dense enough to leave no hole."""
    corners = local[triangles]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(1)
    buffer = np.full(size * size, -np.inf)
    steps = np.maximum(np.ceil(longest).astype(int), 1) + 1
    for count in np.unique(steps):
        i, j = np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij")
        inside = i + j <= count
        u, v = i[inside] / count, j[inside] / count
        bary = np.stack([1 - u - v, u, v], axis=-1)
        points = (bary @ corners[steps == count]).reshape(-1, 3)
        column, row = np.floor(points[:, :2] + size / 2).astype(int).T
        np.maximum.at(buffer, row * size + column, points[:, 2])
    return buffer.reshape(size, size)

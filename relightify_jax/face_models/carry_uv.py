"""Carries the texture coordinates of one mesh to another that lies on it.

Corners take the coordinates of the closest point. Seams and rims need care: a triangle whose
corners land far apart takes the affine map of the one triangle under its middle, so that seams
cost texture coordinates and no vertices. Triangles that land upside down or folded are relaxed
between their neighbours (Tutte 1963).
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sparse_linalg

from relightify_jax.face_models.surfaces import closest_points, interpolate, vertex_normals

_REACH = 0.4  # Centimetres that a difference of normals counts for.
# Of a triangle's extent in the tile over that of the map under its middle, and what to allow
# beside that, of the tile's side.
_STRETCH, _SLACK = 4.0, 0.02
_LEAST_AREA = 1e-9  # Of a triangle in the tile, doubled.
_ROUNDS = 5


class Chart(NamedTuple):
    """A mesh with texture coordinates: V vertices, F triangles, T coordinates."""

    points: np.ndarray  # (V, 3) centimetres.
    triangles: np.ndarray  # (F, 3).
    uv: np.ndarray  # (T, 2), v down.
    uv_triangles: np.ndarray  # (F, 3) into uv.


def carry_vertices(
    chart: Chart, points: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates (N, 2) of the closest points of a chart, and the distances (N,)."""
    found = closest_points(chart.points, chart.triangles, points, normals=normals, reach=_REACH)
    return interpolate(chart.uv, chart.uv_triangles, found), found.distance


def carry_corners(chart: Chart, points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Texture coordinates (f, 3, 2) of triangles on a chart with seams.

    Args:
        chart: The mesh that has coordinates.
        points: (N, 3), lying on it.
        triangles: (f, 3) into `points`.
    """
    normals = vertex_normals(points, triangles)
    carried = carry_vertices(chart, points, normals)[0][triangles]
    corners = points[triangles]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-20)
    under = closest_points(
        chart.points, chart.triangles, corners.mean(1), normals=facing, reach=_REACH
    ).triangle
    a, b, c = np.moveaxis(chart.points[chart.triangles[under]], 1, 0)
    plane = np.stack([b - a, c - a], axis=-1)
    # Coordinates of the corners in the plane of the triangle under the middle.
    local = np.linalg.pinv(plane)[:, None] @ (corners - a[:, None])[..., None]
    uv_a, uv_b, uv_c = np.moveaxis(chart.uv[chart.uv_triangles[under]], 1, 0)
    sides = np.stack([uv_b - uv_a, uv_c - uv_a], axis=-1)
    affine = uv_a[:, None] + (sides[:, None] @ local)[..., 0]
    torn = (np.ptp(carried, axis=1) > _STRETCH * np.ptp(affine, axis=1) + _SLACK).any(axis=1)
    return np.clip(np.where(torn[:, None, None], affine, carried), 0.0, 1.0)


def unfold(
    uv: np.ndarray, triangles: np.ndarray, sign: float, rings: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Relaxes what is folded.

    Args:
        uv: (N, 2) coordinates of the vertices.
        triangles: (f, 3) into uv.
        sign: Of the areas that are not folded, 1 or -1.
        rings: Of triangles around a fold that are freed in each round.

    Returns:
        Coordinates (N, 2), and which triangles (f,) stay folded.
    """
    used = np.zeros(len(uv), bool)
    used[triangles] = True
    rim = _rim(triangles, len(uv))
    laplacian = _laplacian(triangles, len(uv))
    free = np.zeros(len(uv), bool)
    out, folded = uv.copy(), is_folded(uv, triangles, sign)
    for _ in range(_ROUNDS):
        if not folded.any():
            break
        grown = np.zeros(len(uv), bool)
        grown[triangles[folded]] = True
        for _ in range(rings):
            grown[triangles[grown[triangles].any(axis=1)]] = True
        free = free | (grown & used & ~rim)
        moving, held = np.flatnonzero(free), np.flatnonzero(used & ~free)
        # A hair of the identity: a piece without any held neighbour stays where it is.
        system = laplacian[moving][:, moving] + 1e-9 * sp.identity(len(moving))
        force = -laplacian[moving][:, held] @ uv[held] + 1e-9 * uv[moving]
        out = uv.copy()
        out[moving] = sparse_linalg.spsolve(system.tocsc(), force).reshape(-1, 2)
        folded = is_folded(out, triangles, sign)
    return out, folded


def is_folded(uv: np.ndarray, triangles: np.ndarray, sign: float) -> np.ndarray:
    """Which triangles (f,) are upside down or empty, where `sign` is that of the others."""
    return _areas(uv, triangles) * sign < _LEAST_AREA


def _areas(uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Signed areas (f,), doubled."""
    a, b, c = np.moveaxis(uv[triangles], 1, 0)
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]


def chart_sign(chart: Chart) -> float:
    """The sign of most areas of a chart."""
    return float(np.sign(np.median(_areas(chart.uv, chart.uv_triangles))))


def _sides(triangles: np.ndarray) -> np.ndarray:
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def _rim(triangles: np.ndarray, num_vertices: int) -> np.ndarray:
    """Which vertices (N,) lie on an edge of one triangle only."""
    edges, count = np.unique(np.sort(_sides(triangles), axis=1), axis=0, return_counts=True)
    rim = np.zeros(num_vertices, bool)
    rim[edges[count == 1]] = True
    return rim


def _laplacian(triangles: np.ndarray, num_vertices: int) -> sp.csr_matrix:
    edges = np.unique(np.sort(_sides(triangles), axis=1), axis=0)
    ones = np.ones(len(edges))
    half = sp.coo_matrix((ones, edges.T), shape=(num_vertices,) * 2)
    weights = (half + half.T).tocsr()
    return (sp.diags(np.asarray(weights.sum(1)).ravel()) - weights).tocsr()

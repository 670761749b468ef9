"""The canonical UV layout of a quad head mesh, carried over from a registered template.

Vertices take the texture coordinates of the closest template point. Where the template
does not fit (nostrils, behind the lips, lid rims) the layout is relaxed until no quad is
folded; borders lie on the template's borders, so that both fill the same part of the tile.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sparse_linalg
from scipy.optimize import isotonic_regression

from data_pipeline.face_model.surfaces import (
    closest_points,
    exposure,
    interpolate,
    vertex_normals,
)
from data_pipeline.face_model.topology import (
    EdgeLoops,
    boundary_loops,
    clean_region,
    dilate,
    flood,
)

HIDDEN = 0.25  # Exposure under which a surface counts as interior.
_MAX_DISTANCE = 0.3  # cm, between a vertex and its template point.
_MIN_COSINE = 0.5
_LEAST_AREA = 1e-9  # Of a triangle in the tile, after one subdivision, doubled.


class Tile(NamedTuple):
    """A registered template's tile; N vertices, T texture coordinates, F triangles."""

    vertices: np.ndarray  # (N, 3), registered.
    triangles: np.ndarray  # (F, 3), the tile's first, then the rest of the surface.
    num_tile_triangles: int
    uv: np.ndarray  # (T, 2), v down.
    uv_triangles: np.ndarray  # (F, 3) into uv; only the tile's rows are used.


class FaceLayout(NamedTuple):
    """The face tile of a quad mesh with V vertices and Q quads."""

    in_tile: np.ndarray  # (Q,) bool.
    uv: np.ndarray  # (V, 2) float64, v down; NaN outside the tile.
    relaxed: np.ndarray  # (V,) bool, vertices whose place was not given by the template.
    cuts: list[list[int]]  # Vertex loops behind which the mouth and the eye sockets lie.


def _outlines(tile: Tile) -> dict[str, np.ndarray]:
    """Template vertex loops: "outer", "mouth", "eye_left" and "eye_right"."""
    loops = boundary_loops(tile.triangles[: tile.num_tile_triangles])
    outer, mouth, *eyes = loops
    left, right = sorted(eyes, key=lambda loop: -tile.vertices[loop, 0].mean())
    return {"outer": outer, "mouth": mouth, "eye_left": left, "eye_right": right}


def _cut_loop(
    loops: EdgeLoops,
    vertices: np.ndarray,
    exposed: np.ndarray,
    candidates: np.ndarray,
    outline: np.ndarray,
) -> list[int]:
    """The edge loop around an opening, out of sight, that lies closest to an outline."""
    near = candidates[
        np.linalg.norm(vertices[candidates] - outline.mean(0), axis=1) < np.ptp(outline[:, 0])
    ]
    best, best_distance = None, np.inf
    for loop in loops.all_through(near):
        gap = np.linalg.norm(vertices[loop][:, None] - outline, axis=-1).min(1).mean()
        around = vertices[loop][:, 0].min() < outline[:, 0].mean() < vertices[loop][:, 0].max()
        if around and len(loop) > 12 and exposed[loop].mean() < 0.2 and gap < best_distance:
            best, best_distance = loop, gap
    if best is None:
        raise ValueError("The mesh has no edge loop around an opening of the face.")
    return best


def _along(points: np.ndarray) -> np.ndarray:
    """Arc length (n + 1,) at the vertices of a closed polyline (n, d), from 0 to its length."""
    step = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    return np.concatenate([[0.0], np.cumsum(step)])


def _at(values: np.ndarray, length: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Values (m, c) at arc lengths `where` of a closed polyline with values (n, c)."""
    closed = np.concatenate([values, values[:1]])
    where = np.mod(where, length[-1])
    return np.stack([np.interp(where, length, column) for column in closed.T], axis=-1)


def _place_border(
    loop: np.ndarray, outline: np.ndarray, outline_uv: np.ndarray, apart: float = 0.3
) -> np.ndarray:
    """Moves a border (n, 3) to the closest places on an outline, in order and apart."""
    length = _along(outline)
    fine = np.linspace(0, length[-1], 20 * len(outline), endpoint=False)
    dense = _at(outline, length, fine)
    nearest = np.linalg.norm(loop[:, None] - dense, axis=-1).argmin(1)
    where = fine[nearest]
    steps = np.diff(where, append=where[:1])
    steps = (steps + length[-1] / 2) % length[-1] - length[-1] / 2
    where = where[0] + np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    least = apart * length[-1] / len(loop)
    ramp = least * np.arange(len(loop))
    where = isotonic_regression(where - ramp).x + ramp
    uv_length = _along(outline_uv)
    where_uv = np.interp(np.mod(where, length[-1]), length, uv_length)
    return _at(outline_uv, uv_length, where_uv)


def fold_areas(uv: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Twice the signed areas (Q, 8) of the triangles after one bilinear subdivision.

    Positive is right side up: with v down, a triangle that is counter-clockwise on the
    surface has a negative area in array coordinates, so the sign is turned.
    """
    corner = uv[quads]
    after = (corner + np.roll(corner, -1, axis=1)) / 2
    before = np.roll(after, 1, axis=1)
    centre = corner.mean(axis=1, keepdims=True)

    def area(a, b, c):
        u, v = b - a, c - a
        return u[..., 1] * v[..., 0] - u[..., 0] * v[..., 1]

    return np.concatenate([area(corner, after, centre), area(corner, centre, before)], axis=1)


def _tutte_matrix(quads: np.ndarray, num_vertices: int) -> sp.csr_matrix:
    """Graph Laplacian with weight 1 on sides and 1/2 on diagonals."""
    rows = [quads, np.roll(quads, -1, axis=1), quads[:, [0, 1]], quads[:, [2, 3]]]
    columns = [np.roll(quads, -1, axis=1), quads, quads[:, [2, 3]], quads[:, [0, 1]]]
    data = [np.full(r.size, weight) for r, weight in zip(rows, (1, 1, 0.5, 0.5), strict=True)]
    row = np.concatenate([r.ravel() for r in rows])
    column = np.concatenate([c.ravel() for c in columns])
    weights = sp.coo_matrix((np.concatenate(data), (row, column)), shape=(num_vertices,) * 2)
    return (sp.diags(np.asarray(weights.sum(1)).ravel()) - weights).tocsr()


def relax(uv: np.ndarray, quads: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Moves the free vertices (V,) bool to the average of their neighbours (Tutte 1963)."""
    matrix = _tutte_matrix(quads, len(uv))
    moving = np.flatnonzero(free)
    used = np.zeros(len(uv), bool)
    used[quads] = True
    held = np.flatnonzero(used & ~free)
    right = -matrix[moving][:, held] @ uv[held]
    out = uv.copy()
    out[moving] = sparse_linalg.spsolve(matrix[moving][:, moving].tocsc(), right)
    return out


def _unfold(
    uv: np.ndarray, quads: np.ndarray, free: np.ndarray, border: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Relaxes the free vertices, freeing the surroundings of folded quads until none is left."""
    for _ in range(30):
        out = relax(uv, quads, free)
        folded = (fold_areas(out, quads) < _LEAST_AREA).any(axis=1)
        if not folded.any():
            return out, free
        grown = np.zeros(len(uv), bool)
        grown[quads[folded]] = True
        free = free | (dilate(grown, quads) & ~border)
    raise ValueError(f"{folded.sum()} quads of the face tile stay folded.")


def _settle(
    uv: np.ndarray, quads: np.ndarray, wanted: np.ndarray, free: np.ndarray, sweeps: int = 40
) -> np.ndarray:
    """Moves free vertices to their wanted places as far as no quad folds.

    Args:
        uv: (V, 2), a layout without folds.
        quads: (Q, 4).
        wanted: (V, 2), NaN where a vertex shall go to the middle of its neighbours.
        free: (V,) bool.
        sweeps: Rounds over all free vertices, one vertex at a time.
    """
    uv = uv.copy()
    moving = np.flatnonzero(free)
    around = [quads[(quads == vertex).any(axis=1)] for vertex in moving]
    has_place = np.isfinite(wanted).all(axis=1)
    for _ in range(sweeps):
        for vertex, near in zip(moving, around, strict=True):
            here = uv[vertex].copy()
            others = near[near != vertex]
            target = wanted[vertex] if has_place[vertex] else uv[others].mean(0)
            least = min(fold_areas(uv, near).min(), 30 * _LEAST_AREA)
            for step in (0.8, 0.4, 0.1):
                uv[vertex] = here + step * (target - here)
                if fold_areas(uv, near).min() >= least:
                    break
                uv[vertex] = here
    return uv


def lay_out_face(tile: Tile, vertices: np.ndarray, quads: np.ndarray, seed: int) -> FaceLayout:
    """Carries the template's tile to a quad mesh of the skin.

    Args:
        tile: The template, registered to `vertices`, in centimetres.
        vertices: (V, 3), the mesh; the face looks along +Z.
        quads: (Q, 4), its skin: closed but for the neck, with edge loops round the openings.
        seed: A vertex in the middle of the face.

    Raises:
        ValueError: If the mesh has no suitable cuts or a fold cannot be removed.
    """
    triangles = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    exposed = np.zeros(len(vertices))
    np.maximum.at(exposed, triangles.ravel(), np.repeat(exposure(vertices, triangles), 3))
    outlines = _outlines(tile)
    loops = EdgeLoops(quads)
    used = np.unique(quads)
    cuts = [
        _cut_loop(loops, vertices, exposed, used, tile.vertices[outlines[name]])
        for name in ("mouth", "eye_left", "eye_right")
    ]
    outside = flood(quads, cuts, seed)
    middle = closest_points(tile.vertices, tile.triangles, vertices[quads].mean(1))
    in_tile = outside & (middle.triangle < tile.num_tile_triangles)
    in_tile = clean_region(in_tile, quads[:]) & outside
    uv, relaxed = _solve_layout(tile, outlines, vertices, quads, in_tile, exposed)
    return FaceLayout(in_tile, uv, relaxed, cuts)


def _solve_layout(
    tile: Tile,
    outlines: dict[str, np.ndarray],
    vertices: np.ndarray,
    quads: np.ndarray,
    in_tile: np.ndarray,
    exposed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Places the borders, takes the template's UVs inside and unfolds."""
    inner_triangles = tile.triangles[: tile.num_tile_triangles]
    uv_triangles = tile.uv_triangles[: tile.num_tile_triangles]
    uv_of_vertex = np.full((len(tile.vertices), 2), np.nan)
    uv_of_vertex[inner_triangles] = tile.uv[uv_triangles]
    points = closest_points(tile.vertices, inner_triangles, vertices)
    uv = interpolate(tile.uv, uv_triangles, points)
    normal = interpolate(vertex_normals(tile.vertices, inner_triangles), inner_triangles, points)
    triangles = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    cosine = (normal * vertex_normals(vertices, triangles)).sum(1)
    near = (points.distance < _MAX_DISTANCE) & (cosine > _MIN_COSINE)
    trusted = near & (exposed > HIDDEN)

    inside = np.zeros(len(vertices), bool)
    inside[quads[in_tile]] = True
    uv[~inside] = 0.0
    borders = boundary_loops(quads[in_tile])
    outer = max(borders, key=lambda loop: np.ptp(vertices[loop, 1]))
    border = np.zeros(len(vertices), bool)
    border[outer] = True
    outline = outlines["outer"]
    uv[outer] = _place_border(vertices[outer], tile.vertices[outline], uv_of_vertex[outline])
    openings = [loop for loop in borders if loop is not outer]
    # A vertex in the middle of each opening closes the disk, so that it can be unfolded.
    fans = [_fan(loop, len(vertices) + k) for k, loop in enumerate(openings)]
    filled = np.concatenate([quads[in_tile], *fans])
    uv = np.concatenate([uv, np.zeros((len(fans), 2))])
    inside, border, trusted = (
        np.concatenate([mask, np.full(len(fans), value)])
        for mask, value in ((inside, True), (border, False), (trusted, False))
    )
    loose = (~trusted | dilate(border, filled)) & inside & ~border
    soft = np.concatenate([near & (exposed > 0.05), np.zeros(len(fans), bool)])
    wanted = np.where(soft[:, None], uv, np.nan)
    uv, free = _unfold(uv, filled, loose, border | ~inside)
    for k, loop in enumerate(openings):
        centre = vertices[loop].mean(0)
        name = min(
            ("mouth", "eye_left", "eye_right"),
            key=lambda k: np.linalg.norm(tile.vertices[outlines[k]].mean(0) - centre),
        )
        outline_uv = uv_of_vertex[outlines[name]]
        wanted[loop] = _place_border(uv[loop], outline_uv, outline_uv, 0.5)
        wanted[len(vertices) + k] = outline_uv.mean(0)
    uv = _settle(uv, filled, wanted, free)[: len(vertices)]
    uv[~inside[: len(vertices)]] = np.nan
    return uv, free[: len(vertices)]


def _fan(loop: np.ndarray, centre: int) -> np.ndarray:
    """Fills a hole whose border runs with its polygons: quads (n / 2, 4) around `centre`.

    Raises:
        ValueError: If the loop has an odd number of vertices.
    """
    if len(loop) % 2:
        raise ValueError("An opening of the face has an odd number of vertices.")
    around = loop[::-1]
    first, second, third = around[::2], around[1::2], np.roll(around, -2)[::2]
    return np.stack([np.full(len(first), centre), first, second, third], axis=1)

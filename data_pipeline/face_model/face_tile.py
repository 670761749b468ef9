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
from scipy.spatial import cKDTree

from data_pipeline.face_model.flatten import QuadLayout, flatten, natural_scale
from data_pipeline.face_model.surfaces import (
    closest_points,
    exposure,
    interpolate,
    vertex_normals,
)
from data_pipeline.face_model.topology import (
    EdgeLoops,
    boundary_loops,
    straight_path,
    dilate,
    flood,
)

HIDDEN = 0.25  # Exposure under which a surface counts as interior.
_MAX_DISTANCE = 0.3  # cm, between a vertex and its template point.
_MIN_COSINE = 0.5
_BORDER_REACH = 3.0  # cm, between the face's border and the template's.
_BORDER_SLACK = 1.0  # cm, the distance at which a step along the border costs double.
_TURN_COST = 4.0  # cm of path that a turn of the border may cost.
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
    layout: QuadLayout, uv: np.ndarray, quads: np.ndarray, free: np.ndarray, border: np.ndarray
) -> np.ndarray:
    """Relaxes the free vertices, freeing the surroundings of folded quads until none is left."""
    for _ in range(30):
        out = relax(uv, quads, free)
        # Eight triangles of the subdivided layout belong to each quad.
        folded = layout.areas(out).reshape(len(quads), 8).min(axis=1) < _LEAST_AREA
        if not folded.any():
            return out
        grown = np.zeros(len(uv), bool)
        grown[quads[folded]] = True
        free = free | (dilate(grown, quads) & ~border)
    raise ValueError(f"{folded.sum()} quads of the face tile stay folded.")


def _border_path(
    vertices: np.ndarray, quads: np.ndarray, mirror: np.ndarray, outline: np.ndarray
) -> list[int]:
    """The closed path along edges around the face, near an outline (n, 3) and straight.

    A border of steps would show wherever the face and the head differ in colour.
    """
    dense = _at(outline, _along(outline), np.linspace(0, _along(outline)[-1], 4000))
    distance = cKDTree(dense).query(vertices)[0]
    used = np.unique(quads)
    middle = used[mirror[used] == used]
    top, bottom = dense[:, 1].max(), dense[:, 1].min()
    near = middle[distance[middle] < _BORDER_REACH]
    upper = near[np.abs(vertices[near, 1] - top) < np.abs(vertices[near, 1] - bottom)]
    lower = set(np.setdiff1d(near, upper).tolist())
    loops = EdgeLoops(quads)

    def cost(a, b):
        off = (distance[a] + distance[b]) / 2
        length = float(np.linalg.norm(vertices[a] - vertices[b]))
        return length * (1 + (off / _BORDER_SLACK) ** 2)

    starts = [
        (int(a), b)
        for a in upper
        for b in loops.neighbours(int(a))
        if vertices[b, 0] > 0 and b != mirror[b]
    ]
    half = straight_path(quads, cost, _TURN_COST, starts, lower)
    other = [int(mirror[v]) for v in half[-2:0:-1]]
    return half + other


def _symmetric(uv: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The average of a layout and its mirror image about u = 0.5."""
    return (uv + [1, 0] + uv[mirror] * [-1, 1]) / 2


def lay_out_face(
    tile: Tile, vertices: np.ndarray, quads: np.ndarray, mirror: np.ndarray, seed: int
) -> FaceLayout:
    """Carries the template's tile to a quad mesh of the skin.

    Args:
        tile: The template, registered to `vertices`, in centimetres.
        vertices: (V, 3), the mesh; the face looks along +Z.
        quads: (Q, 4), its skin: closed but for the neck, with edge loops round the openings.
        mirror: (V,), the index of every vertex's mirror image.
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
    border = _border_path(vertices, quads[outside], mirror, tile.vertices[outlines["outer"]])
    in_tile = flood(quads, [*cuts, border], seed)
    uv, relaxed = _solve_layout(tile, outlines, vertices, quads[in_tile], mirror, exposed)
    return FaceLayout(in_tile, uv, relaxed, cuts)


def _carry_over(tile: Tile, vertices: np.ndarray, quads: np.ndarray, exposed: np.ndarray):
    """UVs (V, 2) of the closest template points and how far to trust them (V,), 0, 1 or 2."""
    inner = tile.triangles[: tile.num_tile_triangles]
    points = closest_points(tile.vertices, inner, vertices)
    uv = interpolate(tile.uv, tile.uv_triangles[: tile.num_tile_triangles], points)
    normal = interpolate(vertex_normals(tile.vertices, inner), inner, points)
    triangles = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    cosine = (normal * vertex_normals(vertices, triangles)).sum(1)
    near = (points.distance < _MAX_DISTANCE) & (cosine > _MIN_COSINE)
    return uv, (near & (exposed > 0.05)).astype(int) + (near & (exposed > HIDDEN))


def _solve_layout(
    tile: Tile,
    outlines: dict[str, np.ndarray],
    vertices: np.ndarray,
    quads: np.ndarray,
    mirror: np.ndarray,
    exposed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Places the borders, takes the template's UVs inside, unfolds and improves."""
    uv_of_vertex = np.full((len(tile.vertices), 2), np.nan)
    rows = slice(0, tile.num_tile_triangles)
    uv_of_vertex[tile.triangles[rows]] = tile.uv[tile.uv_triangles[rows]]
    uv, trust = _carry_over(tile, vertices, quads, exposed)
    borders = boundary_loops(quads)
    outer = max(borders, key=lambda loop: np.ptp(vertices[loop, 1]))
    outline = outlines["outer"]
    uv[outer] = _place_border(vertices[outer], tile.vertices[outline], uv_of_vertex[outline])
    uv, trust = _symmetric(uv, mirror), np.minimum(trust, trust[mirror])
    openings = [loop for loop in borders if loop is not outer]

    # A vertex in the middle of each opening closes the disk, so that it can be unfolded.
    centres = [vertices[loop].mean(0) for loop in openings]
    fans = [_fan(loop, len(vertices) + k) for k, loop in enumerate(openings)]
    filled = np.concatenate([quads, *fans])
    uv = np.concatenate([uv, np.zeros((len(fans), 2))])
    trust = np.concatenate([trust, np.zeros(len(fans), int)])
    border, inside = np.zeros((2, len(uv)), bool)
    border[outer] = True
    inside[filled] = True
    uv[~inside] = 0.0
    layout = QuadLayout(np.concatenate([vertices, centres]), filled)
    loose = ((trust < 2) | dilate(border, filled)) & inside & ~border
    start = _unfold(layout, uv, filled, loose, border | ~inside)
    # Near a border the template's points are doubtful: it shares the say with distortion.
    rim = np.zeros(len(uv), bool)
    rim[np.concatenate(openings)] = True
    doubtful = dilate(rim, filled, 3) | dilate(border, filled, 2)
    pull = np.select([border, trust == 0, doubtful, trust == 1], [0.0, 0.0, 30.0, 3.0], 1e4)
    wanted = uv.copy()
    for k, loop in enumerate(openings):
        name = min(
            ("mouth", "eye_left", "eye_right"),
            key=lambda key, c=centres[k]: np.linalg.norm(tile.vertices[outlines[key]].mean(0) - c),
        )
        outline_uv = uv_of_vertex[outlines[name]]
        wanted[loop] = _place_border(start[loop], outline_uv, outline_uv, 0.5)
        wanted[len(vertices) + k] = outline_uv.mean(0)
        pull[loop], pull[len(vertices) + k] = 100.0, 100.0
    wanted[: len(vertices)] = _symmetric(wanted[: len(vertices)], mirror)
    scale = natural_scale(layout, start)
    # The fans only keep the openings from closing on themselves.
    layout.area[len(layout.area) - 8 * sum(map(len, fans)) :] *= 1e-4
    moving = np.flatnonzero(inside & ~border)
    uv = flatten(layout, start, scale=scale, wanted=wanted, pull=pull, moving=moving)
    missed = np.linalg.norm(uv - wanted, axis=1)[(trust == 2) & ~doubtful]
    quantiles = np.quantile(256 * missed, [0.5, 0.99, 1.0])
    print("face tile: texels of 256 from the template, median, 99 %, most:", quantiles.round(3))
    even = uv.copy()
    even[: len(vertices)] = _symmetric(uv[: len(vertices)], mirror)
    if layout.areas(even).min() > 0:
        uv = even
    uv[~inside] = np.nan
    return uv[: len(vertices)], (trust < 2)[: len(vertices)]


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

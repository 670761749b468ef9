"""The canonical UV layout of a quad head mesh, carried over from a registered template.

Vertices take the texture coordinates of the closest template point. Where the template
does not fit (nostrils, behind the lips, lid rims) the layout is relaxed until no quad is
folded; borders lie on the template's borders, so that both fill the same part of the tile.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sparse_linalg

from data_pipeline.face_model.borders import border_path, cut_loop, fan, place_border
from data_pipeline.face_model.flatten import QuadLayout, flatten, natural_scale
from data_pipeline.face_model.topology import (
    EdgeLoops,
    boundary_loops,
    dilate,
    flood,
)
from relightify_jax.face_models.surfaces import (
    closest_points,
    exposure,
    interpolate,
    vertex_normals,
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
    cuts: list[list[int]]  # Vertex loops behind which the mouth and the eye sockets lie.


def _outlines(tile: Tile) -> dict[str, np.ndarray]:
    """Template vertex loops: "outer", "mouth", "eye_left" and "eye_right"."""
    loops = boundary_loops(tile.triangles[: tile.num_tile_triangles])
    outer, mouth, *eyes = loops
    left, right = sorted(eyes, key=lambda loop: -tile.vertices[loop, 0].mean())
    return {"outer": outer, "mouth": mouth, "eye_left": left, "eye_right": right}


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
        cut_loop(loops, vertices, exposed, used, tile.vertices[outlines[name]])
        for name in ("mouth", "eye_left", "eye_right")
    ]
    outside = flood(quads, cuts, seed)
    border = border_path(vertices, quads[outside], mirror, tile.vertices[outlines["outer"]])
    in_tile = flood(quads, [*cuts, border], seed)
    problem = _pose_problem(tile, outlines["outer"], vertices, quads[in_tile], mirror, exposed)
    return FaceLayout(in_tile, _solve_layout(tile, outlines, problem, mirror), cuts)


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


class _Problem(NamedTuple):
    """A disk to lay out: the face, its openings filled with fans of quads; N vertices."""

    layout: QuadLayout
    quads: np.ndarray  # (q, 4).
    openings: list[np.ndarray]  # Vertex loops; the middle of opening k is vertex V + k.
    uv: np.ndarray  # (N, 2), carried over; right on the border.
    trust: np.ndarray  # (N,), see `_carry_over`.
    inside: np.ndarray  # (N,) bool.
    border: np.ndarray  # (N,) bool.


def _pose_problem(
    tile: Tile,
    outline: np.ndarray,
    vertices: np.ndarray,
    quads: np.ndarray,
    mirror: np.ndarray,
    exposed: np.ndarray,
) -> _Problem:
    """Carries the template's UVs over, places the outer border and fills the openings."""
    uv, trust = _carry_over(tile, vertices, quads, exposed)
    borders = boundary_loops(quads)
    outer = max(borders, key=lambda loop: np.ptp(vertices[loop, 1]))
    uv[outer] = place_border(vertices[outer], tile.vertices[outline], _uv_of_vertex(tile)[outline])
    uv, trust = _symmetric(uv, mirror), np.minimum(trust, trust[mirror])
    openings = [loop for loop in borders if loop is not outer]
    centres = [vertices[loop].mean(0) for loop in openings]
    # A vertex in the middle of each opening closes the disk, so that it can be unfolded.
    fans = [fan(loop, len(vertices) + k) for k, loop in enumerate(openings)]
    filled = np.concatenate([quads, *fans])
    layout = QuadLayout(np.concatenate([vertices, centres]), filled)
    uv = np.concatenate([uv, np.zeros((len(fans), 2))])
    trust = np.concatenate([trust, np.zeros(len(fans), int)])
    border, inside = np.zeros((2, len(uv)), bool)
    border[outer] = True
    inside[filled] = True
    uv[~inside] = 0.0
    return _Problem(layout, filled, openings, uv, trust, inside, border)


def _uv_of_vertex(tile: Tile) -> np.ndarray:
    """UVs (N, 2) of the template's vertices, NaN outside the tile."""
    uv = np.full((len(tile.vertices), 2), np.nan)
    rows = slice(0, tile.num_tile_triangles)
    uv[tile.triangles[rows]] = tile.uv[tile.uv_triangles[rows]]
    return uv


def _place_openings(
    tile: Tile, outlines: dict[str, np.ndarray], problem: _Problem, start: np.ndarray
) -> np.ndarray:
    """Wanted UVs (N, 2): those carried over, with the openings on the template's."""
    wanted = problem.uv.copy()
    uv_of_vertex = _uv_of_vertex(tile)
    first = len(wanted) - len(problem.openings)
    for k, loop in enumerate(problem.openings):
        centre = start[loop].mean(0)
        candidates = [uv_of_vertex[outlines[name]] for name in ("mouth", "eye_left", "eye_right")]
        gaps = [np.linalg.norm(candidate.mean(0) - centre) for candidate in candidates]
        outline_uv = candidates[int(np.argmin(gaps))]
        wanted[loop] = place_border(start[loop], outline_uv, outline_uv, 0.5)
        wanted[first + k] = outline_uv.mean(0)
    return wanted


def _solve_layout(
    tile: Tile, outlines: dict[str, np.ndarray], problem: _Problem, mirror: np.ndarray
) -> np.ndarray:
    """Unfolds the problem and improves it; returns UVs (V, 2), NaN outside."""
    quads, trust, border, inside = problem.quads, problem.trust, problem.border, problem.inside
    num_vertices = len(mirror)
    layout = problem.layout
    loose = ((trust < 2) | dilate(border, quads)) & inside & ~border
    start = _unfold(layout, problem.uv, quads, loose, border | ~inside)
    wanted = _place_openings(tile, outlines, problem, start)
    wanted[:num_vertices] = _symmetric(wanted[:num_vertices], mirror)
    # Near a border the template's points are doubtful: it shares the say with distortion.
    rim = np.zeros(len(wanted), bool)
    rim[np.concatenate(problem.openings)] = True
    doubtful = dilate(rim, quads, 3) | dilate(border, quads, 2)
    pull = np.select([border, trust == 0, doubtful, trust == 1], [0.0, 0.0, 30.0, 3.0], 1e4)
    pull[rim], pull[num_vertices:] = 100.0, 100.0
    scale = natural_scale(layout, start)
    # The fans only keep the openings from closing on themselves.
    is_fan = (quads >= num_vertices).any(axis=1)
    layout.area[np.repeat(is_fan, 8)] *= 1e-4
    moving = np.flatnonzero(inside & ~border)
    uv = flatten(layout, start, scale=scale, wanted=wanted, pull=pull, moving=moving)
    missed = np.linalg.norm(uv - wanted, axis=1)[(trust == 2) & ~doubtful]
    quantiles = np.quantile(256 * missed, [0.5, 0.99, 1.0])
    print("face tile: texels of 256 from the template, median, 99 %, most:", quantiles.round(3))
    even = uv.copy()
    even[:num_vertices] = _symmetric(uv[:num_vertices], mirror)
    if layout.areas(even).min() > 0:
        uv = even
    uv[~inside] = np.nan
    return uv[:num_vertices]

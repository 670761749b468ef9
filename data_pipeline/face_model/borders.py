"""The borders of the face tile on a mesh: openings, and the path around the face."""

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.spatial import cKDTree

from data_pipeline.face_model.topology import EdgeLoops, straight_path

_BORDER_REACH = 3.0  # cm, between the face's border and the template's.
_BORDER_SLACK = 1.0  # cm, the distance at which a step along the border costs double.
_TURN_COST = 4.0  # cm of path that a turn of the border may cost.


def cut_loop(
    loops: EdgeLoops,
    vertices: np.ndarray,
    exposed: np.ndarray,
    candidates: np.ndarray,
    outline: np.ndarray,
) -> list[int]:
    """The edge loop around an opening, out of sight, that lies closest to an outline.

    Args:
        loops: Of the skin.
        vertices: (V, 3), centimetres.
        exposed: (V,), see `surfaces.exposure`.
        candidates: Vertices of the skin.
        outline: (n, 3), the opening of the registered template.

    Raises:
        ValueError: If there is none.
    """
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


def place_border(
    loop: np.ndarray, outline: np.ndarray, outline_uv: np.ndarray, apart: float = 0.3
) -> np.ndarray:
    """Moves a border to the closest places on an outline, in order and apart.

    Args:
        loop: (n, d), the closed border.
        outline: (m, d), the closed outline in the same space, with the same orientation.
        outline_uv: (m, 2), the outline in the tile.
        apart: Least distance of neighbours, as a share of their average distance.

    Returns:
        (n, 2) places in the tile.
    """
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


def border_path(
    vertices: np.ndarray, quads: np.ndarray, mirror: np.ndarray, outline: np.ndarray
) -> list[int]:
    """The closed path along edges around the face, near an outline (n, 3) and straight.

    A border of steps would show wherever the face and the head differ in color.

    Args:
        vertices: (V, 3), centimetres.
        quads: (q, 4), the skin without the interiors.
        mirror: (V,), the index of every vertex's mirror image.
        outline: (n, 3), the border of the registered template.

    Raises:
        ValueError: If there is no path.
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


def fan(loop: np.ndarray, centre: int) -> np.ndarray:
    """Fills a hole whose border runs with its polygons: quads (n / 2, 4) around `centre`.

    Raises:
        ValueError: If the loop has an odd number of vertices.
    """
    if len(loop) % 2:
        raise ValueError("An opening of the face has an odd number of vertices.")
    around = loop[::-1]
    first, second, third = around[::2], around[1::2], np.roll(around, -2)[::2]
    return np.stack([np.full(len(first), centre), first, second, third], axis=1)

"""UV tiles of the parts other than the face: back of the head, eyeballs, interior.

Disks are unwrapped by Tutte's embedding (1963) with Floater's mean value weights (2003),
which has no folds for a convex border.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sparse_linalg
from scipy.sparse.csgraph import dijkstra

from data_pipeline.face_model.flatten import QuadLayout, flatten, natural_scale
from data_pipeline.face_model.topology import boundary_loops, neighbour_matrix
from relightify_jax.geometry.embedded import eye_uv

# The gaze is a little below +Z, in the middle of the opening of the mean's eyelids.
_GAZE_PITCH = np.deg2rad(-3.0)
_MARGIN = 0.01  # Of a tile, kept free at its border.


class Chart(NamedTuple):
    """UVs of some quads: T texture coordinates, v down from the top."""

    uv: np.ndarray  # (T, 2) float64.
    quads: np.ndarray  # (q, 4) int into uv.


def _mean_value_weights(vertices: np.ndarray, triangles: np.ndarray) -> sp.csr_matrix:
    """Floater's weights (V, V): row i holds (tan(a/2) + tan(b/2)) / |ij| of its edges."""
    rows, columns, values = [], [], []
    for k in range(3):
        i, j, other = (triangles[:, (k + s) % 3] for s in range(3))
        to_j, to_other = vertices[j] - vertices[i], vertices[other] - vertices[i]
        length_j = np.maximum(np.linalg.norm(to_j, axis=1), 1e-9)
        length_other = np.maximum(np.linalg.norm(to_other, axis=1), 1e-9)
        cosine = np.clip((to_j * to_other).sum(1) / (length_j * length_other), -0.9999, 0.9999)
        half_tangent = np.sqrt((1 - cosine) / (1 + cosine))
        rows += [i, i]
        columns += [j, other]
        values += [half_tangent / length_j, half_tangent / length_other]
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sp.coo_matrix(entries, shape=(len(vertices),) * 2).tocsr()


def unwrap_disk(
    vertices: np.ndarray, quads: np.ndarray, loop: np.ndarray, loop_uv: np.ndarray
) -> np.ndarray:
    """Unwraps a disk with its border at given places of a convex outline.

    Args:
        vertices: (V, 3); only those that `quads` uses are placed.
        quads: (q, 4).
        loop: (n,) its border.
        loop_uv: (n, 2), where the border goes.

    Returns:
        (V, 2); NaN for unused vertices.
    """
    triangles = np.concatenate([quads[:, [0, 1, 2, 0, 2, 3]], quads[:, [1, 2, 3, 1, 3, 0]]])
    weights = _mean_value_weights(vertices, triangles.reshape(-1, 3))
    uv = np.full((len(vertices), 2), np.nan)
    uv[loop] = loop_uv
    inner = np.setdiff1d(np.unique(quads), loop)
    rows = weights[inner]
    system = sp.diags(np.asarray(rows.sum(axis=1)).ravel()) - rows[:, inner]
    uv[inner] = sparse_linalg.spsolve(system.tocsc(), rows[:, loop] @ loop_uv)
    return uv


def _shares(points: np.ndarray) -> np.ndarray:
    """Arc length at the vertices of a closed polyline (n, 3), as a share of its length."""
    step = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    return np.concatenate([[0.0], np.cumsum(step)[:-1]]) / step.sum()


def _on_square(share: np.ndarray) -> np.ndarray:
    """Points (n, 2) on the unit square's border, from the middle of the top to the left."""
    corners = np.array([[0.5, 0], [0, 0], [0, 1], [1, 1], [1, 0], [0.5, 0]])
    at = np.array([0.0, 0.125, 0.375, 0.625, 0.875, 1.0])
    square = np.stack([np.interp(share, at, column) for column in corners.T], axis=-1)
    return _MARGIN + (1 - 2 * _MARGIN) * square


def chart_head(vertices: np.ndarray, quads: np.ndarray) -> Chart:
    """Unwraps the rest of the skin, a ring around the face, cut along the chest's middle.

    The middle of the hairline goes to the middle of the tile's top, the back of the head
    to its middle, the shoulders to the bottom.

    Args:
        vertices: (V, 3), +Y up.
        quads: (q, 4), with two borders: around the face and around the bust.
    """
    bust, face = sorted(boundary_loops(quads), key=lambda loop: vertices[loop, 1].mean())
    middle = face[np.abs(vertices[face, 0]) < 0.01 * np.ptp(vertices[face, 0])]
    bottom, top = middle[vertices[middle, 1].argmin()], middle[vertices[middle, 1].argmax()]
    graph = neighbour_matrix(quads, len(vertices)).tocoo()
    length = np.linalg.norm(vertices[graph.row] - vertices[graph.col], axis=1)
    off_middle = np.abs(vertices[graph.row, 0]) + np.abs(vertices[graph.col, 0])
    graph.data = length + 100 * off_middle
    distance, before = dijkstra(graph.tocsr(), indices=bottom, return_predecessors=True)
    path = [bust[distance[bust].argmin()]]
    while path[-1] != bottom:
        path.append(before[path[-1]])
    cut = np.array(path)
    copy = np.arange(len(vertices))
    copy[cut] = len(vertices) + np.arange(len(cut))
    on_left = vertices[quads].mean(1)[:, 0] > 0
    opened = np.where(on_left[:, None], copy[quads], quads)
    both = np.concatenate([vertices, vertices[cut]])
    (loop,) = boundary_loops(opened)
    first = np.flatnonzero(loop == top)[0]
    loop = np.roll(loop, -first)
    start = unwrap_disk(both, opened, loop, _on_square(_shares(both[loop])))
    start[np.isnan(start)] = 0.0
    layout = QuadLayout(both, opened)
    uv = flatten(
        layout,
        start,
        scale=natural_scale(layout, start),
        wanted=start,
        pull=np.zeros(len(both)),
        moving=np.unique(opened),
    )
    return _compact(_fill_tile(uv, opened, loop[0]), opened)


def _fill_tile(uv: np.ndarray, quads: np.ndarray, top: int) -> np.ndarray:
    """Turns the layout so that vertex `top` is above its middle and scales it to the tile."""
    used = np.unique(quads)
    upward = uv[top] - uv[used].mean(0)
    upward /= np.linalg.norm(upward)
    turned = uv @ np.array([[-upward[1], -upward[0]], [upward[0], -upward[1]]])
    low, high = turned[used].min(0), turned[used].max(0)
    return 0.5 + (turned - (low + high) / 2) * (1 - 2 * _MARGIN) / (high - low).max()


def _compact(uv: np.ndarray, quads: np.ndarray) -> Chart:
    used, local = np.unique(quads, return_inverse=True)
    return Chart(uv[used], local.reshape(quads.shape))


def chart_eye(vertices: np.ndarray, quads: np.ndarray, centre: np.ndarray) -> Chart:
    """The map `embedded.eye_uv` of an eyeball, around the gaze."""
    cosine, sine = np.cos(_GAZE_PITCH), np.sin(_GAZE_PITCH)
    to_gaze = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return _compact(eye_uv((vertices - centre) @ to_gaze.T), quads)


def chart_interior(vertices: np.ndarray, shells: list[np.ndarray]) -> Chart:
    """Puts every shell (q, 4) of the mouth and eye sockets in a cell of its own.

    A disk is unwrapped to a circle; a closed shell (the tongue) is seen from above and
    below at once, the one place where UVs overlap.
    """
    columns = int(np.ceil(np.sqrt(len(shells))))
    uvs, quads, offset = [], [], 0
    for index, shell in enumerate(shells):
        cell = np.array([index % columns, index // columns]) / columns
        local = _unwrap_shell(vertices, shell)
        chart = _compact(local, shell)
        uvs.append(cell + (0.05 + 0.9 * chart.uv) / columns)
        quads.append(chart.quads + offset)
        offset += len(chart.uv)
    return Chart(np.concatenate(uvs), np.concatenate(quads))


def _unwrap_shell(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    loops = boundary_loops(quads)
    if not loops:
        flat = vertices[:, [0, 2]]
        low, high = flat[quads].min((0, 1)), flat[quads].max((0, 1))
        return (flat - low) / (high - low).max()
    (loop,) = loops
    angle = 2 * np.pi * _shares(vertices[loop])
    circle = 0.5 + 0.5 * np.stack([np.cos(angle), -np.sin(angle)], axis=-1)
    return unwrap_disk(vertices, quads, loop, circle)

"""Closes the lips of the mean: smoothing leaves a slit of half a millimetre."""

import numpy as np
from scipy.sparse.csgraph import dijkstra

from data_pipeline.face_model.topology import neighbour_matrix


def close_lips(
    vertices: np.ndarray, quads: np.ndarray, inner_loop: list[int], gap: float, reach: float
) -> np.ndarray:
    """Moves the upper lip down and the lower one up, fading out along the skin.

    Args:
        vertices: (V, 3), +Y up.
        quads: (Q, 4), the skin.
        inner_loop: Vertices around the slit, just behind where the lips meet.
        gap: By how much the lips approach each other.
        reach: Length along the skin over which the motion fades.

    Returns:
        The moved vertices (V, 3).
    """
    graph = neighbour_matrix(quads, len(vertices)).tocoo()
    graph.data = np.linalg.norm(vertices[graph.row] - vertices[graph.col], axis=1)
    graph = graph.tocsr()
    loop = np.array(inner_loop)
    x = vertices[loop, 0]
    left, right = x.argmax(), x.argmin()
    halves = [
        loop[(start + np.arange(1, (end - start) % len(loop))) % len(loop)]
        for start, end in ((left, right), (right, left))
    ]
    upper, lower = sorted(halves, key=lambda half: -vertices[half, 1].mean())
    to_upper, to_lower = (dijkstra(graph, indices=half, min_only=True) for half in (upper, lower))
    share = np.clip(1.5 - np.minimum(to_upper, to_lower) / reach, 0, 1)
    share = share**2 * (3 - 2 * share)
    # At the corners both lips are one.
    far = np.finfo(float).max  # Other shells have no path to the lips.
    difference = np.minimum(to_lower, far) - np.minimum(to_upper, far)
    towards = np.clip(difference / (0.2 * reach), -1, 1)
    moved = vertices.copy()
    moved[:, 1] -= 0.5 * gap * share * towards
    return moved

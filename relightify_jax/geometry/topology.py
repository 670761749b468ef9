"""Which triangles meet at which edge: what silhouettes are found from, once per mesh."""

from typing import NamedTuple

import numpy as np


class MeshTopology(NamedTuple):
    """The edges of a triangle mesh and the triangles at each.

    K is the largest number of triangles at one edge, at least 2. Rows with fewer, such as
    those of the mesh's boundary, are filled up with -1.
    """

    edges: np.ndarray  # (E, 2) int32, vertices a and b; each edge once.
    edge_faces: np.ndarray  # (E, K) int32, triangles in ascending order, then -1.
    opposite: np.ndarray  # (E, K) int32, the vertex of that triangle off the edge, then -1.
    winding: np.ndarray  # (E, K) int8, 1 where the triangle runs from a to b, -1 from b to a.


def build_topology(faces: np.ndarray, points: np.ndarray | None = None) -> MeshTopology:
    """Finds the edges of a mesh; on the host, in NumPy.

    Any number of triangles may meet at an edge (a mesh that is not a manifold only makes K
    larger), in any winding. Triangles that use a vertex twice have no area and no edges.

    A mesh whose vertices are split at texture seams has a boundary along every seam, which
    would be taken for a silhouette. With `points`, vertices at exactly the same position
    count as one: their triangles share the edge, whose `edges` names the vertices of the
    first of them. This is right only while such vertices stay together.

    Args:
        faces: (F, 3) integers.
        points: Optional (V, D) positions of the vertices.

    Returns:
        `MeshTopology` of NumPy arrays, in the order in which the edges come in `faces`.

    Raises:
        ValueError: If `faces` is not (F, 3), or has an index that is negative or, with
            `points`, beyond them.
    """
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or not np.issubdtype(faces.dtype, np.integer):
        raise ValueError(f"faces must be (F, 3) integers, got {faces.shape} {faces.dtype}.")
    num_vertices = int(faces.max(initial=-1)) + 1 if points is None else len(points)
    if faces.size and (faces.min() < 0 or faces.max() >= num_vertices):
        raise ValueError(
            f"faces must index {num_vertices} vertices, got {faces.min()} to {faces.max()}."
        )
    same = np.arange(num_vertices)
    if points is not None:
        # Adding zero makes -0.0 and 0.0 the same.
        same = np.unique(np.asarray(points) + 0.0, axis=0, return_inverse=True)[1].reshape(-1)
    welded = same[faces]
    kept = np.flatnonzero((welded != np.roll(welded, 1, axis=1)).all(axis=1))

    # Half-edges: side k of a triangle runs from corner k to corner k + 1.
    start, end = faces[kept].reshape(-1), np.roll(faces[kept], -1, axis=1).reshape(-1)
    off = np.roll(faces[kept], -2, axis=1).reshape(-1)
    low, high = np.minimum(same[start], same[end]), np.maximum(same[start], same[end])
    _, first, edge, count = np.unique(
        low.astype(np.int64) * num_vertices + high,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    num_edges = len(first)
    rank = np.argsort(np.argsort(first))  # Edges in the order of their first half-edge.
    edge, first, count = rank[edge.reshape(-1)], np.sort(first), count[np.argsort(rank)]
    order = np.argsort(edge, kind="stable")
    row = edge[order]
    column = np.arange(len(order)) - (np.cumsum(count) - count)[row]

    shape = num_edges, max(2, int(count.max(initial=0)))
    edge_faces = np.full(shape, -1, np.int32)
    opposite = np.full(shape, -1, np.int32)
    winding = np.zeros(shape, np.int8)
    edge_faces[row, column] = np.repeat(kept, 3)[order]
    opposite[row, column] = off[order]
    forward = same[start] == same[start[first]][edge]
    winding[row, column] = np.where(forward, 1, -1)[order]
    edges = np.stack([start[first], end[first]], axis=1).astype(np.int32)
    return MeshTopology(edges, edge_faces, opposite, winding)


def pair_triangles(faces: np.ndarray) -> np.ndarray:
    """Joins neighbours in a list of triangles that came from one quad.

    Triangles (a, b, c) and (a, c, d) that follow one another become (a, b, c, d); the others
    are written (a, b, c, c).

    Args:
        faces: (F, 3) integers.

    Returns:
        (Q, 4) int32.
    """
    faces = np.asarray(faces)
    fits = (faces[:-1, 0] == faces[1:, 0]) & (faces[:-1, 2] == faces[1:, 1])
    # Of a fan a, b, c, d, ... every second seam joins.
    index = np.arange(len(fits))
    last_gap = np.maximum.accumulate(np.where(fits, -1, index))
    joined = fits & ((index - last_gap) % 2 == 1)
    starts = np.concatenate([joined, [False]])[: len(faces)]
    is_second = np.concatenate([[False], joined])[: len(faces)]
    quads = np.concatenate([faces, faces[:, 2:]], axis=1)
    quads[starts, 3] = faces[np.flatnonzero(starts) + 1, 2]
    return quads[~is_second].astype(np.int32)

"""Loops, boundaries and regions of quad meshes."""

import heapq
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from relightify_jax.geometry.subdivision import quad_edges


def neighbour_matrix(quads: np.ndarray, num_vertices: int) -> sp.csr_matrix:
    """Symmetric (V, V) matrix with 1 for every pair of vertices that share an edge."""
    edges, _ = quad_edges(quads)
    ones = np.ones(len(edges))
    half = sp.coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(num_vertices,) * 2)
    return (half + half.T).tocsr()


def dilate(selected: np.ndarray, quads: np.ndarray, rings: int = 1) -> np.ndarray:
    """Adds `rings` rings of quad neighbours to a set of vertices (V,) bool."""
    selected = selected.copy()
    for _ in range(rings):
        selected[quads[selected[quads].any(axis=1)]] = True
    return selected


def flood(quads: np.ndarray, barriers: list[list[int]], seed: int) -> np.ndarray:
    """Marks the quads (Q,) reached from vertex `seed` without crossing a closed loop."""
    blocked = np.zeros(quads.max() + 1, bool)
    for loop in barriers:
        blocked[loop] = True
    reached = np.zeros_like(blocked)
    reached[seed] = True
    while True:
        inside = (reached & ~blocked)[quads].any(axis=1)
        before = reached.sum()
        reached[quads[inside]] = True
        if reached.sum() == before:
            return inside


class EdgeLoops:
    """Follows edge loops of a quad mesh: straight on at every vertex of valence 4."""

    def __init__(self, quads: np.ndarray):
        """Indexes the neighbours of every vertex and edge."""
        self._neighbours: dict[int, set[int]] = {}
        self._beside: dict[frozenset[int], set[int]] = {}
        for quad in quads.tolist():
            for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
                self._neighbours.setdefault(a, set()).add(b)
                self._neighbours.setdefault(b, set()).add(a)
                self._beside.setdefault(frozenset((a, b)), set()).update(quad)

    def neighbours(self, vertex: int) -> list[int]:
        """Vertices that share an edge with `vertex`, sorted."""
        return sorted(self._neighbours.get(vertex, ()))

    def is_straight(self, first: int, middle: int, last: int) -> bool:
        """Whether no quad holds both edges first-middle and middle-last."""
        return last not in self._beside[frozenset((first, middle))]

    def follow(self, start: int, second: int, longest: int = 100) -> list[int] | None:
        """Returns the closed loop from `start` over `second`, None if it does not close."""
        loop = [start, second]
        while loop[-1] != start:
            here = loop[-1]
            ahead = self._neighbours[here] - self._beside[frozenset(loop[-2:])]
            if len(self._neighbours[here]) != 4 or len(ahead) != 1 or len(loop) > longest:
                return None
            loop.append(ahead.pop())
        return loop[:-1]

    def all_through(self, vertices: np.ndarray) -> list[list[int]]:
        """Returns every closed loop that passes through one of the vertices, once."""
        found: dict[frozenset[int], list[int]] = {}
        for start in vertices.tolist():
            for second in self.neighbours(start):
                loop = self.follow(start, second)
                if loop is not None:
                    found.setdefault(frozenset(loop), loop)
        return list(found.values())


def boundary_loops(polygons: np.ndarray) -> list[np.ndarray]:
    """Orders the boundary edges of a polygon mesh (Q, n) into closed loops, longest first.

    Each loop runs with the orientation of its polygons.

    Raises:
        ValueError: If a boundary vertex has more than two boundary edges.
    """
    sides = np.stack([polygons, np.roll(polygons, -1, axis=1)], axis=-1).reshape(-1, 2)
    directed = set(map(tuple, sides.tolist()))
    following = {}
    for a, b in directed:
        if (b, a) not in directed:
            if a in following:
                raise ValueError(f"The boundary branches at vertex {a}.")
            following[a] = b
    loops = []
    while following:
        start = min(following)
        loop = [start]
        while (after := following.pop(loop[-1])) != start:
            loop.append(after)
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)


def straight_path(
    quads: np.ndarray,
    cost: Callable[[int, int], float],
    turn_cost: float,
    starts: list[tuple[int, int]],
    ends: set[int],
) -> list[int]:
    """The cheapest path along edges from a start to an end that seldom turns.

    Args:
        quads: (Q, 4).
        cost: (from, to) -> cost of an edge.
        turn_cost: Added where the path does not run straight on over a vertex, which it
            does when its two edges have no quad in common.
        starts: First edges (from, to).
        ends: Last vertices.

    Raises:
        ValueError: If no end can be reached.
    """
    loops = EdgeLoops(quads)
    queue = [(cost(a, b), a, b) for a, b in starts]
    heapq.heapify(queue)
    before: dict[tuple[int, int], tuple[int, int] | None] = {(a, b): None for a, b in starts}
    settled: set[tuple[int, int]] = set()
    best = {(a, b): c for c, a, b in queue}
    while queue:
        spent, a, b = heapq.heappop(queue)
        if (a, b) in settled:
            continue
        settled.add((a, b))
        if b in ends:
            path, edge = [b], (a, b)
            while edge is not None:
                path.append(edge[0])
                edge = before[edge]
            return path[::-1]
        for c in loops.neighbours(b):
            if c != a:
                turn = 0.0 if loops.is_straight(a, b, c) else turn_cost
                total = spent + turn + cost(b, c)
                if total < best.get((b, c), np.inf):
                    best[b, c] = total
                    before[b, c] = (a, b)
                    heapq.heappush(queue, (total, b, c))
    raise ValueError("No path along the edges reaches the end.")

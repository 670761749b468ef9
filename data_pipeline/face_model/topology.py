"""Loops, boundaries and regions of quad meshes."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

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
            for second in sorted(self._neighbours.get(start, ())):
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


def clean_region(selected: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Smooths a selection of quads (Q,) bool until it is one piece with simple borders.

    Quads that stick out on three sides flip, small pieces of the selection and of its
    complement flip, and a quad at a vertex where the selection touches itself joins it.
    """
    selected = selected.copy()
    edges, of_side = quad_edges(quads)
    for _ in range(100):
        before = selected.copy()
        count = np.zeros(len(edges))
        np.add.at(count, of_side[selected].ravel(), 1)
        users = np.zeros(len(edges))
        np.add.at(users, of_side.ravel(), 1)
        others = count[of_side] - selected[:, None]
        has_other = users[of_side] == 2
        differs = (has_other & (others != selected[:, None])).sum(axis=1)
        selected ^= differs >= 3
        selected = _largest_piece(selected, quads)
        selected = ~_drop_small_pieces(~selected, quads)
        sides = quads[selected]
        try:
            boundary_loops(sides)
        except ValueError:
            selected = _fill_pinches(selected, quads)
        if (selected == before).all():
            return selected
    raise ValueError("The border of the region does not become simple.")


def _pieces(selected: np.ndarray, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels quads connected over edges: (Q,) labels, -1 outside, and the sizes."""
    edges, of_side = quad_edges(quads)
    chosen = np.flatnonzero(selected)
    rows = np.repeat(np.arange(len(chosen)), 4)
    shape = (len(chosen), len(edges))
    incidence = sp.coo_matrix((np.ones(rows.size), (rows, of_side[chosen].ravel())), shape=shape)
    _, label = connected_components(incidence @ incidence.T, directed=False)
    out = np.full(len(quads), -1)
    out[chosen] = label
    return out, np.bincount(label, minlength=1)


def _largest_piece(selected: np.ndarray, quads: np.ndarray) -> np.ndarray:
    label, sizes = _pieces(selected, quads)
    return label == sizes.argmax()


def _drop_small_pieces(
    selected: np.ndarray, quads: np.ndarray, smallest: int = 40
) -> np.ndarray:
    label, sizes = _pieces(selected, quads)
    return (label >= 0) & (sizes[label] >= smallest)


def _fill_pinches(selected: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Adds the quads around vertices where more than two boundary edges meet."""
    edges, of_side = quad_edges(quads)
    count = np.zeros(len(edges))
    np.add.at(count, of_side[selected].ravel(), 1)
    degree = np.zeros(quads.max() + 1)
    np.add.at(degree, edges[count == 1].ravel(), 1)
    return selected | (degree > 2)[quads].any(axis=1)

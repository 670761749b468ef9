"""Catmull-Clark subdivision of quad meshes as sparse matrices (Catmull and Clark 1978).

One step is linear in the vertices, so a morphable model is subdivided by applying the
same matrix to its mean and to every mode. Host code (NumPy, SciPy), run once per load.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp


class Subdivision(NamedTuple):
    """One step from V vertices, E edges and Q quads to V + E + Q vertices and 4 Q quads.

    New vertices are ordered: moved old vertices, edge points, face points. Quad i becomes
    quads 4 i + k, k = 0..3; each starts at old corner k and runs over the edge point to
    corner k + 1, the face point and the edge point to corner k - 1, so the orientation
    and the order of the quads are kept.
    """

    weights: sp.csr_matrix  # (V + E + Q, V) float64; every row sums to 1.
    quads: np.ndarray  # (4 Q, 4) int32.


def quad_edges(quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the edges of a quad mesh.

    Args:
        quads: (Q, 4) vertex indices.

    Returns:
        edges: (E, 2), the lower vertex index first, sorted.
        edge_of_side: (Q, 4), the edge between corners k and k + 1 of each quad.
    """
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, edge_of_side = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)
    return edges, edge_of_side.reshape(quads.shape)


def _incidence(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    ones = np.ones(rows.size)
    return sp.coo_matrix((ones, (rows.ravel(), columns.ravel())), shape=shape).tocsr()


def _connectivity(
    quads: np.ndarray, num_vertices: int
) -> tuple[sp.csr_matrix, sp.csr_matrix, sp.csr_matrix, np.ndarray]:
    """Returns vertex-of-quad (Q, V), vertex-of-edge (E, V), quad-of-edge (E, Q), new quads."""
    num_quads = len(quads)
    edges, edge_of_side = quad_edges(quads)
    quad_index = np.repeat(np.arange(num_quads), 4)
    of_quad = _incidence(quad_index, quads, (num_quads, num_vertices))
    edge_index = np.repeat(np.arange(len(edges)), 2)
    of_edge = _incidence(edge_index, edges, (len(edges), num_vertices))
    quad_of_edge = _incidence(edge_of_side, quad_index, (len(edges), num_quads))
    edge_point = num_vertices + edge_of_side
    face_point = np.broadcast_to(
        num_vertices + len(edges) + np.arange(num_quads)[:, None], quads.shape
    )
    new = np.stack([quads, edge_point, face_point, np.roll(edge_point, 1, axis=1)], axis=-1)
    return of_quad, of_edge, quad_of_edge, new.reshape(-1, 4).astype(np.int32)


def subdivide_bilinear(quads: np.ndarray, num_vertices: int) -> Subdivision:
    """One step that keeps old vertices and adds midpoints: for texture coordinates.

    Applied to the quads of a UV layout, it never moves a point across a seam.

    Args:
        quads: (Q, 4) int, indices below `num_vertices`.
        num_vertices: V.
    """
    of_quad, of_edge, _, new_quads = _connectivity(quads, num_vertices)
    keep = sp.identity(num_vertices, format="csr")
    return Subdivision(sp.vstack([keep, of_edge / 2, of_quad / 4]).tocsr(), new_quads)


def subdivide_catmull_clark(quads: np.ndarray, num_vertices: int) -> Subdivision:
    """One Catmull-Clark step of an orientable quad mesh, with or without boundary.

    Boundary edges become midpoints and boundary vertices follow the cubic B-spline rule
    (1, 6, 1) / 8 along the boundary. A vertex that no quad uses stays.

    Args:
        quads: (Q, 4) int, indices below `num_vertices`.
        num_vertices: V.

    Raises:
        ValueError: If an edge has more than two quads.
    """
    of_quad, of_edge, quad_of_edge, new_quads = _connectivity(quads, num_vertices)
    quads_per_edge = np.asarray(quad_of_edge.sum(axis=1)).ravel()
    if quads_per_edge.max(initial=0) > 2:
        raise ValueError("An edge of the mesh belongs to more than two quads.")
    face_points = of_quad / 4
    midpoints = of_edge / 2
    is_boundary = quads_per_edge == 1
    interior = (of_edge + quad_of_edge @ face_points) / 4
    edge_points = _choose(is_boundary, midpoints, interior)

    # Interior vertex of valence n: (mean of face points + 2 mean of midpoints + (n - 3) P) / n.
    valence = np.maximum(np.asarray(of_edge.sum(axis=0)).ravel(), 1)
    per_valence = sp.diags(1 / valence)
    identity = sp.identity(num_vertices, format="csr")
    smooth = per_valence @ (
        per_valence @ (of_quad.T @ face_points)
        + 2 * per_valence @ (of_edge.T @ midpoints)
        + sp.diags(valence - 3.0) @ identity
    )
    along = sp.diags(is_boundary.astype(float)) @ of_edge
    boundary_degree = np.asarray(along.sum(axis=0)).ravel()
    # along.T @ of_edge counts the vertex itself once per boundary edge: 2 P + neighbours.
    spline = (along.T @ of_edge + 4 * identity) / 8
    vertex_points = _choose(boundary_degree > 0, spline, smooth)
    unused = np.asarray(of_quad.sum(axis=0)).ravel() == 0
    vertex_points = _choose(unused | (boundary_degree > 2), identity, vertex_points)
    weights = sp.vstack([vertex_points, edge_points, face_points]).tocsr()
    return Subdivision(weights, new_quads)


def _choose(condition: np.ndarray, a: sp.csr_matrix, b: sp.csr_matrix) -> sp.csr_matrix:
    """Takes rows of `a` where `condition` holds, of `b` elsewhere."""
    picked = condition.astype(float)
    return sp.diags(picked) @ a + sp.diags(1 - picked) @ b


def apply(weights: sp.csr_matrix, values: np.ndarray) -> np.ndarray:
    """Applies `weights` (N, V) to values (..., V, C), giving (..., N, C) of the same dtype."""
    flat = np.moveaxis(values, -2, 0)
    out = weights.astype(values.dtype) @ flat.reshape(flat.shape[0], -1)
    return np.ascontiguousarray(np.moveaxis(out.reshape(-1, *flat.shape[1:]), 0, -2))


def triangulate(quads: np.ndarray) -> np.ndarray:
    """Splits (Q, 4) quads along the diagonal 0-2 into (2 Q, 3) triangles 2 i and 2 i + 1."""
    return quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)

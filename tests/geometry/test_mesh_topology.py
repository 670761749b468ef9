"""Edges of meshes, against a plain dictionary and on shapes whose edges are known."""

import numpy as np
import pytest

from relightify_jax.geometry.subdivision import triangulate
from relightify_jax.geometry.topology import build_topology, pair_triangles

TETRAHEDRON = np.int32([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


def plain_edges(faces):
    """{(low, high): [(face, opposite vertex, first vertex of the side)]}."""
    edges = {}
    for index, face in enumerate(faces):
        if len(set(face)) == 3:
            for k in range(3):
                a, b, c = (int(face[(k + i) % 3]) for i in range(3))
                edges.setdefault((min(a, b), max(a, b)), []).append((index, c, a))
    return edges


@pytest.mark.parametrize("seed", range(4))
def test_random_faces_equal_a_dictionary_of_edges(seed):
    """Random triangles are as far from a manifold as can be, and some are degenerate."""
    faces = np.random.default_rng(seed).integers(0, 9, (40, 3))
    topology = build_topology(faces)
    expected = plain_edges(faces)
    assert [tuple(sorted(edge)) for edge in topology.edges.tolist()] == list(expected)
    for row, ((a, _), here) in enumerate(zip(topology.edges, expected.values(), strict=True)):
        unused = topology.edge_faces.shape[1] - len(here)
        assert topology.edge_faces[row].tolist() == [face for face, *_ in here] + [-1] * unused
        assert topology.opposite[row].tolist() == [off for _, off, _ in here] + [-1] * unused
        signs = [1 if first == a else -1 for *_, first in here]
        assert topology.winding[row].tolist() == signs + [0] * unused
    assert topology.edge_faces.shape[1] == max(len(here) for here in expected.values()) > 2


def test_closed_surface_has_two_triangles_in_opposite_winding_at_every_edge():
    topology = build_topology(TETRAHEDRON)
    assert topology.edges.shape == topology.edge_faces.shape == (6, 2)
    assert (topology.edge_faces >= 0).all() and (topology.winding.sum(axis=1) == 0).all()
    assert [array.dtype for array in topology] == [np.int32] * 3 + [np.int8]


def test_boundary_has_one_triangle():
    topology = build_topology(TETRAHEDRON[:3])
    at_boundary = topology.edge_faces[:, 1] == -1
    assert set(map(frozenset, topology.edges[at_boundary].tolist())) == {
        frozenset(edge) for edge in ([1, 2], [1, 3], [2, 3])
    }


def test_seam_is_welded_by_position_only():
    """Two triangles of a square, with their own vertices along the diagonal."""
    faces = np.int32([[0, 1, 2], [3, 4, 5]])
    points = np.float32([[0, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, -0.0], [0, 0, 0], [1, 0, 0]])
    assert len(build_topology(faces).edges) == 6
    topology = build_topology(faces, points)
    assert len(topology.edges) == 5
    shared = np.flatnonzero((topology.edge_faces >= 0).all(axis=1))
    assert topology.edges[shared].tolist() == [[0, 1]]
    assert topology.opposite[shared].tolist() == [[2, 5]]
    assert topology.winding[shared].tolist() == [[1, -1]]
    # A triangle that welding makes degenerate has no edges.
    assert len(build_topology(np.int32([[0, 4, 1]]), points).edges) == 0


def test_mesh_without_triangles_has_no_edges():
    assert build_topology(np.zeros((0, 3), np.int32)).edge_faces.shape == (0, 2)


@pytest.mark.parametrize(
    "faces", [np.int32([[0, 1, 3]]), np.int32([[0, -1, 2]]), np.int32([[0, 1]]), np.ones((1, 3))]
)
def test_impossible_faces_are_refused(faces):
    with pytest.raises(ValueError):
        build_topology(faces, np.zeros((3, 3)))


def test_triangles_of_a_quad_are_joined_and_others_stay():
    faces = np.array(
        [[0, 1, 2], [0, 2, 3], [4, 5, 6], [7, 8, 9], [7, 9, 10], [7, 10, 11], [7, 11, 12]]
    )
    wanted = [[0, 1, 2, 3], [4, 5, 6, 6], [7, 8, 9, 10], [7, 10, 11, 12]]
    np.testing.assert_array_equal(pair_triangles(faces), wanted)
    np.testing.assert_array_equal(pair_triangles(faces[:1]), [[0, 1, 2, 2]])
    quads = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(pair_triangles(triangulate(quads)), quads)

"""Splitting a head into GPU vertices."""

import numpy as np

from relightify_jax.export.parts import split_parts, weld_corners
from relightify_jax.geometry.morphable_model import PARTS


def test_welding_keeps_every_corner_and_no_pair_twice():
    rng = np.random.default_rng(0)
    faces, uv_faces = rng.integers(0, 6, (2, 40, 3))
    welded, pairs = weld_corners(faces, uv_faces)
    np.testing.assert_array_equal(pairs[welded][..., 0], faces)
    np.testing.assert_array_equal(pairs[welded][..., 1], uv_faces)
    assert len(np.unique(pairs, axis=0)) == len(pairs)


def test_welded_indices_count_up_in_the_order_of_use():
    faces = np.array([[5, 2, 9], [9, 2, 1]])
    welded, _ = weld_corners(faces, faces)
    np.testing.assert_array_equal(welded, [[0, 1, 2], [2, 1, 3]])


def test_parts_reproduce_the_model_corner_by_corner(small_model):
    points = np.asarray(small_model.mean)
    for part in split_parts(small_model, points):
        chosen = np.asarray(small_model.face_part) == PARTS.index(part.name)
        np.testing.assert_array_equal(
            part.points[part.faces], points[np.asarray(small_model.faces)[chosen]]
        )
        np.testing.assert_array_equal(
            part.uv[part.faces],
            np.asarray(small_model.uv)[np.asarray(small_model.uv_faces)[chosen]],
        )


def test_normals_agree_where_face_and_head_meet(small_model):
    face, head = split_parts(small_model, small_model.mean)[:2]
    shared = np.intersect1d(face.vertex, head.vertex)
    assert len(shared) > 10
    for vertex in shared:
        normals = np.concatenate([part.normals[part.vertex == vertex] for part in (face, head)])
        np.testing.assert_array_equal(normals, np.broadcast_to(normals[0], normals.shape))


def test_frames_are_orthonormal_and_point_along_u(small_model):
    for part in split_parts(small_model, small_model.mean):
        tangent = part.tangents[:, :3]
        np.testing.assert_allclose(np.linalg.norm(part.normals, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(tangent, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(np.sum(tangent * part.normals, axis=1), 0, atol=1e-5)
    face = split_parts(small_model, small_model.mean)[0]
    middle = np.argmin(np.linalg.norm(face.uv - 0.5, axis=1))
    # In the middle of the face u runs to +X and the texture's up is +Y.
    np.testing.assert_allclose(face.tangents[middle], [1, 0, 0, 1], atol=0.15)


def test_a_degenerate_vertex_still_gets_a_unit_normal(small_model):
    points = np.array(small_model.mean)
    last = np.asarray(small_model.faces)[-40:]
    points[np.unique(last)] = points[last[0, 0]]
    for part in split_parts(small_model, points):
        np.testing.assert_allclose(np.linalg.norm(part.normals, axis=1), 1, atol=1e-5)

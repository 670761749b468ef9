import time

import numpy as np
import pytest

from relightify_jax.core import facemesh as topology
from relightify_jax.core.photo import srgb_bytes_from_linear
from relightify_jax.landmarks.ensemble import NUM_VIEWS, refine_landmarks, robust_mean, views_of
from relightify_jax.landmarks.facemesh import (
    face_from_points,
    find_in_squares,
    make_squares,
    square_around,
)
from relightify_jax.landmarks.faces import find_faces

RNG = np.random.default_rng(0)
EYES = topology.EYE_LEFT + topology.EYE_RIGHT


def outer_eyes(points):
    return np.linalg.norm(np.diff(points[list(topology.EYE_OUTER), :2], axis=0))


def test_views_surround_the_square_evenly():
    square = make_squares(np.array([50.0, 80.0]), 100.0, 0.3)
    views = views_of(square)
    assert len(views.side) == NUM_VIEWS
    np.testing.assert_allclose(views.center.mean(axis=0), [50, 80], atol=1e-4)
    np.testing.assert_allclose(np.log(views.side).mean(), np.log(100), atol=1e-6)
    np.testing.assert_allclose(views.angle.mean(), 0.3, atol=1e-6)
    moves = np.column_stack([views.center, np.log(views.side), views.angle])
    # What one of them does is not mistaken for what another does, mirrored or not.
    for chosen in (views.mirrored, ~views.mirrored):
        np.testing.assert_allclose(np.cov(moves[chosen].T), np.cov(moves[chosen].T) * np.eye(4),
                                   atol=1e-4)  # fmt: skip


def test_mean_of_agreeing_views_is_theirs_and_an_outlier_hardly_counts():
    truth = RNG.uniform(0, 100, (468, 3))
    found = truth + RNG.normal(scale=0.5, size=(NUM_VIEWS, 468, 3))
    mean, spread = robust_mean(found)
    assert np.abs(mean - truth)[:, :2].std() < 0.2
    np.testing.assert_allclose(spread.mean(), 0.5 * np.sqrt(2), rtol=0.1)
    found[3, :100] += 30
    robust, wide = robust_mean(found)
    assert np.linalg.norm(robust - mean, axis=1)[:100].max() < 0.5  # The plain mean moves by 3.
    assert wide[:100].min() > 2 * spread[:100].max()


def test_a_badly_placed_square_hardly_moves_the_landmarks(networks, astronaut, astronaut_face):
    pixels = srgb_bytes_from_linear(astronaut)
    points = astronaut_face.points
    displaced = face_from_points(points + np.float32([3.3, 0.4, 0]), 1.0)

    def error(found):
        return np.sqrt(np.mean(np.sum((found - points)[:, :2] ** 2, axis=1))) / outer_eyes(points)

    one_view, _ = find_in_squares(networks.mesh, pixels, square_around(displaced.points))
    refined = error(refine_landmarks(networks.mesh, pixels, displaced).points)
    assert refined < 0.003
    assert refined < 0.3 * error(one_view[0])


def test_deviation_is_larger_where_the_face_is_covered(networks, astronaut, astronaut_face):
    points = astronaut_face.points
    unit = outer_eyes(points)
    assert 0.0105 * unit <= astronaut_face.deviation.min()
    assert astronaut_face.deviation.max() < 0.05 * unit
    covered = np.array(astronaut)
    x0, _, x1, y1 = astronaut_face.box
    top = int(points[topology.NOSE_BRIDGE[-1], 1])
    covered[top : int(y1) + 10, int(x0) - 5 : int(x1) + 5] = RNG.uniform(size=(1, 1, 3))
    (face,) = find_faces(networks, covered)
    below = points[:, 1] > top + 3
    ratio = face.deviation / astronaut_face.deviation
    assert np.median(ratio[below]) > 1.3
    assert np.median(ratio[below]) > 1.2 * np.median(ratio[list(EYES)])


def test_the_square_turns_with_the_face(astronaut_face):
    points = astronaut_face.points
    square = square_around(points)
    turned = square_around(points[:, [1, 0, 2]] * [-1, 1, 1])  # A quarter turn clockwise.
    assert turned.angle - square.angle == pytest.approx(np.pi / 2, abs=1e-5)
    assert turned.side == pytest.approx(square.side, rel=1e-5)


def test_refinement_takes_little_time(networks, astronaut, astronaut_face):
    pixels = srgb_bytes_from_linear(astronaut)
    start = time.process_time()
    refine_landmarks(networks.mesh, pixels, astronaut_face)
    assert time.process_time() - start < 1.0  # 0.15 seconds of processor time are usual.

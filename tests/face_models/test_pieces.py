"""Pieces of heads, on spheres and boxes of known place and size."""

import numpy as np
import pytest

from relightify_jax.face_models.pieces import (
    SKIN,
    eye_centres,
    find_pieces,
    label_pieces,
    map_eye,
)
from relightify_jax.geometry.embedded import EYE_IRIS_RADIUS
from relightify_jax.geometry.morphable_model import PARTS


def ball(centre, radii, rows=9, columns=12):
    """A closed ellipsoid: points (n, 3), triangles seen from outside."""
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False),
        indexing="ij",
    )  # fmt: skip
    sphere = np.stack(
        [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1
    )
    row, column = (a.ravel() for a in np.mgrid[: rows - 1, :columns])
    a, b = row * columns + column, row * columns + (column + 1) % columns
    quads = np.stack([a, a + columns, b + columns, b], axis=-1)
    return centre + sphere.reshape(-1, 3) * radii, quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def join(*pieces):
    """One mesh of several, and the number of the piece of each triangle."""
    starts = np.cumsum([0] + [len(points) for points, _ in pieces])
    triangles = [own + start for (_, own), start in zip(pieces, starts, strict=False)]
    number = np.repeat(np.arange(len(pieces)), [len(own) for own in triangles])
    return np.concatenate([points for points, _ in pieces]), np.concatenate(triangles), number


@pytest.fixture(scope="module")
def head():
    return join(
        ball([0, 0, 0], [0.08, 0.14, 0.1]),  # Skin.
        ball([0.032, 0.03, 0.08], [0.0125] * 3),
        ball([-0.032, 0.03, 0.08], [0.0125] * 3),
        ball([0, -0.06, 0.08], [0.025, 0.006, 0.02]),  # A tongue.
        ball([0.01, -0.05, 0.09], [0.004] * 3),  # A tooth.
    )


def test_pieces_are_sorted_by_shape(head):
    points, triangles, number = head
    part = find_pieces(points, triangles)
    wanted = [SKIN, *(PARTS.index(name) for name in ("eye_left", "eye_right", "mouth", "mouth"))]
    np.testing.assert_array_equal(part, np.array(wanted)[number])
    centres = eye_centres(points, triangles, part)
    np.testing.assert_allclose(centres, [[0.032, 0.03, 0.08], [-0.032, 0.03, 0.08]], atol=1e-9)


def test_vertices_at_one_place_hang_together(head):
    points, triangles, number = head
    # Every triangle with vertices of its own, as exported by many tools.
    piece = label_pieces(points[triangles.ravel()], np.arange(triangles.size).reshape(-1, 3))
    for own in range(number.max() + 1):
        assert len(set(piece[number == own])) == 1
    assert len(set(piece)) == number.max() + 1


def test_a_mask_has_no_eyes(head):
    points, triangles, number = head
    part = find_pieces(points, triangles[number == 0])
    assert set(part) == {SKIN}
    assert np.isnan(eye_centres(points, triangles[number == 0], part)).all()


def test_the_iris_is_where_the_eye_tile_has_it():
    angle = np.deg2rad(22.5)
    gaze = np.array([0, np.sin(np.deg2rad(-3)), np.cos(np.deg2rad(-3))])
    aside = np.array([np.sin(angle), *(np.cos(angle) * gaze[1:])])
    uv = map_eye(np.array([0.1, 0.2, 0.3]) + 0.012 * np.stack([gaze, aside]), [0.1, 0.2, 0.3])
    np.testing.assert_allclose(uv[0], 0.5, atol=1e-6)
    np.testing.assert_allclose(uv[1], [0.5 + EYE_IRIS_RADIUS, 0.5], atol=1e-3)

"""Texture coordinates carried from one mesh to another, on planes and a cylinder."""

import numpy as np

from relightify_jax.face_models.carry_uv import (
    Chart,
    carry_corners,
    carry_vertices,
    chart_sign,
    is_folded,
    unfold,
)
from relightify_jax.face_models.layout import label_edges, overlapping
from relightify_jax.face_models.surfaces import closest_points


def sheet(size, seed=None):
    """A unit square of triangles in z = 0: points (n, 3), triangles, jittered inside."""
    ticks = np.linspace(0, 1, size)
    points = np.stack([*np.meshgrid(ticks, ticks), np.zeros((size, size))], -1).reshape(-1, 3)
    start = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).ravel()
    quads = start[:, None] + [0, 1, size + 1, size]
    if seed is not None:
        inner = ((points[:, :2] > 0) & (points[:, :2] < 1)).all(1)
        jitter = np.random.default_rng(seed).uniform(-0.25, 0.25, (len(points), 2)) / size
        points[inner, :2] += jitter[inner]
    return points, quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def plane_chart(size=9):
    points, triangles = sheet(size)
    return Chart(10 * points, triangles, points[:, :2] * [1, -1] + [0, 1], triangles)


def test_a_plane_gives_its_own_coordinates():
    chart = plane_chart()
    points, triangles = sheet(14, seed=0)
    up = np.tile([0.0, 0.0, 1.0], (len(points), 1))
    uv, distance = carry_vertices(chart, 10 * points + [0, 0, 0.1], up)
    np.testing.assert_allclose(uv, points[:, :2] * [1, -1] + [0, 1], atol=1e-9)
    np.testing.assert_allclose(distance, 0.1)
    assert not is_folded(uv, triangles, chart_sign(chart)).any()


def test_normals_tell_two_sides_of_a_fold_apart():
    points, triangles = sheet(9)
    both = np.concatenate([points, points + [0, 0, 0.05]])
    faces = np.concatenate([triangles[:, ::-1], triangles + len(points)])
    query = np.array([[0.52, 0.48, 0.02]])  # Nearer to the lower sheet.
    up = np.array([[0.0, 0.0, 1.0]])
    assert closest_points(both, faces, query).triangle[0] < len(triangles)
    assert closest_points(both, faces, query, normals=up, reach=1.0).triangle[0] >= len(triangles)


def test_a_seam_costs_coordinates_and_no_vertices():
    """A cylinder unrolled with its seam at angle 0, carried to one with other columns."""

    def cylinder(columns):
        angle, height = np.meshgrid(np.arange(columns) * 2 * np.pi / columns, np.linspace(0, 4, 5))
        points = np.stack([2 * np.sin(angle), height, 2 * np.cos(angle)], -1).reshape(-1, 3)
        row, column = (a.ravel() for a in np.mgrid[:4, :columns])
        a, b = row * columns + column, row * columns + (column + 1) % columns
        quads = np.stack([a, b, b + columns, a + columns], -1)
        return points, quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)

    points, triangles = cylinder(48)
    angle = (np.arctan2(points[:, 0], points[:, 2]) / (2 * np.pi)) % 1.0
    uv = np.stack([angle, 1 - points[:, 1] / 4], -1)[triangles]
    wraps = (np.ptp(uv[..., 0], axis=1) > 0.5)[:, None] & (uv[..., 0] < 0.5)
    uv[..., 0] += wraps
    corner = np.arange(uv.size // 2).reshape(-1, 3)
    chart = Chart(points, triangles, uv.reshape(-1, 2), corner)
    other, faces = cylinder(37)
    carried = carry_corners(chart, other, faces)
    # Without the care for seams, triangles across it would span the whole tile.
    assert np.ptp(carried[..., 0], axis=1).max() < 1.5 / 37
    wanted = (np.arctan2(other[:, 0], other[:, 2]) / (2 * np.pi))[faces] % 1.0
    away = np.abs((carried[..., 0] - wanted + 0.5) % 1.0 - 0.5)
    assert away.max() < 0.03 and np.median(away) < 2e-3


def test_a_fold_is_relaxed_and_the_rest_stays():
    points, triangles = sheet(11)
    uv = points[:, :2].copy()
    middle = 5 * 11 + 5
    uv[middle] = [0.93, 0.93]
    folded_before = is_folded(uv, triangles, 1.0)
    relaxed, folded = unfold(uv, triangles, 1.0)
    assert folded_before.any() and not folded.any()
    np.testing.assert_allclose(relaxed[middle], [0.5, 0.5], atol=0.02)
    moved = np.abs(relaxed - uv).max(axis=1) > 1e-12
    assert moved.sum() < 60 and not moved[:11].any()
    # What is not folded is not touched at all.
    np.testing.assert_array_equal(unfold(points[:, :2], triangles, 1.0)[0], points[:, :2])


def test_of_two_that_overlap_the_lower_rank_is_named():
    points, triangles = sheet(5)
    uv = np.concatenate([points[:, :2], points[:3, :2] * 0.1 + 0.4 + np.array([[0, 0]] * 3)])
    uv[-3:] = [[0.4, 0.4], [0.5, 0.4], [0.4, 0.5]]
    faces = np.concatenate([triangles, [[25, 26, 27]]])
    rank = np.ones(len(faces))
    rank[-1] = 0.2
    np.testing.assert_array_equal(np.flatnonzero(overlapping(uv, faces, rank)), [len(triangles)])
    rank[-1] = 2.0
    double = overlapping(uv, faces, rank)
    assert double.any() and not double[-1]


def test_pieces_that_touch_at_a_corner_are_two():
    faces = np.array([[0, 1, 2], [1, 3, 2], [3, 4, 5]])
    piece = label_edges(faces)
    assert piece[0] == piece[1] != piece[2]

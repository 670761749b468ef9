"""The rasterizer against its plain reference, and the promises of its docstring."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.rendering import rasterize as rasterize_lib
from relightify_jax.rendering.rasterize import rasterize, rasterize_depth
from relightify_jax.rendering.rasterize_reference import rasterize_reference


def soup(seed, num_faces=200, size=64.0, half_pixels=False):
    """Random triangles from 0.1 pixel to the whole image, some outside of it."""
    rng = np.random.default_rng(seed)
    center = rng.uniform(-0.2 * size, 1.2 * size, (num_faces, 1, 2))
    radius = size * 10 ** rng.uniform(-2.8, 0.1, (num_faces, 1, 1))
    xy = (center + radius * rng.normal(size=(num_faces, 3, 2))).reshape(-1, 2)
    if half_pixels:
        xy = np.round(xy * 2) / 2
    depth = rng.uniform(0.2, 3.0, num_faces * 3)
    faces = np.arange(num_faces * 3, dtype=np.int32).reshape(-1, 3)
    return xy.astype(np.float32), depth.astype(np.float32), faces


def grid(num, low, high):
    """A num x num grid of quads over [low, high]^2, two triangles each."""
    line = np.linspace(low, high, num + 1, dtype=np.float32)
    xy = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    corner = (np.arange(num)[:, None] * (num + 1) + np.arange(num)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, num + 1, 1], corner + [1, num + 1, num + 2]])
    return xy, faces.astype(np.int32)


@pytest.mark.parametrize("seed", range(6))
def test_random_soup_equals_the_reference_at_every_pixel(seed):
    xy, depth, faces = soup(seed, half_pixels=seed % 2 == 1)
    cull = ("none", "back", "front")[seed % 3]
    options = dict(height=57, width=71, cull=cull)
    expected, expected_inverse = rasterize_reference(xy, depth, faces, **options)
    visibility = rasterize(xy, depth, faces, **options)
    np.testing.assert_array_equal(visibility.face, expected)
    assert not visibility.overflow
    inverse = rasterize_depth(xy, depth, faces, **options)
    np.testing.assert_allclose(inverse, expected_inverse, rtol=1e-3)
    assert (expected >= 0).mean() > 0.5


def test_result_does_not_depend_on_patch_size_or_number_of_chunks():
    xy, depth, faces = soup(0)
    expected = rasterize(xy, depth, faces, height=64, width=64).face
    got = rasterize(xy, depth, faces, height=64, width=64, patch=1)
    np.testing.assert_array_equal(got.face, expected)


@pytest.mark.parametrize("size", [256, pytest.param(512, marks=pytest.mark.slow)])
def test_head_equals_the_reference(shared_assets, size):
    head = np.load(shared_assets / "ict/ict_face_model_q.npz")
    points, faces = head_points(head)
    xy, depth = look_at_head(points, size, yaw=0.3)
    expected, _ = rasterize_reference(xy, depth, faces, height=size, width=size)
    face = rasterize(xy, depth, faces, height=size, width=size).face
    assert int((np.asarray(face) != expected).sum()) == 0


def head_points(head):
    points = head["mean"].astype(np.float32)
    return points / np.ptp(points[:, 1]), head["faces"].astype(np.int32)


def look_at_head(points, size, yaw):
    """Pixels and depth of the points as seen from 3 units away, filling the image."""
    c, s = np.cos(yaw), np.sin(yaw)
    turned = (points - points.mean(0)) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    depth = 3.0 - turned[:, 2]
    xy = turned[:, :2] * [1, -1] / depth[:, None] * 2.6 * size + size / 2
    return xy.astype(np.float32), depth.astype(np.float32)


@pytest.mark.parametrize("low, high", [(8.0, 56.0), (8.5, 56.5), (7.25, 51.75)])
def test_grid_owns_every_pixel_exactly_once(low, high):
    """Also where edges and diagonals pass through pixel centres."""
    xy, faces = grid(12, low, high)
    xy[1:-1] += np.random.default_rng(0).integers(-1, 2, xy[1:-1].shape) * (low == 7.25) * 0.5
    depth = np.ones(len(xy), np.float32)
    drawn = np.zeros((64, 64), int)
    for face in faces:
        drawn += np.asarray(rasterize(xy, depth, face[None], height=64, width=64).face >= 0)
    together = np.asarray(rasterize(xy, depth, faces, height=64, width=64).face)
    assert drawn.max() == 1
    np.testing.assert_array_equal(drawn == 1, together >= 0)
    if low != 7.25:  # Undistorted: a square of whole pixels.
        assert (together >= 0).sum() == 48 * 48
    # The owner does not depend on the order in which triangles come.
    backward = np.asarray(rasterize(xy, depth, faces[::-1], height=64, width=64).face)
    np.testing.assert_array_equal(np.where(backward >= 0, len(faces) - 1 - backward, -1), together)


def test_identical_triangles_show_the_lowest_index():
    xy = np.float32([[2, 2], [2, 30], [30, 2]])
    depth = np.float32([1.0, 1.3, 1.7])
    faces = np.tile(np.int32([[0, 1, 2]]), (5, 1))
    face = np.asarray(rasterize(xy, depth, faces, height=32, width=32).face)
    assert set(np.unique(face)) == {-1, 0}


def test_junk_vertices_drop_their_triangles_and_nothing_else():
    xy, depth, faces = soup(3, num_faces=40)
    junk_xy = np.float32([[np.nan, 0], [np.inf, 5], [1e9, 3], [5, -np.inf], [1, 1], [9, 9], [7, 7]])
    junk_depth = np.float32([1, 1, 1, 1, np.nan, -1, 1e-9])
    num = len(xy)
    extra = [[num + i, 0, 1] for i in range(7)] + [[5, 5, 6], [7, 7, 7]]
    all_faces = np.concatenate([faces, np.int32(extra)])
    expected = rasterize(xy, depth, faces, height=64, width=64).face
    got = rasterize(
        np.concatenate([xy, junk_xy]),
        np.concatenate([depth, junk_depth]),
        all_faces,
        height=64,
        width=64,
    )
    np.testing.assert_array_equal(got.face, expected)


def test_huge_triangle_covers_the_image_at_the_largest_offsets():
    limit = rasterize_lib.GUARD_PIXELS - 1.0
    xy = np.float32([[-limit, -limit], [-limit, limit], [limit, limit]]) + 16
    face = rasterize(xy, np.ones(3, np.float32), np.int32([[0, 1, 2]]), height=32, width=32).face
    expected, _ = rasterize_reference(xy, np.ones(3), np.int32([[0, 1, 2]]), height=32, width=32)
    np.testing.assert_array_equal(face, expected)
    assert 0.4 < (expected >= 0).mean() < 0.6


def test_culling_keeps_the_triangles_that_face_the_camera():
    counter_clockwise = np.float32([[2, 30], [30, 30], [2, 2]])  # On screen, y down.
    draw = lambda cull: rasterize(  # noqa: E731
        counter_clockwise, np.ones(3, np.float32), np.int32([[0, 1, 2]]),
        height=32, width=32, cull=cull,
    ).face.max()  # fmt: skip
    assert [int(draw(cull)) for cull in ("none", "back", "front")] == [0, 0, -1]


def test_overflow_is_reported_and_only_when_triangles_are_missing():
    xy, depth, faces = soup(1)
    full = rasterize(xy, depth, faces, height=64, width=64)
    limited = rasterize(xy, depth, faces, height=64, width=64, max_patches=50)
    enough = rasterize(xy, depth, faces, height=64, width=64, max_patches=10**6)
    assert bool(limited.overflow) and not bool(full.overflow) and not bool(enough.overflow)
    np.testing.assert_array_equal(enough.face, full.face)
    assert (np.asarray(limited.face) != np.asarray(full.face)).any()


def test_vmap_equals_a_loop():
    scenes = [soup(seed, num_faces=60) for seed in range(3)]
    xy, depth = (np.stack([scene[i] for scene in scenes]) for i in range(2))
    faces = scenes[0][2]
    draw = lambda xy, depth: rasterize(xy, depth, faces, height=32, width=32).face  # noqa: E731
    np.testing.assert_array_equal(
        jax.vmap(draw)(xy, depth), jnp.stack([draw(*pair) for pair in zip(xy, depth, strict=True)])
    )


def test_nothing_recompiles_when_values_change():
    traces = []

    @jax.jit
    def draw(xy, depth, faces, near):
        traces.append(1)
        return rasterize(xy, depth, faces, height=32, width=32, near=near).face

    for seed in range(3):
        draw(*soup(seed, num_faces=50), 0.1 * (seed + 1))
    assert len(traces) == 1


@pytest.mark.parametrize(
    "options", [dict(height=8, width=9000), dict(height=8, width=8, patch=16),
                dict(height=8, width=8, cull="sideways")],
)  # fmt: skip
def test_impossible_options_are_refused(options):
    xy, depth, faces = soup(0, num_faces=2)
    with pytest.raises(ValueError):
        rasterize(xy, depth, faces, **options)

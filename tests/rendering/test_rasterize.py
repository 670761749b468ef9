"""The rasterizer against its plain reference, and the promises of its docstring."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.sharding import AxisType

from relightify_jax.rendering import rasterize as rasterize_lib
from relightify_jax.rendering.fixed_point import GUARD_PIXELS
from relightify_jax.rendering.interpolate import compute_fragments, interpolate
from relightify_jax.rendering.rasterize import Visibility, rasterize, rasterize_depth
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


SHAPE = dict(height=57, width=71)


def draw(xy, depth, faces, **options):
    """`rasterize` to an image of `SHAPE`, as NumPy."""
    return np.asarray(rasterize(xy, depth, faces, **{**SHAPE, **options}).face)


@pytest.mark.parametrize("mode, patch", [("scatter", 4), ("sort", 4), ("scatter", 1)])
def test_random_soup_equals_the_reference_at_every_pixel(mode, patch):
    """0.1 pixel to larger than the image; every other soup has its corners on half pixels."""
    for seed in range(6):
        xy, depth, faces = soup(seed, half_pixels=seed % 2 == 1)
        expected, inverse = rasterize_reference(xy, depth, faces, **SHAPE)
        assert (expected >= 0).mean() > 0.5
        np.testing.assert_array_equal(draw(xy, depth, faces, mode=mode, patch=patch), expected)
        if mode == "scatter" and patch == 4:
            got = rasterize_depth(xy, depth, faces, **SHAPE)
            np.testing.assert_allclose(got, inverse, rtol=1e-3)


@pytest.mark.parametrize("cull", ["back", "front"])
def test_culled_soup_equals_the_reference(cull):
    xy, depth, faces = soup(2)
    expected, _ = rasterize_reference(xy, depth, faces, **SHAPE, cull=cull)
    np.testing.assert_array_equal(draw(xy, depth, faces, cull=cull), expected)


def test_result_does_not_depend_on_the_number_of_chunks(monkeypatch):
    xy, depth, faces = soup(4)
    expected = draw(xy, depth, faces)
    monkeypatch.setattr(rasterize_lib, "_MIN_CPU_CHUNK", 100)
    np.testing.assert_array_equal(draw(xy, depth, faces), expected)
    np.testing.assert_array_equal(draw(xy, depth, faces, mode="sort"), expected)


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
    hnp.arrays(np.int32, (12, 2), elements=st.integers(-20, 90)),
    hnp.arrays(np.int32, (8, 3), elements=st.integers(0, 11)),
    st.permutations(range(8)),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
)
def test_order_and_shift(corners, faces, order, shift):
    """The winner does not depend on the order of triangles; whole pixels shift it exactly.

    Coarse coordinates make edges through pixel centres, slivers and repeated corners usual.
    """
    xy = corners.astype(np.float32) / 2
    # On one plane, so that edges are shared in depth as well as on screen.
    depth = (1 / (1 + 0.003 * xy[:, 0] + 0.002 * xy[:, 1] + 0.1)).astype(np.float32)
    face = draw(xy, depth, faces)
    expected, inverse = rasterize_reference(xy, depth, faces, **SHAPE)
    np.testing.assert_array_equal(face >= 0, expected >= 0)
    again = draw(xy, depth, faces[order])
    np.testing.assert_array_equal(again >= 0, face >= 0)
    moved = draw(xy + np.float32(shift), depth, faces)
    x, y = shift
    inner = face[10:-10, 10:-10]
    rows, columns = slice(10 + y, 57 - 10 + y), slice(10 + x, 71 - 10 + x)
    np.testing.assert_array_equal(moved[rows, columns] >= 0, inner >= 0)
    alone = np.stack([draw(xy, depth, np.tile(one, (8, 1))) >= 0 for one in faces])
    hits = np.take_along_axis(alone, np.maximum(face, 0)[None], axis=0)[0]
    assert hits[face >= 0].all()  # A winner covers its pixel.
    assert not alone[:, face < 0].any()


@pytest.mark.parametrize("size", [256, pytest.param(512, marks=pytest.mark.slow)])
@pytest.mark.parametrize("head", ["embedded", "ict"])
def test_head_equals_the_reference(request, head, size):
    if head == "embedded":
        model = request.getfixturevalue("embedded_model")
        points, faces = np.asarray(model.mean), np.asarray(model.faces)
    else:
        assets = request.getfixturevalue("shared_assets")
        points, faces = head_points(np.load(assets / "ict/ict_face_model_q.npz"))
    xy, depth = look_at_head(points / np.ptp(points[:, 1]), size, yaw=0.3)
    expected, _ = rasterize_reference(xy, depth, faces, height=size, width=size)
    face = rasterize(xy, depth, faces, height=size, width=size, clip=False).face
    assert int((np.asarray(face) != expected).sum()) == 0
    assert 0.2 < (expected >= 0).mean() < 0.7


def head_points(head):
    return head["mean"].astype(np.float32), head["faces"].astype(np.int32)


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


@pytest.mark.parametrize("clip", [True, False])
def test_junk_leaves_its_triangles_out_and_nothing_else(clip):
    xy, depth, faces = soup(3)
    junk_xy = np.float32([[np.nan, 0], [np.inf, 5], [5, -np.inf], [1, 1], [7, 7], [8, 8]])
    junk_depth = np.float32([1, 1, 1, np.nan, np.inf, -np.inf])
    num = len(xy)
    extra = [[num + i, 0, 1] for i in range(6)] + [[5, 5, 6], [7, 7, 7]]
    if not clip:  # Behind the camera and far outside.
        junk_xy, junk_depth = junk_xy[:2], junk_depth[:2]
        junk_xy = np.concatenate([junk_xy, np.float32([[3, 3], [4, 4], [1e9, 3], [3, -1e9]])])
        junk_depth = np.concatenate([junk_depth, np.float32([-1, 1e-9, 1, 1])])
    expected = draw(xy, depth, np.concatenate([faces, np.zeros((8, 3), np.int32)]), clip=clip)
    xy, depth = np.concatenate([xy, junk_xy]), np.concatenate([depth, junk_depth])
    got = draw(xy, depth, np.concatenate([faces, np.int32(extra)]), clip=clip)
    np.testing.assert_array_equal(got, expected)


def test_an_index_that_no_vertex_has_is_an_error_or_left_out():
    xy, depth, faces = soup(3)
    wrong = faces.copy()
    wrong[7, 1], wrong[9, 2] = len(xy), -1
    with pytest.raises(ValueError, match="-1 to 600"):
        draw(xy, depth, wrong)
    degenerate = faces.copy()
    degenerate[[7, 9]] = 0
    # Under jit values are not known.
    np.testing.assert_array_equal(
        draw(xy, depth, jnp.asarray(wrong)), draw(xy, depth, jnp.asarray(degenerate))
    )


def cast_rays(points, faces, focal, center, near):
    """Nearest triangle (H, W) along the ray of every pixel, in float64; -1 where there is none.

    Args: camera-frame points (V, 3), z forward; focal length and centre in pixels.
    """
    v, u = np.meshgrid(np.arange(57) + 0.5, np.arange(71) + 0.5, indexing="ij")
    rays = np.stack([(u - center[0]) / focal, (v - center[1]) / focal, np.ones_like(u)], -1)
    best, winner = np.full(u.shape, np.inf), np.full(u.shape, -1)
    for index, (a, b, c) in enumerate(points[faces].astype(np.float64)):
        weights = np.stack([rays @ np.cross(b, c), rays @ np.cross(c, a), rays @ np.cross(a, b)])
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.dot(a, np.cross(b, c)) / weights.sum(0)
            inside = ((weights / weights.sum(0)) >= 0).all(0) & (z > near) & (z < best)
        best, winner = np.where(inside, z, best), np.where(inside, index, winner)
    return winner


def camera_frame_soup(seed, scale=1.0):
    """200 triangles round the camera: many reach behind it, some are a kilometre large."""
    rng = np.random.default_rng(seed)
    size = 10 ** rng.uniform(-1, 3 * (seed % 2), (200, 1, 1))
    center = rng.uniform(-2, 2, (200, 1, 3)) * [1, 1, 1.5] + [0, 0, 1.5]
    points = (center + 0.8 * size * rng.normal(size=(200, 3, 3))).reshape(-1, 3) * scale
    return points.astype(np.float32), np.arange(600, dtype=np.int32).reshape(-1, 3)


def test_triangles_behind_the_near_plane_and_far_outside_are_cut():
    focal, center, near = 60.0, np.float32([35.5, 28.5]), 0.1
    wrong = total = cut = 0
    for seed in range(6):
        points, faces = camera_frame_soup(seed)
        depth = points[:, 2]
        xy = center + focal * points[:, :2] / depth[:, None]
        face = draw(xy, depth, faces, near=near)
        expected = cast_rays(points, faces, focal, center, near)
        wrong += (face != expected).sum()
        total += face.size
        cut += np.isin(expected, np.flatnonzero((depth[faces] < near).any(1))).sum()
        # Barycentrics come from the whole triangles, and put the point on the pixel's ray.
        fragments = fragments_of(xy, depth, faces, face)
        hit = np.asarray(interpolate(points, faces, fragments))[face == expected]
        mask = np.asarray(fragments.mask)[face == expected]
        pixel = np.stack(np.meshgrid(np.arange(71) + 0.5, np.arange(57) + 0.5), -1)
        seen = center + focal * hit[mask, :2] / hit[mask, 2:]
        assert np.quantile(np.abs(seen - pixel[face == expected][mask]), 0.999) < 0.01
    assert cut > 0.2 * total  # The test is about those.
    assert wrong <= 2e-3 * total  # Pixels on an edge that snapping moved by 1/128 pixel.


@jax.jit
def fragments_of(xy, depth, faces, face):
    return compute_fragments(xy, depth, faces, Visibility(face, jnp.zeros((), bool)))


def test_neighbours_that_are_cut_share_their_edge():
    """A floor of many triangles that runs below the camera and to the horizon: no holes."""
    line = np.linspace(-60, 60, 15)
    x, z = np.meshgrid(line, line)
    points = np.stack([x, np.ones_like(x), z + 3.3], -1).reshape(-1, 3).astype(np.float32)
    _, faces = grid(14, 0, 1)
    depth = points[:, 2]
    xy = np.float32([35.5, 20.0]) + 60 * points[:, :2] / depth[:, None]
    face = draw(xy.astype(np.float32), depth, faces, near=0.05)
    assert (face[23:] >= 0).all() and (face[:20] < 0).all()


def test_huge_triangle_covers_the_image_at_the_largest_offsets():
    limit = GUARD_PIXELS - 1.0
    xy = np.float32([[-limit, -limit], [-limit, limit], [limit, limit]]) + 16
    face = rasterize(xy, np.ones(3, np.float32), np.int32([[0, 1, 2]]), height=32, width=32).face
    expected, _ = rasterize_reference(xy, np.ones(3), np.int32([[0, 1, 2]]), height=32, width=32)
    np.testing.assert_array_equal(face, expected)
    assert 0.4 < (expected >= 0).mean() < 0.6


def test_culling_keeps_the_triangles_that_face_the_camera():
    counter_clockwise = np.float32([[2, 30], [30, 30], [2, 2]])  # On screen, y down.
    mesh = counter_clockwise, np.ones(3, np.float32), np.int32([[0, 1, 2]])
    shown = [draw(*mesh, cull=cull, clip=False).max() for cull in ("none", "back", "front")]
    assert shown == [0, 0, -1]


def test_overflow_is_reported_and_only_when_triangles_are_missing():
    xy, depth, faces = soup(1)
    full, limited, enough = (
        rasterize(xy, depth, faces, **SHAPE, max_patches=limit) for limit in (None, 50, 10**6)
    )
    assert bool(limited.overflow) and not bool(full.overflow) and not bool(enough.overflow)
    np.testing.assert_array_equal(enough.face, full.face)
    assert (np.asarray(limited.face) != np.asarray(full.face)).any()
    # What is shown is drawn rightly: as if only the triangles from the last on existed.
    shown = np.asarray(limited.face)
    drawn = [
        draw(xy, depth, np.concatenate([np.zeros((first, 3), np.int32), faces[first:]]))
        for first in range(150, 200)
    ]
    assert any((shown == image).all() for image in drawn)


@pytest.mark.parametrize("mode", ["scatter", "sort"])
def test_vmap_and_map_equal_a_loop(mode):
    scenes = [soup(seed) for seed in range(3)]
    xy, depth = (np.stack([scene[i] for scene in scenes]) for i in range(2))
    faces = scenes[0][2]
    one = lambda pair: rasterize(*pair, faces, **SHAPE, mode=mode, clip=False).face  # noqa: E731
    expected = jnp.stack([one(pair) for pair in zip(xy, depth, strict=True)])
    np.testing.assert_array_equal(jax.vmap(one)((xy, depth)), expected)
    np.testing.assert_array_equal(jax.lax.map(one, (xy, depth)), expected)


def test_batch_may_be_sharded_over_devices():
    scenes = [soup(seed) for seed in range(8)]
    mesh = jax.make_mesh((len(jax.devices()),), ("data",), axis_types=(AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.P("data"))
    xy, depth = (np.stack([scene[i] for scene in scenes]) for i in range(2))
    if len(xy) % mesh.size:
        pytest.skip(f"8 scenes do not divide by {mesh.size} devices")
    faces = scenes[0][2]
    one = jax.vmap(lambda xy, depth: rasterize(xy, depth, faces, **SHAPE, clip=False).face)
    got = jax.jit(one, out_shardings=sharding)(*jax.device_put((xy, depth), sharding))
    np.testing.assert_array_equal(got[5], draw(*scenes[5]))


def test_program_and_memory_stay_within_budget():
    """Twice the image and some megabytes, whatever the number of patches."""
    xy, depth, faces = soup(0, num_faces=20_000, size=512.0)
    lowered = jax.jit(lambda *mesh: rasterize(*mesh, height=512, width=512, clip=False).face).lower(
        xy, depth, faces
    )
    # Lines of the program: what the compiler's time follows, on any machine.
    assert len(lowered.as_text().splitlines()) < 1300
    analysis = lowered.compile().memory_analysis()
    if analysis is None:
        pytest.skip("this backend does not tell")
    assert analysis.temp_size_in_bytes < 24e6


def test_nothing_recompiles_when_values_change():
    traces = []

    @jax.jit
    def traced(xy, depth, faces, near):
        traces.append(1)
        return rasterize(xy, depth, faces, **SHAPE, near=near, clip=False).face

    for seed in range(3):
        traced(*soup(seed), 0.1 * (seed + 1))
    assert len(traces) == 1


@pytest.mark.parametrize(
    "options", [dict(width=9000), dict(height=0), dict(patch=16), dict(cull="sideways"),
                dict(mode="fast")],
)  # fmt: skip
def test_impossible_options_are_refused(options):
    xy, depth, faces = soup(0, num_faces=2)
    with pytest.raises(ValueError):
        draw(xy, depth, faces, **options)


@pytest.mark.parametrize("change", [dict(xy=(6, 3)), dict(depth=(5,)), dict(faces=(2, 4))])
def test_wrong_shapes_are_refused(change):
    shapes = {**dict(xy=(6, 2), depth=(6,), faces=(2, 3)), **change}
    with pytest.raises(ValueError, match="Expected"):
        draw(*(np.zeros(shape, np.int32) for shape in shapes.values()))

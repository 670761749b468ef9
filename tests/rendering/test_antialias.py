"""Silhouettes: where they lie and what they are worth, against analytic and sampled truth."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from relightify_jax.geometry.topology import build_topology
from relightify_jax.rendering.antialias import antialias
from relightify_jax.rendering.interpolate import compute_fragments
from relightify_jax.rendering.rasterize import rasterize

quick = pytest.mark.usefixtures("quick_compilation")


@functools.partial(jax.jit, static_argnames=("size", "cull", "clip"))
def draw_mask(xy, depth, faces, topology, size, cull="none", clip=False):
    visibility = rasterize(xy, depth, faces, height=size, width=size, cull=cull, clip=clip)
    fragments = compute_fragments(xy, depth, faces, visibility)
    mask = fragments.mask[..., None].astype(xy.dtype)
    return antialias(mask, fragments, xy, depth, topology, cull=cull, clip=clip)[..., 0]


def soup(seed, num_faces=80, size=40.0):
    """Random triangles of all sizes, some outside, behind each other and through each other."""
    rng = np.random.default_rng(seed)
    center = rng.uniform(-0.1 * size, 1.1 * size, (num_faces, 1, 2))
    radius = size * 10 ** rng.uniform(-2, -0.3, (num_faces, 1, 1))
    xy = (center + radius * rng.normal(size=(num_faces, 3, 2))).reshape(-1, 2)
    depth = rng.uniform(0.5, 2.0, num_faces * 3)
    faces = np.arange(num_faces * 3, dtype=np.int32).reshape(-1, 3)
    return xy.astype(np.float32), depth.astype(np.float32), faces


@functools.partial(jax.jit, static_argnames=("size", "cull"))
def draw_flat(xy, depth, colors, faces, topology, size=40, cull="none"):
    """One colour per triangle on a background of zeros."""
    visibility = rasterize(xy, depth, faces, height=size, width=size, cull=cull, clip=False)
    fragments = compute_fragments(xy, depth, faces, visibility)
    image = jnp.where(fragments.mask[..., None], colors[fragments.face], 0.0)
    return antialias(image, fragments, xy, depth, topology, cull=cull, clip=False), image


SOUP_TOPOLOGY = build_topology(soup(0)[2])
draw_soup = jax.jit(lambda xy, depth, colors, faces: draw_flat(
    xy, depth, colors, faces, jax.tree.map(jnp.asarray, SOUP_TOPOLOGY)
))  # fmt: skip


@quick
@pytest.mark.parametrize("seed", range(4))
def test_pixels_of_a_soup_stay_between_their_neighbours(seed):
    xy, depth, faces = soup(seed)
    colors = np.random.default_rng(seed).uniform(size=(len(faces), 3)).astype(np.float32)
    smooth, image = map(np.asarray, draw_soup(xy, depth, colors, faces))
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1], image]
    assert (smooth >= np.min(around, axis=0) - 1e-6).all()
    assert (smooth <= np.max(around, axis=0) + 1e-6).all()
    assert (np.abs(smooth - image).max(axis=-1) > 0.01).mean() > 0.1


def square(low, high, depth, first=0):
    """A counter-clockwise square over [low, high]^2: xy, depth, faces."""
    xy = np.float32([[low, high], [high, high], [high, low], [low, low]])
    return xy, np.full(4, depth, np.float32), np.int32([[0, 1, 2], [0, 2, 3]]) + first


@quick
@pytest.mark.parametrize("low, high", [(4.0, 12.0), (4.25, 12.75), (4.5, 12.5), (3.8, 5.1)])
def test_square_covers_pixels_by_its_area(low, high):
    xy, depth, faces = square(low, high, 1.0)
    area = lambda xy: draw_mask(xy, depth, faces, build_topology(faces), 16).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(area)(xy)
    # Rows and columns that the square touches but whose centres it misses are not cut.
    centers = (np.arange(16) + 0.5 >= low) & (np.arange(16) + 0.5 < high)
    side = high - low
    count = centers.sum()
    assert float(value) == pytest.approx(2 * count * side - count**2, abs=1e-4)
    outward = np.sum(gradient * np.sign(xy - (low + high) / 2))
    assert float(outward) == pytest.approx(4 * count, rel=1e-4)


@quick
def test_occlusion_boundary_between_two_surfaces_has_a_gradient():
    """The near square moves over the far one; the background is elsewhere."""
    near_xy, near_depth, near_faces = square(8.2, 20.3, 1.0)
    far_xy, far_depth, far_faces = square(2.4, 29.6, 2.0, first=4)
    xy, depth = np.concatenate([near_xy, far_xy]), np.concatenate([near_depth, far_depth])
    faces = np.concatenate([near_faces, far_faces])
    colors = np.float32([[0.9], [0.9], [0.2], [0.2]])
    topology = build_topology(faces)
    total = lambda xy: draw_flat(xy, depth, colors, faces, topology, 32)[0].sum()  # noqa: E731
    gradient = np.asarray(jax.grad(total)(xy))
    grows = np.sign(xy - [14, 14])
    # 12 rows and columns of the near square are worth 0.7 each, 28 of the far one 0.2.
    assert np.sum(gradient[:4] * grows[:4]) == pytest.approx(4 * 12 * 0.7, rel=1e-4)
    assert np.sum(gradient[4:] * grows[4:]) == pytest.approx(4 * 28 * 0.2, rel=1e-4)


@quick
def test_hidden_square_has_no_gradient():
    near_xy, near_depth, near_faces = square(4.2, 28.3, 1.0)
    far_xy, far_depth, far_faces = square(8.4, 19.6, 2.0, first=4)
    xy, depth = np.concatenate([near_xy, far_xy]), np.concatenate([near_depth, far_depth])
    faces = np.concatenate([near_faces, far_faces])
    colors = np.float32([[0.9], [0.3], [0.2], [0.5]])
    topology = build_topology(faces)
    total = lambda xy: draw_flat(xy, depth, colors, faces, topology, 32)[0].sum()  # noqa: E731
    gradient = np.asarray(jax.grad(total)(xy))
    assert not gradient[4:].any() and gradient[:4].any()


@quick
def test_pixel_cut_from_four_sides_is_not_taken_over_twice():
    xy, depth, faces = square(4.3, 4.7, 1.0)
    mask = draw_mask(xy, depth, faces, build_topology(faces), 16)
    assert float(jnp.min(mask)) == 0 and float(jnp.max(mask)) == 0


@quick
def test_strip_between_two_pixel_centres_changes_nothing():
    """It is seen at no pixel, and the silhouette of what is behind it stays where it is."""
    xy, depth, faces = square(2.2, 8.9, 2.0)
    strip = np.float32([[8.6, 9.0], [9.4, 9.0], [9.4, 2.0], [8.6, 2.0]])
    colors = np.ones((4, 1), np.float32)
    both = np.concatenate([faces + 4, faces])
    with_strip = draw_flat(
        np.concatenate([strip, xy]), np.float32([0.5] * 4 + [2.0] * 4), colors, both,
        build_topology(both), 16,
    )[0]  # fmt: skip
    alone = draw_flat(xy, depth, colors[:2], faces, build_topology(faces), 16)[0]
    np.testing.assert_allclose(with_strip, alone, atol=1e-6)


def grid(num, low, high):
    line = np.linspace(low, high, num + 1, dtype=np.float32)
    xy = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    corner = (np.arange(num)[:, None] * (num + 1) + np.arange(num)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, num + 1, 1], corner + [1, num + 1, num + 2]])
    return xy, faces.astype(np.int32)


@quick
def test_edges_inside_a_surface_have_no_gradient_and_change_nothing():
    xy, faces = grid(8, 4.3, 27.4)
    inside = np.all((xy > 5) & (xy < 27), axis=1)
    xy[inside] += np.random.default_rng(0).uniform(-0.8, 0.8, (inside.sum(), 2)).astype("f")
    depth = np.linspace(1, 2, len(xy), dtype=np.float32)
    colors = np.random.default_rng(1).uniform(size=(len(faces), 3)).astype(np.float32)

    def loss(xy, topology):
        images = draw_flat(xy, depth, colors, faces, topology, 32)
        return jnp.sum(images[0] ** 2), images

    gradient, (smooth, image) = jax.grad(loss, has_aux=True)(xy, build_topology(faces))
    np.testing.assert_array_equal(smooth[6:26, 6:26], image[6:26, 6:26])
    assert not np.asarray(gradient)[inside].any() and np.asarray(gradient).any()
    # The same triangles with vertices of their own, as at a texture seam.
    split_xy, split_depth = xy[faces].reshape(-1, 2), depth[faces].reshape(-1)
    split_faces = np.arange(faces.size, dtype=np.int32).reshape(-1, 3)
    welded = build_topology(split_faces, np.c_[split_xy, split_depth])
    again, _ = draw_flat(split_xy, split_depth, colors, split_faces, welded, 32)
    np.testing.assert_allclose(again, smooth, atol=1e-6)


@quick
def test_one_sided_drawing_smooths_what_is_drawn():
    """A square seen from behind is drawn by "front" and not by "back"."""
    xy, depth, faces = square(4.3, 12.8, 1.0)
    faces = faces[:, ::-1]
    topology = build_topology(faces)
    sums = {
        cull: float(draw_mask(xy, depth, faces, topology, 16, cull).sum())
        for cull in ("back", "front")
    }
    assert sums["back"] == 0 and sums["front"] == pytest.approx(8.5**2, abs=0.3)


@quick
def test_junk_vertices_leave_finite_gradients_and_the_image_as_it_was():
    xy, depth, faces = square(4.3, 12.8, 1.0)
    junk = np.float32([[np.nan, 3], [np.inf, 5], [1e9, 3], [5, 5], [6, 9]])
    all_xy = np.concatenate([xy, junk])
    all_depth = np.concatenate([depth, np.float32([1, 1, np.nan, np.inf, 1])])
    extra = np.int32([[4, 5, 6], [0, 1, 4], [1, 2, 5], [3, 7, 0], [0, 0, 2]])
    # Junk first, as index 0 is what missing indices read.
    all_faces = np.concatenate([extra, faces])
    expected = draw_mask(xy, depth, faces, build_topology(faces), 16)
    mask = lambda xy: draw_mask(  # noqa: E731
        xy, all_depth, all_faces, build_topology(all_faces), 16
    )
    np.testing.assert_allclose(mask(all_xy), expected, atol=1e-6)
    gradient = np.asarray(jax.grad(lambda xy: jnp.sum(mask(xy) ** 2))(all_xy))
    assert np.isfinite(gradient).all() and gradient[:4].any() and not gradient[4:].any()


@quick
def test_edge_of_a_triangle_that_reaches_behind_the_camera():
    """A floor with its far edge in front of the camera and its third corner behind."""
    points = np.float32([[-1, -1, 2], [1, -1, 2], [0, -1, -2]])
    depth = points[:, 2]
    xy = (16 + 12 * points[:, :2] * [1, -1] / depth[:, None]).astype(np.float32)
    faces = np.int32([[0, 2, 1]])
    topology = build_topology(faces)
    area = lambda xy: draw_mask(xy, depth, faces, topology, 32, clip=True).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(area)(xy)
    # The edge is 12 columns wide and the floor lies below it, all of it in front.
    assert float(value) > 100 and gradient[:2, 1].sum() == pytest.approx(-12, rel=1e-5)
    assert np.isfinite(gradient).all()


@quick
def test_gradients_equal_finite_differences_in_both_modes():
    """With a triangle steeper, and one flatter, than the range where rows and columns mix."""
    xy = np.array(
        [[4.13, 3.21], [9.37, 15.94], [4.71, 27.83], [8.2, 4.9], [29.1, 9.3], [15.8, 5.1]]
    )
    depth = np.array([1.0, 1.2, 1.1, 2.0, 2.1, 2.2])
    faces = np.int32([[0, 2, 1], [3, 4, 5]])
    visibility = rasterize(
        xy.astype(np.float32), depth.astype(np.float32), faces, height=32, width=32
    )
    topology = build_topology(faces)
    image = np.random.default_rng(0).uniform(size=(32, 32, 2))
    weights = np.random.default_rng(1).normal(size=(32, 32, 2))

    def loss(image, xy):
        fragments = compute_fragments(xy, depth, faces, visibility)
        return jnp.sum(weights * antialias(image, fragments, xy, depth, topology) ** 2)

    with jax.enable_x64(True):
        arguments = jnp.asarray(image, jnp.float64), jnp.asarray(xy, jnp.float64)
        assert np.abs(jax.grad(loss, 1)(*arguments)).min() > 1e-3
        check_grads(jax.jit(loss), arguments, order=1, modes=("fwd", "rev"), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@quick
def test_slow_way_gives_the_same_image_and_gradient(monkeypatch):
    """Far more cuts than are drawn at once."""
    from relightify_jax.rendering import antialias as module

    xy, depth, faces = soup(1)
    colors = np.random.default_rng(0).uniform(size=(len(faces), 1)).astype(np.float32)

    def draw(xy):
        image, pullback = jax.vjp(
            lambda xy: draw_flat(xy, depth, colors, faces, SOUP_TOPOLOGY)[0], xy
        )
        return image, pullback(
            jnp.cos(jnp.arange(image.size, dtype=jnp.float32)).reshape(image.shape)
        )

    expected = draw(xy)
    monkeypatch.setattr(module, "_CUTS_PER_SIDE", 1)
    jax.clear_caches()
    got = draw(xy)
    jax.clear_caches()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, expected)


@quick
def test_batches_equal_single_images_and_nothing_recompiles():
    scenes = [soup(seed) for seed in range(3)]
    xy, depth = (np.stack([scene[i] for scene in scenes]) for i in range(2))
    faces = scenes[0][2]
    colors = np.random.default_rng(0).uniform(size=(3, len(faces), 2)).astype(np.float32)
    traces = []

    def grad(arguments, topology):
        traces.append(1)
        loss = lambda xy: jnp.sum(draw_flat(xy, *arguments[1:], faces, topology)[0] ** 2)  # noqa: E731
        return jax.value_and_grad(loss)(arguments[0])

    one = jax.jit(grad)
    single = [one((xy[i], depth[i], colors[i]), SOUP_TOPOLOGY) for i in range(3)]
    assert len(traces) == 1
    single = jax.tree.map(lambda *x: np.stack(x), *single)
    mapped = jax.jit(jax.vmap(grad, in_axes=(0, None)))((xy, depth, colors), SOUP_TOPOLOGY)
    looped = jax.jit(lambda a: jax.lax.map(lambda x: grad(x, SOUP_TOPOLOGY), a))(
        (xy, depth, colors)
    )
    for got in (mapped, looped):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), got, single
        )


@quick
def test_impossible_arguments_are_refused():
    xy, depth, faces = square(4.3, 12.8, 1.0)
    topology = build_topology(faces)
    visibility = rasterize(xy, depth, faces, height=16, width=16)
    fragments = compute_fragments(xy, depth, faces, visibility)
    for image, cull in ((np.zeros((16, 16), np.float32), "none"),
                        (np.zeros((8, 16, 3), np.float32), "none"),
                        (np.zeros((16, 16, 3), np.float32), "sideways")):  # fmt: skip
        with pytest.raises(ValueError):
            antialias(image, fragments, xy, depth, topology, cull=cull)

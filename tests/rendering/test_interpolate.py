"""Differentiable interpolation at fixed visibility."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from relightify_jax.rendering.interpolate import (
    compute_fragments,
    differentiate_attributes,
    interpolate,
    list_pixels,
    place_pixels,
)
from relightify_jax.rendering.rasterize import Visibility, rasterize

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZE = 24
FACES = np.int32([[0, 1, 2], [0, 2, 3]])
# A plane in the camera's frame that leans strongly away: x, y, depth.
CORNERS = np.float32([[-0.5, -0.5, 1.0], [0.5, -0.5, 1.0], [1.5, 1.5, 4.0], [-1.5, 1.5, 4.0]])


def project(corners):
    depth = corners[:, 2]
    return SIZE / 2 + 18.0 * corners[:, :2] / depth[:, None], depth


@jax.jit
def draw(xy, depth):
    visibility = rasterize(xy, depth, FACES, height=SIZE, width=SIZE)
    return compute_fragments(xy, depth, FACES, visibility)


def test_position_is_interpolated_with_perspective():
    fragments = draw(*project(CORNERS))
    assert fragments.mask.sum() > 200
    position = np.asarray(interpolate(CORNERS, FACES, fragments))[fragments.mask]
    center = np.stack(np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5), -1)[fragments.mask]
    reprojected = SIZE / 2 + 18.0 * position[:, :2] / position[:, 2:]
    np.testing.assert_allclose(reprojected, center, atol=1e-3)
    np.testing.assert_allclose(
        1 / position[:, 2], fragments.inverse_depth[fragments.mask], rtol=1e-4
    )
    # The plane's equation holds, which affine interpolation would violate.
    np.testing.assert_allclose(position[:, 2], 1 + (position[:, 1] + 0.5) * 1.5, atol=1e-4)


def test_background_is_zero_and_weights_sum_to_one():
    fragments = draw(*project(CORNERS * [0.4, 0.4, 1]))
    mask = np.asarray(fragments.mask)
    assert 0 < mask.sum() < mask.size
    np.testing.assert_allclose(np.sum(fragments.bary, -1), mask, atol=1e-6)
    assert not np.asarray(interpolate(jnp.ones((4, 2)), FACES, fragments))[~mask].any()


def test_gradients_equal_finite_differences():
    xy, depth = project(CORNERS)
    visibility = rasterize(xy, depth, FACES, height=SIZE, width=SIZE)
    weights = jax.random.normal(jax.random.key(0), (SIZE, SIZE, 3)) / SIZE

    def loss(xy, depth, attributes):
        fragments = compute_fragments(xy, depth, FACES, visibility)
        return jnp.sum(weights * interpolate(attributes, FACES, fragments))

    with jax.enable_x64(True):
        arguments = [jnp.asarray(x, jnp.float64) for x in (xy, depth, CORNERS)]
        check_grads(jax.jit(loss), arguments, order=1, modes=("fwd", "rev"), rtol=1e-4, atol=1e-6)


def test_gradient_through_rasterize_and_junk_in_triangle_zero_is_finite():
    """Background pixels look up triangle 0; whatever it holds must not reach a gradient."""
    xy, depth = project(CORNERS * [0.4, 0.4, 1])
    xy = jnp.concatenate([xy, jnp.full((3, 2), jnp.nan)])
    depth = jnp.concatenate([depth, jnp.array([0.0, -1.0, jnp.inf])])
    faces = np.concatenate([[[4, 5, 6]], FACES])

    def loss(xy, depth):
        visibility = rasterize(xy, depth, faces, height=SIZE, width=SIZE)
        fragments = compute_fragments(xy, depth, faces, visibility)
        return jnp.sum(interpolate(xy, faces, fragments) ** 2 * fragments.inverse_depth[..., None])

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(xy, depth)
    assert all(np.isfinite(g).all() and np.any(g != 0) for g in gradients)


def test_sliver_does_not_extrapolate_far():
    """A triangle 1/1000 pixel wide may own a pixel after snapping."""
    xy = np.float32([[2.504, 2.499], [2.505, 20.5], [2.494, 20.5]])
    everywhere = Visibility(jnp.zeros((SIZE, SIZE), jnp.int32), jnp.bool_(False))
    fragments = jax.jit(compute_fragments)(xy, jnp.ones(3), np.int32([[0, 1, 2]]), everywhere)
    assert np.isfinite(fragments.bary).all() and np.abs(fragments.bary).max() <= 3.0


def test_listed_foreground_equals_the_image_and_has_its_gradient():
    xy, depth = project(CORNERS * [0.4, 0.4, 1])
    visibility = rasterize(xy, depth, FACES, height=SIZE, width=SIZE)
    pixels = list_pixels(visibility, 200)
    assert not pixels.overflow
    weights = jax.random.normal(jax.random.key(0), (SIZE, SIZE, 3))

    def loss(listed, xy, depth, attributes):
        fragments = compute_fragments(xy, depth, FACES, pixels if listed else visibility)
        image = interpolate(attributes, FACES, fragments)
        image = place_pixels(image, pixels, SIZE, SIZE) if listed else image
        return jnp.sum(weights * image), image

    results = [
        jax.value_and_grad(loss, (1, 2, 3), has_aux=True)(listed, xy, depth, CORNERS)
        for listed in (False, True)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *results)
    assert all(np.any(gradient != 0) for gradient in results[0][1])


def test_list_that_is_too_short_keeps_the_first_rows_and_says_so():
    visibility = Visibility(jnp.where(jnp.eye(SIZE) > 0, 3, -1), jnp.bool_(False))
    short, enough = list_pixels(visibility, 10), list_pixels(visibility, SIZE)
    assert bool(short.overflow) and not bool(enough.overflow)
    np.testing.assert_array_equal(short.position, np.arange(10) * (SIZE + 1))
    np.testing.assert_array_equal(enough.center, np.arange(SIZE)[:, None] + [0.5, 0.5])
    image = place_pixels(jnp.ones((10, 2)), short, SIZE, SIZE, background=-1.0)
    np.testing.assert_array_equal(
        image[..., 0], np.where(np.eye(SIZE) * (np.arange(SIZE) < 10), 1, -1)
    )


def test_attribute_derivatives_equal_finite_differences():
    xy, depth = project(CORNERS)
    visibility = rasterize(xy, depth, FACES, height=SIZE, width=SIZE)
    slopes = differentiate_attributes(CORNERS, FACES, xy, depth, FACES, visibility)

    def image(shift):  # The pixel centres move against the picture.
        fragments = compute_fragments(xy - shift, depth, FACES, visibility)
        return interpolate(CORNERS, FACES, fragments)

    step = 0.05
    for axis in range(2):
        shift = step * np.eye(2, dtype=np.float32)[axis]
        expected = (image(shift) - image(-shift)) / (2 * step)
        np.testing.assert_allclose(slopes[..., axis], expected, atol=2e-3)
    assert np.abs(slopes).max() > 0.1

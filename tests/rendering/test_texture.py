"""Bilinear lookups."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from relightify_jax.rendering.texture import sample_image, sample_texture


def test_lookup_equals_scipy_inside_and_beyond_the_border():
    image = np.random.default_rng(0).random((5, 7, 2)).astype(np.float32)
    xy = np.random.default_rng(1).uniform(-2, 9, (200, 2)).astype(np.float32)
    expected = [
        ndimage.map_coordinates(image[..., c], (xy[:, ::-1] - 0.5).T, order=1, mode="nearest")
        for c in range(2)
    ]
    np.testing.assert_allclose(sample_image(image, xy), np.stack(expected, -1), atol=1e-5)


def test_pixel_centres_return_pixels_and_uv_runs_down():
    texture = jnp.arange(12.0).reshape(3, 4, 1)
    v, u = np.meshgrid((np.arange(3) + 0.5) / 3, (np.arange(4) + 0.5) / 4, indexing="ij")
    np.testing.assert_allclose(sample_texture(texture, jnp.stack([u, v], -1)), texture, atol=1e-5)


def test_gradient_is_the_slope_of_the_image():
    row, column = np.meshgrid(np.arange(6.0), np.arange(8.0), indexing="ij")
    ramp = (3 * column - 2 * row)[..., None].astype(np.float32)
    slope = jax.grad(lambda xy: sample_image(ramp, xy)[0])(jnp.array([3.3, 2.8]))
    np.testing.assert_allclose(slope, [3, -2], atol=1e-4)


def test_single_texel_is_constant():
    assert sample_texture(jnp.full((1, 1, 1), 0.7), jnp.array([0.2, 0.9])) == np.float32(0.7)

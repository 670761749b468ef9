"""Bilinear lookups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from relightify_jax.rendering.texture import (
    build_mips,
    mip_level,
    pack_textures,
    sample_image,
    sample_mips,
    sample_packed,
    sample_texture,
)


@pytest.mark.parametrize(
    "wrap, mode", [("clamp", "nearest"), ("repeat", "grid-wrap"), ("mirror", "reflect")]
)
def test_lookup_equals_scipy_inside_and_beyond_the_border(wrap, mode):
    image = np.random.default_rng(0).random((5, 7, 2)).astype(np.float32)
    xy = np.random.default_rng(1).uniform(-9, 19, (200, 2)).astype(np.float32)
    expected = [
        ndimage.map_coordinates(image[..., c], (xy[:, ::-1] - 0.5).T, order=1, mode=mode)
        for c in range(2)
    ]
    np.testing.assert_allclose(
        sample_image(image, xy, wrap=wrap), np.stack(expected, -1), atol=1e-5
    )


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


def test_packed_textures_are_looked_up_each_in_its_own():
    rng = np.random.default_rng(0)
    textures = [rng.random(shape).astype(np.float32) for shape in ((3, 5, 2), (8, 2, 2), (1, 1, 2))]
    uv = rng.uniform(-0.1, 1.1, (50, 2)).astype(np.float32)
    number = rng.integers(0, 3, 50)
    got = sample_packed(pack_textures(tuple(textures)), number, uv)
    expected = [sample_texture(textures[n], place) for n, place in zip(number, uv, strict=True)]
    np.testing.assert_allclose(got, np.stack(expected), atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 16), (7, 5), (1, 6)])
def test_every_mip_level_keeps_the_mean_and_a_ramp(shape):
    ramp = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij"), -1)
    mips = build_mips(jnp.asarray(ramp, jnp.float32))
    assert int(mips.heights[-1]) == int(mips.widths[-1]) == 1
    for start, height, width in zip(mips.starts, mips.heights, mips.widths, strict=True):
        level = np.asarray(mips.texels[start : start + height * width])
        np.testing.assert_allclose(level.mean(0), 0.5, atol=1e-6)
        level = level.reshape(height, width, 2)
        # Odd sides split texels, each of which is a constant: right to a sixteenth of one.
        atol = 1e-6 if 2 ** np.log2(shape[0]).round() == shape[0] else 0.01
        np.testing.assert_allclose(level[:, 0, 0], (np.arange(height) + 0.5) / height, atol=atol)


def test_trilinear_lookup_blends_levels_and_is_differentiable_in_the_level():
    texture = jnp.asarray(np.random.default_rng(0).random((8, 8, 1)), jnp.float32)
    mips = build_mips(texture)
    uv = jnp.array([0.37, 0.61])
    fine, coarse = sample_texture(texture, uv), sample_mips(mips, uv, jnp.float32(1))
    pairs = texture.reshape(4, 2, 4, 2, 1).mean((1, 3))
    np.testing.assert_allclose(coarse, sample_texture(pairs, uv), atol=1e-6)
    np.testing.assert_allclose(
        sample_mips(mips, uv, jnp.float32(0.25)), 0.75 * fine + 0.25 * coarse, atol=1e-6
    )
    np.testing.assert_allclose(sample_mips(mips, uv, jnp.float32(-2)), fine, atol=1e-6)
    np.testing.assert_allclose(sample_mips(mips, uv, jnp.float32(99)), texture.mean(), atol=1e-6)
    slope = jax.grad(lambda level: sample_mips(mips, uv, level)[0])(0.25)
    np.testing.assert_allclose(slope, (coarse - fine)[0], atol=1e-5)


def test_level_is_the_logarithm_of_texels_per_pixel():
    per_pixel = np.diag([4 / 256, 1 / 128]).astype(np.float32)  # Four texels wide, one high.
    assert mip_level(per_pixel, 128, 256) == 2.0
    np.testing.assert_allclose(mip_level(per_pixel[::-1], 1024, 128), 4.0)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        sample_image(jnp.ones((4, 4)), jnp.zeros(2))
    with pytest.raises(ValueError, match="wrap"):
        sample_image(jnp.ones((4, 4, 1)), jnp.zeros(2), wrap="tile")

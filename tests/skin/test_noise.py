"""Random fields: spectra, blurs and warps against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.skin import noise

_band_noise = jax.jit(noise.band_noise, static_argnums=(1, 2))


def test_band_noise_keeps_to_its_band_and_is_gaussian():
    bands = ((16.0, 32.0), (40.0, 80.0), (16.0, 32.0))
    fields = np.asarray(_band_noise(jax.random.key(0), 64, bands))
    texel = noise.MILLIMETRES_PER_UV / 64
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(64, texel), np.fft.fftfreq(64, texel)))
    for field, (low, high) in zip(np.moveaxis(fields, -1, 0), bands, strict=True):
        assert field.std() == pytest.approx(1.0, abs=0.15)
        power = np.abs(np.fft.fft2(field)) ** 2
        assert power[(f > 0.5 / high) & (f < 2 / low)].sum() > 0.9 * power.sum()
    # Fields of the same band are drawn together and yet independent.
    assert abs(np.corrcoef(fields[..., 0].ravel(), fields[..., 2].ravel())[0, 1]) < 0.15
    first = fields[..., 0] / fields[..., 0].std()
    assert abs(np.mean(first**4) - 3.0) < 0.5  # 1.8 if uniform.


def test_band_noise_is_the_same_at_every_size():
    small, large = (
        np.asarray(_band_noise(jax.random.key(1), size, ((40.0, 80.0),))) for size in (32, 64)
    )
    pooled = large.reshape(32, 2, 32, 2).mean((1, 3))
    np.testing.assert_allclose(pooled, small[..., 0], atol=0.25)
    assert np.corrcoef(pooled.ravel(), small.ravel())[0, 1] > 0.99


def test_blur_keeps_constants_and_spreads_a_point_as_a_gaussian():
    np.testing.assert_allclose(noise.blur_map(jnp.ones((16, 16, 1)), 3.0), 1.0, rtol=1e-5)
    point = jnp.zeros((33, 33, 1)).at[16, 16].set(1.0)
    blurred = np.asarray(noise.blur_map(point, 2.0))[..., 0]
    x = np.arange(33) - 16
    np.testing.assert_allclose(np.sum(blurred * x**2), 4.0, rtol=0.02)


def test_warp_by_whole_texels_is_a_shift():
    maps = jax.random.normal(jax.random.key(0), (3, 8, 8))
    moved = noise.warp_maps(maps, jnp.broadcast_to(jnp.array([2.0, 1.0]), (8, 8, 2)))
    np.testing.assert_allclose(moved[:, :6, :5], maps[:, 1:7, 2:7], atol=1e-2)


def test_smooth_step_rises_and_falls():
    x = jnp.linspace(-1, 2, 31)
    assert np.all(np.diff(noise.smooth_step(0.0, 1.0, x)) >= 0)
    assert np.all(np.diff(noise.smooth_step(1.0, 0.0, x)) <= 0)

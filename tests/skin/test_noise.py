"""Random fields: spectra, spots and warps against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.skin import noise


def test_band_noise_keeps_to_its_band():
    fields = noise.band_noise(jax.random.key(0), 64, ((4.0, 8.0), (16.0, 32.0)))
    assert fields.shape == (64, 64, 2)
    np.testing.assert_allclose(np.std(fields, axis=(0, 1)), 1.0, rtol=1e-4)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    for i, (low, high) in enumerate([(4, 8), (16, 32)]):
        power = np.abs(np.fft.fft2(fields[..., i])) ** 2
        band = (f > 0.5 / high) & (f < 2 / low)
        assert power[band].sum() > 0.9 * power.sum()


def test_blur_keeps_constants_and_spreads_a_point_as_a_gaussian():
    np.testing.assert_allclose(noise.blur_map(jnp.ones((16, 16, 1)), 3.0), 1.0, rtol=1e-5)
    point = jnp.zeros((33, 33, 1)).at[16, 16].set(1.0)
    blurred = np.asarray(noise.blur_map(point, 2.0))[..., 0]
    x = np.arange(33) - 16
    np.testing.assert_allclose(np.sum(blurred * x**2), 4.0, rtol=0.02)


def test_spots_hold_the_volume_of_their_gaussians():
    radius, height = jnp.array([2.0, 0.2]), jnp.array([1.0, 1.0])
    for seed in range(20):
        spots = noise.scatter_spots(jax.random.key(seed), 64, 2, radius, height)
        edge = np.concatenate([spots[0], spots[-1], spots[:, 0], spots[:, -1]])
        if edge.max() < 1e-4:  # No spot is cut off by the border.
            expected = 2 * np.pi * float(jnp.sum(radius**2 * height))
            np.testing.assert_allclose(jnp.sum(spots), expected, rtol=0.02)
            return
    raise AssertionError("Every seed put a spot on the border.")


def test_warp_by_whole_texels_is_a_shift():
    image = jax.random.normal(jax.random.key(0), (8, 8, 3))
    moved = noise.warp_map(image, jnp.broadcast_to(jnp.array([2.0, 1.0]), (8, 8, 2)))
    np.testing.assert_allclose(moved[:6, :5], image[1:7, 2:7], atol=1e-2)


def test_smooth_step_rises_and_falls():
    x = jnp.linspace(-1, 2, 31)
    assert np.all(np.diff(noise.smooth_step(0.0, 1.0, x)) >= 0)
    assert np.all(np.diff(noise.smooth_step(1.0, 0.0, x)) <= 0)

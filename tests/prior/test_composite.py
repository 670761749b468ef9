"""Joining observed and generated textures, and moving detail to the albedo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core import color
from relightify_jax.prior import composite_texture, fill, transfer_detail

SIZE = 64


@pytest.fixture
def scene():
    """A smooth texture, half seen; the generator's version is darker and tinted."""
    x = jnp.linspace(0.0, 1.0, SIZE)
    level = 0.3 + 0.3 * x[None, :, None] + 0.1 * jnp.sin(6 * x)[:, None, None]
    observed = level * jnp.array([1.0, 0.8, 0.7])[None, None]
    generated = observed * jnp.array([0.7, 0.8, 0.9])[None, None]
    confidence = jnp.zeros((SIZE, SIZE, 1)).at[:, : SIZE // 2].set(1.0)
    return observed, confidence, generated


def test_observed_texels_are_exact(scene):
    observed, confidence, generated = scene
    out = jax.jit(composite_texture)(observed, confidence, generated)
    np.testing.assert_array_equal(out[:, : SIZE // 2], observed[:, : SIZE // 2])
    assert np.all((out >= 0) & (out <= 1))


def test_no_seam_is_left(scene):
    """Across the border the joined texture steps no more than the true one does."""
    out = color.srgb_from_linear(composite_texture(*scene))
    step = jnp.abs(out[:, SIZE // 2] - out[:, SIZE // 2 - 1]).max()
    pasted = color.srgb_from_linear(jnp.where(scene[1] > 0, scene[0], scene[2]))
    before = jnp.abs(pasted[:, SIZE // 2] - pasted[:, SIZE // 2 - 1]).max()
    assert step < 0.012 < 0.05 < before


def test_a_confidence_ramp_joins_without_steps(scene):
    observed, _, generated = scene
    ramp = jnp.clip((SIZE / 2 - jnp.arange(SIZE)) / 8 + 0.5, 0, 1)
    confidence = jnp.broadcast_to(ramp[None, :, None], (SIZE, SIZE, 1))
    out = color.srgb_from_linear(composite_texture(observed, confidence, generated))
    assert jnp.abs(jnp.diff(out, axis=1)).max() < 0.02


def test_nothing_observed_leaves_the_generated_texture(scene):
    observed, confidence, generated = scene
    out = composite_texture(observed, 0 * confidence, generated)
    np.testing.assert_allclose(out, generated, atol=1e-5)


def test_push_pull_keeps_known_texels_and_stays_in_their_range():
    values = jax.random.uniform(jax.random.key(0), (32, 32, 2))
    known = jax.random.uniform(jax.random.key(1), (32, 32, 1)) > 0.7
    out = fill.push_pull(values, known)
    np.testing.assert_array_equal(jnp.where(known, out - values, 0.0), 0.0)
    assert out.min() >= values.min() - 1e-6 and out.max() <= values.max() + 1e-6


def test_membrane_of_a_ramp_is_the_ramp():
    """A linear function is harmonic, so its border values determine it."""
    ramp = jnp.broadcast_to(jnp.arange(32.0)[None, :, None] / 31, (32, 32, 1))
    border = jnp.ones((32, 32, 1)).at[4:-4, 4:-4].set(0.0)
    np.testing.assert_allclose(fill.membrane(ramp, border, 64), ramp, atol=0.02)


def test_blur_keeps_constants_and_total():
    constant = jnp.full((16, 16, 1), 0.3)
    np.testing.assert_allclose(fill.blur(constant, 2.0), constant, rtol=1e-5)
    point = jnp.zeros((33, 33, 1)).at[16, 16].set(1.0)
    np.testing.assert_allclose(fill.blur(point, 2.0).sum(), 1.0, rtol=1e-4)


def test_a_mole_moves_to_the_albedo_and_a_highlight_hardly(scene):
    decoded, confidence, _ = scene
    albedo = jnp.full((SIZE, SIZE, 3), 0.5)
    mole = decoded.at[20:23, 10:13].multiply(0.4)
    shine = mole.at[40:43, 10:13].set(1.0)
    out = transfer_detail(albedo, decoded, shine, confidence)
    assert float(out[21, 11].max()) < 0.35
    assert float(out[41, 11].max()) < 0.5 * 1.3
    np.testing.assert_array_equal(out[:, SIZE // 2 :], albedo[:, SIZE // 2 :])


def test_a_change_of_light_is_no_detail(scene):
    decoded, confidence, _ = scene
    albedo = jnp.full((SIZE, SIZE, 3), 0.5)
    out = transfer_detail(albedo, decoded, 0.6 * decoded, confidence)
    np.testing.assert_allclose(out, albedo, atol=0.01)

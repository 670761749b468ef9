"""The Gaussian model of latents: closed forms against dense linear algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.diffusion import gaussian, preconditioning, schedules


def make_model(remainder=0.2, num_modes=3, shape=(2, 3, 2)):
    size = int(np.prod(shape))
    modes = np.linalg.qr(np.random.default_rng(0).normal(size=(size, num_modes)))[0].T
    variances = np.array([9.0, 4.0, 1.0][:num_modes])
    model = gaussian.GaussianModel(
        jnp.asarray(modes.reshape(num_modes, *shape), jnp.float32),
        jnp.asarray(variances, jnp.float32),
        jnp.full(shape, remainder, jnp.float32),
    )
    covariance = modes.T @ np.diag(variances - remainder) @ modes + remainder * np.eye(size)
    return model, covariance


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_estimate_and_variance_equal_the_dense_posterior(sigma):
    model, covariance = make_model()
    y = jax.random.normal(jax.random.key(0), (4, 2, 3, 2))
    gain = covariance @ np.linalg.inv(covariance + sigma**2 * np.eye(12))
    expected = np.asarray(y).reshape(4, 12) @ gain.T
    found = gaussian.denoise_gaussian(model, y, jnp.full(4, sigma))
    np.testing.assert_allclose(found.reshape(4, 12), expected, atol=1e-5)
    variance = np.trace(covariance - gain @ covariance) / 12
    found = gaussian.posterior_variance(model, jnp.full(4, sigma))
    np.testing.assert_allclose(found, np.full(4, variance), rtol=1e-4)


def test_fit_recovers_modes_and_total_variance():
    model, _ = make_model(remainder=0.01)
    nothing = jnp.zeros((2, 3, 2))
    data = gaussian.sample_conditional(model, jax.random.key(1), 1500, nothing, nothing)
    data = np.array(data)
    data -= data.mean(0)
    fitted = gaussian.fit_gaussian(data, 3)
    overlap = np.abs(np.sum(fitted.modes * np.asarray(model.modes), axis=(1, 2, 3)))
    np.testing.assert_allclose(overlap, 1.0, atol=0.01)
    np.testing.assert_allclose(fitted.variances, model.variances, rtol=0.15)
    explained = np.sum(fitted.variances[:, None, None, None] * fitted.modes**2, axis=0)
    np.testing.assert_allclose(explained + fitted.remainder, (data**2).mean(0), rtol=1e-3)


def test_a_silent_network_leaves_the_linear_estimate():
    model, _ = make_model()
    y = jax.random.normal(jax.random.key(0), (2, 2, 3, 2))
    sigma = jnp.array([0.5, 2.0])
    out = preconditioning.denoise(lambda x, t: jnp.zeros_like(y), model, y, sigma)
    np.testing.assert_allclose(out, gaussian.denoise_gaussian(model, y, sigma), atol=1e-6)


def test_white_data_gives_the_formulas_of_karras():
    model = gaussian.GaussianModel(jnp.zeros((1, 2, 2, 1)), jnp.zeros(1), jnp.full((2, 2, 1), 0.25))
    y, sigma = jnp.ones((1, 2, 2, 1)), jnp.array([0.7])
    out = preconditioning.denoise(lambda x, t: jnp.zeros_like(y), model, y, sigma)
    np.testing.assert_allclose(out, 0.25 / (0.25 + 0.49), rtol=1e-6)
    scale = preconditioning.output_scale(model, sigma)
    expected = 0.7 * 0.5 / np.sqrt(0.74) * np.sqrt(3 / 4)  # One of four is in the zero mode.
    np.testing.assert_allclose(scale, expected, rtol=1e-5)


@pytest.mark.parametrize("make", [schedules.karras_sigmas, schedules.cosine_sigmas])
def test_noise_levels_decrease_to_zero_and_preserve_variance(make):
    levels = schedules.noise_levels(make(10))
    np.testing.assert_allclose(levels.alpha**2 + levels.sigma**2, 1.0, rtol=1e-6)
    assert np.all(levels.sigma_next < levels.sigma)
    assert levels.sigma_next[-1] == 0 and levels.alpha_next[-1] == 1
    np.testing.assert_array_equal(levels.alpha[1:], levels.alpha_next[:-1])


def test_an_increasing_schedule_is_refused():
    with pytest.raises(ValueError, match="decrease"):
        schedules.noise_levels(np.array([1.0, 2.0, 0.0]))


def test_conditional_samples_have_the_conditional_mean_and_variance():
    model, covariance = make_model(remainder=0.05, num_modes=1)
    mode = np.asarray(model.modes).reshape(12)
    covariance = 9.0 * np.outer(mode, mode) + 0.05 * np.eye(12)  # As a factor analysis.
    mask = (np.arange(12) < 5).astype(np.float32)
    known = np.where(mask > 0, 2 * mode, 99.0)
    shape = (2, 3, 2)
    draw = jax.jit(lambda k, y, m: gaussian.sample_conditional(model, k, 4000, y, m, 0.0))
    x = draw(jax.random.key(0), known.reshape(shape), mask.reshape(shape)).reshape(4000, 12)
    a, b = mask > 0, mask == 0
    gain = covariance[np.ix_(b, a)] @ np.linalg.inv(covariance[np.ix_(a, a)])
    np.testing.assert_allclose(x[:, b].mean(0), gain @ known[a], atol=0.03)
    left = covariance[np.ix_(b, b)] - gain @ covariance[np.ix_(a, b)]
    np.testing.assert_allclose(np.cov(x[:, b].T), left, atol=0.02)
    np.testing.assert_array_equal(x[:, a], np.broadcast_to(known[a].astype(np.float32), (4000, 5)))

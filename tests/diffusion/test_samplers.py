"""Samplers and solvers with the analytic denoiser of a Gaussian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.diffusion import gaussian, parameterization, samplers, schedules
from relightify_jax.diffusion.inpainting import SOLVERS, mcg
from relightify_jax.diffusion.schedules import NoiseLevel

SHAPE = (2, 2, 2)


def make_oracle():
    """Strongly correlated channels: knowing channel 0 tells channel 1."""
    mode = np.ones(SHAPE) / np.sqrt(8)
    model = gaussian.GaussianModel(
        jnp.asarray(mode[None], jnp.float32), jnp.array([8.0]), jnp.full(SHAPE, 0.05)
    )
    return model, parameterization.vp_from_ve(lambda y, s: gaussian.denoise_gaussian(model, y, s))


def levels(num_steps=30):
    return schedules.noise_levels(schedules.karras_sigmas(num_steps, 0.01, 80.0))


def inpaint_channel_0(solver, num=4, known_value=1.5, **options):
    _, denoise = make_oracle()
    known = jnp.full((num, *SHAPE), known_value).at[..., 1].set(99.0)
    mask = jnp.zeros((num, *SHAPE)).at[..., 0].set(1.0)
    start = jax.random.normal(jax.random.key(1), known.shape)
    run = jax.jit(
        lambda s, k: SOLVERS[solver](denoise, jax.random.key(0), s, k, mask, levels(), **options)
    )
    return run(start, known), known


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_samples_have_the_variance_of_the_data(eta):
    model, denoise = make_oracle()
    start = jax.random.normal(jax.random.key(1), (3000, *SHAPE))
    sample = jax.jit(lambda s: samplers.sample(denoise, jax.random.key(0), s, levels(150), eta=eta))
    x = np.asarray(sample(start)).reshape(-1, 8)
    mode = np.asarray(model.modes).reshape(8)
    np.testing.assert_allclose(np.var(x @ mode), 8.0, rtol=0.12)
    rest = x - (x @ mode)[:, None] * mode
    np.testing.assert_allclose(np.sum(np.var(rest, axis=0)), 7 * 0.05, rtol=0.15)
    np.testing.assert_allclose(x.mean(0), 0.0, atol=0.15)


def test_a_perfect_denoiser_is_reproduced():
    target = jax.random.normal(jax.random.key(3), (2, *SHAPE))
    start = jax.random.normal(jax.random.key(1), target.shape)
    out = samplers.sample(lambda z, level: target, jax.random.key(0), start, levels(5))
    np.testing.assert_allclose(out, target, atol=1e-5)


@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_the_known_part_is_exact(solver):
    out, known = inpaint_channel_0(solver)
    np.testing.assert_array_equal(out[..., 0], known[..., 0])
    assert np.all(np.isfinite(out))


def test_guidance_pulls_unknown_channels_toward_the_conditional_mean():
    """Replacement alone lags behind the known value; the gradient closes the gap."""
    plain, known = inpaint_channel_0("replacement", num=64)
    guided, _ = inpaint_channel_0("mcg", num=64, guidance=0.3)
    model, _ = make_oracle()
    mode = np.asarray(model.modes).reshape(8)
    covariance = 7.95 * np.outer(mode, mode) + 0.05 * np.eye(8)
    is_known = np.arange(8) % 2 == 0
    inverse = np.linalg.inv(covariance[np.ix_(is_known, is_known)])
    mean = covariance[np.ix_(~is_known, is_known)] @ inverse @ np.full(4, 1.5)

    def gap(x):
        return abs(float(jnp.mean(x[..., 1])) - mean.mean())

    assert gap(guided) < gap(plain)
    assert gap(guided) < 0.2


def test_without_guidance_mcg_is_replacement():
    plain, _ = inpaint_channel_0("replacement")
    guided, _ = inpaint_channel_0("mcg", guidance=0.0)
    np.testing.assert_allclose(guided, plain, atol=1e-5)


@pytest.mark.parametrize("norm_power", [1, 2])
def test_gradients_do_not_couple_the_batch(norm_power):
    _, denoise = make_oracle()
    z, known = jax.random.normal(jax.random.key(0), (2, 3, *SHAPE))
    level = NoiseLevel(*(jnp.asarray(column[3]) for column in levels()))
    mask = jnp.ones_like(z)
    whole, _ = mcg.misfit_gradient(denoise, z, known, mask, level, norm_power)
    alone, _ = mcg.misfit_gradient(denoise, z[:1], known[:1], mask[:1], level, norm_power)
    np.testing.assert_allclose(whole[:1], alone, rtol=1e-5)


def test_the_gradient_is_finite_at_a_perfect_fit():
    known = jnp.ones((1, *SHAPE))
    level = NoiseLevel(*(jnp.asarray(column[3]) for column in levels()))
    g, _ = mcg.misfit_gradient(lambda z, _: 0 * z + known, known, known, known, level, 1)
    np.testing.assert_array_equal(g, 0.0)


def test_the_sampler_compiles_to_one_loop():
    """More steps make no bigger program."""
    _, denoise = make_oracle()

    def lines(num_steps):
        start = jnp.zeros((1, *SHAPE))
        run = jax.jit(lambda s: mcg.inpaint(denoise, jax.random.key(0), s, s, s, levels(num_steps)))
        return len(run.lower(start).as_text().splitlines())

    assert lines(40) == lines(4)


def test_eps_and_velocity_give_the_same_clean_latent():
    level = NoiseLevel(*(jnp.asarray(column[3]) for column in levels()))
    x, eps = jax.random.normal(jax.random.key(0), (2, 1, *SHAPE))
    z = level.alpha * x + level.sigma * eps
    velocity = level.alpha * eps - level.sigma * x
    np.testing.assert_allclose(parameterization.clean_from_noise(z, eps, level), x, atol=2e-4)
    np.testing.assert_allclose(
        parameterization.clean_from_velocity(z, velocity, level), x, atol=2e-4
    )
    np.testing.assert_allclose(parameterization.noise_from_clean(z, x, level), eps, atol=2e-4)

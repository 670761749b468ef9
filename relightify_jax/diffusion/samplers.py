"""DDIM and DDPM as one scan over a table of noise levels."""

import jax
import jax.numpy as jnp

from relightify_jax.diffusion import parameterization
from relightify_jax.diffusion.parameterization import DenoiseFn
from relightify_jax.diffusion.schedules import NoiseLevel


def ddim_update(
    z: jax.Array, clean: jax.Array, level: NoiseLevel, noise: jax.Array, eta: float
) -> jax.Array:
    """One step to the next level (Song et al. 2021, eq. 12).

    Args:
        z: Latent (B, H, W, C) at `level`.
        clean: The denoiser's estimate from z.
        level: Scalars of this step.
        noise: Standard normal, same shape; ignored if `eta` is 0.
        eta: 0 is deterministic (DDIM), 1 is ancestral sampling (DDPM).

    Returns:
        Latent at the next level; `clean` itself on the last step.
    """
    eps = parameterization.noise_from_clean(z, clean, level)
    ratio = level.alpha / level.alpha_next
    fresh = eta * level.sigma_next / level.sigma * jnp.sqrt(jnp.maximum(1 - ratio**2, 0))
    kept = jnp.sqrt(jnp.maximum(level.sigma_next**2 - fresh**2, 0))
    return level.alpha_next * clean + kept * eps + fresh * noise


def sample(
    denoise_fn: DenoiseFn,
    key: jax.Array,
    start: jax.Array,
    levels: NoiseLevel,
    *,
    eta: float = 0.0,
) -> jax.Array:
    """Denoises `start` down to the last level. Pure; jit the function that calls it.

    Args:
        denoise_fn: Denoiser. Bind its parameters inside the jitted caller, where they
            are tracers; bound outside they would be compiled in as constants.
        key: Random key, consumed.
        start: (B, H, W, C) at the first level: standard normal, or better a sample of
            a Gaussian fitted to the data, noised to that level.
        levels: (S,) table from `schedules.noise_levels`.
        eta: See `ddim_update`.

    Returns:
        (B, H, W, C) sample.
    """

    def step(z: jax.Array, inputs: tuple[NoiseLevel, jax.Array]) -> tuple[jax.Array, None]:
        level, key_step = inputs
        noise = jax.random.normal(key_step, z.shape)
        return ddim_update(z, denoise_fn(z, level), level, noise, eta), None

    keys = jax.random.split(key, levels.time.shape[0])
    levels = jax.tree.map(jnp.asarray, levels)
    return jax.lax.scan(step, start, (levels, keys))[0]

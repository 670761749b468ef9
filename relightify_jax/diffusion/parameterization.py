"""What a denoiser may predict, and the two ways to write a noisy latent.

Variance preserving (VP): z = alpha x + sigma eps, alpha^2 + sigma^2 = 1.
Variance exploding (VE, Karras et al. 2022): y = x + s eps, so y = z / alpha with
s = sigma / alpha.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from relightify_jax.diffusion.schedules import NoiseLevel

# (y (B, H, W, C), s (B,)) -> estimate of x.
VEDenoiseFn = Callable[[jax.Array, jax.Array], jax.Array]
# (z (B, H, W, C), level) -> estimate of x; what every sampler takes.
DenoiseFn = Callable[[jax.Array, NoiseLevel], jax.Array]


def vp_from_ve(denoise_ve: VEDenoiseFn) -> DenoiseFn:
    """Wraps a VE denoiser for the samplers, which are VP."""

    def denoise(z: jax.Array, level: NoiseLevel) -> jax.Array:
        ratio = jnp.broadcast_to(level.sigma / level.alpha, z.shape[:1])
        return denoise_ve(z / level.alpha, ratio)

    return denoise


def noise_from_clean(z: jax.Array, clean: jax.Array, level: NoiseLevel) -> jax.Array:
    """The eps for which z = alpha clean + sigma eps."""
    return (z - level.alpha * clean) / level.sigma


def clean_from_noise(z: jax.Array, eps: jax.Array, level: NoiseLevel) -> jax.Array:
    """Inverse of `noise_from_clean`: x from a predicted eps."""
    return (z - level.sigma * eps) / level.alpha


def clean_from_velocity(z: jax.Array, v: jax.Array, level: NoiseLevel) -> jax.Array:
    """X from v = alpha eps - sigma x (Salimans & Ho 2022, appendix D)."""
    return level.alpha * z - level.sigma * v

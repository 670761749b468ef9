"""Karras et al. 2022, section 5, with a covariance where they have one variance.

Their denoiser is D = c_skip y + c_out F: the skip is the best linear estimate for
white data of variance sd^2, and c_out^2 is its posterior variance. Here the skip is
the estimate for the data's own Gaussian (`relightify_jax.diffusion.gaussian`) and c_out^2
that Gaussian's mean posterior variance. With no modes and a constant remainder it is
their formula again.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from relightify_jax.diffusion import gaussian
from relightify_jax.diffusion.gaussian import GaussianModel

# (inputs (B, H, W, 2 C), time (B,)) -> (B, H, W, C)
NetworkFn = Callable[[jax.Array, jax.Array], jax.Array]


def output_scale(model: GaussianModel, sigma: jax.Array) -> jax.Array:
    """c_out (B,) at noise `sigma` (B,)."""
    return jnp.sqrt(gaussian.posterior_variance(model, sigma) + 1e-12)


def denoise(
    network_fn: NetworkFn, model: GaussianModel, y: jax.Array, sigma: jax.Array
) -> jax.Array:
    """Estimates x from y = x + sigma eps.

    Args:
        network_fn: Gets the scaled noisy latent and the linear estimate, and ln sigma.
        model: Gaussian of x, which has about unit variance per element.
        y: (B, H, W, C).
        sigma: (B,).

    Returns:
        (B, H, W, C) estimate.
    """
    linear = gaussian.denoise_gaussian(model, y, sigma)
    scaled = y * jax.lax.rsqrt(1.0 + sigma**2)[:, None, None, None]
    correction = network_fn(jnp.concatenate([scaled, linear], axis=-1), jnp.log(sigma))
    return linear + output_scale(model, sigma)[:, None, None, None] * correction

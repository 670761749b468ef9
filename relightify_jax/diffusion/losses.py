"""The training loss of a denoiser."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from relightify_jax.diffusion.parameterization import VEDenoiseFn


def sample_sigmas(key: jax.Array, num: int, log_mean: float, log_std: float) -> jax.Array:
    """Log-normal noise levels (num,) (Karras et al. 2022, table 1).

    Stratified: one level per quantile, which lowers the variance of the gradient.
    """
    key_shift, key_order = jax.random.split(key)
    quantiles = (jnp.arange(num) + jax.random.uniform(key_shift, (num,))) / num
    quantiles = jnp.clip(jax.random.permutation(key_order, quantiles), 1e-4, 1 - 1e-4)
    return jnp.exp(log_mean + log_std * jax.scipy.special.ndtri(quantiles))


def denoising_losses(
    denoise_ve: VEDenoiseFn,
    scale_fn: Callable[[jax.Array], jax.Array],
    key: jax.Array,
    clean: jax.Array,
    sigma: jax.Array,
) -> jax.Array:
    """Mean squared error per example, in units of the linear estimate's own error.

    A denoiser that only repeats the linear estimate has a loss of about 1 at every
    noise level, so levels weigh the same and numbers below 1 say what the network adds.

    Args:
        denoise_ve: The denoiser.
        scale_fn: Error scale c_out (B,) of noise levels (B,).
        key: Random key, consumed.
        clean: x (B, H, W, C).
        sigma: (B,).

    Returns:
        (B,) losses, float32.
    """
    noisy = clean + sigma[:, None, None, None] * jax.random.normal(key, clean.shape)
    error = (denoise_ve(noisy, sigma) - clean) / scale_fn(sigma)[:, None, None, None]
    return jnp.mean(error.astype(jnp.float32) ** 2, axis=(1, 2, 3))

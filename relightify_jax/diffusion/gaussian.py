"""A Gaussian model of latents and its closed-form denoiser.

At high noise the score of any data is close to the score of the Gaussian with the
same mean and covariance (Wang & Vastola 2024, "The Unreasonable Effectiveness of
Gaussian Score Approximation for Diffusion Models"). Faces in one UV layout are far
from white: a hundred modes hold most of their variance. Solving that part in closed
form leaves only the rest to a network.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import numerics

_MIN_VARIANCE = 1e-4


class GaussianModel(NamedTuple):
    """N(0, U diag(variances) U^T + diag(remainder) off the modes) over (H, W, C)."""

    modes: jax.Array  # (K, H, W, C), orthonormal.
    variances: jax.Array  # (K,)
    remainder: jax.Array  # (H, W, C), variance left outside the modes.


def fit_gaussian(latents: np.ndarray, num_modes: int) -> GaussianModel:
    """Fits the model to latents by principal components, on the host.

    Args:
        latents: (N, H, W, C) with mean 0 over N.
        num_modes: K; fewer are used if N is smaller.

    Returns:
        The model, float32.
    """
    flat = np.asarray(latents, np.float32).reshape(len(latents), -1)
    num_modes = min(num_modes, len(flat) - 1, flat.shape[1])
    modes, values = _leading_modes(flat, num_modes)
    left = np.mean(flat**2, 0) - np.sum(values[:, None] * modes**2, 0)
    return GaussianModel(
        modes=jnp.asarray(modes.reshape(num_modes, *latents.shape[1:])),
        variances=jnp.asarray(values),
        remainder=jnp.asarray(np.maximum(left, _MIN_VARIANCE).reshape(latents.shape[1:])),
    )


def _leading_modes(flat: np.ndarray, num_modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Leading principal components (K, D) of rows (N, D) and their variances (K,).

    Randomised subspace iteration (Halko et al. 2011, algorithms 4.4 and 5.1): a few
    products with thin matrices instead of all eigenvectors.
    """
    random = np.random.default_rng(0)
    width = min(num_modes + 16, *flat.shape)
    basis = random.normal(size=(flat.shape[1], width)).astype(np.float32)
    for _ in range(4):
        basis = np.linalg.qr(flat.T @ (flat @ basis))[0]
    _, singular, rows = np.linalg.svd(flat @ basis, full_matrices=False)
    modes = (rows @ basis.T)[:num_modes]
    return modes, (singular[:num_modes] ** 2 / len(flat)).astype(np.float32)


def denoise_gaussian(model: GaussianModel, y: jax.Array, sigma: jax.Array) -> jax.Array:
    """Wiener estimate of x from y = x + sigma eps.

    Exact for the Gaussian when `remainder` is constant; otherwise each element is
    shrunk by its own remainder.

    Args:
        model: Gaussian of x.
        y: (B, H, W, C).
        sigma: (B,).

    Returns:
        (B, H, W, C) estimate.
    """
    noise = (sigma**2)[:, None]  # (B, 1)
    weights = numerics.einsum("bhwc,khwc->bk", y, model.modes)
    shrink = model.variances[None] / (model.variances[None] + noise)
    inside = numerics.einsum("bk,khwc->bhwc", weights, model.modes)
    kept = numerics.einsum("bk,khwc->bhwc", weights * shrink, model.modes)
    remainder = model.remainder[None]
    return kept + remainder / (remainder + noise[..., None, None]) * (y - inside)


def posterior_variance(model: GaussianModel, sigma: jax.Array) -> jax.Array:
    """Mean variance per element (B,) of x given y = x + sigma eps, sigma (B,)."""
    noise = (sigma**2)[:, None]
    modes = jnp.sum(model.variances[None] * noise / (model.variances[None] + noise), axis=-1)
    remainder = model.remainder.reshape(1, -1)
    size = remainder.shape[-1]
    rest = jnp.mean(remainder * noise / (remainder + noise), axis=-1)
    return modes / size + rest * (1.0 - model.variances.shape[0] / size)


def sample_gaussian(model: GaussianModel, key: jax.Array, num: int) -> jax.Array:
    """Draws (num, H, W, C) from the model."""
    key_modes, key_rest = jax.random.split(key)
    weights = jax.random.normal(key_modes, (num, *model.variances.shape))
    rest = jax.random.normal(key_rest, (num, *model.remainder.shape))
    rest = rest * jnp.sqrt(model.remainder)[None]
    inside = numerics.einsum("bhwc,khwc->bk", rest, model.modes)
    weights = weights * jnp.sqrt(model.variances)[None] - inside
    return rest + numerics.einsum("bk,khwc->bhwc", weights, model.modes)

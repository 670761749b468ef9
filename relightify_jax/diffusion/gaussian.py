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


def off_modes(model: GaussianModel, x: jax.Array) -> jax.Array:
    """The part of x (B, H, W, C) that is orthogonal to the modes."""
    weights = numerics.einsum("bhwc,khwc->bk", x, model.modes)
    return x - numerics.einsum("bk,khwc->bhwc", weights, model.modes)


def sample_conditional(
    model: GaussianModel,
    key: jax.Array,
    num: int,
    known: jax.Array,
    mask: jax.Array,
    noise: float = 0.1,
    temperature: float | jax.Array = 1.0,
) -> jax.Array:
    """Draws from the Gaussian given a part of x.

    Read as a factor analysis, x = U w + e with w ~ N(0, variances) and independent
    e ~ N(0, remainder): the posterior of w has a K x K precision (Bishop 2006, eq. 12.41).

    Args:
        model: Gaussian of x.
        key: Random key, consumed.
        num: Samples to draw, B.
        known: (H, W, C), ignored where `mask` is 0.
        mask: (H, W, C), 1 = known.
        noise: Standard deviation of an error granted to `known`. Data unlike the
            training set would otherwise drive the modes to extremes.
        temperature: Scale of what is drawn outside the modes.

    Returns:
        (B, H, W, C), equal to `known` where `mask` is 1.
    """
    key_modes, key_rest = jax.random.split(key)
    weight = mask / (model.remainder + noise**2)
    weighted = model.modes * weight[None]
    precision = numerics.einsum("khwc,lhwc->kl", weighted, model.modes)
    precision = precision + jnp.diag(1.0 / model.variances)
    factor = jnp.linalg.cholesky(precision)
    pull = numerics.einsum("khwc,hwc->k", weighted, known)
    mean = jax.scipy.linalg.cho_solve((factor, True), pull)
    draws = jax.random.normal(key_modes, (mean.shape[0], num))
    # L^-T eps has covariance (L L^T)^-1.
    draws = jax.scipy.linalg.solve_triangular(factor, draws, trans=1, lower=True).T
    rest = jax.random.normal(key_rest, (num, *known.shape)) * jnp.sqrt(model.remainder)[None]
    rest = temperature * off_modes(model, rest)
    x = numerics.einsum("bk,khwc->bhwc", mean[None] + draws, model.modes) + rest
    return mask[None] * known[None] + (1.0 - mask)[None] * x

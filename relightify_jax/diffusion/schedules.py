"""Noise levels of a sampling run, computed in float64 on the host."""

from typing import Any, NamedTuple

import jax
import numpy as np


class NoiseLevel(NamedTuple):
    """One step of a sampler from a noisy to a cleaner latent, or (S,) of them.

    z = alpha x + sigma eps with alpha^2 + sigma^2 = 1.
    """

    time: jax.Array  # ln(sigma / alpha), the network's clock.
    alpha: jax.Array
    sigma: jax.Array
    alpha_next: jax.Array  # 1 on the last step.
    sigma_next: jax.Array  # 0 on the last step.


def karras_sigmas(
    num_steps: int, sigma_min: float = 0.02, sigma_max: float = 80.0, rho: float = 7.0
) -> np.ndarray:
    """Noise-to-signal ratios (S + 1,), noisiest first, the last one 0.

    Karras et al. 2022, eq. 5.

    Raises:
        ValueError: If `num_steps` < 1 or the range is empty.
    """
    if num_steps < 1 or not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"Need num_steps >= 1 and 0 < sigma_min < sigma_max, got {num_steps}, "
            f"{sigma_min}, {sigma_max}."
        )
    ramp = np.linspace(0.0, 1.0, num_steps, dtype=np.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return np.append((high + ramp * (low - high)) ** rho, 0.0)


def cosine_sigmas(num_steps: int, sigma_min: float = 0.02, sigma_max: float = 80.0) -> np.ndarray:
    """The same for the cosine schedule, alpha = cos(angle) (Nichol & Dhariwal 2021)."""
    if num_steps < 1 or not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"Need num_steps >= 1 and 0 < sigma_min < sigma_max, got {num_steps}, "
            f"{sigma_min}, {sigma_max}."
        )
    angles = np.linspace(np.arctan(sigma_max), np.arctan(sigma_min), num_steps)
    return np.append(np.tan(angles), 0.0)


def noise_levels(sigmas: np.ndarray) -> NoiseLevel:
    """Table (S,) of the steps between decreasing ratios, NumPy float32.

    Args:
        sigmas: (S + 1,), strictly decreasing, e.g. from `karras_sigmas`.

    Raises:
        ValueError: If the ratios do not decrease.
    """
    sigmas = np.asarray(sigmas, np.float64)
    if np.any(np.diff(sigmas) >= 0) or sigmas[-1] < 0:
        raise ValueError("Noise levels must decrease strictly and end at 0 or above.")
    alpha = 1.0 / np.sqrt(1.0 + sigmas**2)
    sigma = sigmas * alpha
    columns: tuple[Any, ...] = (np.log(sigmas[:-1]), alpha[:-1], sigma[:-1], alpha[1:], sigma[1:])
    return NoiseLevel(*(column.astype(np.float32) for column in columns))

"""From the numbers in a capture's grey and colour maps to this project's quantities."""

import pathlib

import numpy as np

from data_pipeline.captures.facts import Facts
from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import F0_AT_SPECULAR_ONE, SKIN_SPECULAR_ALBEDO

_LEAST_ROUGHNESS = 0.05


def linear_from_code(values: np.ndarray, encoding: str) -> np.ndarray:
    """Linear values in [0, 1] of stored ones.

    Args:
        values: Any shape, float.
        encoding: "linear", "srgb" (IEC 61966-2-1) or "gamma2.2".
    """
    values = np.clip(values, 0.0, 1.0)
    if encoding == "gamma2.2":
        return values**2.2
    if encoding == "srgb":
        return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return values


def specular_albedo(
    path: pathlib.Path, linear: np.ndarray, known: np.ndarray, facts: Facts
) -> np.ndarray:
    """Specular albedo (R, R, 1), see `core.uv_layout`.

    Args:
        path: Of the map, for the message.
        linear: (R, R, 1).
        known: (R, R) bool.
        facts: "albedo" holds our quantity, "f0" the reflectance at normal incidence; of
            "relative" intensities the median becomes that of skin.

    Raises:
        InputError: If a relative map is black.
    """
    if facts.specular_meaning == "f0":
        linear = linear / F0_AT_SPECULAR_ONE
    if facts.specular_meaning == "relative":
        median = float(np.median(linear[known]))
        if median < 1e-3:
            raise InputError(f"{path} is black on half of the face; give a map with values.")
        linear = linear * (SKIN_SPECULAR_ALBEDO / median)
    return np.clip(linear, 0.0, 1.0)


def roughness(linear: np.ndarray, meaning: str) -> np.ndarray:
    """Perceptual roughness, whose square is the alpha of GGX, of a stored quantity.

    Args:
        linear: Any shape.
        meaning: "roughness", "alpha", "alpha_squared" (redner) or "glossiness" (1 - roughness).
    """
    if meaning == "glossiness":
        linear = 1 - linear
    power = {"alpha": 0.5, "alpha_squared": 0.25}.get(meaning, 1.0)
    return np.clip(linear**power, _LEAST_ROUGHNESS, 1.0)

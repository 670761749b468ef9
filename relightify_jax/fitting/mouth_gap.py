"""Teeth and the dark of an open mouth, where the fitted lips lie over them.

Lips are redder than the skin around them and not much darker. What touches the fitted
opening of the mouth and is far darker than that skin, or brighter and yet less red, is
behind the lips.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from relightify_jax.fitting.occluders import split_color

_NEAR, _AROUND = 0.009, 0.030  # Metres from the rim of the lips: what may be wrong, its skin.
_MIN_SKIN = 32  # Texels.


class MouthConfig(NamedTuple):
    """Thresholds of `find_gap`, in natural log units of albedo against the skin around."""

    dark: float = 0.85
    bright: float = 0.1
    pale: float = 0.24  # Red over green.
    border: int = 1  # Texels not believed beside it.


def find_gap(
    color: np.ndarray,
    visible: np.ndarray,
    feature: np.ndarray,
    lips: np.ndarray,
    config: MouthConfig,
) -> np.ndarray:
    """Texels near the lips that show what is behind them.

    Args:
        color: (r, r, 3) log albedo.
        visible: (r, r) bool, False where the mouth is open.
        feature: (r, r) bool, lips among others.
        lips: (r, r) metres to the inner rim of the lips.
        config: Thresholds.

    Returns:
        (r, r) bool.
    """
    near = lips < _NEAR
    around = visible & ~feature & ~near & (lips < _AROUND)
    if np.count_nonzero(around) < _MIN_SKIN:
        return np.zeros_like(visible)
    luminance, chroma = split_color(color - np.median(color[around], axis=0))
    strange = (luminance < -config.dark) | (
        (luminance > config.bright) & (chroma[..., 0] < -config.pale)
    )
    opening = ndimage.binary_dilation(near & ~visible, iterations=2) & near
    gap = ndimage.binary_propagation(opening & strange & visible, mask=strange & near & visible)
    return ndimage.binary_dilation(gap, iterations=config.border) & visible

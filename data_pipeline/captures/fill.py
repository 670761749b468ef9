"""Continues maps smoothly over texels that a capture does not know."""

import numpy as np
from scipy import ndimage

_SMOOTHING = 40  # Relaxations per level, which take the blocks out of the pyramid.


def fill_unknown(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fills a map from coarser and coarser averages, then relaxes toward a harmonic one.

    Gortler et al. 1996, "The Lumigraph", section 3.4.

    Args:
        values: (H, W, C); ignored where unknown.
        known: (H, W) bool.

    Returns:
        (H, W, C) float32, `values` where known. Zero if nothing is known.
    """
    values = np.where(known[..., None], values, 0.0).astype(np.float32)
    if known.all():
        return values
    return _fill(values, known.astype(np.float32)[..., None])


def _fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    height, width, _ = values.shape
    if min(height, width) <= 2:
        mean = (values * known).sum((0, 1)) / max(known.sum(), 1e-6)
        return known * values + (1 - known) * mean
    pad = ((0, height % 2), (0, width % 2), (0, 0))
    weight = _halve(np.pad(known, pad))
    coarse = _halve(np.pad(values * known, pad)) / np.maximum(weight, 1e-6)
    coarse = _fill(coarse, (weight > 0).astype(np.float32))
    filled = known * values + (1 - known) * _double(coarse)[:height, :width]
    unknown = np.broadcast_to(known == 0, filled.shape)
    for _ in range(_SMOOTHING if height <= 128 else 8):
        filled = np.where(unknown, ndimage.convolve(filled, _CROSS, mode="nearest"), filled)
    return filled


_CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)[..., None] / 4


def _halve(image: np.ndarray) -> np.ndarray:
    height, width, channels = image.shape
    return image.reshape(height // 2, 2, width // 2, 2, channels).mean(axis=(1, 3))


def _double(image: np.ndarray) -> np.ndarray:
    """Bilinear at twice the size, texel centres at +0.5."""
    for axis in (0, 1):
        before = np.concatenate([image.take([0], axis), image.take(range(image.shape[axis] - 1),
                                                                   axis)], axis)  # fmt: skip
        after = np.concatenate([image.take(range(1, image.shape[axis]), axis),
                                image.take([-1], axis)], axis)  # fmt: skip
        pair = np.stack([0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after], axis + 1)
        shape = list(image.shape)
        shape[axis] *= 2
        image = pair.reshape(shape)
    return image

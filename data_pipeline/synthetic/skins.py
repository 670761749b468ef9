"""Structure borrowed from a folder of painted skins, as deviations of melanin and blood.

Only where a skin is darker or redder than its own tone, and more so than the other skins
are there, is kept; the tone itself comes from the sampled person, so every skin serves
light and dark people alike.
"""

import os
import pathlib

import jax.numpy as jnp
import numpy as np
from PIL import Image

from relightify_jax.core.errors import InputError
from relightify_jax.skin.noise import blur_map
from relightify_jax.skin.optics import albedo_from_chromophores

# The deviations are read in the neighbourhood of this skin.
_LOG_MELANIN, _LOG_BLOOD = -2.8, -3.7
_TONE_BLUR = 0.10  # Of the map's side: what is broader is tone, not structure.
_LIMITS = (0.7, 0.9)  # Largest deviation of log melanin and of log blood.


def no_skins(size: int) -> np.ndarray:
    """Stands in for `load_skins` where there is no folder: (1, R, R, 2) zeros."""
    return np.zeros((1, size, size, 2), np.float32)


def load_skins(folder: str | os.PathLike[str], size: int, covered: np.ndarray) -> np.ndarray:
    """Reads every square sRGB .png of a folder that is laid out in the canonical UV tile.

    Args:
        folder: The folder; files whose name starts with "mask" are skipped.
        size: Texels per side R of the result.
        covered: (R, R) bool, True where the layout carries skin.

    Returns:
        (N, R, R, 2) float32 deviations of log melanin and log blood.

    Raises:
        InputError: If the folder holds no such file.
    """
    paths = sorted(pathlib.Path(folder).glob("*.png"))
    paths = [path for path in paths if not path.name.startswith("mask")]
    if not paths:
        raise InputError(f"{folder} holds no .png skins; give another skins_dir or leave it empty.")
    skins = np.stack([_read_deviation(path, size, covered) for path in paths])
    # What all skins share (painted shadows under brows, nose and cheeks) is no skin's own,
    # and every face would carry it.
    common = np.mean(skins, axis=0)
    return skins - (common + common[:, ::-1]) / 2


def _read_deviation(path: pathlib.Path, size: int, covered: np.ndarray) -> np.ndarray:
    with Image.open(path) as image:
        if image.width != image.height:
            raise InputError(f"{path} is {image.width}x{image.height}; a skin must be square.")
        srgb = np.asarray(image.convert("RGB"), np.float32) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    known = (linear.max(-1, keepdims=True) > 2e-3).astype(np.float32)
    stack = np.concatenate([linear * known, known], -1)
    resized = np.stack([_resize(stack[..., c], size) for c in range(4)], -1)
    known = (resized[..., 3:] > 0.6) & covered[..., None]
    log_rgb = np.log(np.maximum(resized[..., :3] / np.maximum(resized[..., 3:], 1e-3), 2e-3))

    weight = known.astype(np.float32)
    weighted = jnp.asarray(np.concatenate([log_rgb * weight, weight], -1))
    blurred = np.asarray(blur_map(weighted, _TONE_BLUR * size))
    tone = blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-3)
    deviation = (log_rgb - tone) @ np.linalg.pinv(_jacobian()).T
    deviation = np.stack(
        [lim * np.tanh(deviation[..., i] / lim) for i, lim in enumerate(_LIMITS)], -1
    )
    return np.where(known, deviation, 0).astype(np.float32)


def _resize(channel: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(channel).resize((size, size), Image.Resampling.BOX))


def _jacobian() -> np.ndarray:
    """Derivative (3, 2) of log albedo by log melanin and log blood."""

    def log_albedo(melanin: float, blood: float) -> np.ndarray:
        return np.log(np.asarray(albedo_from_chromophores(np.exp(melanin), np.exp(blood))))

    step = 0.1
    center = log_albedo(_LOG_MELANIN, _LOG_BLOOD)
    columns = [
        log_albedo(_LOG_MELANIN + step, _LOG_BLOOD) - center,
        log_albedo(_LOG_MELANIN, _LOG_BLOOD + step) - center,
    ]
    return np.stack(columns, -1) / step

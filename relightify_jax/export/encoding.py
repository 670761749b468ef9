"""Float images as bytes of 8-bit pictures, for files that hold pictures inside."""

import io
from typing import Any

import numpy as np
from PIL import Image

from relightify_jax.core.photo import srgb_bytes_from_linear


def quantize(values: np.ndarray, *, srgb: bool) -> np.ndarray:
    """Rounds an image (H, W, C) in [0, 1] to uint8; `srgb` encodes linear RGB first."""
    if srgb:
        return srgb_bytes_from_linear(values)
    return np.rint(np.clip(np.asarray(values, np.float32), 0.0, 1.0) * 255).astype(np.uint8)


def png_bytes(pixels: np.ndarray) -> bytes:
    """PNG of uint8 pixels (H, W, C) with 1 (grey), 3 (RGB) or 4 (RGBA) channels."""
    return _encode(pixels, format="PNG")


def webp_bytes(pixels: np.ndarray, quality: int = 90) -> bytes:
    """Lossy WebP of uint8 pixels (H, W, C): a tenth of the PNG, for pictures to look at."""
    return _encode(pixels, format="WEBP", quality=quality)


def _encode(pixels: np.ndarray, **options: Any) -> bytes:
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, **options)
    return buffer.getvalue()

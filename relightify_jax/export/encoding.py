"""Float images as 8-bit PNG bytes, for containers that hold images inside."""

import io

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
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()

"""Square cut-outs of a photo at a fixed size, so that one compiled network serves any photo."""

import numpy as np
from PIL import Image


def cut_square(
    pixels: np.ndarray, left: int, top: int, side: int, size: int, *, repeat_border: bool
) -> np.ndarray:
    """Cuts a square and scales it, antialiased.

    Args:
        pixels: (H, W, 3) uint8.
        left: Column of the square's left edge; the square may leave the photo.
        top: Row of its upper edge.
        side: Its side in photo pixels.
        size: Pixels per side of the result.
        repeat_border: Outside the photo, repeat its border; otherwise black.

    Returns:
        (size, size, 3) uint8. Photo pixel x lands on (x - left) * size / side, both
        with pixel centres at +0.5.
    """
    height, width = pixels.shape[:2]
    x0, x1 = np.clip((left, left + side), 0, width)
    y0, y1 = np.clip((top, top + side), 0, height)
    if x0 == x1 or y0 == y1:  # Nothing of the photo to repeat.
        return np.zeros((size, size, 3), np.uint8)
    margins = ((y0 - top, top + side - y1), (x0 - left, left + side - x1), (0, 0))
    square = np.pad(pixels[y0:y1, x0:x1], margins, mode="edge" if repeat_border else "constant")
    return np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.BILINEAR))

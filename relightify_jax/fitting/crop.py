"""Square crops of fixed size, cut from photographs of any size on the host.

Everything compiled works on such a crop, so that no photograph compiles anything anew.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from relightify_jax.geometry.camera import Camera, scale_image, shift_image


class Crop(NamedTuple):
    """A square window of a photograph, resized."""

    origin: np.ndarray  # (2,) photo px of the window's top left corner, x y.
    scale: float  # Crop px per photo px.
    size: int  # Crop px per side.


def crop_around(points: np.ndarray, margin: float, size: int) -> Crop:
    """The window centred on `points` (N, 2) with `margin` times the larger side of their box."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(float((high - low).max()) * margin, 1.0)
    return Crop(((low + high - side) / 2).astype(np.float64), size / side, size)


def to_crop(crop: Crop, points: np.ndarray) -> np.ndarray:
    """Photo px (..., 2) to crop px."""
    return (points - crop.origin) * crop.scale


def camera_in_crop(camera: Camera, crop: Crop) -> Camera:
    """The photograph's camera as that of the crop."""
    return scale_image(shift_image(camera, jnp.asarray(-crop.origin, jnp.float32)), crop.scale)


def camera_in_photo(camera: Camera, crop: Crop) -> Camera:
    """The crop's camera as that of the photograph."""
    camera = scale_image(camera, 1.0 / crop.scale)
    return shift_image(camera, jnp.asarray(crop.origin, jnp.float32))


def cut_image(image: np.ndarray, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """Cuts and resizes the window.

    Shrinking is preceded by a Gaussian of the footprint of a crop pixel, enlarging uses
    cubic splines; the photograph's border colour continues beyond it.

    Args:
        image: (H, W, C), linear.
        crop: The window, which may reach over the border.

    Returns:
        (S, S, C) float32 in the image's range, and (S, S) bool: the pixel's centre lies
        inside the photograph.
    """
    height, width, channels = image.shape
    step = 1.0 / crop.scale
    pad = int(np.ceil(3 * step)) + 4
    low = np.floor(crop.origin).astype(int) - pad
    high = np.ceil(crop.origin + crop.size * step).astype(int) + pad
    x0, y0 = np.clip(low, 0, [width - 1, height - 1])
    x1, y1 = np.clip(high, [x0 + 1, y0 + 1], [width, height])
    window = np.asarray(image[y0:y1, x0:x1], np.float32)
    # A Gaussian of 0.4 px, which a photograph has anyway, grows with the footprint.
    sigma = 0.4 * np.sqrt(max(step**2 - 1.0, 0.0))
    start = crop.origin - [x0, y0] + 0.5 * step - 0.5
    result = np.empty((crop.size, crop.size, channels), np.float32)
    for channel in range(channels):
        plane = window[..., channel]
        if sigma > 0:
            plane = ndimage.gaussian_filter(plane, sigma, mode="nearest", truncate=3.0)
        result[..., channel] = ndimage.affine_transform(
            plane,
            (step, step),
            offset=(start[1], start[0]),
            output_shape=(crop.size, crop.size),
            order=1 if step > 1 else 3,
            mode="nearest",
        )
    result = np.clip(result, window.min(), window.max())  # Splines overshoot.
    centers = (np.arange(crop.size) + 0.5) * step
    inside_x = (centers + crop.origin[0] > 0) & (centers + crop.origin[0] < width)
    inside_y = (centers + crop.origin[1] > 0) & (centers + crop.origin[1] < height)
    return result, inside_y[:, None] & inside_x

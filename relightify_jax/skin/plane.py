"""Geometry of the flattened face on the host, in millimetres: what region builders share."""

import numpy as np
from scipy import ndimage

from relightify_jax.skin.noise import MILLIMETRES_PER_UV

COARSE = 256  # Texels per side at which smooth maps are built before they are enlarged.


def landmarks_in_millimetres(landmark_uv: np.ndarray) -> np.ndarray:
    """(468, 2) FaceMesh landmarks in the canonical UV layout, from [0, 1] to mm.

    Raises:
        ValueError: If there are not 468 landmarks.
    """
    landmarks = np.asarray(landmark_uv, np.float64)
    if landmarks.shape != (468, 2):
        raise ValueError(f"Expected landmarks (468, 2), got {landmarks.shape}.")
    return landmarks * MILLIMETRES_PER_UV


def texel_grid(size: int) -> np.ndarray:
    """Texel centres (R, R, 2) in mm, x right, y down."""
    axis = (np.arange(size) + 0.5) / size * MILLIMETRES_PER_UV
    return np.stack(np.meshgrid(axis, axis), -1)


def enlarge(images: np.ndarray, size: int) -> np.ndarray:
    """Square maps (..., r, r) at a size R >= r: (..., R, R), local and smooth (Catmull-Rom)."""
    coarse = images.shape[-1]
    if coarse == size:
        return images
    at = (np.arange(size) + 0.5) * coarse / size - 0.5
    x = np.abs(at[:, None] - np.arange(coarse))
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    weights /= weights.sum(1, keepdims=True)
    return weights @ images @ weights.T


def segment_distance(points: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Distance (...,) of points (..., 2) to an open polyline (N, 2)."""
    best = np.full(points.shape[:-1], np.inf)
    x, y = points[..., 0], points[..., 1]
    for (x0, y0), (x1, y1) in zip(curve[:-1], curve[1:], strict=True):
        ex, ey = x1 - x0, y1 - y0
        t = np.clip(((x - x0) * ex + (y - y0) * ey) / max(ex * ex + ey * ey, 1e-12), 0, 1)
        best = np.minimum(best, (x - x0 - t * ex) ** 2 + (y - y0 - t * ey) ** 2)
    return np.sqrt(best)


def polygon_distance(points: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Signed distance (...,) of points (..., 2) to a polygon (N, 2), positive inside."""
    closed = np.concatenate([ring, ring[:1]])
    inside = np.zeros(points.shape[:-1], bool)
    x, y = points[..., 0], points[..., 1]
    for (x0, y0), (x1, y1) in zip(closed[:-1], closed[1:], strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)  # Even-odd rule.
        inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return np.where(inside, 1.0, -1.0) * segment_distance(points, closed)


def rounded(distance: np.ndarray, radius: float) -> np.ndarray:
    """Rounds the corners of a distance map off, over about `radius` mm."""
    texels = radius / MILLIMETRES_PER_UV * distance.shape[0]
    return ndimage.gaussian_filter(distance, texels, mode="nearest")


def step(x: np.ndarray, width: float) -> np.ndarray:
    """Logistic ramp from 0 to 1 around x = 0 over about +-2 `width`."""
    return 0.5 * (1 + np.tanh(np.asarray(x) / width))

"""The rasterizer's rules in the plainest form: one loop over triangles, int64 and float64.

Slow; it defines what `rasterize` must return, pixel for pixel.
"""

import numpy as np

from relightify_jax.rendering.fixed_point import GUARD_PIXELS

_SUBPIXEL = 64


def rasterize_reference(
    xy: np.ndarray,
    depth: np.ndarray,
    faces: np.ndarray,
    *,
    height: int,
    width: int,
    cull: str = "none",
    near: float = 1e-3,
) -> tuple[np.ndarray, np.ndarray]:
    """Same arguments and rules as `rasterize.rasterize`.

    Returns:
        Triangle (H, W) int32, -1 where there is none, and inverse depth (H, W) float64.
    """
    xy, depth = np.asarray(xy, np.float32), np.asarray(depth, np.float32)
    with np.errstate(invalid="ignore"):
        usable = (np.abs(xy - np.array([width / 2, height / 2], np.float32)) < GUARD_PIXELS).all(-1)
        usable &= np.isfinite(depth) & (depth > near)
    snapped = np.round(np.where(usable[:, None], xy, 0) * np.float32(_SUBPIXEL)).astype(np.int64)
    inverse = 1.0 / np.where(usable, depth, 1).astype(np.float64)
    face = np.full((height, width), -1, np.int32)
    nearest = np.zeros((height, width))
    for index, triangle in enumerate(np.asarray(faces)):
        if usable[triangle].all():
            _draw_triangle(face, nearest, index, snapped[triangle], inverse[triangle], cull)
    return face, nearest


def _draw_triangle(face, nearest, index, corners, inverse, cull):
    """Draws one triangle into `face` and `nearest`, in place."""
    height, width = face.shape
    (x0, y0), (x1, y1), (x2, y2) = corners
    area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    # Counter-clockwise in space is front-facing and, with y down, of negative area.
    if area == 0 or (cull == "back" and area > 0) or (cull == "front" and area < 0):
        return
    if area < 0:
        corners, inverse, area = corners[[0, 2, 1]], inverse[[0, 2, 1]], -area
    half = _SUBPIXEL // 2
    columns = np.arange(
        max((corners[:, 0].min() - half) // _SUBPIXEL, 0),
        min((corners[:, 0].max() - half) // _SUBPIXEL, width - 1) + 1,
    )
    rows = np.arange(
        max((corners[:, 1].min() - half) // _SUBPIXEL, 0),
        min((corners[:, 1].max() - half) // _SUBPIXEL, height - 1) + 1,
    )
    if columns.size == 0 or rows.size == 0:
        return
    x, y = np.meshgrid(columns * _SUBPIXEL + half, rows * _SUBPIXEL + half)
    covered = np.ones(x.shape, bool)
    value = np.zeros(x.shape)
    for k in range(3):
        start, end = corners[(k + 1) % 3], corners[(k + 2) % 3]
        dx, dy = end - start
        side = dx * (y - start[1]) - dy * (x - start[0])
        is_top_left = dy < 0 or (dy == 0 and dx > 0)
        covered &= (side > 0) | ((side == 0) & is_top_left)
        value += side * inverse[k] / area
    window = np.ix_(rows, columns)
    wins = covered & (value > nearest[window])
    nearest[window] = np.where(wins, value, nearest[window])
    face[window] = np.where(wins, index, face[window])

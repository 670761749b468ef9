"""Regions of the face in the canonical UV layout, found from the FaceMesh landmarks.

Regions are kept as distances where their border varies between people (lips, hairline,
lids) and as smooth masks elsewhere. They are computed once, on the host, in NumPy.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from relightify_jax.core import facemesh
from relightify_jax.skin.noise import MILLIMETRES_PER_UV

# FaceMesh landmarks (468-point topology), the subject's right side first in UV (u < 0.5).
_LIPS = list(facemesh.LIPS_OUTER)
_MOUTH = [78, 80, 82, 13, 312, 310, 308, 403, 317, 15, 87, 179]
_EYES = facemesh.EYE_RIGHT, facemesh.EYE_LEFT  # Rings: nine upper, then the lower ones back.
_UPPER_LIDS = [list(ring[:9]) for ring in _EYES]
_LOWER_LIDS = [[ring[0], *ring[:7:-1]] for ring in _EYES]
_LID_CREASES = [[130, 247, 30, 29, 27, 28, 56, 190], [359, 467, 260, 259, 257, 258, 286, 414]]
_TEAR_TROUGHS = [[244, 233, 232, 231, 230, 229], [464, 453, 452, 451, 450, 449]]
_NASOLABIAL = [[129, 203, 206, 216, 212], [358, 423, 426, 436, 432]]
_BROWS = facemesh.BROW_RIGHT, facemesh.BROW_LEFT  # Rings: upper edge inwards, lower outwards.
_BROWS_UPPER = [list(ring[4::-1]) for ring in _BROWS]
_BROWS_LOWER = [list(ring[5:]) for ring in _BROWS]
_NOSE = [168, 188, 114, 217, 198, 131, 129, 98, 2, 327, 358, 360, 420, 437, 343, 412]
_OVAL_LOWER = [
    *(93, 132, 58, 172, 136, 150, 149, 176, 148, 152),
    *(377, 400, 378, 379, 365, 397, 288, 361, 323),
]
_BEARD_UPPER = [93, 147, 207, 216, 165, 98, 2, 327, 391, 436, 427, 376, 323]
_HAIRLINE = [103, 67, 109, 10, 338, 297, 332]
_TEMPLES = [[54, 21, 162, 127], [284, 251, 389, 356]]


class Regions(NamedTuple):
    """Maps (R, R) float32; `*_distance` in mm, positive inside, others in [0, 1]."""

    lip_distance: jax.Array  # To the vermilion border.
    mouth_distance: jax.Array  # To the line where the lips meet; positive behind it.
    eye_distance: jax.Array  # To the lid margin; positive in the opening.
    upper_lid: jax.Array  # mm from the upper lid margin.
    lower_lid: jax.Array  # mm from the lower lid margin.
    lid_crease: jax.Array  # mm from the fold of the upper lid.
    tear_trough: jax.Array  # mm from the fold under the eye.
    nasolabial: jax.Array  # mm from the fold between nose and mouth corner.
    corner: jax.Array  # mm from the nearest outer eye corner.
    corner_angle: jax.Array  # Radians around it, 0 = towards the ear, > 0 = below.
    brow_along: jax.Array  # 0 at the inner end of the brow, 1 at the outer one.
    brow_across: jax.Array  # mm above the brow's axis.
    scalp_distance: jax.Array  # To an average hairline, positive in the hair.
    sideburn_end: jax.Array  # mm below the average end of the sideburns.
    beard_distance: jax.Array  # To the border of the beard area.
    cheeks: jax.Array
    nose: jax.Array
    nose_tip: jax.Array
    forehead: jax.Array
    forehead_height: jax.Array  # 0 at the brows, 1 at the hairline.
    glabella: jax.Array
    periorbital: jax.Array
    tear_ducts: jax.Array
    chin: jax.Array
    moustache: jax.Array
    nostrils: jax.Array
    ears: jax.Array
    neck: jax.Array


def build_regions(landmark_uv: np.ndarray, size: int) -> Regions:
    """Computes the regions of a square map.

    Args:
        landmark_uv: (468, 2) FaceMesh landmarks of the neutral face in the canonical UV
            layout, u right, v down, in [0, 1].
        size: Texels per side R.

    Raises:
        ValueError: If there are not 468 landmarks.
    """
    lm = np.asarray(landmark_uv, np.float64)
    if lm.shape != (468, 2):
        raise ValueError(f"Expected landmarks (468, 2), got {lm.shape}.")
    lm = lm * MILLIMETRES_PER_UV
    axis = (np.arange(size) + 0.5) / size * MILLIMETRES_PER_UV
    grid = np.stack(np.meshgrid(axis, axis), -1)
    maps = _contours(lm, grid) | _brows(lm, grid) | _borders(lm, grid) | _masks(lm, grid)
    return Regions(**{name: jnp.asarray(value, jnp.float32) for name, value in maps.items()})


def _contours(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Distances to lips, lids and folds."""
    eyes = [
        _polygon_distance(grid, lm[upper + lower[-2:0:-1]])
        for upper, lower in zip(_UPPER_LIDS, _LOWER_LIDS, strict=True)
    ]
    corners = [grid - lm[33], grid - lm[263]]
    distances = [np.linalg.norm(offset, axis=-1) for offset in corners]
    is_left = grid[..., 0] > lm[168, 0]
    outward = np.where(is_left, corners[1][..., 0], -corners[0][..., 0])
    downward = np.where(is_left, corners[1][..., 1], corners[0][..., 1])
    return {
        "lip_distance": _polygon_distance(grid, _smooth_ring(lm[_LIPS])),
        "mouth_distance": _polygon_distance(grid, _smooth_ring(lm[_MOUTH])),
        "eye_distance": np.maximum(*eyes),
        "upper_lid": _nearest(grid, lm, _UPPER_LIDS),
        "lower_lid": _nearest(grid, lm, _LOWER_LIDS),
        "lid_crease": _nearest(grid, lm, _LID_CREASES),
        "tear_trough": _nearest(grid, lm, _TEAR_TROUGHS),
        "nasolabial": _nearest(grid, lm, _NASOLABIAL),
        "corner": np.minimum(*distances),
        "corner_angle": np.arctan2(downward, outward),
    }


def _brows(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Coordinates along and across either brow."""
    along, across = [], []
    for upper, lower in zip(_BROWS_UPPER, _BROWS_LOWER, strict=True):
        axis = (lm[upper] + lm[lower]) / 2
        # The landmarks carry noise; a parabola through them does not.
        curve = np.polynomial.Polynomial.fit(axis[:, 0], axis[:, 1], 2)
        inner, outer = axis[0, 0], axis[-1, 0]
        along.append((grid[..., 0] - inner) / (outer - inner))
        slope = curve.deriv()(grid[..., 0])
        across.append((curve(grid[..., 0]) - grid[..., 1]) / np.sqrt(1 + slope**2))
    is_left = grid[..., 0] > lm[168, 0]
    return {
        "brow_along": np.where(is_left, along[1], along[0]),
        "brow_across": np.where(is_left, across[1], across[0]),
    }


def _borders(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Distances to the hairline and to the border of the beard."""
    top = lm[_HAIRLINE] + [0.0, -11.0]
    right, left = (
        lm[ids] + [shift, -3.0] for ids, shift in zip(_TEMPLES, (1.0, -1.0), strict=True)
    )
    end = MILLIMETRES_PER_UV + 60.0
    ear_top = lm[[127, 356], 1].mean() + 15.0
    hairline = np.concatenate(
        [
            [[-60.0, -60.0], [-60.0, ear_top], [lm[127, 0] + 8.0, ear_top]],
            right[::-1],
            top,
            left,
            [[lm[356, 0] - 8.0, ear_top], [end, ear_top], [end, -60.0]],
        ]
    )
    bottom = lm[_OVAL_LOWER] + [0.0, 14.0]
    beard = np.concatenate([lm[_BEARD_UPPER], bottom[::-1]])
    return {
        "sideburn_end": grid[..., 1] - ear_top,
        "scalp_distance": _rounded(_polygon_distance(grid, hairline), 7.0),
        "beard_distance": _rounded(_polygon_distance(grid, beard), 6.0),
    }


def _masks(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Smooth masks around landmarks."""

    def near(
        ids: list[int], rx: float, ry: float, offset: tuple[float, float] = (0, 0)
    ) -> np.ndarray:
        """Largest of the Gaussians about the landmarks, radii in mm."""
        scaled = [(grid - lm[i] - offset) / [rx, ry] for i in ids]
        return np.max([np.exp(-0.5 * np.sum(d * d, -1)) for d in scaled], axis=0)

    x, y = grid[..., 0], grid[..., 1]
    brow_line, hairline = lm[9, 1], lm[10, 1] - 11.0
    height = (brow_line - y) / (brow_line - hairline)
    width = _step((lm[284, 0] - lm[54, 0]) / 2 - np.abs(x - lm[10, 0]), 9.0)
    eyes = [
        _polygon_distance(grid, lm[upper + lower[-2:0:-1]])
        for upper, lower in zip(_UPPER_LIDS, _LOWER_LIDS, strict=True)
    ]
    around = np.maximum(*eyes)
    upper = [[1e3, lm[323, 1]], [1e3, -1e3], [-1e3, -1e3], [-1e3, lm[93, 1]]]
    oval = _polygon_distance(grid, np.concatenate([lm[_OVAL_LOWER], upper]))
    side = np.minimum(x, MILLIMETRES_PER_UV - x)
    ears = _step(31.0 - side, 2.5) * _step(lm[58, 1] - y - 10, 4.0) * _step(y - lm[127, 1] + 2, 4.0)
    return {
        "cheeks": np.maximum(near([50, 280], 20, 17), 0.8 * near([205, 425], 17, 15)),
        "nose": _step(_polygon_distance(grid, _smooth_ring(lm[_NOSE])), 3.0),
        "nose_tip": np.maximum(near([4], 9, 9), 0.8 * near([129, 358], 6, 7)),
        "forehead": width * _step(height - 0.05, 0.08) * _step(1.25 - height, 0.1),
        "forehead_height": np.clip(height, -1, 2),
        "glabella": near([8], 8, 11, (0, -4)),
        "periorbital": np.exp(-np.maximum(-around, 0) / 8.0) * _step(y - lm[70, 1] + 2, 3.0),
        "tear_ducts": near([133, 362], 2.5, 2.0),
        "chin": near([199], 17, 13),
        "moustache": _step(lm[0, 1] - y + 4, 3.0) * near([164], 19, 8, (0, 4)),
        "nostrils": near([60, 290], 2.6, 2.2, (0, -2)),
        "ears": ears,
        "neck": _step(-oval - 6.0, 5.0),
    }


def _step(x: np.ndarray, width: float) -> np.ndarray:
    """Logistic ramp from 0 to 1 around x = 0 over about +-2 `width`."""
    return 0.5 * (1 + np.tanh(np.asarray(x) / width))


def _smooth_ring(points: np.ndarray, count: int = 96, harmonics: int = 6) -> np.ndarray:
    """Closed curve near `points` (N, 2): the first Fourier harmonics over arc length."""
    closed = np.concatenate([points, points[:1]])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0, length[-1], 4 * count, endpoint=False)
    dense = np.interp(at, length, closed[:, 0]) + 1j * np.interp(at, length, closed[:, 1])
    spectrum = np.fft.fft(dense)
    spectrum[harmonics + 1 : -harmonics] = 0
    smooth = np.fft.ifft(spectrum)[::4]
    return np.stack([smooth.real, smooth.imag], -1)


def _segment_distance(grid: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance of grid points to an open polyline (N, 2)."""
    best = np.full(grid.shape[:2], np.inf)
    for a, b in zip(points[:-1], points[1:], strict=True):
        edge = b - a
        t = np.clip((grid - a) @ edge / max(edge @ edge, 1e-12), 0, 1)
        best = np.minimum(best, np.linalg.norm(grid - a - t[..., None] * edge, axis=-1))
    return best


def _polygon_distance(grid: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Signed distance to a polygon, positive inside (even-odd rule)."""
    closed = np.concatenate([ring, ring[:1]])
    inside = np.zeros(grid.shape[:2], bool)
    x, y = grid[..., 0], grid[..., 1]
    for (x0, y0), (x1, y1) in zip(closed[:-1], closed[1:], strict=True):
        if y0 == y1:
            continue
        crosses = (y0 > y) != (y1 > y)
        inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return np.where(inside, 1.0, -1.0) * _segment_distance(grid, closed)


def _rounded(distance: np.ndarray, radius: float) -> np.ndarray:
    """Rounds the corners of a distance map off, over about `radius` mm."""
    texels = radius / MILLIMETRES_PER_UV * distance.shape[0]
    return ndimage.gaussian_filter(distance, texels, mode="nearest")


def _nearest(grid: np.ndarray, lm: np.ndarray, curves: list[list[int]]) -> np.ndarray:
    """Distance to the nearest of some landmark polylines."""
    return np.minimum.reduce([_segment_distance(grid, lm[ids]) for ids in curves])

"""Regions of the face in the canonical UV layout, found from the FaceMesh landmarks.

Regions are kept as distances where their border varies between people (lips, hairline,
lids) and as smooth masks elsewhere. They are computed once, on the host, in NumPy: on a
coarse grid, then interpolated; distances are exact again near the curves themselves.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import facemesh
from relightify_jax.skin.noise import MILLIMETRES_PER_UV
from relightify_jax.skin.plane import (
    COARSE,
    enlarge,
    landmarks_in_millimetres,
    polygon_distance,
    rounded,
    segment_distance,
    step,
    texel_grid,
)

# FaceMesh landmarks (468-point topology), the subject's right side first in UV (u < 0.5).
_LIPS = list(facemesh.LIPS_OUTER)
_MOUTH = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308]
_MOUTH += [324, 318, 402, 317, 14, 87, 178, 88, 95]
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
_TEMPLE_HOLLOWS = [[68, 71, 156, 143, 34, 162, 21, 54], [298, 301, 383, 372, 264, 389, 251, 284]]
_CHEEKS = [
    [117, 118, 119, 100, 142, 203, 206, 207, 187, 147, 123, 116],
    [346, 347, 348, 329, 371, 423, 426, 427, 411, 376, 352, 345],
]
_CHIN = [200, 201, 194, 211, 170, 140, 148, 152, 377, 369, 395, 431, 418, 421]
_PERIORAL = [164, 165, 92, 186, 57, 43, 106, 182, 83, 18]
_PERIORAL += [313, 406, 335, 273, 287, 410, 322, 391]
_WINGS = [[129, 102, 48, 64, 98], [358, 331, 278, 294, 327]]
_FOREHEAD_LOWER = [71, 70, 63, 105, 66, 107, 9, 336, 296, 334, 293, 300, 301]

_EXACT = 4.0  # mm around a curve in which its distance is computed at full size.


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
    across: jax.Array  # mm from the midline, positive on the subject's left.
    above_mouth: jax.Array  # mm above the line through the mouth corners.
    temple_arm: jax.Array  # mm from where the arm of a pair of glasses lies.
    temples: jax.Array
    perioral: jax.Array
    nose_wings: jax.Array  # The wings of the nose and the crease around them.


def build_regions(landmark_uv: np.ndarray, size: int) -> Regions:
    """Computes the regions of a square map.

    Args:
        landmark_uv: (468, 2) FaceMesh landmarks of the neutral face in the canonical UV
            layout, u right, v down, in [0, 1].
        size: Texels per side R.

    Raises:
        ValueError: If there are not 468 landmarks.
    """
    lm = landmarks_in_millimetres(landmark_uv)
    coarse = texel_grid(min(size, COARSE))
    smooth = _borders(lm, coarse) | _masks(lm, coarse)
    maps = {name: enlarge(value, size) for name, value in smooth.items()}
    for name in smooth.keys() - {"scalp_distance", "beard_distance", "forehead_height"}:
        maps[name] = np.clip(maps[name], 0.0, 1.0)
    maps |= _contours(lm, size) | _coordinates(lm, texel_grid(size))
    return Regions(**{name: jnp.asarray(maps[name], jnp.float32) for name in Regions._fields})


def _contours(lm: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Distances to lips, lids and folds."""

    def curve(*lines: list[int]) -> np.ndarray:
        return _near_exact(lambda points: _nearest(points, lm, lines), size)

    def ring(*rings: np.ndarray) -> np.ndarray:
        return _near_exact(
            lambda p: np.maximum.reduce([polygon_distance(p, r) for r in rings]), size
        )

    arms = [[226, 127], [446, 356]]
    return {
        "lip_distance": ring(_smooth_ring(lm[_LIPS])),
        "mouth_distance": ring(_smooth_ring(lm[_MOUTH])),
        "eye_distance": ring(*_eye_rings(lm)),
        "upper_lid": curve(*_UPPER_LIDS),
        "lower_lid": curve(*_LOWER_LIDS),
        "lid_crease": curve(*_LID_CREASES),
        "tear_trough": curve(*_TEAR_TROUGHS),
        "nasolabial": curve(*_NASOLABIAL),
        "temple_arm": curve(*arms),
    }


def _near_exact(distance, size: int) -> np.ndarray:
    """A distance map (R, R): interpolated, but computed at full size near its zero."""
    coarse = distance(texel_grid(min(size, COARSE)))
    out = enlarge(coarse, size)
    if size > COARSE:
        near = np.abs(out) < _EXACT
        out[near] = distance(texel_grid(size)[near])
    return out


def _coordinates(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Places along features: outer eye corners, brows, the midline, the mouth."""
    corners = [grid - lm[33], grid - lm[263]]
    is_left = grid[..., 0] > lm[168, 0]
    outward = np.where(is_left, corners[1][..., 0], -corners[0][..., 0])
    downward = np.where(is_left, corners[1][..., 1], corners[0][..., 1])
    along, across = [], []
    for upper, lower in zip(_BROWS_UPPER, _BROWS_LOWER, strict=True):
        axis = (lm[upper] + lm[lower]) / 2
        # The landmarks carry noise; a parabola through them does not.
        curve = np.polynomial.Polynomial.fit(axis[:, 0], axis[:, 1], 2)
        inner, outer = axis[0, 0], axis[-1, 0]
        along.append((grid[..., 0] - inner) / (outer - inner))
        slope = curve.deriv()(grid[..., 0])
        across.append((curve(grid[..., 0]) - grid[..., 1]) / np.sqrt(1 + slope**2))
    return {
        "corner": np.minimum(*(np.linalg.norm(offset, axis=-1) for offset in corners)),
        "corner_angle": np.arctan2(downward, outward),
        "brow_along": np.where(is_left, along[1], along[0]),
        "brow_across": np.where(is_left, across[1], across[0]),
        "across": grid[..., 0] - lm[[168, 4, 152], 0].mean(),
        "above_mouth": lm[[61, 291], 1].mean() - grid[..., 1],
        "sideburn_end": grid[..., 1] - _ear_top(lm),
    }


def _borders(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Distances to the hairline and to the border of the beard."""
    top = lm[_HAIRLINE] + [0.0, -11.0]
    right, left = (
        lm[ids] + [shift, -3.0] for ids, shift in zip(_TEMPLES, (1.0, -1.0), strict=True)
    )
    end, ear_top = MILLIMETRES_PER_UV + 60.0, _ear_top(lm)
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
        "scalp_distance": rounded(polygon_distance(grid, hairline), 7.0),
        "beard_distance": rounded(polygon_distance(grid, beard), 6.0),
    }


def _masks(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Smooth masks around landmarks."""

    def near(
        ids: list[int], rx: float, ry: float, offset: tuple[float, float] = (0, 0)
    ) -> np.ndarray:
        """Largest of the Gaussians about the landmarks, radii in mm."""
        scaled = [(grid - lm[i] - offset) / [rx, ry] for i in ids]
        return np.max([np.exp(-0.5 * np.sum(d * d, -1)) for d in scaled], axis=0)

    def within(rings: list[list[int]], grow: float, width: float) -> np.ndarray:
        """Inside smoothed landmark rings grown by some mm, with a soft border."""
        distance = [polygon_distance(grid, _smooth_ring(lm[ids])) for ids in rings]
        return step(rounded(np.maximum.reduce(distance), 0.7 * width) + grow, width)

    x, y = grid[..., 0], grid[..., 1]
    brow_line, hairline = lm[9, 1], lm[10, 1] - 11.0
    height = (brow_line - y) / (brow_line - hairline)
    top = np.concatenate(
        [lm[[251, 284, *_HAIRLINE[::-1], 54, 21]] + [0.0, -20.0], lm[_FOREHEAD_LOWER]]
    )
    upper = [[1e3, lm[323, 1]], [1e3, -1e3], [-1e3, -1e3], [-1e3, lm[93, 1]]]
    oval = polygon_distance(grid, np.concatenate([lm[_OVAL_LOWER], upper]))
    side = np.minimum(x, MILLIMETRES_PER_UV - x)
    middle = 0.5 * (lm[127, 1] + lm[58, 1]) - 5.0
    ears = 1 - np.hypot(np.maximum(side - 8, 0) / 23, (y - middle) / 42)
    return {
        "cheeks": within(_CHEEKS, 5.0, 10.0),
        "nose": within([_NOSE], 1.0, 5.0),
        "nose_tip": np.maximum(near([4], 9, 9), 0.8 * near([129, 358], 6, 7)),
        "forehead": step(rounded(polygon_distance(grid, top), 8.0) + 7.0, 11.0),
        "forehead_height": np.clip(height, -1, 2),
        "glabella": near([8], 8, 11, (0, -4)),
        "periorbital": _around_eyes(lm, grid),
        "tear_ducts": near([133, 362], 2.5, 2.0),
        "chin": np.sqrt(within([_CHIN], 4.0, 9.0) * near([199], 22, 15)),
        "moustache": step(lm[0, 1] - y + 4, 3.0) * near([164], 19, 8, (0, 4)),
        "nostrils": near([60, 290], 2.6, 2.2, (0, -2)),
        "ears": step(ears * 25, 3.0),
        "neck": step(-rounded(oval, 5.0) - 6.0, 10.0),
        "temples": within(_TEMPLE_HOLLOWS, -1.0, 7.0),
        "perioral": within([_PERIORAL], 3.0, 5.0),
        "nose_wings": np.maximum(
            near([ids[1] for ids in _WINGS], 5, 5), np.exp(-_nearest(grid, lm, _WINGS) / 3.0)
        ),
    }


def _around_eyes(lm: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """The eye sockets: farther down than up, farthest down at the inner corner."""
    outside = -rounded(np.maximum.reduce([polygon_distance(grid, r) for r in _eye_rings(lm)]), 2)
    below = step(grid[..., 1] - lm[[159, 386], 1].mean(), 3.0)
    inner = np.minimum(
        *(np.abs(grid[..., 0] - lm[i, 0] + shift) for i, shift in ((133, 4), (362, -4)))
    )
    reach = 7.0 + below * (2.5 + 4.5 * np.exp(-np.square(inner / 14.0)))
    under_brow = step(grid[..., 1] - lm[[52, 282], 1].mean() + 2, 4.0)
    return np.exp(-np.maximum(outside, 0) / reach) * under_brow


def _eye_rings(lm: np.ndarray) -> list[np.ndarray]:
    """Outlines of the eye openings."""
    lids = zip(_UPPER_LIDS, _LOWER_LIDS, strict=True)
    return [lm[upper + lower[-2:0:-1]] for upper, lower in lids]


def _ear_top(lm: np.ndarray) -> float:
    """Height in mm at which the sideburns of the average hairline end."""
    return float(lm[[127, 356], 1].mean()) + 15.0


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


def _nearest(points: np.ndarray, lm: np.ndarray, curves) -> np.ndarray:
    """Distance to the nearest of some landmark polylines."""
    return np.minimum.reduce([segment_distance(points, lm[ids]) for ids in curves])

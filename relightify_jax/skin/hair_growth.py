"""Where hair grows on a face and which way it lies, found from the FaceMesh landmarks.

Computed once, on the host, in NumPy. All fields are smooth, so that they can be warped
to the features of a person: borders are signed distances in millimetres of the canonical
map, directions are components (u right, v down) that need not be of unit length.
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
    step,
    texel_grid,
)

# The fields vary over centimetres: they are computed on at most this many texels per side
# and interpolated to larger maps.


class HairGrowth(NamedTuple):
    """Maps (R, R) float32; distances are in mm, positive where hair grows."""

    outward: jax.Array  # mm from the middle of the face, negative on the subject's right.
    brow_u: jax.Array  # Along the axis of the brow, towards its tail.
    brow_v: jax.Array
    lash_u: jax.Array  # Away from the opening of the eye.
    lash_v: jax.Array
    beard_u: jax.Array  # Down; outwards on the upper lip, to the chin on the jaws.
    beard_v: jax.Array
    scalp_u: jax.Array  # Back from the hairline: up, at the temples sideways and down.
    scalp_v: jax.Array
    hairline: jax.Array  # To an average hairline, with temple points and sideburns.
    widows_peak: jax.Array  # 1 in the middle of the hairline, falling to 0 around it.
    temples: jax.Array  # 1 in the recesses above the temples, where hair goes first.
    sideburn: jax.Array  # mm below the top of the ears.
    cheek_line: jax.Array  # Below the upper border of the beard.
    neck_line: jax.Array  # Above its lower border, on the underside of the jaw.
    moustache: jax.Array  # Inside the moustache.
    goatee: jax.Array  # Inside a beard of the chin.
    soul_patch: jax.Array  # 1 below the middle of the lower lip, falling to 0.
    bare_patch: jax.Array  # 1 at either side of the soul patch, where little grows.


def build_hair_growth(landmark_uv: np.ndarray, size: int) -> HairGrowth:
    """Computes the growth of hair on a square map.

    Args:
        landmark_uv: (468, 2) FaceMesh landmarks of the neutral face in the canonical UV
            layout, u right, v down, in [0, 1].
        size: Texels per side R.

    Raises:
        ValueError: If there are not 468 landmarks.
    """
    # Borders are given for the right side of the face; the left one mirrors them.
    landmarks = _symmetric(landmarks_in_millimetres(landmark_uv))
    grid = texel_grid(min(size, COARSE))
    maps = _directions(landmarks, grid) | _scalp(landmarks, grid) | _beard(landmarks, grid)
    return HairGrowth(
        **{name: jnp.asarray(enlarge(maps[name], size), jnp.float32) for name in HairGrowth._fields}
    )


def _symmetric(landmarks: np.ndarray) -> np.ndarray:
    """The mean of the landmarks and of their mirror image."""
    mirrored = landmarks[list(facemesh.MIRROR)]
    return (landmarks + np.stack([MILLIMETRES_PER_UV - mirrored[:, 0], mirrored[:, 1]], -1)) / 2


def _directions(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Directions of brows, lashes, beard and scalp hair."""
    x, y = grid[..., 0], grid[..., 1]
    outward = x - lm[168, 0]
    side = np.tanh(outward / 2.0)
    # The axis of the brow: a parabola, because landmarks carry noise.
    ring = list(facemesh.BROW_RIGHT)
    points = (lm[ring[4::-1]] + lm[ring[5:]]) / 2
    slope = np.polynomial.Polynomial.fit(points[:, 0], points[:, 1], 2).deriv()
    tangent = -slope(lm[168, 0] - np.abs(outward))
    centers = lm[[159, 145]].mean(0), lm[[386, 374]].mean(0)
    right, left = ((grid - center) / [14.0, 6.0] for center in centers)
    lid = np.where((outward < 0)[..., None], right, left)
    # On the upper lip hair parts at the philtrum; on the jaws it leans to the chin.
    lip = np.exp(-np.square((y - lm[164, 1]) / 11.0) - np.square(outward / 38.0))
    jaw = step(y - lm[61, 1], 12.0) * step(np.abs(outward) - 35.0, 12.0)
    neck = step(y - lm[152, 1] - 28.0, 8.0)
    # Over the forehead hair grows up and back, from the temples back, then down.
    low = step(y - lm[21, 1], 16.0) * step(np.abs(outward) - 80.0, 10.0)
    return {
        "outward": outward,
        "brow_u": side / np.sqrt(1 + tangent**2),
        "brow_v": tangent / np.sqrt(1 + tangent**2),
        "lash_u": lid[..., 0] * 0.8,
        "lash_v": lid[..., 1],
        "beard_u": side * lip * 0.9 * np.tanh(np.abs(outward) / 9.0) - 0.35 * side * jaw
        + 0.25 * neck * side,
        "beard_v": 1.0 - 0.45 * lip - 0.15 * jaw - 0.9 * neck,
        "scalp_u": outward / 130.0 + 0.5 * side * low,
        "scalp_v": -1.0 + 1.7 * low,
    }  # fmt: skip


def _scalp(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """The hairline and what varies about it."""
    middle = lm[168, 0]
    y = grid[..., 1]
    ear_top = lm[127, 1] + 4.0
    right = [
        *(lm[10] + [0.0, -11.0], lm[109] + [0.0, -12.0], lm[67] + [0.0, -12.5]),
        *(lm[103] + [-1.0, -9.0], lm[54] + [-2.0, -5.0], lm[21] + [6.0, -5.0]),
        *(lm[162] + [7.5, -4.0], lm[162] + [11.0, 8.0], lm[127] + [12.0, 3.0]),
        *(lm[234] + [4.0, 8.0], lm[93] + [5.0, -2.0], lm[93] + [-9.0, 4.0]),
        *(lm[127] + [-2.0, 12.0], [-60.0, ear_top + 12.0], [-60.0, -60.0]),
    ]  # fmt: skip
    ring = np.array(right)
    left = np.stack([2 * middle - ring[::-1, 0], ring[::-1, 1]], -1)
    hairline = polygon_distance(grid, np.concatenate([ring, left]))
    top = lm[10] + [0.0, -11.0]
    recess = lm[54] + [9.0, -6.0]
    other = np.array([2 * middle - recess[0], recess[1]])
    return {
        "hairline": rounded(hairline, 13.0),
        "widows_peak": _bump(grid, top, (10.0, 22.0)),
        "temples": _bump(grid, recess, (21.0, 22.0)) + _bump(grid, other, (21.0, 22.0)),
        "sideburn": y - ear_top,
    }


def _beard(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Borders of the beard and of its parts."""
    middle = lm[168, 0]
    far = 60.0

    def whole(right: list[np.ndarray], closing: list[list[float]] | None = None) -> np.ndarray:
        """Ring from the right side's points (outside in), mirrored; `closing` points."""
        points = np.array(right)
        mirrored = np.stack([2 * middle - points[::-1, 0], points[::-1, 1]], -1)
        return np.concatenate([points, mirrored, *([np.array(closing)] if closing else [])])

    end, bottom = MILLIMETRES_PER_UV + far, MILLIMETRES_PER_UV + far
    cheek = whole(
        [
            *(np.array([-far, lm[234, 1]]), lm[234] + [0.0, 4.0], lm[93] + [14.0, -2.0]),
            *(lm[147] + [0.0, 0.0], lm[207] + [-2.0, -1.0], lm[216] + [-2.0, -3.5]),
            *(lm[165] + [-3.0, -1.0], lm[98] + [1.0, 0.5], lm[2] + [0.0, 1.5]),
        ],
        [[end, bottom], [-far, bottom]],
    )  # fmt: skip
    jaw = [lm[i] for i in (132, 58, 172, 136, 150, 149, 176, 148, 152)]
    under = [point + [0.0, 24.0] for point in jaw[1:]]
    neck = whole(
        [np.array([-far, lm[132, 1]]), lm[132] + [-16.0, 6.0], *under], [[end, -far], [-far, -far]]
    )
    moustache = whole(
        [
            *(lm[57] + [-2.0, 4.0], lm[216] + [3.0, 5.0], lm[92] + [0.0, -3.0]),
            *(lm[165] + [0.0, -1.0], lm[98] + [0.0, 1.0], lm[2] + [0.0, 2.0]),
        ],
        [(lm[i] + [0, 3.0]).tolist() for i in (291, 270, 267, 0, 37, 40, 61)],
    )  # fmt: skip
    goatee = whole(
        [
            *(lm[57] + [-3.0, -2.0], lm[43] + [-3.5, 0.0], lm[204] + [0.0, -2.0]),
            *(lm[194] + [-6.0, 3.0], lm[32] + [6.0, 6.0], lm[148] + [0.0, 2.0]),
            lm[152] + [0.0, 6.0],
        ],
        [(lm[i] - [0, 2.0]).tolist() for i in (291, 405, 17, 181, 61)],
    )
    pocket = lm[[83, 313]].mean(0) + [-14.0, 3.0]
    other = np.array([2 * middle - pocket[0], pocket[1]])
    return {
        "cheek_line": rounded(polygon_distance(grid, cheek), 5.0),
        "neck_line": rounded(polygon_distance(grid, neck), 6.0),
        "moustache": rounded(polygon_distance(grid, moustache), 1.5),
        "goatee": rounded(polygon_distance(grid, goatee), 6.0),
        "soul_patch": _bump(grid, lm[18] + [0.0, 0.5], (5.0, 5.0)),
        "bare_patch": _bump(grid, pocket, (9.0, 4.5)) + _bump(grid, other, (9.0, 4.5)),
    }


def _bump(grid: np.ndarray, center: np.ndarray, radii: tuple[float, float]) -> np.ndarray:
    """Gaussian of peak 1, radii (x, y) in mm."""
    return np.exp(-0.5 * np.sum(np.square((grid - center) / np.array(radii)), -1))

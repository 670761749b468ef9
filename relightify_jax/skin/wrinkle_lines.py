"""Where skin folds: coordinates along and across the expression lines of a face.

Skin wrinkles across the muscle that gathers it: the forehead along the brows, the glabella
upright, the outer corner of the eye in a fan, lids around the eye, lips across the mouth,
the neck in rings. Each family of lines has coordinates that number its lines and run along
them; families that do not touch share a layer of maps. The single folds (beside the nose
and the mouth, over the chin, of the lids) are signed distances. All of it is computed once,
on the host, in NumPy.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import interpolate, ndimage, spatial

from relightify_jax.core import facemesh
from relightify_jax.skin.plane import COARSE, enlarge, landmarks_in_millimetres, texel_grid

# The lines are smooth: they are found on a map of this size and interpolated to others.
_MIDDLE_ROW = 24.0  # Rows are numbered from 0; the middle of a family is about here.
NUM_ROWS = 48
NUM_STEPS = 512  # Of `along`, over all families of a layer.

# Points of the right side; the left side is their mirror image.
_BROW = (70, 63, 105, 66, 107, 9)
_NASOLABIAL = (129, 203, 206, 216)
_UPPER_LID = facemesh.EYE_RIGHT[:9]
_LOWER_LID = (facemesh.EYE_RIGHT[0], *facemesh.EYE_RIGHT[:7:-1])
_LID_FOLD = (247, 30, 29, 27, 28, 56)
_BAG = (244, 233, 232, 231, 230, 229, 228)


class LineFamily(NamedTuple):
    """The place of a family in the coordinate `along` of its layer."""

    layer: int
    begin: int
    end: int


FAMILIES = {
    "forehead": LineFamily(0, 0, 140),
    "crow_right": LineFamily(0, 140, 190),
    "crow_left": LineFamily(0, 190, 240),
    "neck": LineFamily(0, 240, 400),
    "upper_lip": LineFamily(0, 400, 435),
    "lower_lip": LineFamily(0, 435, 470),
    "bunny": LineFamily(0, 470, 512),
    "glabella": LineFamily(1, 0, 50),
    "lower_lid_right": LineFamily(1, 50, 100),
    "lower_lid_left": LineFamily(1, 100, 150),
    "upper_lid_right": LineFamily(1, 150, 195),
    "upper_lid_left": LineFamily(1, 195, 240),
    "cheek_right": LineFamily(1, 240, 350),
    "cheek_left": LineFamily(1, 350, 460),
}


class WrinkleLines(NamedTuple):
    """Maps (R, R) float32. Two layers of families of lines, then single folds.

    Line n of a family runs where `row` = n. `along` counts millimetres on it, in the range
    of `FAMILIES`; `pitch` is the distance of neighbouring lines in mm; `share` in [0, 1] is
    where the family is. Of the folds, `*_side` is the signed distance in mm, positive away
    from the mouth, nose or eye, and `*_along` runs from 0 to 1.
    """

    row_0: jax.Array
    along_0: jax.Array
    pitch_0: jax.Array
    share_0: jax.Array
    row_1: jax.Array
    along_1: jax.Array
    pitch_1: jax.Array
    share_1: jax.Array
    nasolabial_side: jax.Array
    nasolabial_along: jax.Array
    marionette_side: jax.Array
    marionette_along: jax.Array
    chin_side: jax.Array
    chin_along: jax.Array
    bag_side: jax.Array
    bag_along: jax.Array
    lid_side: jax.Array
    lid_along: jax.Array
    philtrum_side: jax.Array  # From the ridges of the philtrum, positive outside.
    philtrum_along: jax.Array
    drawn_x: jax.Array  # Unit direction in which skin hangs and pores are drawn out.
    drawn_y: jax.Array


class _Family(NamedTuple):
    """A family on the coarse grid, (R, R) each; `along` starts at 0."""

    row: np.ndarray
    along: np.ndarray
    pitch: np.ndarray | float
    share: np.ndarray


def build_wrinkle_lines(landmark_uv: np.ndarray, size: int) -> WrinkleLines:
    """Computes the lines of a square map.

    Args:
        landmark_uv: (468, 2) FaceMesh landmarks of the neutral face in the canonical UV
            layout, u right, v down, in [0, 1].
        size: Texels per side R.

    Raises:
        ValueError: If there are not 468 landmarks.
    """
    lm = landmarks_in_millimetres(landmark_uv)
    grid = texel_grid(COARSE)
    families = _middle_families(lm, grid) | _side_families(lm, grid)
    maps: dict[str, np.ndarray] = {}
    for layer in (0, 1):
        maps |= _merge_layer(families, layer)
    maps |= _folds(lm, grid) | _philtrum(lm, grid) | _drawn(lm, grid)
    fine = enlarge(np.stack(list(maps.values())), size)
    lines = WrinkleLines(
        **{name: jnp.asarray(image, jnp.float32) for name, image in zip(maps, fine, strict=True)}
    )
    return lines._replace(
        share_0=jnp.clip(lines.share_0, 0, 1), share_1=jnp.clip(lines.share_1, 0, 1)
    )


def _merge_layer(families: dict[str, _Family], layer: int) -> dict[str, np.ndarray]:
    """One set of coordinates for all families of a layer: each texel has the strongest."""
    chosen = [(name, place) for name, place in FAMILIES.items() if place.layer == layer]
    shares = np.stack([families[name].share for name, _ in chosen])
    rows, alongs, pitches = [], [], []
    for name, place in chosen:
        family = families[name]
        rows.append(np.clip(family.row + _MIDDLE_ROW, 1, NUM_ROWS - 2))
        alongs.append(place.begin + np.clip(family.along, 1, place.end - place.begin - 2))
        pitches.append(np.broadcast_to(family.pitch, shares.shape[1:]))
    # Between families the nearest one goes on, so that no seam touches a line.
    nearest = ndimage.distance_transform_edt(
        shares.max(0) <= 0, return_distances=False, return_indices=True
    )
    best = np.argmax(shares, axis=0)[tuple(nearest)][None]
    stacks = np.stack(rows), np.stack(alongs), np.stack(pitches), shares
    names = "row", "along", "pitch", "share"
    return {
        f"{name}_{layer}": np.take_along_axis(stack, best, 0)[0]
        for name, stack in zip(names, stacks, strict=True)
    }


def _middle_families(lm: np.ndarray, grid: np.ndarray) -> dict[str, _Family]:
    """Families that cross the midline of the face."""
    x, y = grid[..., 0], grid[..., 1]
    center = lm[168, 0]
    dx = x - center

    brow = np.concatenate([lm[list(_BROW)], lm[[facemesh.MIRROR[i] for i in _BROW[-2::-1]]]])
    brow_y = _smooth_height(brow, x)
    top_y = lm[10, 1] - 12.0 + 0.002 * dx**2
    height = (brow_y - y) / (brow_y - top_y)
    span = float(np.median((brow_y - top_y)[:, np.abs(dx[0]) < 30]))
    forehead = _Family(
        row=(height - 0.5) * span / 7.0,
        along=dx + 70.0,
        pitch=7.0 * (brow_y - top_y) / span,
        share=_ramp(height, 0.10, 0.3) * _ramp(height, 1.1, 0.85) * _ramp(np.abs(dx), 62.0, 40.0),
    )
    ring = y - 0.0012 * dx**2
    neck = _Family(
        row=(ring - 262.0) / 17.0,
        along=(dx + 148.0) * 0.53,
        pitch=17.0,
        share=_ramp(y, lm[152, 1] + 10.0, lm[152, 1] + 24.0),
    )
    # Chevrons over the root of the nose that widen to its sides.
    bend = np.sqrt(dx**2 + 25.0)
    bunny = _Family(
        row=(y - 0.75 * bend - lm[6, 1] + 8.0) / 4.2,
        along=dx + 21.0,
        pitch=4.2 / np.hypot(1.0, 0.75 * dx / bend),
        share=_ramp(np.abs(dx), 20.0, 12.0)
        * _ramp(y, lm[168, 1] - 8.0, lm[168, 1] - 1.0)
        * _ramp(y, lm[195, 1] + 4.0, lm[197, 1] - 2.0),
    )
    widening = 1.0 + 0.010 * (lm[168, 1] - y)
    glabella = _Family(
        row=dx / widening / 9.5,
        along=y - lm[9, 1] + 22.0,
        pitch=9.5 * widening,
        share=_ramp(np.hypot(dx / 17.0, (y - lm[8, 1] + 5.0) / 22.0), 1.0, 0.5),
    )
    return {"forehead": forehead, "neck": neck, "bunny": bunny, "glabella": glabella} | _lips(
        lm, grid
    )


def _lips(lm: np.ndarray, grid: np.ndarray) -> dict[str, _Family]:
    """Furrows across the lips and around the mouth: hyperbolas about its two corners.

    In confocal elliptic coordinates they leave the line of the mouth at right angles and
    turn into rays further out.
    """
    corners = lm[[61, 291]]
    half = np.linalg.norm(corners[1] - corners[0]) / 2
    right, left = (np.linalg.norm(grid - corner, axis=-1) for corner in corners)
    across, outward = (right - left) / 2, (right + left) / 2 - half
    apart = np.sqrt(np.maximum(right * left, 1.0))
    pitch = 1.9 * apart / np.sqrt(np.maximum(half**2 - across**2, 4.0))
    above = grid[..., 1] < corners[:, 1].mean()
    near = _ramp(outward, 26.0, 12.0)
    ends = _ramp(half - np.abs(across), 0.3, 2.5)
    return {
        name: _Family(across / 1.9, outward, pitch, share * near * ends)
        for name, share in (("upper_lip", above * 1.0), ("lower_lip", ~above * 1.0))
    }


def _side_families(lm: np.ndarray, grid: np.ndarray) -> dict[str, _Family]:
    """Families that either half of the face has for itself."""
    out: dict[str, _Family] = {}
    for side, is_left in (("right", False), ("left", True)):
        half, points = _half(lm, grid, is_left)
        here = half[..., 0] > 0
        out |= {f"{name}_{side}": f for name, f in _one_side(points, half, here).items()}
    return out


def _one_side(lm: np.ndarray, grid: np.ndarray, here: np.ndarray) -> dict[str, _Family]:
    """Families of one half; `grid` and `lm` have x grow from the midline outwards."""
    offset = grid - (lm[33] + [-5.0, 0.5])
    radius = np.linalg.norm(offset, axis=-1)
    angle = np.arctan2(offset[..., 1], offset[..., 0])
    bend = 0.016 * np.maximum(radius - 10.0, 0)
    narrower = 1.0 - bend * np.cos(angle)
    angle = angle - bend * np.sin(angle)
    crow = _Family(
        row=angle / 0.21,
        along=radius,
        pitch=0.21 * np.maximum(radius, 3.0) / np.maximum(narrower, 0.4),
        share=here
        * _ramp(radius, 8.0, 14.0)
        * _ramp(radius, 42.0, 20.0)
        * _ramp(np.abs(angle - 0.2), 1.0, 0.6),
    )
    below, lower_along = _coordinates(grid, lm[list(_LOWER_LID)])
    length = _length(lm[list(_LOWER_LID)])
    # The lateral ends, where `along` starts, rise towards the crow's feet.
    drop = below + 0.12 * np.maximum(0.4 * length - lower_along, 0)
    ends = _ramp(lower_along, -7.0, 3.0) * _ramp(lower_along, length - 1, length - 8)
    lower_lid = _Family(
        row=drop / 3.0 - 4.0,
        along=lower_along + 8.0,
        pitch=3.0,
        share=here * ends * _ramp(below, 1.0, 3.5) * _ramp(below, 19.0, 10.0),
    )
    over, upper_along = _coordinates(grid, lm[list(_UPPER_LID)][::-1])
    upper_length = _length(lm[list(_UPPER_LID)])
    upper_lid = _Family(
        row=over / 1.8 - 4.0,
        along=upper_along,
        pitch=1.8,
        share=here
        * _ramp(over, 0.6, 1.8)
        * _ramp(over, 9.0, 5.0)
        * _ramp(upper_along, 2.0, 8.0)
        * _ramp(upper_along, upper_length - 1, upper_length - 6),
    )
    side, slope = _beside_mouth(lm, grid)
    height = grid[..., 1] - lm[101, 1]
    cheek = _Family(
        row=side / 7.0,
        along=height + 10.0,
        pitch=7.0 / np.hypot(1.0, slope),
        share=here
        * _ramp(side, -1.0, 6.0)
        * _ramp(side, 42.0, 18.0)
        * _ramp(height, 2.0, 22.0)
        * _ramp(height, 94.0, 68.0),
    )
    return {"crow": crow, "lower_lid": lower_lid, "upper_lid": upper_lid, "cheek": cheek}


def _beside_mouth(lm: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """mm outwards of a bow around nose and mouth, and the slope dx / dy of the bow."""
    points = np.stack([lm[100], lm[206] + [5.0, 0.0], lm[216] + [8.0, 3.0], lm[202], lm[169]])
    bow = np.polynomial.Polynomial.fit(points[:, 1], points[:, 0], 2)
    return grid[..., 0] - bow(grid[..., 1]), bow.deriv()(grid[..., 1])


def _folds(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Signed distances to the single folds and the places along them."""
    halves = []
    for is_left in (False, True):
        half, points = _half(lm, grid, is_left)
        corner = points[61]
        curves = {
            "nasolabial": np.concatenate([points[list(_NASOLABIAL)], [points[216] + [1.0, 14.0]]]),
            "marionette": corner + [[0.5, 2.0], [3.0, 9.0], [6.5, 19.0], [8.0, 29.0]],
            "chin": np.stack([points[194] + [2.0, -4.0], points[201] + [0, -1.5], points[200]]),
            "bag": points[list(_BAG)][::-1],
            "lid": points[list(_LID_FOLD)][::-1],
        }
        out: dict[str, np.ndarray] = {}
        for name, curve in curves.items():
            side, along = _coordinates(half, curve)
            out |= {f"{name}_side": side, f"{name}_along": along / _length(curve)}
        halves.append(out)
    is_left = grid[..., 0] > lm[168, 0]
    return {name: np.where(is_left, halves[1][name], halves[0][name]) for name in halves[0]}


def _philtrum(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """The two ridges from the nose to the peaks of the upper lip."""
    base, peak = lm[97], lm[37]
    along = (grid[..., 1] - base[1]) / (peak[1] - base[1])
    center = lm[164, 0]
    ridge = center - base[0] + np.clip(along, -0.5, 1.5) * (base[0] - peak[0])
    away = np.sqrt((grid[..., 0] - center) ** 2 + 0.25)
    return {"philtrum_side": away - 0.75 * ridge, "philtrum_along": along}


def _drawn(lm: np.ndarray, grid: np.ndarray) -> dict[str, np.ndarray]:
    """Level on the forehead and the neck, outwards and down on the cheeks."""
    cheek = _ramp(grid[..., 1], lm[33, 1], lm[117, 1]) * _ramp(grid[..., 1], 225.0, 195.0)
    outward = np.tanh((grid[..., 0] - lm[168, 0]) / 12.0)
    angle = cheek * outward * np.deg2rad(58.0)
    return {"drawn_x": np.cos(angle), "drawn_y": np.sin(angle)}


def _half(lm: np.ndarray, grid: np.ndarray, is_left: bool) -> tuple[np.ndarray, np.ndarray]:
    """Grid and landmarks with x growing from the midline outwards; right-hand numbers."""
    sign = 1.0 if is_left else -1.0
    points = lm[list(facemesh.MIRROR)] if is_left else lm
    origin = np.array([lm[168, 0], 0.0])
    return (grid - origin) * [sign, 1.0], (points - origin) * [sign, 1.0]


def _coordinates(grid: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance to a smooth curve through points, and arc length, mm (R, R) each.

    The distance is positive to the left of the curve's direction as seen on the map.
    """
    curve = _spline(points)
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True)
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    nearest = spatial.cKDTree(curve).query(grid)[1]
    offset = grid - curve[nearest]
    # Beyond its ends a curve goes on straight.
    side = tangent[nearest, 1] * offset[..., 0] - tangent[nearest, 0] * offset[..., 1]
    return side, arc[nearest] + np.sum(offset * tangent[nearest], -1)


def _spline(points: np.ndarray) -> np.ndarray:
    """256 points on a smooth curve near `points` (N, 2)."""
    spline, _ = interpolate.splprep(points.T, s=0.3 * len(points), k=min(3, len(points) - 1))
    return np.stack(interpolate.splev(np.linspace(0, 1, 256), spline), -1)


def _length(points: np.ndarray) -> float:
    return float(np.sum(np.linalg.norm(np.diff(_spline(points), axis=0), axis=1)))


def _smooth_height(points: np.ndarray, x: np.ndarray) -> np.ndarray:
    """y over x of a smooth curve through points, level beyond its ends."""
    order = np.argsort(points[:, 0])
    spline = interpolate.UnivariateSpline(points[order, 0], points[order, 1], s=4.0 * len(points))
    return spline(np.clip(x, points[:, 0].min(), points[:, 0].max()))


def _ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Cubic ramp from 0 at `low` to 1 at `high`; falls if `high` < `low`."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)

"""Glasses: whether there are any, the texels of their frame, and glare on their lenses.

In the UV layout of every face a frame crosses the root of the nose between the eyes, and
the cheeks below both eyes at the same height. Skin has no thin stripe at those places, so
that the product of the two is a reliable test; lenses themselves are clear and are kept.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from relightify_jax.fitting.occluders import contrast_to

_MIN_ROWS = 8  # Of a zone that is seen, or it says nothing.
_MIN_COLUMNS = 3
_STRIPE = 17  # Texels; a stripe is less than half as wide.
_SHIFT = 3  # Rows by which the two sides may differ.
_ONE_SIDE = 0.7  # Where the other is hidden.
_STRIPE_TO_PATCH = 1.1  # Contrast of a stripe over that of a patch as sure.
_FRAME_RADIUS = 9  # Texels; half of the widest frame.
_MIRROR_RADIUS = 5  # Texels by which the halves may differ.
_RIM = 12  # Texels; the widest rim.
_GAP_RADIUS = 4  # Texels; spots of a frame as bright as skin.


class GlassesZones(NamedTuple):
    """Where to look; (r, r) bool, rows of the layout being horizontal on the face."""

    bridge: np.ndarray  # A strip along the root of the nose.
    rims: tuple[np.ndarray, np.ndarray]  # Strips down the cheeks from the middle of the eyes.
    orbit: np.ndarray  # Where a frame may lie.
    feature: np.ndarray  # Eyes and brows, dark without a frame.


class GlassesConfig(NamedTuple):
    """Thresholds of `find_glasses`, in units of contrast."""

    stripes: float = 2.5  # Product of the contrasts at bridge and rims.
    weak: float = 0.9
    strong: float = 1.3
    dark: float = 0.5  # Natural log below the skin around; a frame goes on there.
    black: float = 0.8  # Natural log below it; no wrinkle is as dark.
    glare: float = 0.3  # Natural log above the skin around.
    border: int = 1  # Texels not believed beside the frame.


def find_glasses(
    color: np.ndarray,
    visible: np.ndarray,
    contrast: np.ndarray,
    thin: np.ndarray,
    luminance: np.ndarray,
    zones: GlassesZones,
    config: GlassesConfig,
) -> np.ndarray:
    """Texels of a frame and of glare, none if there are no glasses.

    Args:
        color: (r, r, 3) log albedo.
        visible: (r, r) bool.
        contrast: (r, r) from `occluders.local_contrast`.
        thin: (r, r) from `occluders.thin_contrast`.
        luminance: (r, r) from `occluders.local_contrast`.
        zones: Where to look.
        config: Thresholds.

    Returns:
        (r, r) bool.
    """
    bridge = _stripes(color, visible, zones.bridge)
    sides = [ndimage.maximum_filter1d(_stripes(color, visible, rim), _SHIFT) for rim in zones.rims]
    if sides[0].any() and sides[1].any():
        rims = float(np.sqrt(sides[0] * sides[1]).max())
    else:
        rims = _ONE_SIDE * float(max(side.max() for side in sides))
    if float(bridge.max()) * rims < config.stripes:
        return np.zeros_like(visible)
    either = np.maximum(contrast, thin / _STRIPE_TO_PATCH)
    weak = visible & zones.orbit & (either > config.weak)
    strips = zones.bridge | zones.rims[0] | zones.rims[1]
    seen = weak & strips & (either > config.strong)
    if seen.any() and np.median(luminance[seen]) < -0.3:
        weak &= luminance < 0  # A dark frame; what is bright is a forehead's shine.
    frame = weak & ~ndimage.binary_opening(weak, _disc(_FRAME_RADIUS))
    parts, _ = ndimage.label(frame, np.ones((3, 3)))
    anchors = frame & (either > config.strong) & strips
    frame = np.isin(parts, np.setdiff1d(np.unique(parts[anchors]), 0))
    # Both halves of a frame look alike; wrinkles and the shadow of a nose beside it do not.
    frame &= ndimage.binary_dilation(frame | ~visible, _disc(_MIRROR_RADIUS))[:, ::-1]
    # The skin around a thick rim is hardly seen; that of both eyes is.
    own = color.mean(axis=-1)
    own = own - np.median(own[visible & zones.orbit & ~zones.feature])
    dark = visible & zones.orbit & (np.minimum(luminance, own) < -config.dark)
    frame = ndimage.binary_propagation(frame, mask=dark | frame)
    frame = ndimage.binary_closing(frame, _disc(_GAP_RADIUS)) & visible
    within = ndimage.binary_fill_holes(ndimage.binary_dilation(frame, iterations=2))
    # What lies deeper within is lashes, wrinkles and shadows behind the lens.
    sure = (np.minimum(luminance, own) < -config.black) & ~zones.feature
    frame &= sure | (ndimage.distance_transform_edt(within) < _RIM)
    glare = visible & within & (luminance > config.glare) & (contrast > config.strong)
    return ndimage.binary_dilation(frame | glare, iterations=config.border) & visible


def _stripes(color: np.ndarray, visible: np.ndarray, zone: np.ndarray) -> np.ndarray:
    """Contrast (r,) of each row of a zone to the rows above and below, 0 where unseen."""
    result = np.zeros(len(zone))
    used = zone & visible
    rows = np.flatnonzero(used.sum(axis=1) >= _MIN_COLUMNS)
    if len(rows) >= _MIN_ROWS:
        profile = np.stack([np.median(color[row, used[row]], axis=0) for row in rows])
        around = ndimage.median_filter(profile, size=(_STRIPE, 1), mode="nearest")
        result[rows], _ = contrast_to(profile, around)
    return result


def _disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius + 1

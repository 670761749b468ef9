"""What lies on the inner face and is not its skin: strands of hair, fingers, frames of glasses.

A texel is compared with the skin around it. Skin varies in luminance, with every shadow and
wrinkle, far more than in chroma, so that the two have units of their own; on a rough or badly
compressed face both are larger. All is done on log albedo, light divided out.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

_DARKER_UNIT, _BRIGHTER_UNIT = 0.5, 0.35  # Natural log of luminance; wrinkles are dark.
_CHROMA_UNIT = 0.10  # A flushed cheek.
# A highlight adds white, and what light reaches a crease has met skin before: some chroma
# comes with luminance, per unit of it, and does not count.
_HIGHLIGHT_CHROMA, _SHADE_CHROMA = 0.3, 0.25
_REACH = 16.0  # Texels over which the colour of skin around is averaged.
_ROUNDS = 2  # Of reweighting; each forgets more of what does not belong.
_START = 1.4  # How much sharper than later the first look is at what does not belong.
_MIRRORED = 0.5  # Weight of the other half of the face in the chroma around a texel.
_WHOLE_FACE = 0.1  # Weight of the whole face's colour in it.
_FOLLOWED = 8  # Texels into faint edges, brows and lids.
_TOGETHER = 1.1  # What stands out in both ways, less in each.
_INSIDE = 1.2  # How much more distinct than others a patch amid folds must be.
_TRUNCATE = 2.5  # Deviations at which Gaussians end, for speed.
_BLUR = 0.7  # Texels.
_USUAL_STRIPES = 0.9
_STRIPE_CHROMA_UNIT = 0.15
_USUAL_CONTRAST = 0.45  # Median contrast of a smooth face, in units.


class OccluderConfig(NamedTuple):
    """Thresholds of contrast, in units of the above."""

    patch: float = 3.4  # Some texel of a patch stands out by that much from the skin around...
    stripe: float = 2.0  # ...or of a strand from both its sides...
    weak: float = 0.6  # ...and those connected with it by this fraction of it.
    follow: float = 0.9  # Contrast to the skin around of its fainter edges.
    min_texels: int = 14  # Smaller specks are pores, moles and highlights.
    border: int = 1  # Texels not believed beside an occluder.


def split_color(color: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance (...,) and chroma (..., 2) of log colour (..., 3)."""
    red, green, blue = np.moveaxis(color, -1, 0)  # Sums over an axis of three are slow.
    return (red + green + blue) / 3, np.stack([red - green, blue - green], axis=-1)


def average_nearby(
    color: np.ndarray, weight: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean colour (r, r, 3) of texels nearby and their mean weight (r, r)."""
    share = ndimage.gaussian_filter(weight, reach, truncate=_TRUNCATE)
    total = ndimage.gaussian_filter(
        color * weight[..., None], (reach, reach, 0), truncate=_TRUNCATE
    )
    return total / np.maximum(share, 1e-4)[..., None], share


def contrast_to(color: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Contrast (...,) in units and difference of luminance (...,) to a reference colour."""
    luminance, chroma = split_color(color - reference)
    allowed = _HIGHLIGHT_CHROMA * np.maximum(luminance, 0.0)
    allowed += _SHADE_CHROMA * np.maximum(-luminance - 0.2, 0.0)
    excess = np.maximum(np.hypot(chroma[..., 0], chroma[..., 1]) - allowed, 0.0)
    unit = np.where(luminance < 0, _DARKER_UNIT, _BRIGHTER_UNIT)
    return np.hypot(luminance / unit, excess / _CHROMA_UNIT), luminance


def local_contrast(
    color: np.ndarray, visible: np.ndarray, seeds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much each texel differs from the skin around it and on the other half of the face.

    Args:
        color: (r, r, 3) log albedo in a layout whose halves mirror each other.
        visible: (r, r) bool.
        seeds: (r, r) bool, mostly skin.

    Returns:
        Contrast (r, r) in units, relative to what is usual on this face, and the
        difference of luminance (r, r).
    """
    usual = np.median(color[seeds], axis=0)
    contrast, luminance = contrast_to(color, usual)
    contrast = _START * contrast / max(float(np.median(contrast[seeds])) / 0.8, 1.0)
    for _ in range(_ROUNDS):
        weight = (visible / (1.0 + contrast**2) ** 2).astype(np.float32)
        contrast, luminance = contrast_to(color, _skin_around(color, weight, usual))
    rough = max(float(np.median(contrast[seeds])) / _USUAL_CONTRAST, 1.0)
    return contrast / rough, luminance


def _skin_around(color: np.ndarray, weight: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Expected colour (r, r, 3): luminance of this half of the face, chroma of both halves."""
    share = ndimage.gaussian_filter(weight, _REACH, truncate=_TRUNCATE)[..., None]
    total = ndimage.gaussian_filter(
        color * weight[..., None], (_REACH, _REACH, 0), truncate=_TRUNCATE
    )
    both = total + _MIRRORED * total[:, ::-1]
    both_share = share + _MIRRORED * share[:, ::-1]
    own = (total + _WHOLE_FACE * usual) / (share + _WHOLE_FACE)
    both = (both + _WHOLE_FACE * usual) / (both_share + _WHOLE_FACE)
    return both + (own - both).mean(axis=-1, keepdims=True)


def thin_contrast(color: np.ndarray, visible: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Contrast (r, r) of stripes and specks to what lies on both sides of them.

    The differences to two opposite texels are multiplied: at an edge, such as that of a
    shadow, one of them is nil; on a slope they have opposite signs. The unit is what a
    tenth of this face exceeds, with its wrinkles and pores.
    """
    luminance, chroma = split_color(ndimage.gaussian_filter(color, (_BLUR, _BLUR, 0)))
    unit = np.concatenate(
        [luminance[..., None] / _DARKER_UNIT, chroma / _STRIPE_CHROMA_UNIT], axis=-1
    )
    best = np.zeros(visible.shape)
    for direction in ((0, 5), (5, 0), (4, 4), (4, -4)):
        product = np.ones(visible.shape)
        sides = []
        for sign in (1, -1):
            shift = (sign * direction[0], sign * direction[1])
            sides.append(unit - np.roll(unit, shift, axis=(0, 1)))
            product = product * np.roll(visible, shift, axis=(0, 1))
        product = product * np.sum(sides[0] * sides[1], axis=-1)
        best = np.maximum(best, product)
    contrast = np.sqrt(best)
    return contrast / max(float(np.quantile(contrast[seeds], 0.9)), _USUAL_STRIPES)


def find_occluders(
    contrast: np.ndarray,
    thin: np.ndarray,
    bare: np.ndarray,
    inner: np.ndarray,
    feature: np.ndarray,
    config: OccluderConfig,
) -> np.ndarray:
    """(r, r) bool: connected texels that stand out from the skin.

    Args:
        contrast: (r, r) from `local_contrast`.
        thin: (r, r) from `thin_contrast`.
        bare: (r, r) bool, where skin should be seen.
        inner: (r, r) bool, where the face has folds. A strand comes from elsewhere; a stripe
            that lies wholly inside is such a fold.
        feature: (r, r) bool, brows, lids and lips: they stand out themselves, and only
            what reaches into them from outside is followed, for a few texels.
        config: Thresholds.
    """
    patch, stripe = contrast / config.patch, thin / config.stripe
    both = np.hypot(patch, stripe)
    distinct = both > config.weak
    parts, count = ndimage.label(distinct & bare, np.ones((3, 3)))
    if count == 0:
        return np.zeros_like(bare)
    index = np.arange(1, count + 1)
    outside = ndimage.sum_labels(~inner, parts, index) >= config.min_texels / 2
    sure = ndimage.maximum(patch, parts, index) > np.where(outside, 1.0, _INSIDE)
    thread = ndimage.maximum(np.maximum(stripe, both / _TOGETHER), parts, index) > 1
    sure |= thread & outside
    large = ndimage.sum_labels(bare, parts, index) >= config.min_texels
    found = np.isin(parts, index[sure & large])
    followed = found | ((bare | feature) & (distinct | (contrast > config.follow)))
    found = ndimage.binary_dilation(found, iterations=_FOLLOWED, mask=followed)
    return ndimage.binary_dilation(found, iterations=config.border)

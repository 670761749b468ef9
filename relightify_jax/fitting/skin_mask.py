"""Which observed texels show skin, and not hair, collar, hand or background.

No segmentation network: skin is what can be reached from the inner face by small steps in
colour, after the fitted light is divided out. Along a cheek or up a forehead skin changes
slowly, at a hairline or a collar it jumps; what lies behind the jump is never reached.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from relightify_jax.core import facemesh
from relightify_jax.fitting import face_regions
from relightify_jax.fitting.unwrap import Observation
from relightify_jax.geometry.morphable_model import MorphableModel, landmarks
from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas

_WORK_SIZE = 256  # Texels per side at which masks are computed.
_DARK_FLOOR = 0.05  # Of the median colour.
_DARK_SHADE = 0.4  # Of the median shading.
_ROUNDS = 24
_REACH_SIGMA = 5.0  # Texels over which the colour of accepted skin is averaged.
_GAP_RADIUS = 4  # Texels; narrower cracks in skin, such as wrinkles, are closed.
_BRIDGE_RADIUS = 4  # Texels; narrower bridges of skin between strands of hair are cut.
_GROSS_RADIUS = 5  # Texels; what covers the inner face is at least that large.
_BORDER = 2  # Texels not believed beside what was rejected.


class SkinConfig(NamedTuple):
    """Thresholds of `keep_skin`, in natural log units of albedo."""

    luminance_step: float = 0.40  # Against accepted skin nearby; shadows pass.
    chroma_step: float = 0.16
    highlight_chroma: float = 0.35  # More chroma_step for each unit of extra luminance.
    roughness: float = 0.22  # Deviation of luminance within two texels: hair is rough...
    roughness_ratio: float = 3.0  # ...unless the inner face is nearly as rough.
    # Against the whole face: what a chain of small steps may add up to.
    luminance_total: float = 1.1
    chroma_total: float = 0.40
    # Inside the trusted area only a gross and large outlier is not the face's own.
    trusted_luminance: float = 2.0
    trusted_chroma: float = 0.6
    far_start: float = 0.045  # Metres from the landmarks where trust begins to fade...
    far_end: float = 0.080  # ...and ends: ears, nape and collar are not fitted.


class FaceFields(NamedTuple):
    """What is known beforehand about each texel; (R, R) float32."""

    trusted: jax.Array  # 1 on the inner face, between brows, cheeks and chin.
    feature: jax.Array  # 1 on lips, brows and lids, whose colour is not skin's.
    distance: jax.Array  # Metres to the nearest landmark, on the mean head.


def face_fields(model: MorphableModel, atlas: UVAtlas) -> FaceFields:
    """Fields of an atlas of the face; they depend on the model only."""
    points = landmarks(model, model.mean)
    places = np.asarray(points)
    oval = np.asarray(face_regions.distance_to(points, points[jnp.array(face_regions.OVAL)]))
    brow = places[list(face_regions.BROWS), 1].max()
    # Beyond the corners of the eyes and above the brows hair may hang.
    eye = np.abs(places[list(facemesh.EYE_OUTER), 0]).max()
    inner = (oval > 0.015) & (places[:, 1] < brow) & (np.abs(places[:, 0]) < 1.12 * eye)
    position = sample_atlas(atlas, model.faces, model.mean)
    features = face_regions.LIPS + face_regions.BROWS + face_regions.EYES
    near_inner = face_regions.distance_to(position, points[jnp.asarray(np.flatnonzero(inner))])
    near_feature = face_regions.distance_to(position, points[jnp.array(features)])
    return FaceFields(
        (near_inner < 0.006).astype(jnp.float32),
        (near_feature < 0.006).astype(jnp.float32),
        face_regions.distance_to(position, points),
    )


def keep_skin(
    observation: Observation,
    shading: jax.Array,
    fields: FaceFields,
    config: SkinConfig = SkinConfig(),  # noqa: B008  (immutable)
    threshold: float = 0.5,
) -> Observation:
    """Lowers the confidence of texels that do not show skin.

    Args:
        observation: From `unwrap_texture`, R texels per side.
        shading: (R, R, 3) fitted light on a white surface, to be divided out.
        fields: From `face_fields` for the same atlas.
        config: Thresholds.
        threshold: Of confidence, for the new mask.

    Returns:
        The observation with lower confidence and mask, the same texture.
    """
    size = observation.texture.shape[0]
    shrink = max(size // _WORK_SIZE, 1)

    def small(x):
        x = np.asarray(x, np.float32)
        return x[: size // shrink * shrink, : size // shrink * shrink].reshape(
            size // shrink, shrink, size // shrink, shrink, -1
        ).mean(axis=(1, 3))  # fmt: skip

    seen = small(observation.confidence)[..., 0]
    color = small(observation.texture)
    # Dark noise must not become strong colour in the logarithm.
    floor = _DARK_FLOOR * float(np.median(color[seen > 0.5])) if (seen > 0.5).any() else 0.0
    color = np.log(np.maximum(color, 0.0) + floor + 1e-4)
    light = small(shading)
    # Where the fitted light is nearly out, it is mostly wrong.
    floor = _DARK_SHADE * float(np.median(light[seen > 0.5])) if (seen > 0.5).any() else 0.0
    color = color - np.log(np.maximum(light, floor + 1e-4))
    trusted, feature, distance = (small(field[..., None])[..., 0] for field in fields)
    skin = _find_skin(color, seen, trusted > 0.5, feature > 0.5, config)
    far = np.clip((config.far_end - distance) / (config.far_end - config.far_start), 0.0, 1.0)
    keep = skin * np.clip(far, 0.0, 1.0)
    keep = ndimage.zoom(keep, size / keep.shape[0], order=1, grid_mode=True, mode="nearest")
    confidence = observation.confidence * jnp.asarray(keep[..., None], jnp.float32)
    return observation._replace(
        mask=(confidence > threshold).astype(jnp.float32), confidence=confidence
    )


def _split(color: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance (...,) and chroma (..., 2) of log colour (..., 3)."""
    chroma = np.stack([color[..., 0] - color[..., 1], color[..., 2] - color[..., 1]], axis=-1)
    return color.mean(axis=-1), chroma


def _is_near(color, reference, luminance_limit, chroma_limit, highlight=0.0) -> np.ndarray:
    """(...,) bool: no further from the reference than the limits.

    A highlight adds white: a brighter texel may be paler by `highlight` times as much.
    """
    luminance, chroma = _split(color - reference)
    allowed = chroma_limit + highlight * np.maximum(luminance, 0.0)
    return (np.abs(luminance) < luminance_limit) & (np.linalg.norm(chroma, axis=-1) < allowed)


def _find_skin(color, seen, trusted, feature, config: SkinConfig) -> np.ndarray:
    """(r, r) float32 in [0, 1]: texels of skin and of the features it carries."""
    visible = seen > 0.05
    seeds = visible & trusted & ~feature
    if seeds.sum() < 16:  # A profile or a covered face: nothing to compare with.
        return np.asarray(visible & trusted, np.float32)
    usual = np.median(color[seeds], axis=0)
    gross = seeds & ~_is_near(color, usual, config.trusted_luminance, config.trusted_chroma)
    gross = ndimage.binary_opening(gross, _disc(_GROSS_RADIUS))
    rough = _roughness(color, visible)
    limit = max(config.roughness, config.roughness_ratio * float(np.median(rough[seeds])))
    plausible = visible & (rough < limit) & _is_near(
        color, usual, config.luminance_total, config.chroma_total, config.highlight_chroma
    )  # fmt: skip

    skin = seeds & plausible
    for _ in range(_ROUNDS):
        reference, weight = _average(color, skin)
        similar = _is_near(
            color, reference, config.luminance_step, config.chroma_step, config.highlight_chroma
        )
        grown = (seeds & plausible) | (plausible & similar & (weight > 0.02))
        if np.array_equal(grown, skin):
            break
        skin = grown
    return _clean(skin, visible, (trusted & visible) & ~gross, gross)


def _average(color, mask) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour (r, r, 3) of masked texels nearby and their share (r, r)."""
    weight = ndimage.gaussian_filter(mask.astype(np.float32), _REACH_SIGMA)
    total = ndimage.gaussian_filter(color * mask[..., None], (_REACH_SIGMA, _REACH_SIGMA, 0))
    return total / np.maximum(weight, 1e-4)[..., None], weight


def _roughness(color, visible) -> np.ndarray:
    """Deviation (r, r) of luminance among visible texels within about two texels."""
    luminance = color.mean(axis=-1)
    weight = np.maximum(ndimage.gaussian_filter(visible.astype(np.float32), 1.5), 1e-4)
    mean = ndimage.gaussian_filter(luminance * visible, 1.5) / weight
    square = ndimage.gaussian_filter(luminance**2 * visible, 1.5) / weight
    return np.sqrt(np.maximum(square - mean**2, 0.0))


def _clean(skin, visible, certain, gross) -> np.ndarray:
    """Fills cracks and pores, cuts thin bridges, drops islands, steps back from the rest."""
    pad = _GAP_RADIUS + 1
    skin = ndimage.binary_closing(np.pad(skin | certain, pad), _disc(_GAP_RADIUS))
    skin = skin[pad:-pad, pad:-pad] & visible & ~gross
    skin = ndimage.binary_opening(skin, _disc(_BRIDGE_RADIUS)) | certain
    # What skin wholly surrounds is a mole, a highlight or a scar.
    skin |= ndimage.binary_fill_holes(skin) & visible & ~gross
    smooth = ndimage.gaussian_filter(skin.astype(np.float32), 3.0)
    share = ndimage.gaussian_filter(visible.astype(np.float32), 3.0)
    skin = (skin & (smooth > 0.5 * share)) | (certain & skin)
    near_rejected = ndimage.binary_dilation(visible & ~skin, _disc(_BORDER)) & ~certain
    skin = skin & ~near_rejected
    islands, count = ndimage.label(skin)
    if count > 1:
        touching = np.unique(islands[certain & skin])
        skin &= np.isin(islands, touching[touching > 0])
    return np.clip(ndimage.gaussian_filter(skin.astype(np.float32), 1.0), 0, 1) * skin


def _disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius + 1

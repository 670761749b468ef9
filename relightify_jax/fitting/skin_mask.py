"""Which observed texels show skin, and not hair, collar, hand, glasses or background.

No segmentation network: skin is what can be reached from the inner face by small steps in
colour, after the fitted light is divided out. Along a cheek or up a forehead skin changes
slowly, at a hairline or a collar it jumps; what lies behind the jump is never reached.
What lies on the inner face itself is found by its contrast to the skin around it, see
`occluders.py`, `glasses.py` and `mouth_gap.py`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from relightify_jax.core import facemesh
from relightify_jax.fitting import face_regions
from relightify_jax.fitting.glasses import GlassesConfig, GlassesZones, find_glasses
from relightify_jax.fitting.mouth_gap import MouthConfig, find_gap
from relightify_jax.fitting.occluders import (
    OccluderConfig,
    average_nearby,
    find_occluders,
    local_contrast,
    split_color,
    thin_contrast,
)
from relightify_jax.fitting.unwrap import Observation
from relightify_jax.geometry.morphable_model import MorphableModel, landmarks
from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas

_WORK_SIZE = 256  # Texels per side at which masks are computed.
_DARK_FLOOR = 0.05  # Of the median colour.
_DARK_SHADE = 0.4  # Of the median shading.
_ROUNDS = 24
_SETTLED = 16  # Texels that may still change.
_REACH_SIGMA = 5.0  # Texels over which the colour of accepted skin is averaged.
_GAP_RADIUS = 4  # Texels; narrower cracks in skin, such as wrinkles, are closed.
_BRIDGE_RADIUS = 4  # Texels; narrower bridges of skin between strands of hair are cut.
_BORDER = 2  # Texels not believed beside what was rejected.


class SkinConfig(NamedTuple):
    """Thresholds of `keep_skin`, in natural log units of albedo."""

    luminance_step: float = 0.40  # Against accepted skin nearby; shadows pass.
    chroma_step: float = 0.16
    highlight_chroma: float = 0.35  # More chroma_step for each unit of extra luminance.
    # Smooth skin of unchanged chroma may fall into a sharp shadow, darker by this.
    shadow_luminance: float = 1.2
    shadow_total: float = 1.5  # Against the whole face.
    shadow_chroma: float = 0.10
    roughness: float = 0.22  # Deviation of luminance within two texels: hair is rough...
    roughness_ratio: float = 3.0  # ...unless the inner face is nearly as rough.
    # Against the whole face: what a chain of small steps may add up to.
    luminance_total: float = 1.1
    chroma_total: float = 0.40
    far_start: float = 0.045  # Metres from the landmarks where trust begins to fade...
    far_end: float = 0.080  # ...and ends: ears, nape and collar are not fitted.
    occluders: OccluderConfig = OccluderConfig()
    glasses: GlassesConfig = GlassesConfig()
    mouth: MouthConfig = MouthConfig()


class FaceFields(NamedTuple):
    """What is known beforehand about each texel; (R, R) float32."""

    trusted: jax.Array  # 1 on the inner face, between brows, cheeks and chin.
    feature: jax.Array  # 1 on lips, brows and lids, whose colour is not skin's.
    distance: jax.Array  # Metres to the nearest landmark, on the mean head.
    lips: jax.Array  # Metres to the rim of the opened lips, on the mean head.
    # Where glasses are looked for, see `glasses.GlassesZones`.
    bridge: jax.Array
    right_rim: jax.Array
    left_rim: jax.Array
    orbit: jax.Array


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
        (near_inner < 0.008).astype(jnp.float32),
        (near_feature < 0.006).astype(jnp.float32),
        face_regions.distance_to(position, points),
        face_regions.distance_to(position, points[jnp.array(facemesh.LIPS_INNER)]),
        *_glasses_fields(position, points, atlas.face >= 0),
    )


def _glasses_fields(position, points, on_chart) -> tuple[jax.Array, ...]:
    """Bridge, both rims and orbit: (R, R) float32, from positions (R, R, 3) on the mean."""
    x, y = position[..., 0], position[..., 1]
    brow, root, nose = (points[index, 1] for index in (9, 197, 5))

    def zone(half_width, middle, low, high):
        return on_chart & (jnp.abs(x - middle) < half_width) & (y > low) & (y < high)

    bridge = zone(0.004, 0.0, root, brow - 0.004)
    rims = []
    for ring in (facemesh.EYE_RIGHT, facemesh.EYE_LEFT):
        eye = points[jnp.array(ring)]
        low = eye[:, 1].min()
        rims.append(zone(0.007, eye[:, 0].mean(), low - 0.034, low - 0.003))
    width = 1.7 * jnp.abs(points[facemesh.EYE_OUTER[0], 0])
    orbit = zone(width, 0.0, nose - 0.006, brow + 0.02)
    return tuple(mask.astype(jnp.float32) for mask in (bridge, *rims, orbit))


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
    zones = FaceFields(*(small(np.asarray(field)[..., None])[..., 0] for field in fields))
    skin = _find_skin(color, seen, zones, config)
    far = np.clip((config.far_end - zones.distance) / (config.far_end - config.far_start), 0.0, 1.0)
    keep = skin * np.clip(far, 0.0, 1.0)
    keep = ndimage.zoom(keep, size / keep.shape[0], order=1, grid_mode=True, mode="nearest")
    confidence = observation.confidence * jnp.asarray(keep[..., None], jnp.float32)
    return observation._replace(
        mask=(confidence > threshold).astype(jnp.float32), confidence=confidence
    )


def _difference(color, reference) -> tuple[np.ndarray, np.ndarray]:
    """Of luminance, signed, and of chroma: (...,) each."""
    luminance, chroma = split_color(color - reference)
    return luminance, np.hypot(chroma[..., 0], chroma[..., 1])


def _is_near(difference, luminance_limit, chroma_limit, highlight=0.0) -> np.ndarray:
    """(...,) bool: no further from a reference than the limits.

    A highlight adds white: a brighter texel may be paler by `highlight` times as much.
    """
    luminance, chroma = difference
    allowed = chroma_limit + highlight * np.maximum(luminance, 0.0)
    return (np.abs(luminance) < luminance_limit) & (chroma < allowed)


def _find_skin(color, seen, zones: FaceFields, config: SkinConfig) -> np.ndarray:
    """(r, r) float32 in [0, 1]: texels of skin and of the features it carries."""
    visible = seen > 0.05
    trusted, feature = zones.trusted > 0.5, zones.feature > 0.5
    seeds = visible & trusted & ~feature
    if seeds.sum() < 16:  # A profile or a covered face: nothing to compare with.
        return np.asarray(visible & trusted, np.float32)
    to_usual = _difference(color, np.median(color[seeds], axis=0))
    foreign = _find_foreign(color, visible, seeds, zones, config)
    rough = _roughness(color, visible)
    limit = max(config.roughness, config.roughness_ratio * float(np.median(rough[seeds])))
    smooth = rough < 0.5 * limit
    chroma_total, highlight = config.chroma_total, config.highlight_chroma
    near = _is_near(to_usual, config.luminance_total, chroma_total, highlight)
    near |= smooth & _is_near(to_usual, config.shadow_total, chroma_total - config.shadow_chroma)
    plausible = visible & ~foreign & (rough < limit) & near

    skin = seeds & plausible
    for _ in range(_ROUNDS):
        reference, weight = average_nearby(color, skin.astype(np.float32), _REACH_SIGMA)
        step = _difference(color, reference)
        similar = _is_near(step, config.luminance_step, config.chroma_step, highlight)
        similar |= smooth & _is_near(step, config.shadow_luminance, config.shadow_chroma)
        grown = (seeds & plausible) | (plausible & similar & (weight > 0.02))
        changed = np.count_nonzero(grown != skin)
        skin = grown
        if changed < _SETTLED:
            break
    return _clean(skin, visible, (trusted & visible) & ~foreign, foreign)


def _find_foreign(color, visible, seeds, zones: FaceFields, config: SkinConfig) -> np.ndarray:
    """(r, r) bool: what is seen on the face but is not of it."""
    names = ("feature", "bridge", "right_rim", "left_rim", "orbit")
    feature, bridge, right_rim, left_rim, orbit = (
        np.asarray(getattr(zones, name)) > 0.5 for name in names
    )
    contrast, luminance = local_contrast(color, visible, seeds)
    thin = thin_contrast(color, visible, seeds)
    glasses = find_glasses(
        color,
        visible,
        contrast,
        thin,
        luminance,
        GlassesZones(bridge, (right_rim, left_rim), orbit, feature),
        config.glasses,
    )
    inner = ndimage.binary_closing(np.pad((zones.trusted > 0.5) | feature, 8), _disc(7))[8:-8, 8:-8]
    # Hair hangs in from above; folds of the chin and the jaw begin below the nose.
    above = np.flatnonzero(orbit.any(axis=1))
    if len(above):
        inner[above[-1] :] = True
    gap = find_gap(color, visible, feature, np.asarray(zones.lips), config.mouth)
    return (
        glasses
        | gap
        | find_occluders(
            contrast, thin, visible & ~feature, inner, visible & feature, config.occluders
        )
    )


def _roughness(color, visible) -> np.ndarray:
    """Deviation (r, r) of luminance among visible texels within about two texels."""
    luminance = color.mean(axis=-1)
    weight = np.maximum(ndimage.gaussian_filter(visible.astype(np.float32), 1.5), 1e-4)
    mean = ndimage.gaussian_filter(luminance * visible, 1.5) / weight
    square = ndimage.gaussian_filter(luminance**2 * visible, 1.5) / weight
    return np.sqrt(np.maximum(square - mean**2, 0.0))


def _clean(skin, visible, certain, foreign) -> np.ndarray:
    """Fills cracks and pores, cuts thin bridges, drops islands, steps back from the rest."""
    pad = _GAP_RADIUS + 1
    skin = ndimage.binary_closing(np.pad(skin | certain, pad), _disc(_GAP_RADIUS))
    skin = skin[pad:-pad, pad:-pad] & visible & ~foreign
    skin = ndimage.binary_opening(skin, _disc(_BRIDGE_RADIUS)) | certain
    # What skin wholly surrounds is a mole, a highlight or a scar.
    skin |= ndimage.binary_fill_holes(skin) & visible & ~foreign
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

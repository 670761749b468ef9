"""Keeps skin and drops what lies before it: hair, clothes, background, a raised hand.

Skin is told by its colour, once the fitted light is divided out, and by being smooth, as
hair is not. What differs is dropped
only where it reaches in from the border of what was seen, as hair and collars do: moles,
lips and brows are islands in skin and stay.
"""

import jax.numpy as jnp
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from relightify_jax.fitting import face_regions
from relightify_jax.fitting.fit import FitResult
from relightify_jax.fitting.unwrap import Observation
from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas
from relightify_jax.rendering.lighting import shade_sh

_TRUSTED = 0.5
_NOSE_BASE, _CHIN = 2, 152  # Landmarks.
# Features that differ from skin by nature, and how far around their landmarks, in UV.
_FEATURES = (
    (face_regions.BROWS, 0.022),
    (face_regions.EYES, 0.045),
    (face_regions.LIPS, 0.035),
    (face_regions.NOSE, 0.05),
)
_REFERENCE = (face_regions.CHEEKS, face_regions.NOSE, face_regions.CHIN, face_regions.FOREHEAD)
_REFERENCE_RADIUS = 0.07
# Spread of skin over one face, in natural logarithms: luminance, red-green, green-blue.
# Light that the fit missed varies luminance far more than hue.
_MIN_SPREAD = np.array([0.18, 0.06, 0.07, 0.45])  # The last one: of log roughness.
_MAX_SPREAD = np.array([0.30, 0.11, 0.13, 0.60])
_WEAK, _STRONG = 2.8, 4.5  # Spreads at which a texel is doubtful, and surely no skin.
_BEARD_RELIEF = 1.8  # Times as much luminance is allowed below the nose: stubble is skin.
_SMOOTHING = 1 / 170  # Of the map's side: colours are compared over about a pore's group.
_ROUGHNESS_SCALE = 1 / 64  # Of the map's side: strands are finer than this.
_ROUGHNESS_FLOOR = 0.02  # Of log luminance: the noise of a photograph.
_MARGIN = 1 / 45  # Of the map's side: hair is thin at its edge and shadows what is beside.
_MIN_ISLAND = 4e-3  # Of the map's area.
_LOG_FLOOR = 4e-3


def keep_skin(
    observation: Observation, model: MorphableModel, atlas: UVAtlas, fit: FitResult
) -> Observation:
    """Lowers the confidence of texels that do not show skin.

    Args:
        observation: From `unwrap_texture`, R texels per side.
        model: The face model.
        atlas: Of its part "face", of side R.
        fit: The fit; its light is divided out.

    Returns:
        The observation with mask and confidence reduced; the texture is unchanged.
    """
    confidence = np.asarray(observation.confidence)[..., 0]
    size = confidence.shape[0]
    seen = confidence > _TRUSTED
    places = landmark_uv(model)
    near = [_within(places[list(group)], radius, size) for group, radius in _FEATURES]
    feature = np.any(near, axis=0)
    reference = _within(places[list(sum(_REFERENCE, ()))], _REFERENCE_RADIUS, size)
    color = _unlit_color(observation, model, atlas, fit)
    deviation = _deviation(color, seen, reference & seen & ~feature, places)
    if deviation is None:
        return observation
    keep = seen & ~_intruders(deviation, seen, feature)
    core = _within(places[list(face_regions.CHEEKS)], _REFERENCE_RADIUS, size) & keep
    keep = _without_islands(keep, core, places[_CHIN, 1])
    distance = ndimage.distance_transform_edt(~(seen & ~keep)) / size
    fade = np.clip(distance / _MARGIN, 0.0, 1.0)
    fade = np.where(feature & keep, np.maximum(fade, 0.75), fade)
    reduced = jnp.asarray(confidence * np.where(seen & ~keep, 0.0, fade), jnp.float32)[..., None]
    return observation._replace(confidence=reduced, mask=(reduced > _TRUSTED).astype(jnp.float32))


def _within(places: np.ndarray, radius: float, size: int) -> np.ndarray:
    """(R, R) bool: texels within `radius` of places (n, 2), in UV."""
    axis = (np.arange(size) + 0.5) / size
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return (cKDTree(places).query(grid)[0] < radius).reshape(size, size)


def _unlit_color(
    observation: Observation, model: MorphableModel, atlas: UVAtlas, fit: FitResult
) -> np.ndarray:
    """What tells skin (R, R, 4): log luminance without the fitted light, red-green,
    green-blue, and log roughness.
    """
    normals = vertex_normals(fit.points, model.faces)
    shading = shade_sh(sample_atlas(atlas, model.faces, normals), fit.sh)
    shading = jnp.maximum(shading, 0.15 * jnp.mean(shading))
    logs = np.asarray(
        jnp.log(jnp.maximum(observation.texture, _LOG_FLOOR)) - jnp.log(shading), np.float64
    )
    size = logs.shape[0]
    # Averages among observed texels only.
    weight = np.asarray(observation.confidence, np.float64) + 1e-6

    def smooth(values: np.ndarray, scale: float) -> np.ndarray:
        sigma = (scale * size, scale * size, 0)
        return ndimage.gaussian_filter(values * weight, sigma) / ndimage.gaussian_filter(
            weight, sigma
        )

    light = logs.mean(axis=-1, keepdims=True)
    detail = light - smooth(light, _ROUGHNESS_SCALE / 2)
    roughness = 0.5 * np.log(smooth(detail**2, _ROUGHNESS_SCALE) + _ROUGHNESS_FLOOR**2)
    logs = smooth(logs, _SMOOTHING)
    hue = np.stack([logs[..., 0] - logs[..., 1], logs[..., 1] - logs[..., 2]], axis=-1)
    return np.concatenate([logs.mean(axis=-1, keepdims=True), hue, roughness], axis=-1)


def _deviation(
    color: np.ndarray, seen: np.ndarray, reference: np.ndarray, places: np.ndarray
) -> np.ndarray | None:
    """How many spreads (R, R) each texel is from this face's skin; None if it shows none."""
    if reference.sum() < 50:
        return None
    size = len(seen)
    axis = (np.arange(size) + 0.5) / size - 0.5
    u, v = np.meshgrid(axis, axis)
    # What the fitted light leaves of shading and of its colour is smooth across the face.
    # No v^2: between nose and chin it is not known well enough to reach up to the hair.
    trend = np.stack([np.ones_like(u), u, v, u * u], axis=-1)
    coefficients, spread = _robust_fit(trend[reference], color[reference])
    spread = np.clip(spread, _MIN_SPREAD, _MAX_SPREAD)
    offset = (color - trend @ coefficients) / spread
    # Strands hang from above; below, wrinkles and stubble are as rough. Nothing is too
    # smooth to be skin.
    above_brows = v + 0.5 < places[list(face_regions.BROWS), 1].min()
    offset[..., 3] = np.where(above_brows, np.maximum(offset[..., 3], 0.0), 0.0)
    offset = np.abs(offset)
    below_nose = (np.arange(size) + 0.5) / size > places[_NOSE_BASE, 1]
    offset[..., 0] /= np.where(below_nose, _BEARD_RELIEF, 1.0)[:, None]
    return np.max(offset, axis=-1)


def _robust_fit(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (k, c) and spread (c,) of values (n, c) over rows (n, k), by reweighting."""
    coefficients = np.zeros((rows.shape[1], values.shape[1]))
    coefficients[0] = np.median(values, axis=0)
    ridge = 0.02 * np.diag([0.0] + [1.0] * (rows.shape[1] - 1))
    for _ in range(8):
        residual = values - rows @ coefficients
        spread = 1.4826 * np.median(np.abs(residual), axis=0) + 1e-3
        weight = 1 / (1 + np.max(np.abs(residual) / spread, axis=-1) ** 2 / 4) ** 2
        weighted = rows * (weight / weight.sum())[:, None]
        coefficients = np.linalg.solve(weighted.T @ rows + ridge, weighted.T @ values)
    return coefficients, spread


def _intruders(deviation: np.ndarray, seen: np.ndarray, feature: np.ndarray) -> np.ndarray:
    """(R, R) bool: doubtful regions that reach in from the border and hold sure texels."""
    radius = max(len(seen) // 128, 1)
    doubtful = seen & (deviation > _WEAK) & ~feature
    outside = ndimage.binary_dilation(~seen, iterations=2 * radius)
    labels, count = ndimage.label(doubtful)
    if count == 0:
        return doubtful
    index = np.arange(1, count + 1)
    touches = ndimage.maximum(outside, labels, index).astype(bool)
    sure = ndimage.maximum(deviation, labels, index) > _STRONG
    chosen = np.isin(labels, index[touches & sure])
    return ndimage.binary_closing(chosen, iterations=radius) & seen & ~feature


def _without_islands(keep: np.ndarray, cheeks: np.ndarray, chin: float) -> np.ndarray:
    """Keeps what hangs together with the face, and the neck if it is large enough.

    Blond hair above a dark fringe has the colour of skin; it is betrayed by the gap.
    """
    radius = max(len(keep) // 100, 1)
    core, count = ndimage.label(ndimage.binary_opening(keep, iterations=radius))
    if count == 0:
        return keep
    index = np.arange(1, count + 1)
    is_face = ndimage.maximum(cheeks, core, index).astype(bool)
    height = np.array([row for row, _ in ndimage.center_of_mass(core > 0, core, index)])
    area = ndimage.sum(np.ones_like(core), core, index)
    is_neck = (height > chin * len(keep)) & (area > _MIN_ISLAND * keep.size)
    kept = np.isin(core, index[is_face | is_neck])
    return keep & ndimage.binary_dilation(kept, iterations=2 * radius)

"""A small model of skin colour and light, only as good as fitting and masking need.

Log albedo is a constant plus a few smooth fields around facial features, times light
of nine spherical-harmonic coefficients (Ramamoorthi and Hanrahan 2001). It is *not* the
albedo of the result: that one comes from the prior.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import einsum, normalize
from relightify_jax.core.uv_layout import F0_AT_SPECULAR_ONE, SKIN_SPECULAR_ALBEDO
from relightify_jax.fitting import face_regions
from relightify_jax.rendering.lighting import radiance_sh, shade_sh
from relightify_jax.rendering.shading import SKIN_ROUGHNESS, specular_albedo_of_lobe

# Landmarks, width in metres, and the mean and deviation of the log-albedo offset in RGB.
_FIELDS = (
    (face_regions.LIPS, 0.005, (-0.15, -0.45, -0.35), 0.35),
    (face_regions.BROWS, 0.004, (-0.5, -0.5, -0.5), 0.5),
    (face_regions.EYES, 0.005, (-0.25, -0.3, -0.3), 0.35),
    (face_regions.CHEEKS, 0.016, (0.0, -0.05, -0.05), 0.15),
    (face_regions.NOSE, 0.012, (0.0, -0.05, -0.05), 0.15),
    (face_regions.FOREHEAD, 0.020, (0.0, 0.0, 0.0), 0.15),
    (face_regions.CHIN, 0.015, (-0.05, -0.05, -0.05), 0.25),
    (face_regions.MOUSTACHE, 0.008, (-0.1, -0.1, -0.1), 0.25),
)
NUM_ALBEDO_FIELDS = 1 + len(_FIELDS)
# Median skin between very light and very dark, and how far those are apart.
_SKIN_LOG_ALBEDO = (-1.0, -1.65, -2.0)
_SKIN_DEVIATION = 0.6
# Each band's largest response of shading, so that light parameters are in units of shading.
_BAND_SCALE = (0.282, *(0.326,) * 3, 0.273, 0.273, 0.158, 0.273, 0.137)
# A face in a well exposed portrait: mostly light from all sides, some from the front.
# Relative to the constant coefficient but for that one itself: were they absolute, dim
# light on impossibly bright skin would be free to have any contrast.
LIGHT_MEAN = (0.75, 0.1, 0.4, *(0.0,) * 6)
LIGHT_DEVIATION = (0.15, *(0.4,) * 3, *(0.12,) * 5)  # Of the grey part.
TINT_DEVIATION = (0.1, *(0.06,) * 3, *(0.02,) * 5)  # Of the rest: light is near white.
_SHADE_FLOOR = 0.05  # Width of the bend that keeps shading positive.


class Appearance(NamedTuple):
    """Colour parameters of a face."""

    albedo: jax.Array  # (A, 3) log-albedo coefficients of `albedo_fields`.
    modes: jax.Array  # (M,) ~ N(0, 1), of the face model's own statistical albedo.
    light: jax.Array  # (9, 3) spherical harmonics over `_BAND_SCALE`.


class SkinFields(NamedTuple):
    """What an albedo is made of, at any points (...)."""

    fields: jax.Array  # (..., A) of `albedo_fields`.
    base: jax.Array  # (..., 3) log of the statistical albedo's mean, less its median.
    modes: jax.Array  # (..., M, 3) of the statistical albedo, in the logarithm.


def initial_appearance(skin_color: jax.Array | None = None, num_modes: int = 0) -> Appearance:
    """Skin under the usual light.

    Args:
        skin_color: (3,) linear RGB of lit skin in the photograph; None for the mean of
            the prior.
        num_modes: Modes of the statistical albedo; if there are any, it has the lips and
            brows that the fields would else bring.
    """
    offsets = jnp.array([mean for _, _, mean, _ in _FIELDS]) * (num_modes == 0)
    base = jnp.array(_SKIN_LOG_ALBEDO)
    if skin_color is not None:
        frontal = LIGHT_MEAN[0] * (1 + LIGHT_MEAN[2])
        base = jnp.log(jnp.clip(skin_color / frontal, 0.01, 0.9))
    light = jnp.array(LIGHT_MEAN).at[1:].multiply(LIGHT_MEAN[0])
    light = jnp.broadcast_to(light[:, None], (9, 3))
    return Appearance(jnp.concatenate([base[None], offsets]), jnp.zeros(num_modes), light)


def albedo_fields(points: jax.Array, landmarks: jax.Array) -> jax.Array:
    """Fields (..., A) at points (..., 3), given the landmarks (468, 3) of the same mesh."""
    fields = [
        face_regions.field_around(points, landmarks[jnp.array(indices)], width)
        for indices, width, _, _ in _FIELDS
    ]
    return jnp.stack([jnp.ones(points.shape[:-1]), *fields], axis=-1)


def plain_skin_fields(fields: jax.Array) -> SkinFields:
    """The skin of a face model that has no statistical albedo, from its fields (..., A)."""
    shape = fields.shape[:-1]
    return SkinFields(fields, jnp.zeros((*shape, 3)), jnp.zeros((*shape, 0, 3)))


def albedo_at(appearance: Appearance, skin: SkinFields) -> jax.Array:
    """Linear RGB albedo (..., 3)."""
    smooth = einsum("...a,ac->...c", skin.fields, appearance.albedo)
    own = einsum("...mc,m->...c", skin.modes, appearance.modes)
    return jnp.exp(smooth + skin.base + own)


def sh_from_light(light: jax.Array) -> jax.Array:
    """Radiance coefficients (9, 3) of scaled light parameters (9, 3)."""
    return light / jnp.array(_BAND_SCALE)[:, None]


def render_color(
    appearance: Appearance, skin: SkinFields, normals: jax.Array, view: jax.Array
) -> jax.Array:
    """Colour of skin, its sheen included: on dark skin it is a third of what one sees.

    Args:
        appearance: Colour parameters.
        skin: What its albedo is made of.
        normals: (..., 3) unit, model frame.
        view: (..., 3) unit, towards the camera.

    Returns:
        (..., 3) linear RGB.
    """
    sh = sh_from_light(appearance.light)
    diffuse = albedo_at(appearance, skin) * keep_positive(shade_sh(normals, sh))
    cosine = jnp.sum(normals * view, axis=-1, keepdims=True)
    mirror = normalize(2 * cosine * normals - view)
    f0 = jnp.full_like(cosine, F0_AT_SPECULAR_ONE * SKIN_SPECULAR_ALBEDO)
    roughness = jnp.full_like(cosine, SKIN_ROUGHNESS)
    reflected = specular_albedo_of_lobe(jnp.clip(cosine, 0.0, 1.0), roughness, f0)
    sheen = radiance_sh(mirror, sh, blur=2 * SKIN_ROUGHNESS**2)
    return diffuse + reflected * keep_positive(sheen)


def keep_positive(shading: jax.Array) -> jax.Array:
    """Smooth maximum of shading and 0; order 2 dips below it opposite a strong light."""
    return 0.5 * (shading + jnp.sqrt(shading * shading + _SHADE_FLOOR**2))


def appearance_residuals(appearance: Appearance) -> jax.Array:
    """(3 A + M + 36,): colour parameters against their priors."""
    mean = initial_appearance(num_modes=appearance.modes.size)
    deviation = jnp.array([_SKIN_DEVIATION, *(deviation for *_, deviation in _FIELDS)])
    offset = (appearance.albedo - mean.albedo) / deviation[:, None]
    grey = jnp.mean(appearance.light, axis=-1)
    unit = jnp.maximum(grey[0], 0.1)
    tint = (appearance.light - grey[:, None]) / unit / jnp.array(TINT_DEVIATION)[:, None]
    relative = jnp.concatenate([grey[:1], grey[1:] / unit])
    grey_offset = (relative - jnp.array(LIGHT_MEAN)) / jnp.array(LIGHT_DEVIATION)
    return jnp.concatenate([offset.reshape(-1), appearance.modes, tint.reshape(-1), grey_offset])

"""The light in which a photograph was taken, once the albedo is known.

Shading is linear in the nine coefficients of the light, so this is a reweighted linear
least-squares problem with a mild prior; both the diffuse part and the broad sheen of skin
are in it, for on dark skin the sheen is much of what one sees.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.core.numerics import einsum, normalize
from relightify_jax.core.uv_layout import F0_AT_SPECULAR_ONE, SKIN_SPECULAR_ALBEDO
from relightify_jax.fitting.appearance import (
    LIGHT_DEVIATION,
    LIGHT_MEAN,
    TINT_DEVIATION,
    sh_from_light,
)
from relightify_jax.rendering.lighting import radiance_sh, shade_sh
from relightify_jax.rendering.shading import SKIN_ROUGHNESS, specular_albedo_of_lobe

_MAX_SIDE = 128  # Texels per side that are used; the light is smooth.
_ROUNDS = 10
_NOISE = 0.12  # Deviation of a texel, of the median texture.
_CUTOFF = 2.5  # Geman-McClure, in deviations: highlights, cast shadows, brows.
_OBSERVATIONS = 400.0  # What all texels count together.
_DARK_DEVIATION = 0.02  # Of the constant: how far shading may dip below zero.


class _Design(NamedTuple):
    rows: jax.Array  # (N, 3, 9): the texel's colour is rows . light.
    target: jax.Array  # (N, 3).
    weight: jax.Array  # (N,), sums to `_OBSERVATIONS`.
    deviation: jax.Array  # ().
    directions: jax.Array  # (D, 9): shading over the sphere.


def estimate_light(
    texture: jax.Array,
    confidence: jax.Array,
    albedo: jax.Array,
    normals: jax.Array,
    view: jax.Array | None = None,
    specular_albedo: jax.Array | float = SKIN_SPECULAR_ALBEDO,
) -> jax.Array:
    """Fits light to an observed texture. Pure and jit-able.

    Args:
        texture: (R, R, 3) observed linear RGB.
        confidence: (R, R, 1) in [0, 1].
        albedo: (R, R, 3) diffuse albedo, linear RGB.
        normals: (R, R, 3) unit, in the frame in which the light is wanted; those of the
            posed head (with expression), rotated or not.
        view: (R, R, 3) unit, towards the camera, same frame; None leaves the sheen out.
        specular_albedo: Scalar or (R, R, 1), F0 = 0.08 times it.

    Returns:
        (9, 3) radiance coefficients as in `rendering.lighting`; the prior's light if
        nothing is observed.
    """
    design = _design(texture, confidence, albedo, normals, view, specular_albedo)
    light = jnp.broadcast_to(_prior_light()[:, None], (9, 3))

    def step(light, _):
        return _reweighted_solve(light, design), None

    light, _ = lax.scan(step, light, length=_ROUNDS)
    return sh_from_light(light)


def _prior_light() -> jax.Array:
    return jnp.array(LIGHT_MEAN).at[1:].multiply(LIGHT_MEAN[0])


def _design(texture, confidence, albedo, normals, view, specular_albedo) -> _Design:
    stride = max(texture.shape[0] // _MAX_SIDE, 1)
    specular_albedo = jnp.broadcast_to(jnp.asarray(specular_albedo), confidence.shape)

    def pick(x):
        return x[::stride, ::stride].reshape(-1, x.shape[-1])

    to_sh = sh_from_light(jnp.eye(9))  # Columns: the SH of each light parameter.
    normal = pick(normals)
    rows = pick(albedo)[..., None] * shade_sh(normal, to_sh)[:, None, :]
    if view is not None:
        toward = pick(view)
        cosine = jnp.sum(normal * toward, axis=-1, keepdims=True)
        mirror = normalize(2 * cosine * normal - toward)
        f0 = F0_AT_SPECULAR_ONE * pick(specular_albedo)
        roughness = jnp.full_like(cosine, SKIN_ROUGHNESS)
        reflected = specular_albedo_of_lobe(jnp.clip(cosine, 0.0, 1.0), roughness, f0)
        sheen = radiance_sh(mirror, to_sh, blur=2 * SKIN_ROUGHNESS**2)
        rows = rows + (reflected * sheen)[:, None, :]
    target = pick(texture)
    # Clipped texels say only "at least".
    weight = pick(confidence)[:, 0] * (jnp.max(target, axis=-1) < 0.97)
    seen = jnp.where(weight > 0, jnp.mean(target, axis=-1), jnp.nan)
    median = jnp.nan_to_num(jnp.nanmedian(seen), nan=1.0)
    weight = weight * (_OBSERVATIONS / jnp.maximum(jnp.sum(weight), 1.0))
    sphere = normalize(jax.random.normal(jax.random.key(0), (64, 3)))
    return _Design(
        rows, target, weight, _NOISE * jnp.maximum(median, 1e-3), shade_sh(sphere, to_sh)
    )


def _reweighted_solve(light: jax.Array, design: _Design) -> jax.Array:
    """One round: weights from the last light (9, 3), then grey light, then its tint."""
    residual = (einsum("ncl,lc->nc", design.rows, light) - design.target) / design.deviation
    squared = jnp.sum(residual**2, axis=-1) / 3
    weight = design.weight / (1.0 + squared / _CUTOFF**2) ** 2 / design.deviation**2
    normal = einsum("n,ncl,ncm->clm", weight, design.rows, design.rows)
    moment = einsum("n,ncl,nc->cl", weight, design.rows, design.target)

    # Directions in which the last light was negative are pulled back to black.
    unit = jnp.maximum(jnp.mean(light[0]), 0.05)
    shading = einsum("dl,lc->dc", design.directions, light)
    pull = (shading < 0) / (_DARK_DEVIATION * unit) ** 2 / design.directions.shape[0]
    black = einsum("dc,dl,dm->clm", pull, design.directions, design.directions)

    # The prior's deviations are relative to the constant coefficient; see `appearance`.
    relative = jnp.ones(9).at[1:].set(unit)
    precision = 1.0 / (jnp.array(LIGHT_DEVIATION) * relative) ** 2
    mean = jnp.array(LIGHT_MEAN) * relative
    grey_normal = jnp.sum(normal + black, axis=0) / 3 + jnp.diag(precision)
    grey_moment = jnp.sum(moment, axis=0) / 3 + precision * mean
    grey = jnp.linalg.solve(grey_normal, grey_moment)

    tint_precision = 1.0 / (jnp.array(TINT_DEVIATION) * unit) ** 2
    full = normal + black + jnp.diag(tint_precision)
    return jnp.linalg.solve(full, (moment + tint_precision * grey)[..., None])[..., 0].T

"""Fine relief of the skin: one height map that drives normals, gloss and cavities together.

The map shows what it can resolve. What is finer than a texel is kept as the mean squared
slope it would have had: for a microfacet surface of roughness alpha that variance adds up,

    alpha^2 <- alpha^2 + E |grad h|^2,

because a Beckmann surface of roughness alpha has exactly this mean squared slope, alpha^2
(Walter et al. 2007, eq. 25; Toksvig 2005; Olano & Baker 2010, "LEAN mapping"). A face drawn
at 256 texels and the same face at 1024 so have one gloss when seen from afar.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.core.numerics import normalize
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.folds import fold_skin
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, blur_map, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.pores import dig_pores
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.strokes import Engraving
from relightify_jax.skin.surface import scale_map
from relightify_jax.skin.wrinkle_lines import WrinkleLines
from relightify_jax.skin.wrinkles import wrinkle_skin

# Micro-relief has equal power per octave from the narrowest furrows to the widest plateaus;
# the noise `SkinFields.grain` shows those that a large map resolves.
_MICRO_BAND = 0.12, 2.0  # mm.
_SHOWN_BAND = 0.8, 2.0
_SOFT = 128  # Texels per side on which regions are softened.


class Relief(NamedTuple):
    """Height of the skin over the smooth face and what is too fine for the map."""

    height: jax.Array  # (R, R) mm.
    slope_variance: jax.Array  # (R, R) E |grad h|^2 of what is finer than a texel.
    oil: jax.Array  # () sebum of the person, mean 0, SD 1: wide pores, smooth gloss.


def sample_relief(
    key: jax.Array, person: Person, regions: Regions, lines: WrinkleLines, fields: SkinFields
) -> Relief:
    """Draws wrinkles, folds, pores and micro-relief.

    Args:
        key: Random key, consumed.
        person: Age, sex and pigments: dark and young skin is less lined.
        regions: The regions, (R, R) each.
        lines: Coordinates of the expression lines, (R, R) each.
        fields: Noise shared with the pigments.
    """
    soft = regions._replace(nose=soften(regions.nose), cheeks=soften(regions.cheeks))
    oil = jax.random.normal(rng.stream(key, "oil")).clip(-2, 2)
    oil = 0.85 * oil + 0.4 * (person.male - 0.5) - 0.25 * smooth_step(40.0, 75.0, person.age)
    parts = [
        wrinkle_skin(rng.stream(key, "wrinkles"), person, regions, lines, fields),
        fold_skin(rng.stream(key, "folds"), person, regions, lines, fields),
        _pores(rng.stream(key, "pores"), person, soft, lines, fields, oil),
        _micro_relief(rng.stream(key, "micro"), person, soft, fields, oil),
    ]
    skin = jax.tree.map(lambda *maps: sum(maps[1:], maps[0]), *parts)
    height = skin.height + _unevenness(rng.stream(key, "uneven"), person, regions, fields)
    inside = smooth_step(2.5, 0.0, jnp.maximum(regions.mouth_distance, regions.eye_distance))
    return Relief(height * inside, skin.slope_variance, oil)


def cavity(height: jax.Array) -> jax.Array:
    """Openness (R, R) in [0, 1] of every point of a height map (R, R) in mm; 1 = open.

    A point that lies d below the Gaussian mean of its surroundings of width s sees a sky
    narrowed by walls of the slope d / s. Two widths: pores and creases, then folds.
    """
    texel = MILLIMETRES_PER_UV / height.shape[0]
    walls = jnp.zeros_like(height)
    for width, strength in ((0.5, 1.4), (2.5, 0.7)):
        sigma = max(width / texel, 0.7)
        around = blur_map(height[..., None], sigma)[..., 0]
        walls += strength * jnp.maximum(around - height, 0.0) / (sigma * texel)
    return 1.0 / (1.0 + 2.0 * walls)


def soften(mask: jax.Array) -> jax.Array:
    """Melts the edges of a region (R, R) over about 4 mm."""
    size = mask.shape[0]
    coarse = blur_map(jax.image.resize(mask, (_SOFT, _SOFT), "linear")[..., None], 1.3)[..., 0]
    return jax.image.resize(coarse, (size, size), "cubic")


def bump_normals(
    normals: jax.Array, height: jax.Array, along_u: jax.Array, along_v: jax.Array
) -> jax.Array:
    """Tilts normals by the slope of a height map (Mikkelsen 2010, eq. 6).

    Args:
        normals: (R, R, 3) unit normals of the smooth surface.
        height: (R, R) mm along the normals.
        along_u: (R, R, 3) derivative of the surface in mm per texel to the right.
        along_v: (R, R, 3) the same per texel down.

    Returns:
        (R, R, 3) unit normals.
    """
    slope_u = 0.5 * (jnp.roll(height, -1, 1) - jnp.roll(height, 1, 1))[..., None]
    slope_v = 0.5 * (jnp.roll(height, -1, 0) - jnp.roll(height, 1, 0))[..., None]
    across_u = jnp.cross(along_v, normals)
    across_v = jnp.cross(normals, along_u)
    volume = jnp.sum(along_u * across_u, axis=-1, keepdims=True)
    scale = jnp.sign(volume) / jnp.maximum(jnp.abs(volume), 0.1 * _texel_area(height))
    gradient = (slope_u * across_u + slope_v * across_v) * scale
    # A texel-scale slope of more than 45 degrees is an artefact of the layout.
    steep = jnp.sqrt(jnp.sum(gradient**2, axis=-1, keepdims=True) + 1e-12)
    return normalize(normals - gradient / jnp.maximum(steep, 1.0))


def _texel_area(image: jax.Array) -> float:
    return (MILLIMETRES_PER_UV / image.shape[0]) ** 2


def _pores(
    key: jax.Array,
    person: Person,
    r: Regions,
    lines: WrinkleLines,
    f: SkinFields,
    oil: jax.Array,
) -> Engraving:
    """Pores: dense and wide on the nose and beside it, small on the forehead, drawn out."""
    n = jax.random.normal(rng.stream(key, "sizes"), (4,)).clip(-2, 2)
    old = smooth_step(25.0, 75.0, person.age)
    medial = r.cheeks * jnp.exp(-jnp.square(jnp.maximum(lines.nasolabial_side - 14.0, 0) / 16.0))
    t_zone = jnp.clip(r.nose + 0.8 * medial + 0.5 * r.glabella, 0, 1)
    covered = jnp.clip(1 - 0.9 * r.periorbital, 0, 1) * jax.nn.sigmoid(-r.lip_distance / 0.8)
    density = (
        0.32
        + 0.10 * n[0]
        + 0.42 * t_zone
        + 0.15 * r.forehead
        + 0.2 * (r.chin + r.cheeks)
        + 0.12 * f.mid
    )
    density = jnp.clip(density, 0.02, 0.95) * covered
    wide = jnp.exp(0.18 * n[1] + 0.16 * oil + 0.15 * old)
    radius = wide * (0.125 + 0.05 * t_zone + 0.02 * r.nose_tip)
    deep = jnp.exp(jnp.clip(0.2 * n[2] + 0.2 * oil + 0.25 * old, -0.4, 0.5))
    depth = (
        deep
        * (0.050 + 0.040 * t_zone + 0.028 * r.cheeks + 0.020 * r.forehead + 0.024 * r.chin)
        * covered
    )
    furrows = (0.004 + 0.008 * old) * jnp.exp(0.3 * n[3]) * (0.6 + 0.6 * r.cheeks + 0.8 * r.neck)
    longer = 1.0 + (0.35 + 0.9 * old) * r.cheeks * (1 - r.nose)
    drawn = lines.drawn_x, lines.drawn_y, longer
    scale = scale_map(density.shape[0])
    field = dig_pores(
        rng.stream(key, "cells"), density, radius, depth, furrows * covered, drawn, scale
    )
    return Engraving(field.height, field.slope_variance)


def _micro_relief(
    key: jax.Array, person: Person, r: Regions, f: SkinFields, oil: jax.Array
) -> Engraving:
    """Criss-cross lines of the skin; sebum fills them, age and sun roughen them."""
    n = jax.random.normal(rng.stream(key, "amount"), (3,)).clip(-2, 2)
    lips = jax.nn.sigmoid(r.lip_distance / 0.8)
    oily = jnp.clip(0.9 * r.nose + 0.55 * r.forehead + 0.6 * r.glabella + 0.35 * r.chin, 0, 1)
    amount = 0.0098 * jnp.exp(0.10 * n[0] + 0.20 * smooth_step(35.0, 80.0, person.age))
    filled = (0.40 + 0.10 * oil) * oily + 0.05 * oil + 0.30 * lips
    filled += 0.10 * r.periorbital - 0.15 * r.neck - 0.05 * r.cheeks
    deviation = amount * jnp.clip(1 - filled, 0.3, 1.3)
    shortest, longest = _MICRO_BAND
    octaves = math.log(longest / shortest)
    finest_shown = max(_SHOWN_BAND[0], 2 * MILLIMETRES_PER_UV / r.nose.shape[0])
    lost = jnp.square(2 * jnp.pi * deviation) / (2 * octaves)
    lost *= 1 / shortest**2 - 1 / min(finest_shown, longest) ** 2
    shown = math.sqrt(math.log(_SHOWN_BAND[1] / _SHOWN_BAND[0]) / octaves)
    return Engraving(shown * deviation * f.grain, lost)


def _unevenness(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Soft bumps of millimetres: fat and muscle under the skin, mm (R, R)."""
    u = jax.random.uniform(key, (4,))
    old = smooth_step(30.0, 80.0, person.age)
    # Calm in some places, coarse in others: skin is not evenly bumpy.
    calm = jnp.exp(0.35 * f.low_2 + 0.35 * f.mid_2 - 0.1)
    lumps = (0.012 + 0.012 * u[0] + 0.018 * old) * f.mid
    lumps += (0.009 + 0.009 * u[1] ** 2 + 0.006 * old) * f.fine * calm
    dimples = (0.3 * u[2] + old) * u[3] * jnp.square(r.chin)
    lumps -= 0.10 * dimples * smooth_step(0.2, 1.6, f.mid_2 + 0.4 * f.fine_2)
    return lumps * (1 - 0.2 * r.nose - 0.3 * r.forehead) * (1 - 0.5 * r.periorbital)

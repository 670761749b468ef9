"""Make-up: foundation, concealer, blush, eye shadow, eyeliner and lipstick.

Shares of who wears what are plausible choices. Colours are linear RGB of the product,
covering the skin partly, so that its tone and structure shine through.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.lips import lip_coverage
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions

_WOMEN_SHARE, _MEN_SHARE = 0.42, 0.015  # Who wears any.
_LIPSTICKS = (
    (0.36, 0.012, 0.022),  # Red.
    (0.20, 0.010, 0.025),  # Dark red.
    (0.42, 0.080, 0.120),  # Pink.
    (0.34, 0.110, 0.095),  # Rose wood.
    (0.42, 0.075, 0.045),  # Coral.
    (0.13, 0.020, 0.040),  # Plum.
    (0.22, 0.070, 0.045),  # Brown.
)
_SHADOWS = (
    (0.22, 0.120, 0.075),  # Brown.
    (0.10, 0.055, 0.040),  # Dark brown.
    (0.35, 0.200, 0.170),  # Rose.
    (0.10, 0.100, 0.110),  # Grey.
    (0.055, 0.055, 0.065),  # Smoky.
    (0.40, 0.290, 0.190),  # Champagne.
    (0.14, 0.060, 0.120),  # Violet.
    (0.06, 0.100, 0.170),  # Blue.
)


class MakeUp(NamedTuple):
    """A face with make-up, or the same face if it wears none."""

    albedo: jax.Array  # (R, R, 3) diffuse albedo, linear RGB.
    specular: jax.Array  # (R, R) factor on the specular albedo.
    roughness: jax.Array  # (R, R) to be added to the roughness.


def apply_makeup(
    key: jax.Array,
    person: Person,
    regions: Regions,
    fields: SkinFields,
    skin_albedo: jax.Array,
    lip_key: jax.Array | None = None,
) -> MakeUp:
    """Makes a face up, if it is one that wears make-up.

    Args:
        key: Random key, consumed.
        person: Sex and age decide how likely make-up is.
        regions: The regions, (R, R) each.
        fields: Shared noise.
        skin_albedo: (R, R, 3) of the bare skin, linear RGB.
        lip_key: The key given to `paint_skin`, if lipstick shall end where the natural
            lips do; otherwise it ends near there.
    """
    u = jax.random.uniform(rng.stream(key, "who"), (6,))
    share = _MEN_SHARE + (_WOMEN_SHARE - _MEN_SHARE) * (1 - person.male)
    worn = (u[0] < share).astype(jnp.float32)
    made = MakeUp(skin_albedo, jnp.ones_like(fields.low), jnp.zeros_like(fields.low))
    made = _foundation(rng.stream(key, "foundation"), worn * (u[1] < 0.7), regions, fields, made)
    made = _blush(rng.stream(key, "blush"), worn * (u[2] < 0.5), regions, fields, made)
    made = _shadow(rng.stream(key, "shadow"), worn * (u[3] < 0.5), regions, fields, made)
    made = _liner(rng.stream(key, "liner"), worn * (u[4] < 0.55), regions, made)
    border_key = rng.stream(key if lip_key is None else lip_key, "lip_border")
    lips = lip_coverage(border_key, regions, fields)
    return _lipstick(rng.stream(key, "lipstick"), worn * (u[5] < 0.7), lips, regions, fields, made)


def _cover(made: MakeUp, amount: jax.Array, colour: jax.Array, gloss: jax.Array, rough: jax.Array):
    """Covers a share `amount` (R, R) of the skin with a product of one colour (3,).

    The product fills part of the skin's contrast; the rest, in proportion, stays.
    """
    share = jnp.clip(amount, 0.0, 1.0)[..., None]
    log_skin = jnp.log(jnp.maximum(made.albedo, 1e-3))
    albedo = jnp.exp(log_skin + share * (jnp.log(colour) - log_skin))
    return MakeUp(
        albedo,
        made.specular * (1 + share[..., 0] * (gloss - 1)),
        made.roughness + share[..., 0] * rough,
    )


def _cheek_tone(r: Regions, made: MakeUp) -> jax.Array:
    """Colour (3,) of the cheeks."""
    weight = jnp.square(r.cheeks)[..., None]
    log_skin = jnp.log(jnp.maximum(made.albedo, 1e-3))
    return jnp.exp(jnp.sum(weight * log_skin, (0, 1)) / jnp.sum(weight))


def _foundation(key: jax.Array, worn: jax.Array, r: Regions, f: SkinFields, made: MakeUp) -> MakeUp:
    u = jax.random.uniform(key, (6,))
    tone = _cheek_tone(r, made)
    tone = tone * (0.96 + 0.14 * u[0]) * (1 + 0.06 * (u[1] - 0.5) * jnp.array([-1.0, 0.0, 1.0]))
    face = jnp.hypot(r.across / 82.0, (r.above_mouth - 30.0) / 100.0)
    where = smooth_step(1.12, 0.85, face + 0.03 * f.low) * smooth_step(0.5, -2.0, r.lip_distance)
    where = where * smooth_step(-0.5, -2.5, r.eye_distance) * (1 - 0.9 * r.nostrils) * (1 - r.ears)
    # It gathers a little in pores and folds and wears off where the face moves.
    cover = (0.15 + 0.3 * u[2]) * (1 + 0.10 * f.fine + 0.12 * f.mid)
    concealed = 0.35 * u[3] * r.periorbital * (1 + 0.15 * f.mid)
    matte = u[4] < 0.65
    gloss, rough = jnp.where(matte, 0.75, 1.15), jnp.where(matte, 0.10, -0.06)
    return _cover(made, worn * where * (cover + concealed), tone, gloss, rough)


def _blush(key: jax.Array, worn: jax.Array, r: Regions, f: SkinFields, made: MakeUp) -> MakeUp:
    u = jax.random.uniform(key, (6,))
    # From the apple of the cheek up towards the temple.
    x, y = jnp.abs(r.across) - 52.0 - 8 * u[0], r.above_mouth - 40.0 - 8.0 * u[1]
    tilt = 0.35 + 0.35 * u[2]
    along, over = x * jnp.cos(tilt) + y * jnp.sin(tilt), y * jnp.cos(tilt) - x * jnp.sin(tilt)
    where = jnp.exp(-jnp.hypot(jnp.square(along / (17 + 6 * u[3])), jnp.square(over / 12.0)))
    colour = _cheek_tone(r, made) * jnp.array([1.35, 0.72, 0.62 + 0.3 * u[4]])
    amount = (0.10 + 0.22 * u[5] ** 1.5) * where * (1 + 0.1 * f.mid + 0.08 * f.fine)
    return _cover(made, worn * amount, colour, jnp.float32(0.9), jnp.float32(0.04))


def _shadow(key: jax.Array, worn: jax.Array, r: Regions, f: SkinFields, made: MakeUp) -> MakeUp:
    u = jax.random.uniform(key, (5,))
    colour = jnp.asarray(_SHADOWS)[jnp.floor(u[0] * len(_SHADOWS)).astype(jnp.int32)]
    above = smooth_step(-0.5, 1.5, r.lower_lid - r.upper_lid)
    lid = jnp.maximum(-r.eye_distance, 0.0)
    reach = 6.0 + 7.0 * u[1]
    outer = smooth_step(34.0, 8.0, r.corner)
    where = above * smooth_step(reach, 0.35 * reach, lid + 0.5 * f.mid) * (0.6 + 0.4 * outer)
    smudge = 0.5 * u[2] * (1 - above) * jnp.exp(-r.lower_lid / 1.5) * outer
    where = (where + smudge) * smooth_step(1.0, -0.3, r.eye_distance)
    shimmer = (u[3] < 0.3) * 0.5
    amount = (0.25 + 0.45 * u[4]) * where * (1 + 0.06 * f.fine)
    return _cover(made, worn * amount, colour, 1 + shimmer, 0.08 - 0.3 * shimmer)


def _liner(key: jax.Array, worn: jax.Array, r: Regions, made: MakeUp) -> MakeUp:
    u = jax.random.uniform(key, (5,))
    half_texel = 0.5 * MILLIMETRES_PER_UV / r.upper_lid.shape[0]
    width = jnp.hypot(0.35 + 0.6 * u[0], half_texel)
    upper = jnp.exp(-jnp.square(r.upper_lid / width))
    lower = (u[1] < 0.35) * 0.6 * jnp.exp(-jnp.square(r.lower_lid / (0.7 * width)))
    # The wing runs on from the outer corner, up and outwards.
    away = jnp.where(jnp.abs(r.corner_angle) < 1.5, jnp.sin(r.corner_angle + 0.45), 9.0) * r.corner
    wing = (u[2] < 0.3) * jnp.exp(-jnp.square(away / width)) * smooth_step(7.0, 3.0, r.corner)
    line = jnp.maximum(jnp.maximum(upper, lower), wing) * (0.5 + 0.45 * u[3])
    colour = jnp.where(u[4] < 0.75, jnp.array([0.012, 0.011, 0.011]), jnp.array([0.05, 0.03, 0.02]))
    return _cover(made, worn * line, colour, jnp.float32(0.8), jnp.float32(0.0))


def _lipstick(
    key: jax.Array, worn: jax.Array, lips: jax.Array, r: Regions, f: SkinFields, made: MakeUp
) -> MakeUp:
    u = jax.random.uniform(key, (5,))
    colour = jnp.asarray(_LIPSTICKS)[jnp.floor(u[0] * len(_LIPSTICKS)).astype(jnp.int32)]
    colour = colour * jnp.exp(0.5 * (u[1] - 0.5))
    # Strong colours are fewer than tinted balms; the inner lip wears off first.
    amount = (0.18 + 0.72 * u[2] ** 1.5) * lips
    amount = amount * (1 - 0.35 * u[3] * smooth_step(-2.0, 5.0, r.mouth_distance))
    amount = amount * smooth_step(9.0, 2.0, r.mouth_distance) * (1 + 0.025 * f.fine)
    glossy = u[4] < 0.45
    gloss, rough = jnp.where(glossy, 1.6, 0.75), jnp.where(glossy, -0.16, 0.12)
    return _cover(made, worn * amount, colour, gloss, rough)

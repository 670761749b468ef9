"""Lips: the vermilion border, the colour of the vermilion and the inside of the mouth."""

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.skin import optics
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.tone import melanin_sensitivity, skin_colour


def lip_coverage(key: jax.Array, regions: Regions, fields: SkinFields) -> jax.Array:
    """Share (R, R) of vermilion.

    The border is sharp but not straight; the upper lip has its bow, and towards the
    corners and under the lower lip the border dissolves.
    """
    r, f = regions, fields
    u = jax.random.uniform(rng.stream(key, "border"), (6,))
    texel = MILLIMETRES_PER_UV / f.low.shape[0]
    upper = smooth_step(-3.0, 3.0, r.above_mouth)
    x = jnp.abs(r.across)
    peaks = jnp.exp(-jnp.square((x - 4.5 - 2 * u[0]) / 4.0)) - jnp.exp(-jnp.square(x / 2.6))
    bow = (0.2 + 1.1 * u[1]) * peaks * upper
    fuller = 1.5 * (u[2] - 0.5) * (2 * upper - 1) + 1.5 * (u[3] - 0.55)
    corner = smooth_step(14.0, 25.0, x)
    softness = 0.3 * texel + 0.28 + 0.5 * u[4] ** 2 + 0.7 * corner + 0.25 * (1 - upper)
    wiggle = 0.15 * f.mid + 0.05 * f.fine
    return jax.nn.sigmoid((r.lip_distance + fuller + bow - 0.8 * corner + wiggle) / softness)


def lip_albedo(
    key: jax.Array, person: Person, regions: Regions, fields: SkinFields, detail: jax.Array
) -> jax.Array:
    """Albedo (R, R, 3) of vermilion, everywhere; arguments as for `paint_skin`."""
    r, f = regions, fields
    n = jax.random.normal(rng.stream(key, "tone"), (6,)).clip(-2, 2)
    u = jax.random.uniform(rng.stream(key, "gains"), (3,))
    dark = smooth_step(-3.0, -1.8, person.log_melanin)
    inner = smooth_step(0.0, 8.0, r.lip_distance)
    upper = smooth_step(-3.0, 3.0, r.above_mouth)
    thinness = 0.5 + 0.42 * dark
    # The thinner epidermis holds as much pigment as the skin's, less towards the inner lip;
    # dark lips are darkest along their border and may be pink in the middle of the lower one.
    melanin = person.log_melanin - jnp.log(thinness) - 0.45 + 0.22 * n[0] + 0.65 * dark
    melanin += -(0.15 + 0.5 * dark * u[0] * (1 - upper)) * inner + 0.15 * dark * upper
    melanin += 0.25 * dark * jnp.exp(-jnp.square((r.lip_distance - 0.8) / 1.6))
    melanin += (0.06 * f.mid + 0.03 * f.fine) * melanin_sensitivity(person)
    melanin += 0.3 * detail[..., 0] * melanin_sensitivity(person)
    blood = -2.35 + 0.32 * n[1] + 0.25 * (person.log_blood + 3.6) - 0.18 * person.male
    blood += -0.25 * smooth_step(30.0, 75.0, person.age) + (0.35 + 0.2 * n[2]) * inner
    blood += 0.10 * n[3] * upper + 0.08 * f.mid_2 + 0.03 * f.fine_2 + 0.02 * f.grain
    # Creases across the lips look darker, the dry crests between them paler.
    creases = jnp.sin(2 * jnp.pi * (r.across / (1.7 + 0.8 * u[1]) + 0.35 * f.mid + 0.04 * f.fine))
    body = smooth_step(0.5, 3.0, r.lip_distance) * smooth_step(1.0, -2.0, r.mouth_distance)
    blood += (0.05 + 0.13 * u[2]) * creases * body * smooth_step(-1.0, 1.0, f.mid + 0.5)
    blood += 0.3 * detail[..., 1]
    return skin_colour(person, melanin, blood, thinness * optics.EPIDERMIS_THICKNESS, 0.8)


def mouth_albedo(key: jax.Array, regions: Regions, albedo: jax.Array) -> jax.Array:
    """Wets and shades what lies behind the line where the lips meet: (R, R, 3)."""
    u = jax.random.uniform(key, (2,))
    wet = smooth_step(-2.0, 3.0, regions.mouth_distance)[..., None]
    deep = smooth_step(1.5, 12.0, regions.mouth_distance)[..., None]
    level = jnp.clip(0.45 + 1.8 * jnp.mean(albedo), 0.5, 1.0)
    mucosa = jnp.array([0.36, 0.115, 0.105]) * level * (0.75 + 0.4 * u[0])
    colour = 0.55 * albedo + 0.45 * mucosa
    albedo = albedo + 0.75 * wet * (colour - albedo)
    return albedo * (1 + deep * (jnp.array([0.62, 0.48, 0.48]) * (0.85 + 0.3 * u[1]) - 1))

"""Facial hair as a change of albedo: brows, lashes, stubble and beards, the hairline.

At about a millimetre per texel single hairs are not resolved; what shows is their
density, with streaks along the direction in which they grow.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, band_noise, smooth_step, warp_map
from relightify_jax.skin.pigment import SkinFields
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions


class HairFields(NamedTuple):
    """Streaky and grainy noise, (R, R) each, zero mean, about unit variance."""

    along_brow: jax.Array
    vertical: jax.Array
    grain: jax.Array


def sample_hair_fields(key: jax.Array, regions: Regions, size: int) -> HairFields:
    """Draws hair noise; streaks follow the growth of the brows and the hang of the hair."""
    texel = MILLIMETRES_PER_UV / size
    bands = ((1.5, 9.0),) * 3
    noise = band_noise(key, size, bands)
    # Averaging noise along the growth direction leaves streaks. Brow hairs stand up at
    # the inner end and lie along the brow at the outer one.
    along = jnp.clip(regions.brow_along, 0.0, 1.0)
    angle = jnp.radians(75.0 - 70.0 * along)
    side = jnp.where(jnp.arange(size) < size / 2, -1.0, 1.0)[None, :]
    growth = jnp.stack([side * jnp.cos(angle), -jnp.sin(angle)], -1)
    lean = 0.35 * (jnp.arange(size) / size - 0.5)[None, :] * jnp.ones((size, 1))
    hanging = jnp.stack([lean, jnp.ones_like(lean)], -1)

    def streaks(field: jax.Array, direction: jax.Array, length: float) -> jax.Array:
        steps = jnp.array([-1.0, -0.6, -0.3, 0.3, 0.6, 1.0]) * length / texel
        moved = [warp_map(field[..., None], s * direction)[..., 0] for s in steps]
        total = field + sum(moved)
        return total / jnp.std(total)

    return HairFields(
        along_brow=streaks(noise[..., 0], growth, 2.2),
        vertical=streaks(noise[..., 1], hanging, 7.0),
        grain=noise[..., 2],
    )


def sample_hair_colour(key: jax.Array, person: Person) -> jax.Array:
    """Hair albedo (3,), linear RGB, from black to blond, red and grey."""
    palette = jnp.array(
        [
            [0.013, 0.011, 0.010],  # Black.
            [0.030, 0.020, 0.014],  # Dark brown.
            [0.065, 0.038, 0.022],  # Brown.
            [0.140, 0.080, 0.042],  # Dark blond.
            [0.280, 0.185, 0.100],  # Blond.
            [0.150, 0.055, 0.022],  # Red.
        ]
    )
    light = smooth_step(-2.3, -3.0, person.log_melanin)
    weights = jnp.array([0.30, 0.30, 0.22, 0.10, 0.05, 0.03])
    dark_weights = jnp.array([0.75, 0.22, 0.03, 1e-6, 1e-6, 1e-6])
    logits = jnp.log(light * weights + (1 - light) * dark_weights)
    key_choice, key_tint, key_grey = jax.random.split(key, 3)
    colour = palette[jax.random.categorical(key_choice, logits)]
    colour = colour * jnp.exp(0.25 * jax.random.normal(key_tint))
    grey = smooth_step(42.0, 85.0, person.age) * jax.random.uniform(key_grey)
    return colour + grey * (jnp.array([0.26, 0.245, 0.225]) - colour)


def add_hair(
    key: jax.Array,
    person: Person,
    regions: Regions,
    fields: SkinFields,
    hair_fields: HairFields,
    albedo: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Covers skin with hair.

    Args:
        key: Random key, consumed.
        person: Age, sex and pigments.
        regions: The regions, (R, R) each.
        fields: Noise of the skin.
        hair_fields: Noise of the hair.
        albedo: (R, R, 3) of bare skin, linear RGB.

    Returns:
        (R, R, 3) albedo and (R, R) share of the skin that is covered.
    """
    colour = sample_hair_colour(rng.stream(key, "colour"), person)
    u = jax.random.uniform(rng.stream(key, "tints"), (3,))
    # Brows and lashes are darker than the hair of the head, beards are redder.
    brow_colour = colour * (0.55 + 0.35 * u[0])
    lash_colour = 0.4 * colour + 0.004
    beard_colour = colour * jnp.array([1.15, 1.0, 0.95]) * (0.9 + 0.3 * u[1])

    scalp = _scalp(rng.stream(key, "scalp"), person, regions, fields, hair_fields)
    contrast = jnp.maximum(0.24 - 0.9 * jnp.mean(colour), 0.06)
    head = colour * jnp.exp(contrast * (hair_fields.vertical + 0.6 * fields.mid))[..., None]
    layers = [(scalp, head)]
    layers.append(
        (_beard(rng.stream(key, "beard"), person, regions, fields, hair_fields), beard_colour)
    )
    layers.append((_brows(rng.stream(key, "brows"), person, regions, hair_fields), brow_colour))
    layers.append((_lashes(rng.stream(key, "lashes"), person, regions, fields), lash_colour))
    covered = jnp.zeros_like(scalp)
    for coverage, layer_colour in layers:
        albedo = albedo + coverage[..., None] * (layer_colour - albedo)
        covered = 1 - (1 - covered) * (1 - coverage)
    return albedo, covered


def _brows(key: jax.Array, person: Person, r: Regions, h: HairFields) -> jax.Array:
    """Coverage (R, R) of the eyebrows: thickness, arch, density and gaps vary."""
    u = jax.random.uniform(key, (9,))
    s = r.brow_along
    half = 2.9 + 2.3 * u[0] + 0.9 * person.male  # mm at the thickest place.
    start, end = -0.06 + 0.12 * u[1], 0.96 + 0.16 * u[2]
    # Thick near the inner end, tapering to the tail.
    profile = smooth_step(start - 0.20, start + 0.15, s) * smooth_step(end + 0.1, 0.45, s)
    half_here = half * (0.25 + 0.75 * profile)
    arch = 1.5 * (u[3] - 0.6) * jnp.exp(-jnp.square((s - 0.6) / 0.22)) + 1.5 * (u[4] - 0.5)
    t = (r.brow_across - arch) / half_here
    # The lower border is crisper than the upper one; strands make both ragged.
    ragged = t + 0.12 * h.along_brow
    body = smooth_step(1.35, 0.25, ragged) * smooth_step(-1.25, -0.55, ragged)
    ends = smooth_step(start - 0.10, start + 0.10, s + 0.02 * h.along_brow)
    ends = ends * smooth_step(end + 0.06, end - 0.14, s + 0.02 * h.along_brow)
    density = 0.30 + 0.55 * u[5] ** 0.7 + 0.12 * person.male
    strands = jnp.clip(0.9 + (0.06 + 0.10 * u[6]) * h.along_brow, 0.3, 1.1)
    thin = 1 - 0.35 * u[7] * smooth_step(0.35, 1.0, s)
    brow = density * body * ends * strands * thin
    # A few hairs between the brows.
    bridge = 0.20 * u[8] ** 4 * r.glabella * jnp.clip(h.along_brow, 0, 1.5) * person.male
    return jnp.clip(brow + bridge, 0.0, 0.94)


def _lashes(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Coverage (R, R) of the lash lines; the upper one is darker."""
    u = jax.random.uniform(key, (4,))
    texel = MILLIMETRES_PER_UV / f.low.shape[0]
    width = 0.5 * texel + 0.35 + 0.35 * u[0]
    made_up = (1 - person.male) * (u[1] < 0.35)
    upper = (0.40 + 0.30 * u[2] + 0.25 * made_up) * jnp.exp(-jnp.square(r.upper_lid / width))
    lower = (0.10 + 0.22 * u[3] + 0.12 * made_up) * jnp.exp(-jnp.square(r.lower_lid / width))
    return jnp.clip(jnp.maximum(upper, lower) * (1 + 0.12 * f.fine), 0.0, 0.9)


def _beard(key: jax.Array, person: Person, r: Regions, f: SkinFields, h: HairFields) -> jax.Array:
    """Coverage (R, R): clean shaven, shadow, stubble, moustache, goatee or full beard."""
    u = jax.random.uniform(key, (8,))
    inside = r.beard_distance + 1.8 * f.low + 0.7 * f.mid + 5.0 * (u[0] - 0.6)
    area = smooth_step(-5.0 - 4.0 * u[1], 7.0, inside)
    # Cheeks grow less than chin, jaw and upper lip; a bare patch lies under the lower lip.
    middle = jnp.clip(r.chin + r.moustache + smooth_step(0.0, 25.0, r.beard_distance), 0, 1)
    patchy = jnp.clip(1 + (0.05 + 0.20 * u[2]) * f.low_2, 0.4, 1.2)
    full = area * (0.55 + 0.45 * middle) * patchy
    goatee = jnp.clip(r.chin * 1.3 + r.moustache, 0, 1) * area
    kind = u[3]
    shape = jnp.where(kind < 0.82, full, jnp.where(kind < 0.93, goatee, r.moustache))
    # Half of the men are shaven (a grey shadow), a fifth wear a beard.
    level = jnp.interp(
        u[4], jnp.array([0.0, 0.25, 0.55, 0.8, 1.0]), jnp.array([0, 0.08, 0.2, 0.45, 0.9])
    )
    level = jnp.where(kind < 0.82, level, jnp.maximum(level, 0.4))
    level = level * (0.75 + 0.25 * smooth_step(22.0, 30.0, person.age)) * person.male
    strands = jnp.clip(
        1 + (0.05 + 0.12 * (1 - level)) * (0.8 * h.grain + 0.6 * h.vertical), 0.3, 1.5
    )
    off_lips = smooth_step(0.8, -1.2, r.lip_distance)
    down = 0.05 * (1 - person.male) * r.moustache * u[5] ** 3
    return jnp.clip(shape * level * strands * off_lips + down, 0.0, 0.93)


def _scalp(key: jax.Array, person: Person, r: Regions, f: SkinFields, h: HairFields) -> jax.Array:
    """Coverage (R, R) of the hair of the head beyond the hairline; some heads are shaven."""
    u = jax.random.uniform(key, (7,))
    bald = smooth_step(35.0, 70.0, person.age) * person.male * u[0]
    top = jnp.exp(-jnp.square((jnp.arange(f.low.shape[0]) / f.low.shape[0] - 0.5) / 0.28))[None, :]
    recede = 14.0 * bald + 6.0 * (u[1] - 0.65) + 6.0 * bald * (1 - top)
    ragged = r.scalp_distance - recede + 1.3 * f.low + 0.5 * f.mid + 0.5 * h.vertical
    softness = 3.0 + 7.0 * u[2] ** 2
    edge = smooth_step(-softness, softness + 2.0, ragged)
    shaven = u[3] < 0.12 + 0.25 * person.male * smooth_step(-2.8, -1.6, person.log_melanin)
    density = jnp.where(shaven, 0.45 * u[4], 0.70 + 0.28 * u[4]) * (1 - 0.5 * bald * (u[5] < 0.5))
    strands = jnp.clip(1 + 0.10 * h.vertical, 0.5, 1.1)
    # Sideburns thin out in front of the ear.
    sideburn = smooth_step(-2.0, -22.0, r.sideburn_end)
    return jnp.clip(edge * density * strands * (1 - r.ears) * sideburn, 0.0, 0.97)

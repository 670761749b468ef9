"""Hair of the head as far as the map shows it: the hairline and what lies behind it.

Behind the hairline hair is opaque: a dark ground, with locks drawn over it as strands.
At the hairline it thins out to short and fine hairs. Cropped and shaven heads show skin.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.hair_growth import HairGrowth
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.strands import (
    Bed,
    Bundle,
    Roots,
    Strands,
    draw_numbers,
    sample_maps,
    share_grey,
)

# The top of the map and its sides down to the ears.
SCALP_BED = Bed(box=(0.0, 0.0, 295.0, 150.0), spacing=1.15, number=18_000)
_POINTS_PER_MAP = 240  # Points of strands per texel of the map's side.
_DENSEST = 0.45  # Drawn hairs per square millimetre, many more in truth.


class ScalpStyle(NamedTuple):
    """Scalars of one person's head of hair; lengths in mm."""

    recede: jax.Array  # Shift of the hairline backwards,
    recess: jax.Array  # and more above the temples,
    peak: jax.Array  # and less in the middle.
    soft: jax.Array  # Width over which hair thins out at the hairline.
    sideburn: jax.Array  # End of the sideburns below the top of the ears.
    length: jax.Array
    density: jax.Array  # 0 bald, 1 full.
    turn: jax.Array  # Radians by which it is combed to one side.
    curl: jax.Array  # 0 straight, 1 coils.
    locks: jax.Array  # 0 smooth, 1 hair that holds together in locks.


def sample_scalp_style(key: jax.Array, person: Person) -> ScalpStyle:
    """Draws the hairline and how the hair is worn; it recedes with age, mostly of men."""
    u, n = draw_numbers(key, 10, 4)
    male = person.male
    dark = smooth_step(-2.7, -1.7, person.log_melanin)
    balding = male * smooth_step(24.0, 65.0, person.age) * u[0]
    # Shaven and cropped heads are men's, mostly.
    cropped = (u[1] < male * (0.22 + 0.25 * dark + 0.25 * balding) + 0.03).astype(jnp.float32)
    short = 0.4 + 2.6 * u[2] ** 2
    worn = jnp.where(male > 0, 8.0 + 16.0 * u[3], 14.0 + 9.0 * u[3])
    coils = dark * smooth_step(0.25, 0.6, u[4])
    curl = jnp.maximum(coils, 0.45 * smooth_step(0.6, 1.0, u[5]))
    worn = worn * (1 - 0.72 * coils)
    return ScalpStyle(
        recede=3.5 * n[0] + 16.0 * balding**2 + 1.0,
        recess=3.0 + 4.0 * n[1] + 7.0 * male + 26.0 * balding,
        peak=jnp.maximum(3.0 * n[2], -1.0) * (1 - balding),
        soft=4.5 + 7.0 * u[6] + 4.0 * balding + 3.0 * cropped,
        sideburn=jnp.where(male > 0, 8.0 + 24.0 * u[7], -2.0 + 12.0 * u[7]),
        length=jnp.where(cropped > 0, short, worn),
        density=(0.75 + 0.25 * u[8]) * (1 - 0.75 * smooth_step(0.5, 0.95, balding)),
        turn=jnp.where(male > 0, 0.9, 0.5) * n[3] * (1 - 0.6 * curl),
        curl=curl,
        locks=u[9],
    )


class ScalpMaps(NamedTuple):
    """One person's hair of the head as maps, (R, R) each but for the style."""

    style: ScalpStyle
    inside: jax.Array  # mm behind the hairline, ragged.
    full: jax.Array  # 0 no hair, 1 as dense as on top of the head.
    density: jax.Array  # Drawn hairs per square millimetre.


def map_scalp(b: ScalpStyle, r: Regions, g: HairGrowth, f: SkinFields) -> ScalpMaps:
    """Where the hair of the head grows."""
    top = smooth_step(0.0, -30.0, g.sideburn)  # Sides do not recede.
    moved = (b.recede + b.recess * g.temples) * top - b.peak * g.widows_peak
    inside = g.hairline - moved + 2.0 * f.low + 0.45 * f.mid
    full = smooth_step(-0.5 * b.soft, 1.5 * b.soft, inside)
    full *= smooth_step(0.35, 0.05, r.ears)
    full *= smooth_step(-8.0, 8.0, b.sideburn - g.sideburn + 2.0 * f.low + f.mid)
    return ScalpMaps(b, inside, full, _DENSEST * b.density * full)


def scalp_strands(
    maps: ScalpMaps,
    roots: Roots,
    growth: HairGrowth,
    fields: SkinFields,
    fine_hair: jax.Array,
    grey: jax.Array,
) -> Bundle:
    """The hairs of the head.

    Args:
        maps: Of `map_scalp`.
        roots: Where hairs grow.
        growth: Directions and the hairline.
        fields: Shared noise.
        fine_hair: 0 for coarse dark hair, 1 for fine light hair.
        grey: Share of grey hairs.
    """
    size = maps.density.shape[0]
    b = maps.style
    looked_up = [growth.scalp_u, growth.scalp_v, maps.inside, maps.full]
    looked_up += [fields.mid, fields.mid_2, fields.low]
    u, v, depth, fullness, mid, mid_2, low = sample_maps(looked_up, roots.place)
    d = roots.traits
    on_top = smooth_step(110.0, 60.0, roots.place[:, 1])
    angle = jnp.arctan2(v, u) + b.turn * on_top + (0.10 + 0.22 * b.locks) * (mid + low)
    angle += (0.35 - 0.15 * b.locks + 0.5 * b.curl) * (d[:, 0] + d[:, 1] - 1)
    # Baby hairs: short, fine and in disorder along the hairline.
    baby = smooth_step(0.6 * b.soft, -0.2 * b.soft, depth)
    baby = jnp.maximum(baby, smooth_step(0.9, 0.3, fullness))
    angle += 1.2 * baby * (d[:, 2] - 0.5)
    length = b.length * (0.6 + 0.5 * d[:, 3]) * (1 - 0.65 * baby)
    width = (0.11 - 0.04 * fine_hair + 0.003 * b.length) * (1 - 0.45 * baby) * (0.7 + 0.6 * d[:, 4])
    strands = Strands(
        x=roots.place[:, 0],
        y=roots.place[:, 1],
        right=roots.scale[:, 0],
        down=roots.scale[:, 1],
        angle=angle,
        bend=0.35 * mid_2 + (0.4 + 4.0 * b.curl) * (d[:, 5] - 0.5),
        length=jnp.maximum(length, 0.25),
        width=width * roots.grows,
        taper=jnp.full_like(width, 0.6),
        wave=b.curl * 0.2 * smooth_step(2.0, 8.0, length),
        turns=0.22 * b.curl * length,
        tone=0.5 * (d[:, 4] - 0.5) + 0.30 * b.locks * mid_2,
        grey=share_grey(grey, d[:, 6], 0.5 + 1.0 * b.curl),
        rank=d[:, 5],
    )
    longest = 1.1 * b.length * size / MILLIMETRES_PER_UV
    per_hair = jnp.maximum(jnp.ceil(longest), 1.0).astype(jnp.int32)
    return Bundle(strands, _POINTS_PER_MAP * size, per_hair)


def scalp_ground(
    maps: ScalpMaps, soft_depth: jax.Array, soft_density: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What lies under the drawn hairs.

    Args:
        maps: Of `map_scalp`.
        soft_depth: (R, R) optical depth of the drawn hairs, blurred.
        soft_density: (R, R) their density, blurred.

    Returns:
        Optical depths (R, R) of what hides the skin under the drawn strands, and of
        cropped hair that is seen through the skin.
    """
    b = maps.style
    long = smooth_step(1.5, 9.0, b.length)
    # Deeper in, hair is opaque; at the hairline skin shines through between the strands.
    deep = b.density * maps.full * smooth_step(-0.1 * b.soft, b.soft + 9.0, maps.inside)
    return 2.8 * long * deep + (0.3 + 0.9 * long) * soft_depth, soft_density / _DENSEST * (1 - long)

"""The single folds of a face and the swellings that make them, mm."""

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.strokes import Engraving, groove
from relightify_jax.skin.wrinkle_lines import WrinkleLines


def fold_skin(
    key: jax.Array, person: Person, regions: Regions, lines: WrinkleLines, fields: SkinFields
) -> Engraving:
    """Folds beside nose and mouth, over the chin, of the lids; bags, philtrum, lip border."""
    texel = MILLIMETRES_PER_UV / regions.lip_distance.shape[0]
    u = jax.random.uniform(rng.stream(key, "folds"), (12,))
    tilt = jnp.tanh((jnp.arange(fields.low.shape[1]) / fields.low.shape[1] - 0.5) * 12)
    uneven = 1 + 0.25 * (u[9] - 0.5) * tilt[None, :] + 0.15 * fields.low_2
    wander = 0.35 * fields.mid + 0.12 * fields.fine
    old = smooth_step(22.0, 80.0, person.age)
    late = smooth_step(40.0, 82.0, person.age)

    def fold(side, along, ends, depth, width) -> Engraving:
        begin, full, fading, end = ends
        there = smooth_step(begin, full, along) * smooth_step(end, fading, along) * uneven
        path = side + wander * jnp.minimum(width, 1.0)  # A tight fold runs straighter.
        cut = groove(path, depth * jnp.ones_like(path), width, texel)
        return Engraving(there * cut.height, there**2 * cut.slope_variance)

    nasolabial = fold(
        lines.nasolabial_side, lines.nasolabial_along, (-0.05, 0.2, 0.75, 1.15),
        (0.08 + 0.85 * old) * (0.4 + 0.9 * u[0]), 0.85 + 0.6 * (1 - old),
    )  # fmt: skip
    marionette = fold(
        lines.marionette_side, lines.marionette_along, (-0.1, 0.2, 0.5, 1.1),
        1.0 * late * (0.2 + u[1]), 0.7,
    )  # fmt: skip
    chin = fold(
        lines.chin_side, lines.chin_along, (0.0, 0.35, 2.0, 3.0),
        (0.10 + 0.25 * old) * (0.2 + u[2]), 1.1,
    )  # fmt: skip
    bag = fold(
        lines.bag_side, lines.bag_along, (-0.05, 0.25, 0.7, 1.05),
        (0.06 + 0.65 * old) * (0.2 + 1.1 * u[3]), 0.9,
    )  # fmt: skip
    lid = fold(
        lines.lid_side, lines.lid_along, (-0.15, 0.12, 0.85, 1.1),
        (0.15 + 0.30 * u[4]) * (1 + 0.4 * old), 0.35,
    )  # fmt: skip
    cuts = nasolabial, marionette, chin, bag, lid
    skin = jax.tree.map(lambda *maps: sum(maps[1:], maps[0]), *cuts)
    swollen = _swellings(u, person, regions, lines) * uneven
    return Engraving(skin.height + swollen, skin.slope_variance)


def _swellings(u: jax.Array, person: Person, r: Regions, lines: WrinkleLines) -> jax.Array:
    """What bulges beside the folds, mm (R, R)."""
    old = smooth_step(22.0, 80.0, person.age)
    side, along = lines.nasolabial_side, lines.nasolabial_along
    reach = jnp.where(side > 0, 12.0, 5.0)
    cheek = jnp.exp(-jnp.abs(side) / reach) * jnp.where(side > 0, 1.0, -0.35)
    # The step across the fold is round, not a cliff.
    cheek *= jnp.tanh(jnp.abs(side) / 2.5)
    cheek *= smooth_step(0.0, 0.35, along) * smooth_step(1.3, 0.7, along)
    out = (0.15 + 1.5 * old) * (0.4 + 0.8 * u[0]) * cheek

    pouch = jnp.exp(-jnp.square((lines.bag_side + 5.0) / 3.6))
    pouch *= smooth_step(0.0, 0.35, lines.bag_along) * smooth_step(1.0, 0.65, lines.bag_along)
    out += (0.10 + 0.9 * old) * u[5] ** 1.5 * pouch
    # The roll of muscle right under the lashes.
    roll = jnp.exp(-jnp.square((r.lower_lid - 3.0) / 1.8)) * (r.eye_distance < 0)
    out += 0.22 * u[6] * roll * smooth_step(0.1, 0.5, lines.bag_along) * (lines.bag_side < 0)

    ridges = jnp.exp(-0.5 * jnp.square(lines.philtrum_side / 1.7))
    middle = jnp.exp(-0.5 * jnp.square((lines.philtrum_side + 6.5) / 3.0))
    philtrum = ridges - 0.8 * middle
    philtrum *= smooth_step(-0.1, 0.4, lines.philtrum_along)
    philtrum *= smooth_step(1.3, 0.85, lines.philtrum_along)
    out += (0.10 + 0.35 * u[7]) * (1 - 0.5 * old) * philtrum
    # The white roll around the vermilion.
    border = jnp.exp(-jnp.square((r.lip_distance + 0.9) / 1.1))
    return out + (0.06 + 0.14 * u[8]) * (1 - 0.5 * old) * border

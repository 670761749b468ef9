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

# Where along it a fold begins, is full, fades and ends.
_FOLDS = {
    "nasolabial": (-0.05, 0.2, 0.40, 0.95),
    "marionette": (-0.1, 0.2, 0.5, 1.1),
    "chin": (0.0, 0.35, 2.0, 3.0),
    "bag": (-0.05, 0.25, 0.7, 1.05),
    "lid": (-0.15, 0.12, 0.85, 1.1),
}
_OPENING = 0.9  # Of the width.


def fold_skin(
    key: jax.Array, person: Person, regions: Regions, lines: WrinkleLines, fields: SkinFields
) -> Engraving:
    """Folds beside nose and mouth, over the chin, of the lids; bags, philtrum, lip border."""
    texel = MILLIMETRES_PER_UV / regions.lip_distance.shape[0]
    u = jax.random.uniform(rng.stream(key, "folds"), (12,))
    tilt = jnp.tanh((jnp.arange(fields.low.shape[1]) / fields.low.shape[1] - 0.5) * 12)
    uneven = 1 + 0.25 * (u[9] - 0.5) * tilt[None, :] + 0.15 * fields.low_2
    old = smooth_step(22.0, 80.0, person.age)
    late = smooth_step(40.0, 82.0, person.age)
    side = jnp.stack([getattr(lines, f"{name}_side") for name in _FOLDS])
    along = jnp.stack([getattr(lines, f"{name}_along") for name in _FOLDS])
    begin, full, fading, end = jnp.array(list(_FOLDS.values()))[..., None, None].swapaxes(0, 1)
    there = smooth_step(begin, full, along) * smooth_step(end, fading, along) * uneven
    depth = jnp.stack(
        [
            (0.05 + 0.70 * _sagging(person)) * (0.4 + 0.9 * u[0]),
            1.0 * late * (0.2 + u[1]),
            (0.10 + 0.25 * old) * (0.2 + u[2]),
            (0.06 + 0.65 * old) * (0.2 + 1.1 * u[3]),
            (0.15 + 0.30 * u[4]) * (1 + 0.4 * old),
        ]
    )
    width = jnp.array([0.85, 0.7, 1.1, 0.9, 0.35]).at[0].add(0.6 * (1 - old))
    # Towards their ends folds open out instead of stopping.
    width = width[:, None, None] * (1 + _OPENING * smooth_step(0.5 * (full + fading), end, along))
    wander = 0.35 * fields.mid + 0.12 * fields.fine
    path = side + wander * jnp.minimum(width, 1.0)  # A tight fold runs straighter.
    cut = groove(path, depth[:, None, None], width, texel)
    height = jnp.sum(there * cut.height, 0)
    swollen = _swellings(u, person, regions, lines) * uneven
    return Engraving(height + swollen, jnp.sum(there**2 * cut.slope_variance, 0))


def _sagging(person: Person) -> jax.Array:
    """How far the cheeks have come down: 0 in the young, 1 in the old."""
    return smooth_step(30.0, 84.0, person.age)


def _swellings(u: jax.Array, person: Person, r: Regions, lines: WrinkleLines) -> jax.Array:
    """What bulges beside the folds, mm (R, R)."""
    old = smooth_step(22.0, 80.0, person.age)
    side, along = lines.nasolabial_side, lines.nasolabial_along
    reach = jnp.where(side > 0, 12.0, 5.0)
    cheek = jnp.exp(-jnp.abs(side) / reach) * jnp.where(side > 0, 1.0, -0.35)
    # The step across the fold is round, not a cliff.
    cheek *= jnp.tanh(jnp.abs(side) / 2.5)
    cheek *= smooth_step(0.0, 0.35, along) * smooth_step(1.2, 0.4, along)
    out = (0.12 + 1.3 * _sagging(person)) * (0.4 + 0.8 * u[0]) * cheek

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

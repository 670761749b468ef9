"""How deep each family of expression lines is cut, by age and habit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import rng
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.strokes import Engraving, engrave, sample_strokes
from relightify_jax.skin.wrinkle_lines import FAMILIES, NUM_ROWS, NUM_STEPS, WrinkleLines


class _Habit(NamedTuple):
    """A family of lines in the young and in the old."""

    young: float  # Depth, mm.
    old: float
    onset: float  # Years.
    width: float  # Of the valley's floor, mm, standard deviation.
    unbroken: float  # In the young; see `sample_strokes`.


_HABITS = {
    "forehead": _Habit(0.030, 1.10, 24.0, 0.42, 0.4),
    "crow": _Habit(0.015, 0.85, 22.0, 0.32, 0.5),
    "neck": _Habit(0.100, 0.60, 25.0, 0.60, 0.3),
    "upper_lip": _Habit(0.10, 0.20, 30.0, 0.22, 0.9),
    "lower_lip": _Habit(0.10, 0.20, 30.0, 0.22, 0.9),
    "bunny": _Habit(0.006, 0.25, 30.0, 0.30, -0.3),
    "glabella": _Habit(0.015, 1.10, 24.0, 0.48, 0.2),
    "lower_lid": _Habit(0.040, 0.45, 22.0, 0.30, 0.4),
    "upper_lid": _Habit(0.015, 0.13, 28.0, 0.22, 0.1),
    "cheek": _Habit(0.000, 0.75, 40.0, 0.55, -0.3),
}
# Lines around the mouth come late; the furrows of the lips are always there.
_PERIORAL_ONSET = 42.0, 85.0
# Fine lines between the main ones: so many times as many, so much narrower.
_FINER = 3
_SWAY = 7.0  # mm; they wind, so that they cross and fork the main ones.


def wrinkle_skin(
    key: jax.Array, person: Person, regions: Regions, lines: WrinkleLines, fields: SkinFields
) -> Engraving:
    """Expression lines, furrows of the lips and the fine crinkles between them."""
    texel = MILLIMETRES_PER_UV / regions.lip_distance.shape[0]
    depth, width, unbroken = _family_columns(rng.stream(key, "habits"), person)
    row, along, pitch, share = _stack_passes(lines)
    share = share * _fade(rng.stream(key, "perioral"), person, regions, lines)
    wander = 0.10 * fields.mid + 0.05 * fields.fine
    keys = jax.random.split(rng.stream(key, "strokes"), 4)
    old = smooth_step(25.0, 80.0, person.age)
    # Passes: main lines of both layers, then the fine ones.
    fine = 0.15 * depth + 0.004 + 0.012 * old
    depth = jnp.concatenate([depth, fine])
    width = jnp.concatenate([width, 0.5 * width])
    unbroken = jnp.concatenate([unbroken, 0.5 * unbroken - 0.2 + 0.3 * old])

    strokes = jax.vmap(sample_strokes, (0, 0, 0, 0, None))(keys, depth, width, unbroken, NUM_ROWS)

    def one_pass(total: Engraving, given) -> tuple[Engraving, None]:
        strokes, row, along, pitch, share = given
        cut = engrave(strokes, row, along, pitch, wander, texel)
        return Engraving(
            total.height + share * cut.height,
            total.slope_variance + share**2 * cut.slope_variance,
        ), None

    zero = jnp.zeros_like(regions.lip_distance)
    passes = strokes, row, along, pitch, share
    return jax.lax.scan(one_pass, Engraving(zero, zero), passes)[0]


def _stack_passes(lines: WrinkleLines) -> tuple[jax.Array, ...]:
    """Row, along, pitch and share (4, R, R): both layers, then the fine lines of both."""
    row = jnp.stack([lines.row_0, lines.row_1])
    along = jnp.stack([lines.along_0, lines.along_1])
    pitch = jnp.stack([lines.pitch_0, lines.pitch_1])
    share = jnp.stack([lines.share_0, lines.share_1])
    return (
        jnp.concatenate([row, _FINER * row + jnp.sin(along / _SWAY)]),
        jnp.concatenate([along, along]),
        jnp.concatenate([pitch, pitch / _FINER]),
        jnp.concatenate([share, share]),
    )


def _family_columns(key: jax.Array, person: Person) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Depth mm, width mm and `unbroken` (2, A) of the places along the lines of a layer."""
    names = list(FAMILIES)
    habits = np.array(
        [_HABITS[name.removesuffix("_right").removesuffix("_left")] for name in names], np.float32
    )
    young, old, onset, width, unbroken = jnp.asarray(habits.T)
    column = np.zeros((2, NUM_STEPS), int)  # No texel has the places that no family has.
    for index, place in enumerate(FAMILIES.values()):
        column[place.layer, place.begin : place.end] = index
    # The sun ages skin, and pigment shields it.
    normal = jax.random.normal(rng.stream(key, "face")).clip(-2, 2)
    shield = 0.75 + 0.25 * smooth_step(-2.0, -3.0, person.log_melanin)
    lined = shield * jnp.exp(0.25 * normal)
    mimic = jax.random.normal(rng.stream(key, "families"), (len(names),)).clip(-2, 2)
    # Both sides of a face make the same faces, almost.
    order = {name: index for index, name in enumerate(names)}
    twin = np.array([order[name.replace("_left", "_right")] for name in names])
    mimic = 0.9 * mimic[twin] + 0.35 * mimic
    ageing = smooth_step(onset, 84.0, person.age + 5.0 * normal) ** 1.15
    depth = young * jnp.exp(0.3 * mimic) + (old - young) * ageing * lined * jnp.exp(0.32 * mimic)
    unbroken = unbroken + 0.9 * ageing
    return depth[column], width[column], unbroken[column]


def _fade(key: jax.Array, person: Person, r: Regions, lines: WrinkleLines) -> jax.Array:
    """Factor (4, R, R) on the passes: lines around the mouth come with age, not with lips."""
    u = jax.random.uniform(key, (2,))
    lips = jax.nn.sigmoid((r.lip_distance + 0.3) / 0.7)
    perioral = smooth_step(*_PERIORAL_ONSET, person.age) * (0.3 + 1.4 * u[0])
    perioral *= jnp.exp(jnp.minimum(r.lip_distance, 0.0) / (7.0 + 5.0 * u[1]))
    first, last = FAMILIES["upper_lip"].begin, FAMILIES["lower_lip"].end
    mouth = (lines.along_0 >= first) & (lines.along_0 < last)
    around = lips + (1 - lips) * jnp.minimum(perioral, 1.5)
    openings = jnp.maximum(r.mouth_distance, r.eye_distance)
    layers = jnp.stack([jnp.where(mouth, around, 1 - lips), 1 - lips])
    return jnp.tile(layers * smooth_step(1.5, -0.5, openings), (2, 1, 1))

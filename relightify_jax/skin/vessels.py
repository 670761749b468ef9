"""Vessels that show through the skin: bluish veins, and fine red ones of the nose and cheeks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import rng
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.stamps import Vessels, draw_vessels, grow_vessels

_NUM_TEMPLE, _NUM_LID, _NUM_FINE = 4, 10, 80
_NUM_VEINS = _NUM_TEMPLE + _NUM_LID
_STEPS = 10
_MIDDLE_FACE = (55.0, 85.0, 240.0, 175.0)  # mm; left, top, right, bottom.


class FaceVessels(NamedTuple):
    """What vessels change."""

    log_blood: jax.Array  # (R, R) of the fine red ones.
    tint: jax.Array  # (R, R, 3) factor on the albedo over veins.


def draw_face_vessels(
    key: jax.Array, person: Person, regions: Regions, fields: SkinFields
) -> FaceVessels:
    """Draws the veins of temples and lids, and telangiectasia."""
    size = fields.low.shape[0]
    u = jax.random.uniform(rng.stream(key, "who"), (3,))
    light = smooth_step(-2.2, -3.2, person.log_melanin)
    vessels = _grow(rng.stream(key, "course"), regions)
    veins = draw_vessels(jax.tree.map(lambda x: x[:_NUM_VEINS], vessels), size, 4.0)
    fine = draw_vessels(jax.tree.map(lambda x: x[_NUM_VEINS:], vessels), size, 1.2)
    thin = jnp.clip(1.2 * regions.temples + 1.3 * regions.periorbital, 0, 1)
    visible = (0.15 + 0.85 * light) * u[0] ** 2 * thin
    # A vein lowers the red most: it looks blue beside skin (Kienle et al. 1996).
    tint = jnp.exp(-(visible * veins)[..., None] * jnp.array([0.20, 0.10, 0.03]))
    aged = 0.25 + 0.75 * smooth_step(28.0, 60.0, person.age)
    prone = light * aged * smooth_step(0.35, 1.0, u[1])
    where = jnp.clip(
        1.1 * regions.nose_wings + 0.75 * regions.cheeks + 0.5 * regions.nose_tip, 0, 1
    )
    where = where * smooth_step(-0.8, 1.0, fields.mid_2 + 0.5 * fields.low)
    return FaceVessels(1.7 * prone * where * fine, tint)


def _grow(key: jax.Array, r: Regions) -> Vessels:
    """Veins over the temples and lids first, then hair-thin vessels of the middle face."""
    number = jax.random.uniform(rng.stream(key, "roots"), (_NUM_VEINS + _NUM_FINE, 4))
    temple = _places(jnp.square(r.temples), number[:_NUM_TEMPLE, :2])
    lid = _places(r.periorbital**4, number[_NUM_TEMPLE:_NUM_VEINS, :2])
    low, high = jnp.array(_MIDDLE_FACE[:2]), jnp.array(_MIDDLE_FACE[2:])
    fine = low + (high - low) * number[_NUM_VEINS:, :2]
    # Temple veins climb outwards, those of the lids run away from the nose.
    right = jnp.concatenate([temple, lid])[:, 0] < MILLIMETRES_PER_UV / 2
    rise = jnp.where(jnp.arange(_NUM_VEINS) < _NUM_TEMPLE, -0.9, 0.5)
    rise += 1.2 * (number[:_NUM_VEINS, 2] - 0.5)
    heading = jnp.where(right, jnp.pi - rise, rise)
    heading = jnp.concatenate([heading, 2 * jnp.pi * number[_NUM_VEINS:, 2]])

    def each(temple: float, lid: float, fine: float) -> jax.Array:
        counts = np.array([_NUM_TEMPLE, _NUM_LID, _NUM_FINE])
        return jnp.asarray(np.repeat(np.array([temple, lid, fine], np.float32), counts))

    return grow_vessels(
        rng.stream(key, "walk"),
        jnp.concatenate([temple, lid, fine]),
        heading,
        each(36.0, 14.0, 2.5) + each(0.0, 0.0, 6.0) * number[:, 3] ** 2,
        each(1.1, 0.55, 0.13),
        each(0.45, 0.45, 0.9),
        steps=_STEPS,
        branches=2,
    )


def _places(weight: jax.Array, number: jax.Array) -> jax.Array:
    """Places (N, 2) mm where a weight (R, R) is large; `number` (N, 2) uniform in [0, 1)."""
    size = weight.shape[0]
    edges = jnp.arange(1, size + 1) * (MILLIMETRES_PER_UV / size)

    def along(axis: int) -> jax.Array:
        total = jnp.cumsum(jnp.sum(weight, axis))
        return jnp.interp(number[:, axis], total / total[-1], edges)

    return jnp.stack([along(0), along(1)], -1)

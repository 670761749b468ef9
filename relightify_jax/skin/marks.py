"""Marks on the skin: freckles, moles, age spots, acne and its scars, melasma, vitiligo.

How many of them a person has follows age, sex and skin type; frequencies and sizes are
plausible choices from dermatological experience, not measurements.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from relightify_jax.core import rng
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.stamps import Spots, draw_spots, random_spots

_FACE = (45.0, 15.0, 250.0, 225.0)  # mm; left, top, right, bottom of where marks are sown.
_MELANIN, _BLOOD, _HEIGHT = range(3)  # Layers that marks are drawn on.
_NUM_FRECKLES = 1800
_NUM_MOLES = 28
_NUM_PIMPLES = 60
_NUM_SCARS = 90
_NUM_AGE_SPOTS = 36
_VITILIGO_SHARE = 0.012
_MELASMA_SHARE = 0.10  # Of the women of an age and skin type that get it.


class Marks(NamedTuple):
    """Changes (R, R) that marks make."""

    log_melanin: jax.Array
    log_blood: jax.Array
    bleached: jax.Array  # Share of the skin without melanin, in [0, 1].
    height: jax.Array  # mm above the skin.


def draw_marks(key: jax.Array, person: Person, regions: Regions, fields: SkinFields) -> Marks:
    """Draws the marks of one face."""
    freckles = _freckles(rng.stream(key, "freckles"), person, regions, fields)
    aged = _age_spots(rng.stream(key, "age_spots"), person, regions, fields)
    melasma = _melasma(rng.stream(key, "melasma"), person, regions, fields)
    single = (
        *_moles(rng.stream(key, "moles"), person, regions),
        *_acne(rng.stream(key, "acne"), person, regions, fields),
        *_scars(rng.stream(key, "scars"), person, regions),
    )
    spots = jax.tree.map(lambda *parts: jnp.concatenate(parts), *single)
    melanin, blood, height = draw_spots(spots, fields.low.shape[0], 5.0, num_layers=3)
    bleached = _vitiligo(rng.stream(key, "vitiligo"), regions, fields)
    return Marks(melanin + freckles + aged + melasma, blood, bleached, height)


class _Seeds(NamedTuple):
    """Random numbers of N marks."""

    place: jax.Array  # (N, 2) uniform on the face, mm.
    chance: jax.Array  # (N,) uniform in [0, 1).
    number: jax.Array  # (N, 3) uniform in [0, 1).
    shape: jax.Array  # (N, 8) uniform in [0, 1).


def _sow(key: jax.Array, count: int) -> tuple[jax.Array, _Seeds]:
    """Four uniform numbers (4,) of the person, and seeds for marks."""
    numbers = jax.random.uniform(key, (count + 1, 14))
    marks = numbers[1:]
    low, high = jnp.array(_FACE[:2]), jnp.array(_FACE[2:])
    place = low + (high - low) * marks[:, :2]
    return numbers[0, :4], _Seeds(place, marks[:, 2], marks[:, 3:6], marks[:, 6:])


def _grow_where(density: jax.Array, seeds: _Seeds) -> jax.Array:
    """Thins seeds out to a density (R, R) in [0, 1]: factor (N,), 0 or (nearly) 1.

    The edge is soft so that a rounding error cannot make a mark appear or vanish.
    """
    at = seeds.place.T[::-1] * (density.shape[0] / MILLIMETRES_PER_UV) - 0.5
    here = map_coordinates(density, list(at), order=1, mode="nearest")
    return smooth_step(0.0, 0.06, here - seeds.chance)


def _freckles(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Freckles: many small and faint ones, few dark ones, in drifts; log melanin (R, R)."""
    u, seeds = _sow(key, _NUM_FRECKLES)
    light = smooth_step(-2.3, -3.1, person.log_melanin)
    prone = smooth_step(0.93 - 0.42 * light, 1.0, u[0]) * (0.15 + 0.85 * light)
    red_haired = smooth_step(0.71, 0.64, person.eumelanin)
    prone = jnp.maximum(prone, red_haired * (0.3 + 0.7 * u[0]))
    young = 1 - 0.5 * smooth_step(35.0, 65.0, person.age)
    sun = 0.04 + 0.75 * r.cheeks + 0.9 * r.nose + 0.45 * r.forehead + 0.25 * r.temples
    sun += 0.2 * r.chin + 0.25 * r.moustache
    drifts = smooth_step(-1.4, 1.3, f.low_2 + 0.5 * f.mid_2)
    density = jnp.sqrt(prone) * young * jnp.clip(sun, 0, 1) * drifts
    radius = 0.28 + (0.5 + 0.5 * u[1]) * seeds.number[:, 0] ** 2.5
    strength = (0.12 + 0.8 * seeds.number[:, 1] ** 1.6) * (0.35 + 0.9 * prone)
    strength = strength * _grow_where(density, seeds)
    spots = random_spots(seeds.shape, seeds.place, radius, strength, 1.2, 0.24)
    drawn = draw_spots(spots, f.low.shape[0], 2.6)[0]
    # Where freckles meet they merge instead of adding up.
    return 1.5 * jnp.tanh(drawn / 1.5)


def _moles(key: jax.Array, person: Person, r: Regions) -> tuple[Spots, ...]:
    """Moles, flat or raised; dark skin grows small papules with age."""
    u, seeds = _sow(key, _NUM_MOLES)
    dark = smooth_step(-2.2, -1.7, person.log_melanin)
    papules = dark * smooth_step(35.0, 65.0, person.age) * (u[1] < 0.4)
    share = jnp.maximum(0.45 * u[0] ** 2.5, papules)
    shown = jnp.arange(_NUM_MOLES) < _NUM_MOLES * share
    density = 0.75 + 0.25 * r.cheeks - 0.6 * r.neck
    density = density * (1 - papules * (1 - jnp.clip(r.cheeks + r.temples + r.periorbital, 0, 1)))
    density = density * smooth_step(0.0, -3.0, r.lip_distance)
    grown = _grow_where(density, seeds) * shown
    number = seeds.number
    radius = (0.45 + 1.5 * number[:, 2] ** 3) * (1 - 0.35 * papules)
    raised = (number[:, 0] < 0.25 + 0.35 * smooth_step(25, 60, person.age)) | (papules > 0.5)
    # Raised moles lose their pigment over the years.
    pigment = 0.4 + 1.1 * number[:, 1] - 0.5 * raised * smooth_step(30.0, 70.0, person.age)
    pigment = pigment * (1 - 0.55 * smooth_step(-2.6, -1.5, person.log_melanin))
    spots = random_spots(seeds.shape, seeds.place, radius, pigment * grown, 0.4, 0.17, _MELANIN)
    dome = grown * raised * (0.25 + 0.45 * radius)
    return spots, _smooth_bump(spots, 0.8 * radius, dome)


def _age_spots(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Solar lentigines: patches of even colour with a sharp, wavy border; log melanin."""
    u, seeds = _sow(key, _NUM_AGE_SPOTS)
    exposed = jnp.clip(0.7 * r.cheeks + 0.6 * r.forehead + 1.0 * r.temples + 0.5 * r.nose, 0, 1)
    aged = smooth_step(38.0, 78.0, person.age) * (0.2 + 0.8 * u[0])
    light = smooth_step(-1.5, -2.9, person.log_melanin)
    grown = _grow_where(aged * light * exposed * 1.1, seeds)
    radius = 1.2 + 3.8 * seeds.number[:, 0] ** 2.5
    spots = random_spots(seeds.shape, seeds.place, radius, grown, 1.2, 0.0)
    height = draw_spots(spots, f.low.shape[0], 9.0, peaks=True)[0]
    border = height + 0.08 * f.mid_2 + 0.07 * f.fine
    patch = smooth_step(-0.06, 0.14, border)
    tone = (0.20 + 0.27 * u[1]) * (1 + 0.3 * f.mid + 0.15 * f.fine_2)
    # A faint, older stain lies around them.
    stain = 0.18 * smooth_step(0.9, 2.2, f.mid_2 + 0.4 * f.low) * exposed * aged
    return (tone * patch + stain) * (0.5 + 0.5 * light)


def _melasma(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Symmetric brown patches of women with medium skin: log melanin (R, R)."""
    u = jax.random.uniform(key, (4,))
    type_ = smooth_step(-3.0, -2.7, person.log_melanin) * smooth_step(
        -1.5, -2.0, person.log_melanin
    )
    prone = type_ * smooth_step(22.0, 28.0, person.age) * smooth_step(62.0, 50.0, person.age)
    has = (u[0] < _MELASMA_SHARE * prone) & (person.male < 0.5)
    centre = jnp.maximum(r.cheeks * (0.6 + 0.5 * u[1]), 0.9 * r.moustache * u[2])
    centre = jnp.maximum(centre, 0.8 * r.forehead * (u[3] - 0.2))
    border = centre - 0.45 + 0.12 * f.mid_2 + 0.04 * f.fine + 0.12 * f.low
    patch = smooth_step(-0.05, 0.40, border) * smooth_step(-1.0, -5.0, r.lip_distance)
    return 0.34 * has * patch * (1 + 0.10 * f.fine)


def _acne(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> tuple[Spots, ...]:
    """Pimples with their halos, and the red or brown stains that they leave."""
    u, seeds = _sow(key, _NUM_PIMPLES)
    young = smooth_step(42.0, 19.0, person.age)
    severity = 0.05 * u[1] + young * smooth_step(0.55, 1.0, u[0]) * (0.8 + 0.2 * person.male)
    zones = 0.55 * r.cheeks + 0.6 * r.forehead + 0.8 * r.chin + 0.4 * r.nose + 0.5 * r.perioral
    zones = jnp.clip(zones + 0.35 * r.temples, 0, 1) * smooth_step(-0.5, -4.0, r.lip_distance)
    zones = zones * smooth_step(-1.2, 0.8, f.low + 0.5 * f.mid)
    grown = _grow_where(severity * zones, seeds)
    number = seeds.number
    radius = 0.5 + 1.3 * number[:, 0] ** 2
    fresh = (number[:, 1] < 0.45).astype(jnp.float32)
    strength = grown * (0.35 + 0.75 * number[:, 2])
    core = random_spots(seeds.shape, seeds.place, radius, strength, 0.8, 0.28, _BLOOD)
    halo = core._replace(radius=2.1 * radius, strength=0.35 * strength * fresh)
    dark = smooth_step(-2.9, -2.0, person.log_melanin)
    brown = 0.5 * (0.15 + dark) * strength * (1 - 0.7 * fresh)
    stain = core._replace(strength=brown, layer=jnp.full_like(core.layer, _MELANIN))
    return core, halo, stain, _smooth_bump(core, 0.85 * radius, grown * fresh * 0.32 * radius)


def _scars(key: jax.Array, person: Person, r: Regions) -> tuple[Spots, ...]:
    """Pits of half a millimetre to two that acne has left, a little red."""
    u, seeds = _sow(key, _NUM_SCARS)
    young = smooth_step(42.0, 19.0, person.age)
    scarred = smooth_step(0.86, 1.0, u[0]) * (0.6 + 0.4 * young)
    where = jnp.clip(r.cheeks + 0.7 * r.temples + 0.25 * r.forehead, 0, 1)
    pitted = _grow_where(scarred * where, seeds)
    number = seeds.number
    radius = 0.4 + 1.1 * number[:, 0] ** 2
    depth = pitted * (0.08 + 0.25 * number[:, 1])
    red = random_spots(seeds.shape, seeds.place, radius, 0.5 * depth, 0.8, 0.25, _BLOOD)
    return red, red._replace(strength=-depth, layer=jnp.full_like(red.layer, _HEIGHT))


def _smooth_bump(spots: Spots, radius: jax.Array, height: jax.Array) -> Spots:
    """Spots as domes without the raggedness of their colour."""
    return spots._replace(
        radius=radius,
        strength=height,
        outline=jnp.zeros_like(spots.outline),
        softness=jnp.full_like(spots.softness, 0.24),
        layer=jnp.full_like(spots.layer, _HEIGHT),
    )


def _vitiligo(key: jax.Array, r: Regions, f: SkinFields) -> jax.Array:
    """White patches, rare, mostly mirrored and around eyes and mouth: share (R, R)."""
    numbers = jax.random.uniform(key, (6, 3))
    u = numbers[5]
    size = f.low.shape[0]
    axis = (jnp.arange(size) + 0.5) * (MILLIMETRES_PER_UV / size)
    side = jnp.abs(r.across) + 4.0 * f.low_2  # Mirrored, but not exactly.
    place = jnp.array([0.0, 20.0]) + jnp.array([100.0, 240.0]) * numbers[:5, :2]
    radius = 4.0 + 18.0 * numbers[:5, 2] ** 2

    def around(place, radius):
        return 1 - jnp.hypot(side - place[0], axis[:, None] - place[1]) / radius

    border = jnp.max(jax.vmap(around)(place, radius), axis=0)
    border = jnp.maximum(border, u[1] * 1.6 * r.periorbital - 0.8)
    border = jnp.maximum(border, u[2] * 1.6 * r.perioral - 0.9)
    border = border + 0.15 * f.mid + 0.12 * f.low + 0.03 * f.fine
    return (u[0] < _VITILIGO_SHARE) * smooth_step(-0.04, 0.18, border)

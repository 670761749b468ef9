"""Where melanin and blood lie on a face, and the albedo that follows.

Differences between regions follow the site statistics of ISSA where it has them; lips,
lids, freckles, moles and vessels are plausible choices, not measurements.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.skin import optics
from relightify_jax.skin.noise import (
    MILLIMETRES_PER_UV,
    band_noise,
    blur_map,
    scatter_spots,
    smooth_step,
)
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions

_NUM_FRECKLES = 400
_NUM_MOLES = 16


class SkinFields(NamedTuple):
    """Noise shared by the maps of one face, (R, R) each, zero mean, unit variance."""

    low: jax.Array  # Wavelengths 20 to 80 mm.
    low_2: jax.Array
    mid: jax.Array  # 4 to 16 mm.
    mid_2: jax.Array
    fine: jax.Array  # 2.3 to 5 mm.
    fine_2: jax.Array


def sample_fields(key: jax.Array, size: int) -> SkinFields:
    """Draws the shared noise of one face at `size` texels per side."""
    bands = ((20.0, 80.0), (20.0, 80.0), (4.0, 16.0), (4.0, 16.0), (2.0, 5.0), (2.0, 5.0))
    fields = band_noise(key, size, bands)
    return SkinFields(*jnp.moveaxis(fields, -1, 0))


def paint_skin(
    key: jax.Array, person: Person, regions: Regions, fields: SkinFields, detail: jax.Array
) -> jax.Array:
    """Albedo of bare skin, without hair.

    Args:
        key: Random key, consumed.
        person: Pigments of the cheek, age and sex.
        regions: The regions, (R, R) each.
        fields: Shared noise.
        detail: (R, R, 2) deviations of log melanin and log blood taken from a real or
            painted skin; zeros if there is none.

    Returns:
        (R, R, 3) diffuse albedo, linear RGB.
    """
    lips = _lip_coverage(rng.stream(key, "lip_border"), regions, fields)
    melanin = _log_melanin(rng.stream(key, "melanin"), person, regions, fields)
    blood = _log_blood(rng.stream(key, "blood"), person, regions, fields)
    # Blood lies deep: light that reaches it has spread by about 2 mm.
    spread = 1.2 / MILLIMETRES_PER_UV * melanin.shape[0]
    blood = blur_map(blood[..., None], spread)[..., 0]
    melanin = melanin + detail[..., 0] * melanin_sensitivity(person)
    blood = blood + detail[..., 1]

    lip_melanin, lip_blood = _lip_pigment(rng.stream(key, "lip_pigment"), person, regions, fields)
    melanin = jnp.where(lips > 0.5, jnp.minimum(melanin, person.log_melanin + 0.8), melanin)
    lip_melanin = lip_melanin + 0.3 * detail[..., 0] * melanin_sensitivity(person)
    lip_blood = lip_blood + 0.3 * detail[..., 1]

    key_mouth = rng.stream(key, "mouth")
    skin = _colour(person, melanin, blood, optics.EPIDERMIS_THICKNESS)
    thickness = _lip_thickness(person) * optics.EPIDERMIS_THICKNESS
    lip = _colour(person, lip_melanin, lip_blood, thickness)
    albedo = skin + lips[..., None] * (lip - skin)
    albedo = _add_lipstick(rng.stream(key, "lipstick"), person, albedo, lips)
    return _darken_openings(key_mouth, regions, albedo)


def _lip_thickness(person: Person) -> jax.Array:
    """Epidermis () of the lips relative to that of skin.

    Thin lets the blood shine through; dark lips hold too much pigment to show it.
    """
    return 0.5 + 0.45 * smooth_step(-2.6, -1.5, person.log_melanin)


def _colour(person: Person, log_melanin, log_blood, thickness: jax.Array | float) -> jax.Array:
    table = optics.build_albedo_table(person.oxygenation, person.scatter, thickness)
    melanin = jnp.exp(jnp.clip(log_melanin, -4.6, -0.7))
    blood = jnp.exp(jnp.clip(log_blood, -5.0, -1.6))
    return optics.look_up_albedo(table, melanin, blood)


def melanin_sensitivity(person: Person) -> jax.Array:
    """Factor () on changes of log melanin that keeps them about equally visible.

    The darker the skin, the more a relative change of melanin shows.
    """
    return jnp.clip(jnp.exp(-0.6 * (person.log_melanin + 3.0)), 0.35, 1.2)


def _log_melanin(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Log melanin fraction (R, R) of skin outside the lips."""
    n = jax.random.normal(rng.stream(key, "sites"), (10,)).clip(-2, 2)
    u = jax.random.uniform(rng.stream(key, "gains"), (4,))
    # Light skin shows the same relative change less; dark faces vary more in melanin.
    dark = smooth_step(-3.2, -1.6, person.log_melanin)
    rings = jnp.log(1.15 + 0.45 * u[0])
    out = person.log_melanin + (0.14 + 0.12 * n[0]) * r.forehead
    out += (-0.05 + 0.12 * n[1]) * r.nose + (-0.03 + 0.12 * n[2]) * r.chin
    out += (0.17 + 0.08 * n[3]) * r.ears + (0.10 + 0.10 * n[4]) * r.neck
    out += rings * (0.4 + 0.6 * dark) * r.periorbital
    out += 0.12 * jnp.abs(n[5]) * jnp.exp(-r.nasolabial / 5.0)
    out += (-0.10 + 0.10 * n[6]) * r.cheeks
    # The roll of skin around the lips is a little paler; around it dark skin is darker.
    outside = -r.lip_distance
    out -= 0.10 * jnp.exp(-jnp.square((outside - 1.5) / 1.5))
    out += 0.20 * dark * u[1] * jnp.exp(-jnp.square((outside - 5.0) / 8.0))
    mottle = (0.03 + 0.05 * u[2]) * f.low + 0.035 * f.mid + (0.02 + 0.05 * u[3]) * f.fine
    out += mottle * melanin_sensitivity(person)
    out += _freckles(rng.stream(key, "freckles"), person, r, f)
    return out + _moles(rng.stream(key, "moles"), person, f.low.shape[0])


def _log_blood(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Log blood fraction (R, R) of skin outside the lips."""
    n = jax.random.normal(rng.stream(key, "sites"), (9,)).clip(-2, 2)
    u = jax.random.uniform(rng.stream(key, "gains"), (5,))
    flush = 0.25 + 0.45 * n[0]
    out = person.log_blood + flush * r.cheeks * (1 + 0.4 * f.mid)
    out += (0.20 + 0.35 * n[1]) * r.nose + (0.35 + 0.3 * n[2]) * r.nose_tip
    out += (0.25 + 0.25 * n[3]) * r.chin - 0.2 * (1 + 0.5 * n[4]) * r.forehead
    out += (0.65 + 0.35 * n[5]) * r.ears + (-0.55 + 0.35 * n[6]) * r.neck
    out += (0.25 + 0.2 * n[7]) * r.periorbital + 0.9 * r.tear_ducts + 0.7 * r.nostrils
    out += 0.35 * jnp.exp(-jnp.minimum(r.lower_lid, r.upper_lid) / 2.0)
    out += (0.07 + 0.13 * u[0]) * f.low_2 + (0.10 + 0.15 * u[1]) * f.mid_2 + 0.08 * f.fine_2
    # Fine vessels run where a smooth field changes sign.
    vessels = jnp.exp(-jnp.square(f.mid / 0.10)) * smooth_step(-0.2, 1.2, f.low)
    out += 0.8 * u[2] ** 2 * vessels * jnp.maximum(0.7 * r.cheeks, r.nose_tip)
    # A few blemishes.
    size = f.low.shape[0]
    texel = MILLIMETRES_PER_UV / size
    key_place, key_radius, key_height = jax.random.split(rng.stream(key, "blemishes"), 3)
    radius = (0.8 + 1.4 * jax.random.uniform(key_radius, (30,))) / texel
    height = jax.random.uniform(key_height, (30,)) * 1.1 * jnp.square(u[3]) * (person.age < 45)
    return out + scatter_spots(key_place, size, 30, radius, height)


def _freckles(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Freckles on light skin, age spots on old: log-melanin increments (R, R)."""
    size = f.low.shape[0]
    texel = MILLIMETRES_PER_UV / size
    keys = jax.random.split(key, 4)
    u = jax.random.uniform(keys[0], (3,))
    light = smooth_step(-2.2, -3.0, person.log_melanin)
    freckled = smooth_step(0.72, 0.95, u[0]) * (0.25 + 0.75 * light)
    radius = (0.5 + 0.7 * jax.random.uniform(keys[1], (_NUM_FRECKLES,)) ** 2) / texel
    height = jax.random.uniform(keys[2], (_NUM_FRECKLES,), minval=0.2, maxval=1.3)
    spots = scatter_spots(keys[3], size, _NUM_FRECKLES, radius, height)
    place = jnp.clip(0.12 + r.cheeks + r.nose + 0.5 * r.forehead, 0, 1)
    place = place * smooth_step(-1.0, 1.0, f.low_2 + 0.6)
    aged = smooth_step(45.0, 75.0, person.age) * u[1]
    patches = smooth_step(1.4, 2.2, f.mid_2) * (0.3 + r.forehead + r.ears + 0.6 * r.cheeks)
    return 1.2 * freckled * place * jnp.minimum(spots, 1.4) + 0.45 * aged * patches


def _moles(key: jax.Array, person: Person, size: int) -> jax.Array:
    """A few moles (0 to 16, mostly under 4): log-melanin increments (R, R)."""
    texel = MILLIMETRES_PER_UV / size
    key_number, key_radius, key_height, key_place = jax.random.split(key, 4)
    number = _NUM_MOLES * jax.random.uniform(key_number) ** 3
    radius = (0.6 + 0.8 * jax.random.uniform(key_radius, (_NUM_MOLES,)) ** 3) / texel
    height = jax.random.uniform(key_height, (_NUM_MOLES,), minval=0.4, maxval=1.7)
    height = jnp.where(jnp.arange(_NUM_MOLES) < number, height, 0.0)
    spots = scatter_spots(key_place, size, _NUM_MOLES, radius, height)
    return spots * smooth_step(-0.9, -2.4, person.log_melanin)


def _lip_coverage(key: jax.Array, r: Regions, f: SkinFields) -> jax.Array:
    """Share (R, R) of vermilion: a sharp but not a straight border, blurrer at the corners."""
    u = jax.random.uniform(key, (3,))
    texel = MILLIMETRES_PER_UV / f.low.shape[0]
    shift = 1.6 * (u[0] - 0.55)
    softness = 0.45 * texel + 0.3 + 0.9 * u[1] ** 2
    wiggle = 0.25 * f.mid + 0.2 * f.fine
    return jax.nn.sigmoid((r.lip_distance + shift + wiggle) / softness)


def _lip_pigment(
    key: jax.Array, person: Person, r: Regions, f: SkinFields
) -> tuple[jax.Array, jax.Array]:
    """Log melanin and log blood (R, R) under the thin epidermis of the lips."""
    n = jax.random.normal(rng.stream(key, "normal"), (5,)).clip(-2, 2)
    inner = smooth_step(0.0, 9.0, r.lip_distance)
    dark = smooth_step(-2.6, -1.4, person.log_melanin)
    # The thinner epidermis holds as much pigment as the skin's, less towards the inner lip.
    same = person.log_melanin - jnp.log(_lip_thickness(person))
    melanin = same + 0.2 * n[0] - 0.25 + 0.45 * dark - inner * 0.30
    melanin += (0.06 * f.mid + 0.06 * f.fine) * melanin_sensitivity(person)
    blood = -2.45 + 0.35 * n[1] + 0.25 * (person.log_blood + 3.6) + inner * (0.45 + 0.2 * n[2])
    blood += 0.12 * f.mid_2 + 0.12 * f.fine_2 - 0.15 * person.male
    return melanin, blood


def _add_lipstick(key: jax.Array, person: Person, albedo: jax.Array, lips: jax.Array) -> jax.Array:
    u = jax.random.uniform(key, (6,))
    worn = (1 - person.male) * (u[0] < 0.3)
    colour = jnp.stack([0.12 + 0.38 * u[1], 0.02 + 0.13 * u[2], 0.03 + 0.12 * u[3]])
    amount = worn * (0.25 + 0.55 * u[4]) * lips[..., None]
    texture = albedo / jnp.maximum(jnp.mean(albedo, axis=(0, 1)), 1e-3)
    return albedo + amount * (colour * jnp.clip(texture, 0.5, 1.4) - albedo)


def _darken_openings(key: jax.Array, r: Regions, albedo: jax.Array) -> jax.Array:
    """Wet and shaded tissue: behind the lips, the lid rims, the nostrils."""
    u = jax.random.uniform(key, (3,))
    behind = smooth_step(-1.0, 6.0, r.mouth_distance)[..., None]
    mucosa = jnp.array([0.92, 0.70, 0.70]) * (0.6 + 0.3 * u[0])
    albedo = albedo * (1 + behind * (mucosa - 1))
    rim = smooth_step(0.2, 1.6, r.eye_distance)[..., None]
    lid_rim = albedo * jnp.array([0.95, 0.62, 0.60]) * (0.7 + 0.3 * u[1])
    albedo = albedo + 0.7 * rim * (lid_rim - albedo)
    shade = 1 - (0.35 + 0.3 * u[2]) * r.nostrils[..., None]
    return albedo * shade ** jnp.array([0.8, 1.1, 1.1])

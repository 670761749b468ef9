"""Where melanin and blood lie on a face, and the albedo of bare skin that follows.

Differences between cheek and forehead, nose, chin, ears and neck follow the site
statistics of ISSA; lids, lips, vessels and mottle are plausible choices, not measurements.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.skin.fields import SkinFields, sample_fields
from relightify_jax.skin.lips import lip_albedo, lip_coverage, mouth_albedo
from relightify_jax.skin.marks import draw_marks
from relightify_jax.skin.noise import smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.tone import melanin_sensitivity, skin_colour
from relightify_jax.skin.vessels import draw_face_vessels

__all__ = ["PaintedSkin", "SkinFields", "paint_skin", "sample_fields"]

_BLEACHED = -5.2  # Log melanin of vitiligo.


class PaintedSkin(NamedTuple):
    """Bare skin, without hair and make-up."""

    albedo: jax.Array  # (R, R, 3) diffuse albedo, linear RGB.
    height: jax.Array  # (R, R) mm: raised moles, pimples, pitted scars.


def paint_skin(
    key: jax.Array, person: Person, regions: Regions, fields: SkinFields, detail: jax.Array
) -> PaintedSkin:
    """Paints the bare skin of one face.

    Args:
        key: Random key, consumed.
        person: Pigments of the cheek, age and sex.
        regions: The regions, (R, R) each.
        fields: Shared noise.
        detail: (R, R, 2) deviations of log melanin and log blood taken from a real or
            painted skin; zeros if there is none.

    Returns:
        Albedo and the height of what stands out.
    """
    marks = draw_marks(rng.stream(key, "marks"), person, regions, fields)
    vessels = draw_face_vessels(rng.stream(key, "vessels"), person, regions, fields)
    # Painted skins have hair, shadow or nothing where the face ends.
    inner = smooth_step(-2.0, -14.0, regions.scalp_distance) * (1 - regions.ears)
    grown = 0.5 + 0.5 * smooth_step(30.0, 65.0, person.age)  # They have painted wrinkles.
    detail = detail * (grown * inner * (1 - 0.7 * regions.neck))[..., None]
    melanin = _log_melanin(rng.stream(key, "melanin"), person, regions, fields)
    melanin += marks.log_melanin + _tan_lines(rng.stream(key, "tan"), person, regions, fields)
    melanin += detail[..., 0] * melanin_sensitivity(person)
    melanin += marks.bleached * (_BLEACHED - melanin)
    blood = _log_blood(rng.stream(key, "blood"), person, regions, fields)
    blood += marks.log_blood + vessels.log_blood + detail[..., 1]

    skin = skin_colour(person, melanin, blood)
    skin *= _lid_shade(rng.stream(key, "lids"), person, regions, fields) * vessels.tint
    lips = lip_coverage(rng.stream(key, "lip_border"), regions, fields)[..., None]
    vermilion = lip_albedo(rng.stream(key, "lips"), person, regions, fields, detail)
    albedo = skin + lips * (vermilion - skin)
    albedo = mouth_albedo(rng.stream(key, "mouth"), regions, albedo)
    albedo = _paint_openings(rng.stream(key, "openings"), regions, albedo)
    return PaintedSkin(albedo, marks.height * (1 - lips[..., 0]))


def _log_melanin(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Log melanin fraction (R, R) of skin without marks."""
    n = jax.random.normal(rng.stream(key, "sites"), (12,)).clip(-2, 2)
    u = jax.random.uniform(rng.stream(key, "gains"), (6,))
    # Dark faces differ more between regions: pale in the middle, dark towards the rim.
    dark = smooth_step(-3.0, -1.7, person.log_melanin)
    out = (-0.10 + 0.10 * n[1]) * r.nose + (0.06 + 0.10 * n[2]) * r.chin
    out += (0.11 + 0.10 * n[3]) * r.ears + (0.18 - 0.07 * dark + 0.10 * n[4]) * r.neck
    rim = jnp.hypot(r.across / 80.0, (r.above_mouth - 30.0) / 95.0) + 0.07 * f.low
    rim = smooth_step(0.4, 1.3, rim) * (1 - r.ears)
    out += (0.05 + 0.10 * dark * u[0]) * rim
    out += (jnp.log(1.22 + 0.60 * u[1]) * (0.6 + 0.4 * dark) + 0.05 * n[5]) * r.periorbital
    out += (0.06 + 0.16 * dark * u[2]) * jnp.exp(-r.lid_crease / 4.0)
    out += (0.04 + 0.08 * jnp.abs(n[6]) * dark) * jnp.exp(-r.nasolabial / 4.0)
    out += (0.03 + 0.05 * n[7]) * r.nose_wings
    # The roll of skin around the lips is a little paler; around it dark skin is darker.
    outside = -r.lip_distance
    out -= (0.04 + 0.06 * u[3]) * (1 - 0.6 * dark) * jnp.exp(-jnp.square((outside - 1.6) / 1.2))
    out += 0.26 * dark * u[4] * jnp.exp(-jnp.square((outside - 5.0) / 7.0))
    out += _mottle(u[5], f) * melanin_sensitivity(person) * (1 - 0.4 * r.neck)
    return _anchor(out, person.log_melanin, person.forehead_melanin, r, f)


def _anchor(
    pattern: jax.Array, cheek: jax.Array, offset: jax.Array, r: Regions, f: SkinFields
) -> jax.Array:
    """Shifts a pattern (R, R) so that its means over clear skin are the person's.

    The mean over the cheeks becomes `cheek`, that over the forehead `cheek + offset`. What
    the forehead lacks is added along a ramp from the mouth to the hairline, without an edge.
    """
    cheeks = jnp.square(r.cheeks)
    forehead = jnp.square(r.forehead) * smooth_step(-2.0, -10.0, r.scalp_distance)
    upper = smooth_step(-1.0, 0.95, r.forehead_height + 0.12 * f.low)

    def mean(weight: jax.Array, values: jax.Array) -> jax.Array:
        return jnp.sum(weight * values) / jnp.maximum(jnp.sum(weight), 1e-6)

    upper = upper - mean(cheeks, upper)
    pattern = pattern + cheek - mean(cheeks, pattern)
    lacking = cheek + offset - mean(forehead, pattern)
    return pattern + lacking * upper / jnp.maximum(mean(forehead, upper), 0.2)


def _mottle(gain: jax.Array, f: SkinFields) -> jax.Array:
    """Uneven melanin: stronger in some places than in others, dark specks rather than pale."""
    uneven = jnp.exp(0.5 * f.low_2 + 0.25 * f.mid_2 - 0.16)
    specks = 0.6 * (jnp.exp(0.7 * f.fine) - 1.28) + 0.35 * (jnp.exp(0.7 * f.grain) - 1.28)
    return 0.05 * f.low + 0.026 * f.mid + (0.020 + 0.036 * gain) * uneven * specks


def _log_blood(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Log blood fraction (R, R) of skin without marks; the person's is that of the cheek."""
    n = jax.random.normal(rng.stream(key, "sites"), (12,)).clip(-2, 2)
    u = jax.random.uniform(rng.stream(key, "gains"), (5,))
    light = smooth_step(-2.1, -3.0, person.log_melanin)
    # Cheeks are flushed against what lies around them.
    flush = 0.25 + 0.12 * n[0] + 0.15 * light
    out = flush * r.cheeks * (1 + 0.25 * f.mid)
    out += (flush + 0.20 + 0.20 * n[1]) * r.nose + (0.35 + 0.25 * n[2]) * r.nose_tip
    out += (0.30 + 0.20 * n[3]) * r.nose_wings + (flush + 0.25 + 0.2 * n[4]) * r.chin
    out -= 0.15 * r.temples
    out += (flush + 0.25 + 0.25 * n[6]) * r.ears + (flush - 0.75 + 0.25 * n[7]) * r.neck
    out += (0.55 + 0.25 * n[8]) * r.periorbital + 0.15 * r.glabella * (1 + n[9])
    out += -0.08 * r.perioral + 0.3 * jnp.exp(-r.nasolabial / 3.0)
    out += 0.30 * jnp.exp(-jnp.minimum(r.lower_lid, r.upper_lid) / 2.0)
    # Some light faces are ruddy in the middle, more with age.
    ruddy = light * smooth_step(0.80, 1.0, u[0]) * (0.4 + 0.6 * smooth_step(25, 55, person.age))
    middle = jnp.clip(r.cheeks + r.nose + 0.5 * r.chin + 0.3 * r.glabella, 0, 1)
    out += 0.6 * ruddy * middle * smooth_step(-1.2, 1.0, f.mid + 0.7 * f.low)
    # The more blood, the more a relative change of it shows, most so in light skin.
    calm = jnp.clip(jnp.exp(-0.45 * (person.log_blood + 3.8)), 0.5, 1.4) * (1.1 - 0.4 * light)
    uneven = calm * jnp.exp(0.35 * f.low)
    out += calm * (0.06 + 0.08 * u[1]) * f.low_2 + (0.06 + 0.10 * u[2]) * uneven * f.mid_2
    out += (0.03 + 0.055 * u[3]) * uneven * f.fine_2 + 0.03 * calm * f.grain
    return _anchor(out, person.log_blood, person.forehead_blood, r, f)


def _tan_lines(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Skin that a hat, glasses or a collar kept from the sun: log melanin (R, R)."""
    u = jax.random.uniform(key, (9,))
    tans = smooth_step(-3.8, -3.0, person.log_melanin) * smooth_step(-1.4, -2.2, person.log_melanin)
    depth = tans * (0.15 + 0.45 * u[0])
    wave = 0.02 * f.low + 0.01 * f.mid
    brim = 0.45 + 0.3 * u[1] + 0.08 * jnp.square(r.across / 70.0)
    hat = (u[2] < 0.07) * smooth_step(-0.06, 0.08, r.forehead_height - brim + wave)
    grow = 9.0 + 6.0 * u[3]
    lenses = smooth_step(-grow - 2.5, -grow + 2.5, r.eye_distance + 0.8 * f.low)
    arms = 0.7 * jnp.exp(-jnp.square(r.temple_arm / 3.0)) * smooth_step(10.0, 25.0, r.corner)
    glasses = (u[4] < 0.05) * jnp.maximum(lenses, arms)
    size = f.low.shape[0]
    below = (jnp.arange(size) / size)[:, None] - (0.86 + 0.06 * u[5])
    collar = (u[6] < 0.06) * smooth_step(
        -0.03, 0.05, below + wave + 0.08 * jnp.square(r.across / 90)
    )
    # Chin and jaw shade the upper neck.
    shaded = (0.08 + 0.25 * u[7]) * r.neck * smooth_step(0.86, 0.70, below + 0.86)
    return -depth * jnp.maximum(jnp.maximum(hat, glasses), collar) - 0.5 * depth * shaded


def _lid_shade(key: jax.Array, person: Person, r: Regions, f: SkinFields) -> jax.Array:
    """Factor (R, R, 3): veins and muscle shine blue through the thin skin of the lids."""
    u = jax.random.uniform(key, (3,))
    tired = 0.38 + 1.0 * u[0] ** 1.4 + 0.25 * smooth_step(40.0, 70.0, person.age)
    trough = jnp.exp(-jnp.square(r.tear_trough / 5.0)) * smooth_step(30.0, 5.0, jnp.abs(r.corner))
    inner = jnp.exp(-jnp.square((jnp.abs(r.across) - 19.0) / 9.0))
    amount = 0.7 * r.periorbital * (0.45 + 0.55 * inner) + 0.45 * trough * inner
    amount = tired * amount * (1 + 0.15 * f.mid)
    amount = amount * (1 - 0.6 * smooth_step(-2.4, -1.6, person.log_melanin))
    return jnp.exp(-amount[..., None] * jnp.array([0.26, 0.23, 0.12]))


def _paint_openings(key: jax.Array, r: Regions, albedo: jax.Array) -> jax.Array:
    """Wet and shaded tissue: lid rims, tear ducts, nostrils."""
    u = jax.random.uniform(key, (3,))
    # Dark skin has darker rims, but less so than its skin.
    level = jnp.clip(0.03 + 2.5 * jnp.mean(albedo), 0.08, 0.85)
    pink = jnp.array([0.52, 0.24, 0.18]) * level * (0.9 + 0.3 * u[0])
    rim = smooth_step(-0.3, 0.9, r.eye_distance)[..., None]
    albedo = albedo + (0.35 + 0.25 * u[1]) * rim * (pink - albedo)
    albedo *= 1 - 0.45 * smooth_step(0.8, 3.0, r.eye_distance)[..., None]
    duct = jnp.square(r.tear_ducts)[..., None]
    albedo = albedo + 0.55 * duct * (pink * jnp.array([1.0, 0.85, 0.85]) - albedo)
    shade = 1 - (0.40 + 0.25 * u[2]) * r.nostrils[..., None]
    return albedo * shade ** jnp.array([0.75, 1.15, 1.15])

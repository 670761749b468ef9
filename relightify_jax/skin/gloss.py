"""How much skin shines and how sharply.

Specular albedo S multiplies F0 = 0.08; skin of index 1.4 has S = 0.35. Between regions S
varies log-normally: +25 to 40 % on nose, forehead and lips, -20 % around the eyes and in the
beard. Roughness is built from the slope of the facets and of the relief too fine for the
map, so that pores, wrinkles and gloss are one surface.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.relief import Relief, cavity, soften

_STEEPEST = 0.25  # Mean squared slope that light still finds its way out of.


class Gloss(NamedTuple):
    """(R, R, 1) each."""

    specular: jax.Array  # S in [0, 1]; F0 = 0.08 S.
    roughness: jax.Array  # Perceptual, in [0, 1]; GGX alpha is its square.


def sample_gloss(
    key: jax.Array,
    person: Person,
    regions: Regions,
    fields: SkinFields,
    relief: Relief,
    covered: jax.Array,
) -> Gloss:
    """Draws the gloss of one face.

    Args:
        key: Random key, consumed.
        person: Age; old skin is dry.
        regions: The regions, (R, R) each.
        fields: Noise shared with pigments and relief.
        relief: The skin's relief, whose hollows reflect less.
        covered: (R, R) share of skin under hair.
    """
    n = jax.random.normal(rng.stream(key, "regions"), (10,)).clip(-2, 2)
    u = jax.random.uniform(rng.stream(key, "sweat"), (2,))
    dry = smooth_step(40.0, 80.0, person.age)
    forehead, cheeks, nose, around_eyes = _soft_regions(regions)
    lips = jax.nn.sigmoid(regions.lip_distance / 0.9)
    skin = 1 - lips
    sebum = 0.10 * relief.oil + 0.06 * n[1] - 0.06 * dry
    t_zone = jnp.clip(0.9 * nose + 0.8 * forehead + 0.35 * regions.chin, 0, 1) * skin

    log_rho = 0.08 * n[0] + 0.03 * fields.low + 0.02 * fields.mid
    log_rho += (0.30 + 0.06 * n[2]) * nose * skin + (0.24 + 0.07 * n[3]) * forehead
    log_rho += sebum * (0.4 + t_zone) + (0.05 + 0.08 * n[4]) * cheeks
    log_rho += (0.32 + 0.12 * n[5]) * lips + 0.10 * regions.chin
    log_rho -= (0.22 + 0.06 * n[6]) * around_eyes + 0.12 * regions.neck + 0.1 * regions.ears
    log_rho -= 0.12 * person.male * smooth_step(-6.0, 4.0, regions.beard_distance) * skin
    log_rho -= (0.30 + 0.08 * n[7]) * covered
    # Wet rims: the lids' margins and the line of the mouth.
    wet = jnp.exp(-jnp.square(regions.eye_distance / 1.2)) * 0.5
    wet += smooth_step(-4.0, 1.0, regions.mouth_distance) * lips * (0.05 + 0.15 * u[0])
    openings = (1 - 0.6 * regions.nostrils) * (1 - 0.4 * smooth_step(0, 3, regions.mouth_distance))
    openness = cavity(relief.height)
    specular = SKIN_SPECULAR_ALBEDO * jnp.exp(log_rho + wet) * openings * openness

    facet = 0.155 + 0.012 * n[8] + 0.02 * dry - (0.035 + 0.015 * relief.oil) * t_zone
    facet += 0.010 * fields.mid - 0.02 * lips + 0.10 * covered
    damp = 1 - 0.5 * smooth_step(0.86, 1.0, u[1]) * t_zone  # Sweat levels what is fine.
    # Steep walls hide each other.
    steep = _STEEPEST * jnp.tanh(relief.slope_variance / _STEEPEST)
    alpha = jnp.sqrt(jnp.square(jnp.maximum(facet, 0.06)) + damp * steep)
    roughness = jnp.sqrt(alpha) - 0.12 * jnp.clip(wet, 0, 0.6)
    return Gloss(
        jnp.clip(specular, 0.02, 0.95)[..., None], jnp.clip(roughness, 0.2, 0.95)[..., None]
    )


def _soft_regions(r: Regions) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Forehead, cheeks, nose and surroundings of the eyes without edges, (R, R) each."""
    size = r.nose.shape[0]
    x = ((jnp.arange(size) + 0.5) / size - 0.5) * MILLIMETRES_PER_UV
    # Sebum is a dome over the middle of the forehead that runs out into the temples.
    dome = jnp.exp(-jnp.square((r.forehead_height - 0.45) / 0.5)) * jnp.exp(
        -jnp.square(x / 42.0)[None, :]
    )
    dome *= smooth_step(2.0, -10.0, r.scalp_distance)
    nose, cheeks, eyes = (soften(mask) for mask in (r.nose, r.cheeks, r.periorbital))
    return dome, cheeks, nose, eyes

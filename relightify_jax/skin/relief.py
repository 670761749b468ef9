"""Fine relief of the skin in millimetres: pores, wrinkles, folds, lip lines; and gloss.

At 256 texels a texel is about a millimetre: pores and micro-lines are narrower and show
only as a faint grain; folds and deeper wrinkles are resolved.
"""

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.core.numerics import normalize
from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, blur_map, smooth_step
from relightify_jax.skin.pigment import SkinFields
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions


def sample_height(
    key: jax.Array,
    person: Person,
    regions: Regions,
    fields: SkinFields,
    covered: jax.Array,
    detail: jax.Array,
) -> jax.Array:
    """Height (R, R) above the smooth face, mm.

    Args:
        key: Random key, consumed.
        person: Age and sex; wrinkles deepen with age.
        regions: The regions, (R, R) each.
        fields: Noise shared with the pigments.
        covered: (R, R) share of skin under hair, which gets a strand-like grain.
        detail: (R, R, 2) deviation of melanin and blood of a painted skin, in which
            wrinkles were painted dark.
    """
    u = jax.random.uniform(rng.stream(key, "depths"), (6,))
    old = smooth_step(22.0, 75.0, person.age)
    pores = (0.004 + 0.008 * u[0]) * (0.4 + 0.8 * regions.nose + 0.6 * regions.cheeks)
    height = pores * fields.fine_2 * (1 - 0.7 * regions.periorbital)
    height += 0.025 * u[1] * fields.mid
    height += _wrinkles(rng.stream(key, "wrinkles"), regions, fields, old)
    height += _folds(rng.stream(key, "folds"), regions, old)
    height += _lip_relief(rng.stream(key, "lips"), regions, fields)
    height += 0.05 * covered * fields.fine
    painted = detail[..., 0] - blur_map(detail[..., :1], 4.0 / _texel(height))[..., 0]
    return height - 0.5 * painted * (1 - covered)


def bump_normals(
    normals: jax.Array, height: jax.Array, along_u: jax.Array, along_v: jax.Array
) -> jax.Array:
    """Tilts normals by the slope of a height map (Mikkelsen 2010, eq. 6).

    Args:
        normals: (R, R, 3) unit normals of the smooth surface.
        height: (R, R) mm along the normals.
        along_u: (R, R, 3) derivative of the surface in mm per texel to the right.
        along_v: (R, R, 3) the same per texel down.

    Returns:
        (R, R, 3) unit normals.
    """
    slope_u = 0.5 * (jnp.roll(height, -1, 1) - jnp.roll(height, 1, 1))[..., None]
    slope_v = 0.5 * (jnp.roll(height, -1, 0) - jnp.roll(height, 1, 0))[..., None]
    across_u = jnp.cross(along_v, normals)
    across_v = jnp.cross(normals, along_u)
    volume = jnp.sum(along_u * across_u, axis=-1, keepdims=True)
    scale = jnp.sign(volume) / jnp.maximum(jnp.abs(volume), 0.1)
    gradient = (slope_u * across_u + slope_v * across_v) * scale
    # A texel-scale slope of more than 45 degrees is an artefact of the layout.
    steep = jnp.sqrt(jnp.sum(gradient**2, axis=-1, keepdims=True) + 1e-12)
    return normalize(normals - gradient / jnp.maximum(steep, 1.0))


def sample_gloss(
    key: jax.Array, regions: Regions, fields: SkinFields, height: jax.Array, covered: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Specular albedo S in [0, 1] and perceptual roughness in [0, 1], (R, R, 1) each.

    S = 0.35 rho with rho log-normal between regions; oily regions are smoother.
    """
    n = jax.random.normal(rng.stream(key, "gloss"), (8,)).clip(-2, 2)
    oily = 0.12 * n[1] + 0.1
    t_zone = jnp.clip(regions.nose + 0.7 * regions.forehead + regions.glabella, 0, 1)
    lips = jax.nn.sigmoid(regions.lip_distance / 1.5)
    log_rho = 0.12 * n[0] - 0.08 + (0.24 + oily) * t_zone + (0.28 + 0.12 * n[2]) * lips
    log_rho += (0.05 + 0.1 * n[3]) * regions.cheeks - 0.2 * regions.periorbital
    log_rho += -0.12 * regions.neck - 0.1 * regions.ears + 0.05 * fields.mid + 0.012 * fields.fine
    log_rho -= (0.35 + 0.1 * n[4]) * covered
    texel = _texel(height)
    cavity = height - blur_map(height[..., None], 2.5 / texel)[..., 0]
    occlusion = jnp.clip(1 + 0.5 * jnp.minimum(cavity, 0), 0.75, 1.0)
    openings = (1 - 0.6 * regions.nostrils) * (1 - 0.4 * smooth_step(0, 3, regions.mouth_distance))
    specular = SKIN_SPECULAR_ALBEDO * jnp.exp(log_rho) * occlusion * openings
    roughness = 0.56 + 0.04 * n[5] - (0.07 + 0.03 * n[6]) * t_zone - 0.10 * lips
    roughness += 0.03 * fields.mid + 0.10 * covered
    return jnp.clip(specular, 0.02, 0.95)[..., None], jnp.clip(roughness, 0.2, 0.95)[..., None]


def _texel(image: jax.Array) -> float:
    """Millimetres per texel of a map (R, R)."""
    return MILLIMETRES_PER_UV / image.shape[0]


def _wrinkles(key: jax.Array, r: Regions, f: SkinFields, old: jax.Array) -> jax.Array:
    """Forehead lines, frown lines, crow's feet and rings of the neck, mm (R, R)."""
    u = jax.random.uniform(key, (9,))
    depth = 0.05 + 0.55 * old
    count = 2.5 + 3.0 * u[0]
    phase = r.forehead_height * count + 0.12 * f.low + 0.05 * f.mid + u[1]
    forehead = _groove(phase) * r.forehead * smooth_step(-0.8, 0.8, f.low_2 + 0.3)
    angle = r.corner_angle * (2.2 + 1.2 * u[2]) + 0.15 * f.mid + u[3]
    reach = jnp.exp(-jnp.square((r.corner - 13.0) / 8.0)) * smooth_step(
        1.6, 0.8, jnp.abs(r.corner_angle)
    )
    crow = _groove(angle) * reach
    size = f.low.shape[0]
    x = (jnp.arange(size)[None, :] / size - 0.5) * MILLIMETRES_PER_UV
    frown = jnp.exp(-jnp.square((jnp.abs(x) - 5.0 + f.mid) / 1.6)) * r.glabella
    y = jnp.arange(size)[:, None] / size
    neck = _groove(y * (8.0 + 4.0 * u[4]) + 0.08 * f.low + u[5]) * r.neck
    total = u[6] * 1.1 * forehead + 0.8 * u[7] * crow + 0.9 * u[8] * frown
    return -depth * (total + 0.4 * u[5] * neck)


def _groove(phase: jax.Array) -> jax.Array:
    """1 at integer phases, narrow, 0 between."""
    return jnp.exp(-jnp.square(jnp.sin(jnp.pi * phase) / 0.33))


def _folds(key: jax.Array, r: Regions, old: jax.Array) -> jax.Array:
    """Nasolabial fold, bags under the eyes and the crease of the lid, mm (R, R)."""
    u = jax.random.uniform(key, (3,))
    fold = -(0.15 + 1.0 * old) * (0.4 + 0.8 * u[0]) * jnp.exp(-jnp.square(r.nasolabial / 3.4))
    trough = -(0.10 + 0.7 * old) * u[1] * jnp.exp(-jnp.square(r.tear_trough / 2.4))
    crease = -(0.25 + 0.25 * u[2]) * jnp.exp(-jnp.square(r.lid_crease / 1.5))
    return fold + trough + crease


def _lip_relief(key: jax.Array, r: Regions, f: SkinFields) -> jax.Array:
    """Fine lines across the lips and the low ridge around them, mm (R, R)."""
    u = jax.random.uniform(key, (2,))
    size = f.low.shape[0]
    x = (jnp.arange(size)[None, :] / size - 0.5) * MILLIMETRES_PER_UV
    lips = jax.nn.sigmoid(r.lip_distance / 1.0)
    lines = jnp.sin(2 * jnp.pi * (x / 3.2 + 0.35 * f.low + 0.25 * f.mid))
    ridge = 0.18 * jnp.exp(-jnp.square((r.lip_distance + 0.8) / 1.3))
    return (0.02 + 0.06 * u[0]) * lines * lips + ridge * (0.4 + 0.6 * u[1])

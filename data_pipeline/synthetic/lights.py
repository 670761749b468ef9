"""Random light and exposure for the texture channel: what a phone might meet."""

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.core.color import luminance
from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.rendering.lighting import Light, sh_basis, shade_sh, uniform_sh

_NUM_LOBES = 4
NUM_BEAMS = 2
# Linear RGB of black bodies and daylight, relative to 6500 K.
_KELVIN = (2700.0, 3500.0, 5000.0, 6500.0, 9500.0)
_TINTS = (
    (1.0, 0.62, 0.30),
    (1.0, 0.76, 0.50),
    (1.0, 0.92, 0.82),
    (1.0, 1.0, 1.0),
    (0.82, 0.92, 1.1),
)
_BAND = (0, 1, 1, 1, 2, 2, 2, 2, 2)


def sample_light(key: jax.Array) -> Light:
    """Draws order-2 surroundings of one to four lobes and up to two beams.

    The brightness is arbitrary; see `expose`.
    """
    u = jax.random.uniform(rng.stream(key, "mix"), (6,))
    key_lobes, key_beams = rng.stream(key, "lobes"), rng.stream(key, "beams")
    ambient = _sample_tints(rng.stream(key, "ambient"), 1)[0] * (0.12 + 0.6 * u[0] ** 2)

    count = 1 + jnp.floor(_NUM_LOBES * u[1] ** 1.5)
    directions = _sample_directions(rng.stream(key_lobes, "directions"), _NUM_LOBES)
    strength = jnp.exp(0.7 * jax.random.normal(rng.stream(key_lobes, "strength"), (_NUM_LOBES,)))
    strength = jnp.where(jnp.arange(_NUM_LOBES) < count, strength, 0.0) * 0.5
    blur = jax.random.uniform(rng.stream(key_lobes, "blur"), (_NUM_LOBES, 1), minval=0.45)
    band = jnp.asarray(_BAND, jnp.float32)
    basis = sh_basis(directions) * jnp.exp(-band * (band + 1) * blur**2 / 2)
    facing = jax.vmap(lambda d, b: shade_sh(d, b[:, None])[0])(directions, basis)
    colours = _sample_tints(rng.stream(key_lobes, "tints"), _NUM_LOBES)
    lobes = matmul((basis * (strength / facing)[:, None]).T, colours)

    beams = _sample_directions(rng.stream(key_beams, "directions"), NUM_BEAMS)
    radiance = _sample_tints(rng.stream(key_beams, "tints"), NUM_BEAMS)
    level = (
        jnp.exp(
            0.6 * jax.random.normal(rng.stream(key_beams, "strength"), (NUM_BEAMS,)).clip(-2, 1.5)
        )
        * 0.45
    )
    is_on = jnp.stack([u[2] < 0.6, u[3] < 0.25])
    level = jnp.where(is_on, level, 0.0) * (u[4] > 0.12)  # One in eight pictures is flat.
    return Light(
        sh=uniform_sh(ambient) + lobes, directions=beams, radiance=radiance * level[:, None]
    )


def beam_visibility(
    visibility: jax.Array, directions: jax.Array, beams: jax.Array, sharpness: jax.Array | float
) -> jax.Array:
    """Soft visibility (V, B) of beams (B, 3) from that of fixed directions (D, 3).

    The mean over nearby directions is what a light of about 1 / sqrt(sharpness) radians
    would cast.
    """
    weights = jax.nn.softmax(sharpness * matmul(directions, beams.T), axis=0)
    return matmul(visibility, weights)


def ambient_occlusion(
    visibility: jax.Array, directions: jax.Array, normals: jax.Array
) -> jax.Array:
    """Cosine-weighted share (V, 1) of the sky that vertices with `normals` (V, 3) see."""
    cosine = jnp.maximum(matmul(normals, directions.T), 0.0)
    total = jnp.maximum(jnp.sum(cosine, axis=1, keepdims=True), 1e-6)
    return jnp.sum(cosine * visibility, axis=1, keepdims=True) / total


def sample_view(key: jax.Array) -> jax.Array:
    """Camera position (3,) in metres relative to the head: yaw to 40, pitch to 15 degrees."""
    u = jax.random.uniform(key, (3,), minval=-1.0)
    yaw, pitch = jnp.radians(40.0) * u[0], jnp.radians(15.0) * u[1]
    distance = 0.7 + 0.35 * u[2]
    direction = [jnp.sin(yaw) * jnp.cos(pitch), jnp.sin(pitch), jnp.cos(yaw) * jnp.cos(pitch)]
    return distance * jnp.stack(direction)


def expose(key: jax.Array, lit: jax.Array, albedo: jax.Array, weight: jax.Array) -> jax.Array:
    """Auto exposure, white balance and highlight roll-off of a phone camera.

    Args:
        key: Random key, consumed.
        lit: (R, R, 3) radiance of the face, any scale.
        albedo: (R, R, 3) its diffuse albedo; dark skin is exposed somewhat darker.
        weight: (R, R) where the face is metered.

    Returns:
        (R, R, 3) linear RGB in [0, 1].
    """
    n = jax.random.normal(key, (3,)).clip(-2, 2)
    share = (weight / jnp.maximum(jnp.sum(weight), 1e-6))[..., None]
    mean_lit = jnp.sum(lit * share, axis=(0, 1))
    mean_albedo = jnp.sum(albedo * share, axis=(0, 1))
    # What a white face would send: its tint is mostly, not fully, balanced away.
    tint = mean_lit / jnp.maximum(mean_albedo, 1e-3)
    tint = tint / jnp.maximum(luminance(tint), 1e-6)
    balance = jnp.maximum(tint, 0.05) ** -(0.75 + 0.12 * n[0])
    balanced = lit * balance
    target = 0.30 * (luminance(mean_albedo) / 0.22) ** 0.65 * jnp.exp(0.22 * n[1])
    target = jnp.clip(target, 0.05, 0.52)
    exposed = balanced * target / jnp.maximum(luminance(mean_lit * balance), 1e-6)
    knee = 0.72
    rolled = knee + (1 - knee) * (1 - jnp.exp(-jnp.maximum(exposed - knee, 0) / (1 - knee)))
    return jnp.clip(jnp.where(exposed < knee, exposed, rolled), 0.0, 1.0)


def _sample_directions(key: jax.Array, count: int) -> jax.Array:
    """Unit directions (N, 3), mostly from the front and above."""
    key_yaw, key_height = jax.random.split(key)
    yaw = jnp.radians(65.0) * jax.random.normal(key_yaw, (count,))
    height = jnp.radians(jax.random.uniform(key_height, (count,), minval=-15.0, maxval=70.0))
    return normalize(
        jnp.stack(
            [jnp.sin(yaw) * jnp.cos(height), jnp.sin(height), jnp.cos(yaw) * jnp.cos(height)], -1
        )
    )


def _sample_tints(key: jax.Array, count: int) -> jax.Array:
    """Colours (N, 3) of lamps, windows and sky; a few are coloured lights."""
    key_kelvin, key_neon, key_colour = jax.random.split(key, 3)
    log_kelvin = jax.random.uniform(
        key_kelvin, (count,), minval=jnp.log(3000.0), maxval=jnp.log(9000.0)
    )
    nodes, tints = jnp.log(jnp.asarray(_KELVIN)), jnp.asarray(_TINTS)
    tint = jnp.stack([jnp.interp(log_kelvin, nodes, tints[:, c]) for c in range(3)], -1)
    neon = jax.random.uniform(key_colour, (count, 3), minval=0.25)
    is_neon = jax.random.uniform(key_neon, (count, 1)) < 0.04
    tint = jnp.where(is_neon, neon, tint)
    return tint / luminance(tint)[:, None]

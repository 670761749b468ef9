"""Random light on a face, from a bank of scenes that was painted or measured beforehand.

What surrounds the head is kept as spherical harmonics; what is small and bright as lamps at
a distance, near or as good as infinitely far. A scene is turned, mirrored, recoloured
and rebalanced for every picture, on the device.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import rng
from relightify_jax.core.color import LUMINANCE
from relightify_jax.core.numerics import matmul
from relightify_jax.light_stage.families import FAMILIES, NUM_LAMPS, Lamp
from relightify_jax.light_stage.illuminants import rgb_of_temperature
from relightify_jax.rendering.area_lights import LampSamples
from relightify_jax.rendering.environment import environment_light, shrink_environment, split_suns
from relightify_jax.rendering.lighting import (
    Light,
    environment_to_sh,
    rotate_light,
    rotation_about_y,
    sh_basis,
    window_sh,
)

SH_ORDER = 4
_WINDOW = 0.002  # Against ringing, see `lighting.window_sh`.
_VARIANTS = 24  # Scenes painted of each family.
_MEASURED_SIZE = 32, 64  # Texels to which a measured map shrinks once its suns are cut out.
_MEASURED_SHARE = 0.5  # Of the pictures, where there are measured environments.
_SUN_DISTANCE, _SUN_SOFTNESS = 30.0, 0.02
_MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)
_KELVIN = np.geomspace(2000.0, 15000.0, 64)
_FACING_LIGHT, _SPREAD = 0.7, 0.66  # Share of the pictures, and radians within which.
_MIRED = 22.0  # Spread of the temperatures of lights round that of their scene.
_OUTSIDE = 0.35  # Metres: lamps stay out of the head.


class Bank(NamedTuple):
    """E scenes of L lamps each, ready to be drawn from."""

    log_weight: jax.Array  # (E,)
    sh: jax.Array  # (E, 25, 3) radiance of the surroundings.
    direction: jax.Array  # (E, L, 3) unit, towards the lamps.
    distance: jax.Array  # (E, L) metres.
    softness: jax.Array  # (E, L) radians.
    radiance: jax.Array  # (E, L, 3) irradiance / pi on a surface facing the lamp; 0 = off.


class Illumination(NamedTuple):
    """The light of one picture, in the model's frame."""

    light: Light  # Spherical harmonics of order 4, no directional lights.
    lamps: LampSamples  # L, around the origin of the frame that was given; dark ones are black.
    softness: jax.Array  # (L,) radians, half the angle of each lamp.


def build_bank(environments: Sequence[np.ndarray] | None = None, seed: int = 0) -> Bank:
    """Paints the scenes on the host and adds measured ones.

    Args:
        environments: Latlong maps (H, W, 3) of linear radiance, of any scale, see
            `rendering.environment.read_environment`; their suns are found and cut out.
        seed: Of the painted scenes.
    """
    painted, shares = [], []
    for index, (paint, share) in enumerate(FAMILIES.values()):
        for variant in range(_VARIANTS):
            painted.append(paint(np.random.default_rng([seed, index, variant])))
            shares.append(share / _VARIANTS)
    maps = jnp.asarray(np.stack([scene.radiance for scene in painted]), jnp.float32)
    harmonics = jax.jit(jax.vmap(functools.partial(environment_to_sh, order=SH_ORDER)))(maps)
    scenes = [
        _pack(sh, scene.lamps) for sh, scene in zip(np.asarray(harmonics), painted, strict=True)
    ]
    weights = np.array(shares) / np.sum(shares)
    if environments:
        weights = np.concatenate([
            (1 - _MEASURED_SHARE) * weights,
            np.full(len(environments), _MEASURED_SHARE / len(environments)),
        ])  # fmt: skip
        scenes += [_measured(latlong) for latlong in environments]
    fields = (np.stack(field).astype(np.float32) for field in zip(*scenes, strict=True))
    return Bank(
        jnp.asarray(np.log(weights), jnp.float32), *(jnp.asarray(field) for field in fields)
    )


def _measured(latlong: np.ndarray) -> tuple[np.ndarray, ...]:
    """A map's fields of the bank, its main light turned to the front."""
    split = split_suns(jnp.asarray(latlong), NUM_LAMPS)
    split = split._replace(radiance=shrink_environment(split.radiance, *_MEASURED_SIZE))
    light = environment_light(split, SH_ORDER)
    luminance = jnp.asarray(LUMINANCE)
    sideways = matmul(light.sh[jnp.array([3, 2])], luminance) * 2.05  # Flux along x and z.
    sideways += matmul(matmul(light.directions[:, ::2].T, light.radiance), luminance) * 3.14
    light = rotate_light(light, rotation_about_y(-jnp.arctan2(sideways[0], sideways[1])))
    lamps = [
        Lamp(np.asarray(direction), _SUN_DISTANCE, _SUN_SOFTNESS, np.asarray(radiance))
        for direction, radiance in zip(light.directions, light.radiance, strict=True)
    ]
    return _pack(np.asarray(light.sh), lamps)


def _pack(sh: np.ndarray, lamps: Sequence[Lamp]) -> tuple[np.ndarray, ...]:
    """The fields of one scene, scaled so that a face that looks forward is about 1 bright."""
    dark = Lamp(np.array([0.0, 0.0, 1.0]), 1.0, 0.1, np.zeros(3))
    lamps = (*lamps, *(dark,) * (NUM_LAMPS - len(lamps)))
    direction, distance, softness, radiance = (
        np.stack([np.asarray(x, np.float32) for x in field]) for field in zip(*lamps, strict=True)
    )
    # What a surface that faces +Z receives: bands 0, 1 and 2 of the series along z.
    forward = 0.2821 * sh[0] + 2 / 3 * 0.4886 * sh[2] + 0.25 * 0.6308 * sh[6]
    forward = np.maximum(forward, 0) + np.maximum(direction[:, 2], 0.2) @ radiance
    level = max(float(forward @ np.array(LUMINANCE)), 1e-6)
    return sh / level, direction, distance, softness, radiance / level


def draw_illumination(key: jax.Array, bank: Bank, center: jax.Array) -> Illumination:
    """Draws the light of one picture; brightness is arbitrary.

    Args:
        key: Random key, consumed.
        bank: The scenes.
        center: (3,) metres, what the scenes surround: the middle of the head.
    """
    u = jax.random.uniform(rng.stream(key, "uniform"), (3 + NUM_LAMPS,))
    normal = jax.random.normal(rng.stream(key, "normal"), (2 + 2 * NUM_LAMPS,)).clip(-2.5, 2.5)
    entry = jax.random.categorical(rng.stream(key, "scene"), bank.log_weight)
    scene = Bank(*(field[entry] for field in bank))
    mirrored = u[0] < 0.5
    sh = jnp.where(mirrored, scene.sh * _mirror_signs()[:, None], scene.sh)
    direction = jnp.where(mirrored, scene.direction * _MIRROR, scene.direction)
    # People mostly face the light, sometimes they do not.
    turn = jnp.where(u[1] < _FACING_LIGHT, _SPREAD * normal[0], jnp.pi * (2 * u[2] - 1))
    turned = rotate_light(
        Light(window_sh(sh, _WINDOW), direction, scene.radiance), rotation_about_y(turn)
    )
    tint = _tints(normal[1 : 2 + NUM_LAMPS])
    balance = jnp.exp(0.35 * normal[2 + NUM_LAMPS :])[:, None]
    radiance = turned.radiance * tint[1:] * balance
    # Irradiance at the centre stays; how it falls off across the face changes.
    distance = jnp.maximum(scene.distance * jnp.exp(0.8 * u[3:] - 0.3), _OUTSIDE)[:, None]
    lamps = LampSamples(
        position=center + turned.directions * distance,
        axis=jnp.zeros((NUM_LAMPS, 3)),
        intensity=jnp.pi * distance**2 * radiance,
    )
    surroundings = Light(turned.sh * tint[0], jnp.zeros((0, 3)), jnp.zeros((0, 3)))
    return Illumination(surroundings, lamps, scene.softness)


def _mirror_signs() -> jax.Array:
    """Sign (25,) that each harmonic takes when x turns to -x."""
    somewhere = jnp.array([0.36, 0.48, 0.8])
    return jnp.sign(sh_basis(somewhere * _MIRROR, SH_ORDER) * sh_basis(somewhere, SH_ORDER))


def _tints(normal: jax.Array) -> jax.Array:
    """Factors (N, 3) of luminance about 1: lights differ a little in temperature."""
    table = jnp.asarray(rgb_of_temperature(_KELVIN))
    # Steps in reciprocal temperature look equally large (mired; 6504 K is white).
    place = jnp.log(1e6 / (1e6 / 6504.0 + _MIRED * normal))
    return jnp.stack([jnp.interp(place, np.log(_KELVIN), table[:, c]) for c in range(3)], -1)

"""What one photograph shows of a face: the camera's view, hair, glasses, hands.

Confidence as `fitting.unwrap` and `fitting.skin_mask` give it: it fades where the surface
turns away, ends beside the openings of eyes, nostrils and mouth and past the outline of the
face, and is zero where something lies on the skin.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from relightify_jax.core import facemesh, rng
from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.morphable_model import MorphableModel, landmarks
from relightify_jax.light_stage.posing import Pose

# Cosine to the camera between which confidence rises, as in `unwrap.UnwrapConfig`.
_FACING = 0.15, 0.45
_GLASSES, _SUNGLASSES, _HANDS = 0.12, 0.02, 0.08  # Shares of the pictures.
_LOOSE_HAIR = 0.35
_COMPLETE = 0.06  # Several photographs were merged: the whole face is seen.
_REACH = 1.0, 5.0  # Millimetres past the oval up to which skin is found: mean and spread.
_NUM_WAVES = 24
_LINE, _LINE_STEP = 512.0, 0.5  # Millimetres.


class Zones(NamedTuple):
    """Distances in millimetres on the mean face, (R, R) unless said otherwise, negative inside."""

    x: jax.Array  # To the subject's right of the midline.
    y: jax.Array  # Below the middle between the eyes.
    outline: jax.Array  # From the oval of the face.
    openings: jax.Array  # From the nearest of eyes, nostrils and mouth.
    hairline: jax.Array  # From the upper part of the oval, positive below it.
    eye_distance: jax.Array  # () between the middles of the eyes.
    meter: jax.Array  # (R, R, 1) in [0, 1], where a camera meters: the skin of the face.


def build_zones(model: MorphableModel, size: int) -> Zones:
    """Measures the mean face in its map, on the host.

    Args:
        model: A model whose part "face" has the canonical UV layout.
        size: Texels per side R.
    """
    uv = landmark_uv(model)
    points = np.asarray(landmarks(model, model.mean))
    # The scale of the map around the eyes holds for the face.
    corners = list(facemesh.EYE_OUTER)
    millimetres = (
        1e3
        * np.linalg.norm(np.diff(points[corners], axis=0))
        / np.linalg.norm(np.diff(uv[corners], axis=0))
    )
    texel = millimetres / size
    rings = (facemesh.EYE_RIGHT, facemesh.EYE_LEFT, facemesh.LIPS_INNER)
    eyes = np.stack([uv[list(ring)].mean(axis=0) for ring in rings[:2]])
    origin = eyes.mean(axis=0)
    place = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid((place - origin[0]) * millimetres, (place - origin[1]) * millimetres)
    nostrils = np.stack([uv[[79, 309]].mean(0), uv[79], uv[309]])  # Beside the columella.
    distances = [_signed_distance(uv[list(ring)], size) * texel for ring in rings]
    for center in (nostrils[1:] - origin) * millimetres:
        distances.append(np.hypot((x - center[0]) / 1.4, y - center[1]) - 3.0)
    outline = _signed_distance(uv[list(facemesh.FACE_OVAL)], size) * texel
    above = (uv[list(facemesh.FACE_OVAL)][:, 1] - origin[1]) * millimetres
    outline_y = above.min()
    across = np.abs(x) / np.abs(uv[234] - uv[454]).max() / millimetres * 2
    # The hairline is an arch over the forehead that falls at the temples.
    hairline = y - outline_y - 30.0 * across**4
    openings = np.min(distances, axis=0)
    meter = (outline < -12) & (openings > 4)
    eye_distance = np.linalg.norm(eyes[1] - eyes[0]) * millimetres
    fields = (x, y, outline, openings, hairline, eye_distance, meter[..., None])
    return Zones(*(jnp.asarray(np.asarray(field), jnp.float32) for field in fields))


def _signed_distance(ring: np.ndarray, size: int) -> np.ndarray:
    """Texels (R, R) to a polygon (n, 2) in UV, negative inside."""
    place = (np.arange(size) + 0.5) / size
    x, y = np.meshgrid(place, place)
    x0, y0 = ring.T[:, :, None, None]
    x1, y1 = np.roll(ring, -1, axis=0).T[:, :, None, None]
    # Even-odd rule: how many edges does a ray to the right cross?
    crosses = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.sum(crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)), axis=0) % 2 == 1
    if not inside.any():
        return np.full((size, size), float(size))
    outer = ndimage.distance_transform_edt(~inside) - 0.5
    inner = ndimage.distance_transform_edt(inside) - 0.5
    return np.where(inside, -inner, outer)


def draw_observed(key: jax.Array, zones: Zones, pose: Pose, viewpoint: jax.Array) -> jax.Array:
    """The confidence that a photograph shows each texel's skin.

    Args:
        key: Random key, consumed.
        zones: Of the model.
        pose: Whose first source is the camera.
        viewpoint: (3,) metres, of the camera.

    Returns:
        (R, R, 1) in [0, 1].
    """
    u = jax.random.uniform(rng.stream(key, "uniform"), (17,))
    normal = jax.random.normal(rng.stream(key, "normal"), (6,))
    waves = jax.random.normal(rng.stream(key, "waves"), (5, 2, _NUM_WAVES))
    complete, loose = u[0] < _COMPLETE, u[1] < _LOOSE_HAIR
    view = jnp.where(complete, 1.0, view_confidence(pose, viewpoint))
    ragged = _wander(zones, u[2], waves[:3])
    reach = _REACH[0] + _REACH[1] * normal[0].clip(-1.5, 2.0)
    clear = jnp.minimum(
        _fade(reach + 2.5 * ragged - zones.outline), _fade(zones.openings - 1.0 - 0.8 * u[3])
    )
    hair = _cover_with_hair(zones, loose, u[4], normal[1:], waves[3:])
    glasses = jnp.where(u[5] < _GLASSES, _cover_with_glasses(zones, u[5], u[6:11]), 0.0)
    hand = jnp.where(u[11] < _HANDS, _cover_with_hand(zones, u[12:], ragged), 0.0)
    return (view * clear * (1 - hair) * (1 - glasses) * (1 - hand))[..., None]


def view_confidence(pose: Pose, viewpoint: jax.Array) -> jax.Array:
    """How well a camera sees each texel of a head: (R, R) in [0, 1]."""
    view = normalize(viewpoint - pose.position)
    facing = jnp.sum(view * pose.normals, axis=-1)
    rising = (facing - _FACING[0]) / (_FACING[1] - _FACING[0])
    # A partly covered place is not believed.
    return _ease(rising) * _ease(2 * pose.seen[..., 0] - 1)


def _cover_with_hair(
    zones: Zones, loose: jax.Array, side: jax.Array, normal: jax.Array, waves: jax.Array
) -> jax.Array:
    """1 under hair that falls over forehead and temples (R, R)."""
    # Millimetres below the hairline; loose hair covers part of the forehead.
    length = jnp.where(loose, 16.0 + 14.0 * jnp.abs(normal[0]), -6.0 + 6.0 * normal[0])
    side = side * jnp.where(loose, 0.9, 0.35)
    from_part = zones.x - 40.0 * normal[1]
    # Strands fall away from the parting.
    across = zones.x + 0.35 * zones.y * (normal[2] + normal[3] * jnp.tanh(from_part / 30.0))
    locks = 6.0 * _wave(waves[0], across, 22.0, 80.0)
    strands = jnp.where(loose, 2.5, 1.2) * _wave(waves[1], across, 4.0, 18.0)
    parted = jnp.where(loose, 14.0 * jnp.exp(-((from_part / 18.0) ** 2)), 0.0)
    covered = length + locks + strands - parted - zones.hairline
    # Beside the cheeks hair hangs down from the temples.
    beside = (side - 0.55) * 55.0 + 0.5 * (locks + strands) + zones.outline + 4.0
    return jnp.maximum(
        _fade(covered), _fade(beside) * _ease((40.0 + 200.0 * side - zones.y) / 20.0)
    )


def _cover_with_glasses(zones: Zones, kind: jax.Array, u: jax.Array) -> jax.Array:
    """1 under a frame, or under dark glasses (R, R)."""
    half = jnp.array([22.0, 15.0]) + jnp.array([6.0, 9.0]) * u[:2]
    power = 2.0 + 3.0 * u[2]
    thickness = 0.8 + 2.6 * u[3] ** 2
    below = zones.y - 2.0 - 8.0 * u[4]  # The lens hangs below the eye.
    beside = jnp.abs(zones.x) - zones.eye_distance / 2 - 1.0
    radius = jnp.abs(beside / half[0]) ** power + jnp.abs(below / half[1]) ** power
    from_rim = (jnp.maximum(radius, 1e-6) ** (1 / power) - 1.0) * half[1]
    rim = jnp.where(kind < _SUNGLASSES, from_rim, jnp.abs(from_rim)) - thickness
    high = jnp.abs(below + 0.45 * half[1])
    bridge = jnp.maximum(high - thickness, jnp.abs(zones.x) - zones.eye_distance / 2)
    bridge = jnp.maximum(bridge, -from_rim)
    temple = jnp.maximum(high - 1.3 * thickness, half[0] - beside)
    return _fade(-jnp.minimum(jnp.minimum(rim, bridge), temple))


def _cover_with_hand(zones: Zones, u: jax.Array, ragged: jax.Array) -> jax.Array:
    """1 under a hand, a microphone or a cup before the lower face (R, R)."""
    dx, dy = zones.x - 140.0 * (u[0] - 0.5), zones.y - 25.0 - 75.0 * u[1]
    cosine, sine = jnp.cos(jnp.pi * u[2]), jnp.sin(jnp.pi * u[2])
    long, short = 25.0 + 35.0 * u[3], 10.0 + 22.0 * u[4]
    along, across = (dx * cosine + dy * sine) / long, (dy * cosine - dx * sine) / short
    radius = jnp.sqrt(along * along + across * across + 1e-6)
    return _fade((1 - radius) * short + 2.0 * ragged)


def _wander(zones: Zones, turn: jax.Array, waves: jax.Array) -> jax.Array:
    """A smooth random field (R, R) of about unit variance and wavelengths of centimetres."""
    angle = jnp.pi * (turn + jnp.arange(3.0) / 3)

    def one(angle, waves):
        return _wave(waves, zones.x * jnp.cos(angle) + zones.y * jnp.sin(angle), 16.0, 60.0)

    return jnp.sum(jax.vmap(one)(angle, waves), axis=0) / jnp.sqrt(3.0)


def _wave(size: jax.Array, place: jax.Array, shortest: float, longest: float) -> jax.Array:
    """A random function of about unit variance at places in mm, from a table over one line.

    Args:
        size: (2, W) normal numbers, of sines and cosines.
        place: (...,) millimetres.
        shortest: Millimetres, wavelength.
        longest: Millimetres, wavelength.
    """
    turn = 2 * np.pi / np.geomspace(shortest, longest, _NUM_WAVES)
    line = np.arange(-_LINE, _LINE, _LINE_STEP)
    waves = np.concatenate([np.sin(line[:, None] * turn), np.cos(line[:, None] * turn)], axis=-1)
    table = matmul(jnp.asarray(waves, jnp.float32), size.reshape(-1)) / np.sqrt(_NUM_WAVES)
    index = ((place + _LINE) / _LINE_STEP).astype(jnp.int32)
    return table[jnp.clip(index, 0, table.shape[0] - 1)]


def _fade(inside: jax.Array) -> jax.Array:
    """0 outside to 1 inside over two millimetres."""
    return _ease(inside / 2.0 + 0.5)


def _ease(t: jax.Array) -> jax.Array:
    t = jnp.clip(t, 0.0, 1.0)
    return t * t * (3 - 2 * t)

"""Light: order-2 spherical harmonics for what surrounds the head, and a few directions.

Directions and normals are in one frame of the caller's choice; everywhere in this library
it is the model's (metres, +Y up, the face along +Z, +X the subject's left). Radiance is
linear RGB. The basis is real and orthonormal over the sphere, in the order
1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2 (constants as in Sloan, "Stupid spherical harmonics
tricks", 2008, appendix A2, without the alternating sign).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import matmul, normalize

NUM_SH = 9
_SH_BAND = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
# Convolution with the clamped cosine, over pi, per band (Ramamoorthi and Hanrahan,
# "An efficient representation for irradiance environment maps", 2001, eq. 8).
_LAMBERT = np.array([1.0, 2 / 3, 1 / 4], np.float32)[_SH_BAND]

Vector = jax.Array | np.ndarray | Sequence[float]


class Light(NamedTuple):
    """Everything that shines on a head.

    A white Lambert surface that faces a directional light renders with the value of its
    `radiance`: it is the irradiance over pi. Unused directions have radiance 0.
    """

    sh: jax.Array  # (9, 3) coefficients of the radiance that surrounds the head.
    directions: jax.Array  # (D, 3) unit, from the head towards the light.
    radiance: jax.Array  # (D, 3) irradiance / pi on a surface facing the light.


def sh_basis(directions: jax.Array) -> jax.Array:
    """Order-2 real spherical harmonics (..., 9) at unit `directions` (..., 3)."""
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    c0 = 0.5 / math.sqrt(math.pi)
    c1 = math.sqrt(3 / (4 * math.pi))
    c2 = 0.5 * math.sqrt(15 / math.pi)
    bands = [
        jnp.full_like(x, c0), c1 * y, c1 * z, c1 * x,
        c2 * x * y, c2 * y * z, c2 / math.sqrt(12) * (3 * z * z - 1), c2 * x * z,
        c2 / 2 * (x * x - y * y),
    ]  # fmt: skip
    return jnp.stack(bands, axis=-1)


def shade_sh(normals: jax.Array, sh: jax.Array) -> jax.Array:
    """Irradiance / pi from surrounding light: a Lambert surface renders as albedo times this.

    Linear in `sh`, and not clamped: order 2 dips below zero opposite a strong light.

    Args:
        normals: (..., 3) unit.
        sh: (9, 3) radiance coefficients.

    Returns:
        (..., 3).
    """
    return matmul(sh_basis(normals) * _LAMBERT, sh)


def radiance_sh(directions: jax.Array, sh: jax.Array, blur: jax.Array | float = 0.0) -> jax.Array:
    """Radiance (..., 3) seen along unit `directions` (..., 3), blurred.

    Args:
        directions: (..., 3) unit.
        sh: (9, 3) radiance coefficients.
        blur: Scalar or (...,), standard deviation in radians of a Gaussian on the sphere;
            band l is scaled by exp(-l (l + 1) blur^2 / 2).
    """
    squared = jnp.asarray(blur, jnp.float32)[..., None] ** 2
    scale = jnp.exp(-squared * (_SH_BAND * (_SH_BAND + 1) / 2))
    return matmul(sh_basis(directions) * scale, sh)


def latlong_directions(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (H, W, 3) and solid angles (H, 1) of the pixels of a latlong map.

    The top row looks up (+Y), the middle column along -Z (what the camera in front of the
    face sees behind it), columns to its right along +X.
    """
    elevation = np.linspace(0.0, np.pi, height + 1)
    theta = (elevation[1:] + elevation[:-1])[:, None] / 2
    phi = ((np.arange(width) + 0.5) / width - 0.5)[None, :] * 2 * np.pi
    directions = np.stack(
        [
            np.sin(phi) * np.sin(theta),
            np.broadcast_to(np.cos(theta), (height, width)),
            -np.cos(phi) * np.sin(theta),
        ],
        axis=-1,
    )
    solid_angle = (np.cos(elevation[:-1]) - np.cos(elevation[1:])) * 2 * np.pi / width
    return directions.astype(np.float32), solid_angle.astype(np.float32)[:, None]


def environment_to_sh(environment: jax.Array) -> jax.Array:
    """Projects a latlong radiance map (H, W, 3), +Y up, to coefficients (9, 3).

    See `latlong_directions` for the layout. A sun is smeared over the hemisphere by order 2;
    take it out first and give it as a directional light.
    """
    directions, solid_angle = latlong_directions(*environment.shape[:2])
    weighted = sh_basis(jnp.asarray(directions)) * solid_angle[..., None]
    return matmul(weighted.reshape(-1, NUM_SH).T, jnp.asarray(environment).reshape(-1, 3))


def uniform_sh(radiance: Vector) -> jax.Array:
    """Coefficients (9, 3) of the same radiance (3,) from everywhere."""
    return (
        jnp.zeros((NUM_SH, 3))
        .at[0]
        .set(math.sqrt(4 * math.pi) * jnp.asarray(radiance, jnp.float32))
    )


def disc_sh(direction: Vector, half_angle: float, radiance: Vector) -> jax.Array:
    """Coefficients (9, 3) of a disc of light in the sky, such as a soft box or a window.

    Scaled so that a white surface facing the disc renders with `radiance`, as for
    `Light.radiance`, whatever its size. Band l of a zonal function is the integral of the
    Legendre polynomial over the cap (Sloan 2008, "Zonal harmonics").

    Args:
        direction: (3,) towards the centre, any length.
        half_angle: Radians; below 0.8 order 2 rings visibly, pi/2 is half the sky.
        radiance: (3,) linear RGB.
    """
    c = math.cos(half_angle)
    cap = np.array([1 - c, (1 - c * c) / 2, (c - c**3) / 2])  # Integrals of P_0, P_1, P_2.
    basis = sh_basis(normalize(jnp.asarray(direction, jnp.float32))) * (2 * math.pi * cap)[_SH_BAND]
    irradiance_over_pi = math.sin(half_angle) ** 2 if half_angle < math.pi / 2 else 1.0
    return basis[:, None] / irradiance_over_pi * jnp.asarray(radiance, jnp.float32)


def rotation_about_y(angle: jax.Array | float) -> jax.Array:
    """Rotation (3, 3) by `angle` radians about +Y; positive turns +Z towards +X."""
    c, s, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros(()), jnp.ones(())
    return jnp.array([[c, zero, s], [zero, one, zero], [-s, zero, c]])


def rotate_light(light: Light, rotation: jax.Array) -> Light:
    """The light carried along by a rotation (3, 3): what came from d comes from rotation @ d.

    Exact: an order-2 function is determined by its values at 26 spread directions.
    """
    matrix = _sh_rotation(rotation)
    return Light(
        sh=matmul(matrix, light.sh),
        directions=matmul(light.directions, rotation.T),
        radiance=light.radiance,
    )


def scale_light(light: Light, exposure: jax.Array | float) -> Light:
    """The light `exposure` times as bright (scalar or (3,) RGB)."""
    return Light(light.sh * exposure, light.directions, light.radiance * exposure)


def _sh_rotation(rotation: jax.Array) -> jax.Array:
    """Matrix (9, 9) that rotates order-2 coefficients."""
    corners = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    corners = corners[np.any(corners != 0, axis=-1)].astype(np.float32)
    samples = jnp.asarray(corners / np.linalg.norm(corners, axis=-1, keepdims=True))
    # f'(d) = f(rotation^T d), and coefficients follow from samples by least squares.
    basis = sh_basis(samples)
    gram = matmul(basis.T, basis)
    return jnp.linalg.solve(gram, matmul(basis.T, sh_basis(matmul(samples, rotation))))


NUM_PRESET_DIRECTIONS = 3

_WARM = np.array([1.0, 0.78, 0.55])
_SUNNY = np.array([1.0, 0.9, 0.78])
_COOL = np.array([0.72, 0.86, 1.0])
_WHITE = np.ones(3)


def named_lights() -> dict[str, Light]:
    """Preset lights by name, each with three directions, ready to swap under one jit.

    Exposed for skin: an albedo of 0.4 renders at 0.2 to 0.5 where the light is meant to
    fall. Left and right are the viewer's: the subject's left, +X, is on the picture's right.
    """
    wide, broad, half_sky = 0.9, 1.2, np.pi / 2
    return {
        "studio": _light(
            uniform_sh(0.10 * _WHITE)
            + disc_sh([-0.7, 0.5, 0.8], wide, 0.42 * _WHITE)
            + disc_sh([0.9, 0.1, 0.6], broad, 0.18 * _COOL),
            [([-0.65, 0.6, 0.75], 0.55 * _WHITE), ([0.8, 0.5, -0.7], 0.4 * _COOL)],
        ),
        "window left": _light(
            uniform_sh(0.06 * _COOL) + disc_sh([-1.0, 0.25, 0.45], wide, 0.75 * _COOL),
            [([-0.85, 0.3, 0.55], 0.4 * _COOL)],
        ),
        "window right": _light(
            uniform_sh(0.08 * _WHITE) + disc_sh([1.0, 0.25, 0.45], wide, 0.8 * _SUNNY),
            [([0.85, 0.3, 0.55], 0.45 * _SUNNY)],
        ),
        "overcast": _light(
            uniform_sh(0.12 * _WHITE) + disc_sh([0.0, 1.0, 0.45], half_sky, 0.9 * _COOL), []
        ),
        "golden hour": _light(
            uniform_sh(np.array([0.12, 0.13, 0.17]))
            + disc_sh([0.0, 1.0, 0.2], half_sky, np.array([0.12, 0.15, 0.22]))
            + disc_sh([0.7, 0.2, 0.7], broad, 0.3 * _WARM),
            [([0.65, 0.3, 0.75], np.array([1.0, 0.62, 0.32]))],
        ),
        "neon": _light(
            uniform_sh(np.array([0.04, 0.03, 0.07]))
            + disc_sh([-1.0, 0.1, 0.3], wide, np.array([0.5, 0.1, 0.36]))
            + disc_sh([1.0, 0.1, 0.3], wide, np.array([0.08, 0.32, 0.7])),
            [
                ([-0.9, 0.25, 0.4], np.array([0.5, 0.1, 0.36])),
                ([0.9, 0.25, 0.4], np.array([0.08, 0.32, 0.7])),
            ],
        ),
        "top": _light(
            uniform_sh(0.06 * _WHITE) + disc_sh([0.0, 1.0, 0.5], wide, 0.5 * _WHITE),
            [([0.0, 1.0, 0.7], 0.7 * _WHITE)],
        ),
        "from below": _light(
            uniform_sh(0.04 * _COOL) + disc_sh([0.0, -0.8, 0.8], wide, 0.7 * _SUNNY),
            [([0.0, -0.65, 0.9], 0.45 * _SUNNY)],
        ),
        "rim": _light(
            uniform_sh(0.08 * _WHITE) + disc_sh([0.0, 0.3, 1.0], broad, 0.3 * _WHITE),
            [([-0.95, 0.35, -0.3], 0.75 * _SUNNY), ([0.95, 0.35, -0.3], 0.75 * _COOL)],
        ),
        "flat": _light(
            uniform_sh(0.25 * _WHITE) + disc_sh([0.0, 0.1, 1.0], half_sky, 0.65 * _WHITE), []
        ),
    }


def _light(sh: jax.Array, beams: list) -> Light:
    """A light of `NUM_PRESET_DIRECTIONS` beams (direction, radiance); missing ones are dark."""
    dark = [([0.0, 0.0, 1.0], np.zeros(3))] * (NUM_PRESET_DIRECTIONS - len(beams))
    directions, radiance = zip(*(beams + dark), strict=True)
    return Light(
        sh=sh.astype(jnp.float32),
        directions=normalize(jnp.array(directions, jnp.float32)),
        radiance=jnp.array(np.stack(radiance), jnp.float32),
    )

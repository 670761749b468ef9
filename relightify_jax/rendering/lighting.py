"""Light: spherical harmonics of what surrounds the head, and a few directions.

Directions and normals are in one frame of the caller's choice; everywhere in this library
it is the model's (metres, +Y up, the face along +Z, +X the subject's left). Radiance is
linear RGB. The basis is real and orthonormal over the sphere, in the order
1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2, ... (constants as in Sloan, "Stupid spherical
harmonics tricks", 2008, appendix A2, without the alternating sign). Order L has (L + 1)^2
coefficients, and every function takes the order from how many it is given: 2 is enough
for a photograph's light on skin, 4 for an environment map without its suns.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import matmul, normalize

MAX_ORDER = 4
_BAND = np.repeat(np.arange(MAX_ORDER + 1), 2 * np.arange(MAX_ORDER + 1) + 1)
# Convolution with the clamped cosine, over pi, per band (Ramamoorthi and Hanrahan,
# "An efficient representation for irradiance environment maps", 2001, eq. 8).
LAMBERT_BANDS = np.array([1.0, 2 / 3, 1 / 4, 0.0, -1 / 24], np.float32)

Vector = jax.Array | np.ndarray | Sequence[float]


class Light(NamedTuple):
    """Everything that shines on a head.

    A white Lambert surface that faces a directional light renders with the value of its
    `radiance`: it is the irradiance over pi. Unused directions have radiance 0.
    """

    sh: jax.Array  # (K, 3), K = 9 or another square: radiance that surrounds the head.
    directions: jax.Array  # (D, 3) unit, from the head towards the light.
    radiance: jax.Array  # (D, 3) irradiance / pi on a surface facing the light.


def sh_order(sh: jax.Array) -> int:
    """Order of coefficients (K, ...).

    Raises:
        ValueError: If K is not the square of 1 to 5.
    """
    order = math.isqrt(sh.shape[0]) - 1
    if (order + 1) ** 2 != sh.shape[0] or not 0 <= order <= MAX_ORDER:
        raise ValueError(
            f"{sh.shape[0]} coefficients are no spherical harmonics of order 0 to {MAX_ORDER}."
        )
    return order


def sh_basis(directions: jax.Array, order: int = 2) -> jax.Array:
    """Real spherical harmonics (..., (order + 1)^2) at unit `directions` (..., 3).

    Raises:
        ValueError: If the order is not 0 to 4.
    """
    if not 0 <= order <= MAX_ORDER:
        raise ValueError(f"Spherical harmonics of order {order}; have 0 to {MAX_ORDER}.")
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    xx, yy, zz = x * x, y * y, z * z
    root = lambda a: math.sqrt(a / math.pi)  # noqa: E731
    functions = [
        (0.5 * root(1), jnp.ones_like(x)),
        (0.5 * root(3), y),
        (0.5 * root(3), z),
        (0.5 * root(3), x),
        (0.5 * root(15), x * y),
        (0.5 * root(15), y * z),
        (0.25 * root(5), 3 * zz - 1),
        (0.5 * root(15), x * z),
        (0.25 * root(15), xx - yy),
        (0.25 * root(35 / 2), y * (3 * xx - yy)),
        (0.5 * root(105), x * y * z),
        (0.25 * root(21 / 2), y * (5 * zz - 1)),
        (0.25 * root(7), z * (5 * zz - 3)),
        (0.25 * root(21 / 2), x * (5 * zz - 1)),
        (0.25 * root(105), z * (xx - yy)),
        (0.25 * root(35 / 2), x * (xx - 3 * yy)),
        (0.75 * root(35), x * y * (xx - yy)),
        (0.75 * root(35 / 2), y * z * (3 * xx - yy)),
        (0.75 * root(5), x * y * (7 * zz - 1)),
        (0.75 * root(5 / 2), y * z * (7 * zz - 3)),
        (3 / 16 * root(1), 35 * zz * zz - 30 * zz + 3),
        (0.75 * root(5 / 2), x * z * (7 * zz - 3)),
        (0.375 * root(5), (xx - yy) * (7 * zz - 1)),
        (0.75 * root(35 / 2), x * z * (xx - 3 * yy)),
        (3 / 16 * root(35), xx * (xx - 3 * yy) - yy * (3 * xx - yy)),
    ]
    return jnp.stack([c * f for c, f in functions[: (order + 1) ** 2]], axis=-1)


def shade_sh(normals: jax.Array, sh: jax.Array, bands: jax.Array | None = None) -> jax.Array:
    """Irradiance / pi from surrounding light: a Lambert surface renders as albedo times this.

    Linear in `sh`, and not clamped: the series dips below zero opposite a strong light.

    Args:
        normals: (..., 3) unit.
        sh: (K, 3) radiance coefficients.
        bands: (..., order + 1) zonal bands of another reflection than Lambert's.

    Returns:
        (..., 3).
    """
    order = sh_order(sh)
    bands = jnp.asarray(LAMBERT_BANDS[: order + 1]) if bands is None else bands
    return matmul(sh_basis(normals, order) * _spread_bands(bands), sh)


def radiance_sh(directions: jax.Array, sh: jax.Array, blur: jax.Array | float = 0.0) -> jax.Array:
    """Radiance (..., 3) seen along unit `directions` (..., 3), blurred.

    Args:
        directions: (..., 3) unit.
        sh: (K, 3) radiance coefficients.
        blur: Scalar or (...,), standard deviation in radians of a Gaussian on the sphere;
            band l is scaled by exp(-l (l + 1) blur^2 / 2).
    """
    order = sh_order(sh)
    band = np.arange(order + 1)
    squared = jnp.asarray(blur, jnp.float32)[..., None] ** 2
    scale = jnp.exp(-squared * (band * (band + 1) / 2))
    return matmul(sh_basis(directions, order) * _spread_bands(scale), sh)


def window_sh(sh: jax.Array, strength: jax.Array | float) -> jax.Array:
    """Coefficients (K, 3) with less ringing, at the price of detail; the mean stays.

    Band l is divided by 1 + strength l^2 (l + 1)^2, which trades squared error for squared
    Laplacian (Sloan 2008, "Windowing"). At order 4, 0.002 halves how far the radiance of a
    small lamp dips below zero beside it, and 0.01 leaves a tenth. Irradiance needs none:
    it dips by 3 % of the lamp.

    Args:
        sh: (K, 3).
        strength: Scalar, 0 = as it is.
    """
    band = jnp.arange(sh_order(sh) + 1.0)
    return sh * _spread_bands(1 / (1 + strength * (band * (band + 1)) ** 2))[:, None]


def _spread_bands(bands: jax.Array) -> jax.Array:
    """(..., order + 1) per band -> (..., (order + 1)^2) per coefficient."""
    return bands[..., _BAND[: bands.shape[-1] ** 2]]


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


def environment_to_sh(environment: jax.Array, order: int = 2) -> jax.Array:
    """Projects a latlong radiance map (H, W, 3), +Y up, to coefficients ((order + 1)^2, 3).

    See `latlong_directions` for the layout. A sun is smeared over the hemisphere by low
    orders; `environment.split_suns` takes it out and gives it as a directional light.
    """
    directions, solid_angle = latlong_directions(*environment.shape[:2])
    weighted = sh_basis(jnp.asarray(directions), order) * solid_angle[..., None]
    weighted = weighted.reshape(-1, weighted.shape[-1])
    return matmul(weighted.T, jnp.asarray(environment).reshape(-1, 3))


def uniform_sh(radiance: Vector, order: int = 2) -> jax.Array:
    """Coefficients ((order + 1)^2, 3) of the same radiance (3,) from everywhere."""
    constant = math.sqrt(4 * math.pi) * jnp.asarray(radiance, jnp.float32)
    return jnp.zeros(((order + 1) ** 2, 3)).at[0].set(constant)


def disc_sh(direction: Vector, half_angle: float, radiance: Vector, order: int = 2) -> jax.Array:
    """Coefficients of a disc of light in the sky, such as a soft box or a window.

    Scaled so that a white surface facing the disc renders with `radiance`, as for
    `Light.radiance`, whatever its size. Band l of a zonal function is the integral of the
    Legendre polynomial over the cap (Sloan 2008, "Zonal harmonics").

    Args:
        direction: (3,) towards the centre, any length.
        half_angle: Radians; below 0.8 order 2 rings visibly, pi/2 is half the sky.
        radiance: (3,) linear RGB.
        order: Of the result, ((order + 1)^2, 3).
    """
    c = math.cos(half_angle)
    legendre = [np.polynomial.legendre.Legendre.basis(n) for n in range(order + 1)]
    cap = 2 * math.pi * np.array([p.integ()(1.0) - p.integ()(c) for p in legendre])
    towards = normalize(jnp.asarray(direction, jnp.float32))
    basis = sh_basis(towards, order) * _spread_bands(jnp.asarray(cap, jnp.float32))
    irradiance_over_pi = math.sin(half_angle) ** 2 if half_angle < math.pi / 2 else 1.0
    return basis[:, None] / irradiance_over_pi * jnp.asarray(radiance, jnp.float32)


def rotation_about_y(angle: jax.Array | float) -> jax.Array:
    """Rotation (3, 3) by `angle` radians about +Y; positive turns +Z towards +X."""
    c, s, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros(()), jnp.ones(())
    return jnp.array([[c, zero, s], [zero, one, zero], [-s, zero, c]])


def rotate_light(light: Light, rotation: jax.Array) -> Light:
    """The light carried along by a rotation (3, 3): what came from d comes from rotation @ d.

    Exact for every order: the coefficients are projected anew by a quadrature that is.
    """
    matrix = _sh_rotation(rotation, sh_order(light.sh))
    return Light(
        sh=matmul(matrix, light.sh),
        directions=matmul(light.directions, rotation.T),
        radiance=light.radiance,
    )


def scale_light(light: Light, exposure: jax.Array | float) -> Light:
    """The light `exposure` times as bright (scalar or (3,) RGB)."""
    return Light(light.sh * exposure, light.directions, light.radiance * exposure)


def _sh_rotation(rotation: jax.Array, order: int) -> jax.Array:
    """Matrix (K, K) that rotates coefficients of `order`."""
    # Gauss-Legendre in height and even steps in azimuth integrate products of two
    # functions of the order exactly.
    height, weight = np.polynomial.legendre.leggauss(order + 1)
    num = 2 * order + 1
    azimuth = 2 * np.pi * np.arange(num) / num
    radius = np.sqrt(1 - height**2)[:, None]
    x, y = radius * np.cos(azimuth), radius * np.sin(azimuth)
    z = np.broadcast_to(height[:, None], x.shape)
    samples = jnp.asarray(np.stack([x, y, z], axis=-1).reshape(-1, 3), jnp.float32)
    solid_angle = jnp.asarray(np.repeat(weight, num)[:, None] * 2 * np.pi / num, jnp.float32)
    # f'(d) = f(rotation^T d).
    turned = sh_basis(matmul(samples, rotation), order)
    return matmul((sh_basis(samples, order) * solid_angle).T, turned)


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

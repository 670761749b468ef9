"""How skin reflects one ray: GGX lobes over a Lambert base that shares their energy.

The specular part has the distribution of Walter et al. 2007, height-correlated Smith
masking-shadowing (Heitz 2014) and Schlick's Fresnel term, F0 = 0.08 S for specular albedo
S. The diffuse part gets what the lobe leaves, on the way in and on the way out,

    albedo / pi  (1 - E(n.l)) (1 - E(n.v)) / (1 - E_mean),

with E the albedo of the lobe (Kelemen and Szirmay-Kalos, "A microfacet based coupled
specular-matte BRDF model", 2001). Both parts are reciprocal, and under uniform light they
return E + albedo (1 - E): a surface never returns more than it receives.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.core.uv_layout import F0_AT_SPECULAR_ONE

_MIN_ROUGHNESS = 0.05

# E = F0 scale + bias as polynomials: row k of both belongs to (1 - n.v)^p for p in `_POWERS`
# from the first and the third on, column j to roughness^j. Minimax against quadrature over
# roughness 0.2 to 1. For F0 to 0.08 the error is below 0.004 where n.v > 0.03 and 0.0005 in
# the mean; for skin, 0.4 % of E in the mean.
_POWERS = (0, 1, 2, 3, 5, 9, 17, 33)
_SCALE = (
    (1.279, -3.181, 13.323, -25.071, 19.025, -5.069),
    (-0.212, 1.543, -1.438, -9.461, 19.158, -9.354),
    (-4.997, 52.688, -209.346, 385.576, -330.116, 106.021),
    (6.830, -63.635, 229.535, -402.649, 340.028, -109.474),
    (1.123, -34.672, 145.061, -226.654, 149.524, -34.758),
    (-5.595, 62.571, -217.533, 332.454, -233.584, 61.993),
)
_BIAS = (
    (0.149, -1.096, 2.261, -0.863, -1.400, 0.956),
    (-0.032, -2.533, 22.012, -54.806, 54.340, -18.979),
    (-1.542, 32.928, -148.176, 274.483, -229.393, 71.725),
    (7.157, -72.992, 258.263, -420.802, 324.149, -95.771),
    (-6.340, 52.981, -165.597, 247.172, -178.146, 49.934),
    (1.612, -10.620, 25.639, -28.453, 14.297, -2.467),
)
_NO_ROWS = ((0.0,) * 6,) * 2
_FITTED_ROUGHNESS = 0.2  # The tables hold from here on.


class Lobes(NamedTuple):
    """A mixture of GGX lobes of one Fresnel term."""

    weight: tuple[float, ...] = (1.0,)  # Sums to 1.
    spread: tuple[float, ...] = (1.0,)  # Each lobe's alpha over the squared roughness.


ONE_LOBE = Lobes()
# The sharp film of oil and the broad relief below; usual in production renderers.
TWO_LOBES = Lobes((0.85, 0.15), (1.0, 2.0))


def directional_response(
    diffuse_albedo: jax.Array,
    specular_albedo: jax.Array,
    normals: jax.Array,
    view: jax.Array,
    direction: jax.Array,
    roughness: jax.Array | float,
    scatter: jax.Array | tuple[float, float, float] | float = 0.0,
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """Linear RGB towards the viewer under a light of irradiance pi from one direction.

    Args:
        diffuse_albedo: (..., 3) linear RGB in [0, 1].
        specular_albedo: (..., 1) in [0, 1], F0 = 0.08 times it.
        normals: (..., 3) unit; zero, as at background, gives a finite value.
        view: (..., 3) unit, from the surface to the viewer.
        direction: (3,) or (..., 3) unit, from the surface to the light.
        roughness: Scalar or (..., 1); GGX alpha is its square.
        scatter: Scalar, (3,) or (..., 3), how far diffuse light wraps round the
            terminator; see `diffuse_response`.
        lobes: The mixture.

    Returns:
        (..., 3), non-negative; the BRDF times pi times the cosine.
    """
    f0 = F0_AT_SPECULAR_ONE * specular_albedo
    roughness = jnp.broadcast_to(jnp.asarray(roughness, jnp.float32), f0.shape)
    n_l = jnp.sum(normals * direction, axis=-1, keepdims=True)
    n_v = jnp.sum(normals * view, axis=-1, keepdims=True)
    brdf = specular_brdf(normals, view, direction, roughness, f0, lobes)
    diffuse = diffuse_response(n_l, n_v, roughness, f0, scatter, lobes)
    return diffuse_albedo * diffuse + math.pi * brdf * jnp.maximum(n_l, 0.0)


def diffuse_response(
    n_l: jax.Array,
    n_v: jax.Array,
    roughness: jax.Array,
    f0: jax.Array,
    scatter: jax.Array | tuple[float, float, float] | float = 0.0,
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """What a white base returns of a light of irradiance pi: BRDF times pi times the cosine.

    Scattering under the skin carries light past the terminator: the clamped cosine becomes
    its mean over n.l - w to n.l + w, a parabola up to n.l = w and n.l from there on. Skin
    that faces the light keeps its colour but for 1 / (1 + w^2 / 3), which conserves energy
    but for up to a percent that a sharp lobe takes too much.

    Args:
        n_l: (..., 1) cosine to the light.
        n_v: (..., 1) cosine to the viewer.
        roughness: (..., 1).
        f0: (..., 1).
        scatter: Scalar, (3,) or (..., 3): w in [0, 1], 0 = Lambert.
        lobes: The mixture.

    Returns:
        (..., 3), or (..., 1) for a scalar `scatter`.
    """
    scatter = jnp.asarray(scatter, jnp.float32)
    past = jnp.maximum(n_l + scatter, 0.0)
    softened = past * past / (4 * jnp.maximum(scatter, 1e-6))
    softened = jnp.where(n_l >= scatter, jnp.maximum(n_l, 0.0), softened)
    profile = _albedo_profile(roughness, f0, lobes)
    arriving = (1 - _evaluate(profile, softened)) * softened / (1 + scatter * scatter / 3)
    return arriving * _leaving(profile, n_v)


def diffuse_bands(
    n_v: jax.Array,
    roughness: jax.Array,
    f0: jax.Array,
    order: int,
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """`diffuse_response` without scatter as a convolution of the light: its zonal bands.

    Returns:
        (..., order + 1): multiplied onto the bands of the radiance's spherical harmonics
        at the normal it gives what a white base returns (irradiance over pi, shared with
        the lobe).
    """
    profile = _albedo_profile(roughness, f0, lobes)
    moments = jnp.asarray(_MOMENTS[: order + 1])
    return (moments[:, 0] - matmul(profile, moments.T)) * _leaving(profile, n_v)


def specular_brdf(
    normals: jax.Array,
    view: jax.Array,
    direction: jax.Array,
    roughness: jax.Array,
    f0: jax.Array,
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """GGX reflectance, 1/steradian, without the cosine; zero below the horizon.

    Args:
        normals: (..., 3) unit.
        view: (..., 3) unit, to the viewer.
        direction: (..., 3) or (3,) unit, to the light.
        roughness: (..., 1); alpha is its square.
        f0: (..., 1) reflectance at normal incidence.
        lobes: The mixture.

    Returns:
        (..., 1).
    """
    direction = jnp.broadcast_to(direction, normals.shape)
    half = normalize(view + direction)
    n_l, n_v, n_h = _dot(normals, direction), _dot(normals, view), _dot(normals, half)
    # 1 - n_h^2 through the cross product: n_h itself rounds to 1 inside a sharp highlight.
    sine = jnp.cross(normals, half)
    reflected = ggx(n_l, n_v, n_h * n_h, _dot(sine, sine), roughness, lobes)
    return reflected * fresnel(jnp.clip(_dot(direction, half), 0.0, 1.0), f0)


def ggx(
    n_l: jax.Array,
    n_v: jax.Array,
    n_h_squared: jax.Array,
    sine_squared: jax.Array,
    roughness: jax.Array,
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """Distribution times masking-shadowing over 4 n.l n.v, 1/steradian; arguments broadcast.

    Zero where the light or the viewer is below the horizon; finite where a normal vanishes.

    Args:
        n_l: Cosine to the light.
        n_v: Cosine to the viewer.
        n_h_squared: Squared cosine between the normal and the half vector.
        sine_squared: 1 less that, as exact as the sharpest lobe needs it.
        roughness: Its square is alpha.
        lobes: The mixture.
    """
    visible = (n_l > 0) & (n_v > 0)
    n_l, n_v = jnp.where(visible, n_l, 1.0), jnp.where(visible, n_v, 1.0)
    total = jnp.zeros(())
    for weight, spread in zip(*lobes, strict=True):
        alpha = jnp.minimum(spread * jnp.maximum(roughness, _MIN_ROUGHNESS) ** 2, 1.0)
        alpha2 = alpha * alpha
        width = jnp.where(visible, alpha2 * n_h_squared + sine_squared, 1.0)
        shadowing = n_l * jnp.sqrt(n_v * n_v * (1 - alpha2) + alpha2) + n_v * jnp.sqrt(
            n_l * n_l * (1 - alpha2) + alpha2
        )
        total = total + weight / (2 * math.pi) * alpha2 / (width * width * shadowing)
    return jnp.where(visible, total, 0.0)


def fresnel(cosine: jax.Array, f0: jax.Array) -> jax.Array:
    """Schlick's reflectance at the cosine between the light and the half vector."""
    missing = 1 - cosine
    return f0 + (1 - f0) * (missing * missing) ** 2 * missing


def specular_albedo_of_lobe(
    n_v: jax.Array, roughness: jax.Array | float, f0: jax.Array | float, lobes: Lobes = ONE_LOBE
) -> jax.Array:
    """Fraction (..., 1) of uniform light that the lobe reflects to the viewer.

    Schlick's Fresnel term splits it into F0 scale + bias, which depend on roughness and
    angle only (Karis, "Real shading in Unreal Engine 4", 2013); see `_SCALE`.

    Args:
        n_v: (..., 1) cosine to the viewer, in [0, 1].
        roughness: Scalar or (..., 1).
        f0: Scalar or (..., 1), up to 0.08.
        lobes: The mixture.
    """
    roughness = jnp.broadcast_to(jnp.asarray(roughness, jnp.float32), n_v.shape)
    return jnp.clip(_evaluate(_albedo_profile(roughness, f0, lobes), n_v), 0.0, 1.0)


def _albedo_profile(roughness, f0, lobes) -> jax.Array:
    """Coefficients (..., 8) of E in powers of 1 - cosine."""
    total = jnp.zeros(())
    for weight, spread in zip(*lobes, strict=True):
        widened = jnp.minimum(jnp.sqrt(spread) * roughness, 1.0)
        widened = jnp.maximum(widened, _FITTED_ROUGHNESS)
        powers = jnp.concatenate([widened**j for j in range(6)], axis=-1)
        scale = matmul(powers, jnp.array((*_SCALE, *_NO_ROWS)).T)
        bias = matmul(powers, jnp.array((*_NO_ROWS, *_BIAS)).T)
        total = total + weight * (f0 * scale + bias)
    return total


def _evaluate(profile, cosine):
    """E at cosine (..., C) in [0, 1] from its `_albedo_profile` (..., 8)."""
    missing = 1 - cosine
    total = profile[..., :1] + profile[..., 1:2] * missing
    square = missing
    for k in range(2, len(_POWERS)):  # 2, 3, 5, ... are a power of two and one.
        total = total + profile[..., k : k + 1] * (square * missing)
        square = square * square
    return total


def _leaving(profile, n_v):
    """(1 - E(n.v)) / (1 - E_mean)."""
    mean = matmul(profile, jnp.asarray(_MOMENTS[0]))[..., None]
    return (1 - _evaluate(profile, jnp.clip(n_v, 0.0, 1.0))) / (1 - mean)


def _moments() -> np.ndarray:
    """2 times the integrals over [0, 1] of P_l(x) x (1 - x)^p: (bands to order 4, 8)."""
    x, weight = np.polynomial.legendre.leggauss(20)  # Exact to degree 39.
    x = (x + 1) / 2
    legendre = np.stack([np.ones_like(x), x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2,
                         (35 * x**4 - 30 * x**2 + 3) / 8])  # fmt: skip
    powers = np.stack([(1 - x) ** p for p in _POWERS])
    return np.einsum("n,ln,pn->lp", weight * x, legendre, powers).astype(np.float32)


# Column 0 is the clamped cosine itself: 1, 2/3, 1/4, 0, -1/24.
_MOMENTS = _moments()


def _dot(a, b):
    return jnp.sum(a * b, axis=-1, keepdims=True)

"""The look of skin: Lambert and GGX under a `Light`, per pixel or per texel.

Diffuse light is Lambert, optionally with red light leaking past the terminator as it does
under the skin. Specular light is GGX with height-correlated Smith shadowing and Schlick's
Fresnel term, F0 = 0.08 S for specular albedo S. Light that the surface reflects is taken
from the diffuse part, so a surface never returns more than it receives.
"""

import math

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.core.uv_layout import F0_AT_SPECULAR_ONE
from relightify_jax.rendering.lighting import Light, radiance_sh, shade_sh

SKIN_ROUGHNESS = 0.5
# How far light wraps round the terminator, RGB; see `_wrapped_cosine`.
SKIN_SCATTER = (0.22, 0.09, 0.05)

# The split-sum integral F0 scale + bias of our GGX lobe, as polynomials: row k belongs to
# (1 - n.v)^(0, 2, 5, 10), column j to roughness^j. Least squares against quadrature over
# roughness 0.15 to 1; the largest error at F0 = 0.028 is 0.02, the mean 0.002.
_LOBE_POWERS = (0, 2, 5, 10)
_LOBE_SCALE = (
    (0.837, 1.380, -3.107, 1.203),
    (0.827, -5.333, 7.619, -2.524),
    (-2.454, 6.254, -1.542, -2.617),
    (0.396, 2.259, -8.520, 6.270),
)
_LOBE_BIAS = (
    (0.013, -0.090, 0.160, -0.085),
    (-0.318, 2.245, -3.825, 1.923),
    (2.427, -8.915, 11.106, -4.617),
    (-0.991, 3.353, -3.682, 1.335),
)


def shade(
    diffuse_albedo: jax.Array,
    specular_albedo: jax.Array,
    normals: jax.Array,
    view: jax.Array,
    light: Light,
    roughness: jax.Array | float = SKIN_ROUGHNESS,
    *,
    scatter: jax.Array | tuple[float, float, float] | float = 0.0,
    occlusion: jax.Array | None = None,
    visibility: jax.Array | None = None,
) -> jax.Array:
    """Linear RGB that leaves the surface towards the viewer.

    Args:
        diffuse_albedo: (..., 3) linear RGB in [0, 1].
        specular_albedo: (..., 1), F0 = 0.08 times it.
        normals: (..., 3) unit, in the frame of the light.
        view: (..., 3) unit, from the surface to the viewer.
        light: The light.
        roughness: Scalar or (..., 1); GGX alpha is its square.
        scatter: Scalar, (3,) or (..., 3): wrap of the diffuse terminator, 0 = Lambert.
        occlusion: (..., 1) in [0, 1], 1 = open: the fraction of surrounding light that
            arrives. Creases in light skin are lit by their own walls and stay warm.
        visibility: (..., D) in [0, 1], 1 = lit, of each directional light.

    Returns:
        (..., 3), non-negative, unbounded.
    """
    roughness = jnp.broadcast_to(jnp.asarray(roughness, jnp.float32), specular_albedo.shape)
    scatter = jnp.broadcast_to(jnp.asarray(scatter, jnp.float32), diffuse_albedo.shape)
    f0 = F0_AT_SPECULAR_ONE * specular_albedo
    color = _surrounding(diffuse_albedo, f0, normals, view, light.sh, roughness, occlusion)

    def add_beam(color, beam):
        direction, radiance, lit = beam
        value = _directional(diffuse_albedo, f0, normals, view, direction, roughness, scatter)
        return color + value * radiance * lit, None

    if visibility is None:
        lit = jnp.ones(light.directions.shape[:1])
    else:
        lit = jnp.moveaxis(visibility, -1, 0)[..., None]
    color, _ = jax.lax.scan(add_beam, color, (light.directions, light.radiance, lit))
    return color


def specular_brdf(
    normals: jax.Array, view: jax.Array, direction: jax.Array, roughness: jax.Array, f0: jax.Array
) -> jax.Array:
    """GGX reflectance, 1/steradian, without the cosine; zero below the horizon.

    Distribution of Walter et al. 2007, height-correlated Smith masking-shadowing as in
    Heitz 2014, Fresnel term of Schlick 1994.

    Args:
        normals: (..., 3) unit.
        view: (..., 3) unit, to the viewer.
        direction: (..., 3) or (3,) unit, to the light.
        roughness: (..., 1); alpha is its square.
        f0: (..., 1) reflectance at normal incidence.

    Returns:
        (..., 1).
    """
    direction = jnp.broadcast_to(direction, normals.shape)
    half = normalize(view + direction)
    n_l, n_v = _dot(normals, direction), _dot(normals, view)
    n_h, l_h = _dot(normals, half), jnp.clip(_dot(direction, half), 0.0, 1.0)
    visible = (n_l > 0) & (n_v > 0)
    n_l, n_v = jnp.where(visible, n_l, 1.0), jnp.where(visible, n_v, 1.0)
    alpha2 = jnp.maximum(roughness, 0.05) ** 4
    # 1 - n_h^2 through the cross product: n_h itself rounds to 1 inside a sharp highlight.
    sine = jnp.cross(normals, half)
    spread = alpha2 * n_h * n_h + jnp.sum(sine * sine, axis=-1, keepdims=True)
    spread = jnp.where(visible, spread, 1.0)  # Background has normals of length zero.
    distribution = alpha2 / (math.pi * spread * spread)
    shadowing = 0.5 / (
        n_l * jnp.sqrt(n_v * n_v * (1 - alpha2) + alpha2)
        + n_v * jnp.sqrt(n_l * n_l * (1 - alpha2) + alpha2)
    )
    return jnp.where(visible & (n_h > 0), distribution * shadowing * _fresnel(l_h, f0), 0.0)


def _dot(a, b):
    return jnp.sum(a * b, axis=-1, keepdims=True)


def _fresnel(cosine, f0):
    return f0 + (1 - f0) * (1 - cosine) ** 5


def _wrapped_cosine(cosine, wrap):
    """max(0, cosine + wrap) / (1 + wrap)^2: light round the terminator, same total.

    The integral over the sphere is pi for every wrap, so what leaks into the shadow is
    missing in the light.
    """
    return jnp.maximum(cosine + wrap, 0.0) / (1 + wrap) ** 2


def _directional(diffuse_albedo, f0, normals, view, direction, roughness, scatter):
    """Response (..., 3) to a light of irradiance pi from `direction` (3,)."""
    n_l = jnp.sum(normals * direction, axis=-1, keepdims=True)
    l_h = jnp.clip(_dot(jnp.broadcast_to(direction, view.shape), normalize(view + direction)), 0, 1)
    diffuse = diffuse_albedo * (1 - _fresnel(l_h, f0)) * _wrapped_cosine(n_l, scatter)
    brdf = specular_brdf(normals, view, direction, roughness, f0)
    return diffuse + math.pi * brdf * jnp.maximum(n_l, 0.0)


def _surrounding(diffuse_albedo, f0, normals, view, sh, roughness, occlusion):
    """Response (..., 3) to the order-2 light: split-sum with the lobe as a blur of the SH.

    An approximation in name and deed: the lobe is taken round about the mirror direction.
    """
    n_v = jnp.clip(_dot(normals, view), 0.0, 1.0)
    reflectance = specular_albedo_of_lobe(n_v, roughness, f0)
    mirror = normalize(2 * _dot(normals, view) * normals - view)
    # GGX of width alpha over half vectors is about twice as wide over directions.
    seen = jnp.maximum(radiance_sh(mirror, sh, blur=2 * roughness[..., 0] ** 2), 0.0)
    diffuse = diffuse_albedo * (1 - reflectance) * jnp.maximum(shade_sh(normals, sh), 0.0)
    if occlusion is None:
        return diffuse + reflectance * seen
    open_to_mirror = _specular_occlusion(n_v, occlusion, roughness)
    return diffuse * _bounced_occlusion(occlusion, diffuse_albedo) + (
        reflectance * seen * open_to_mirror
    )


def specular_albedo_of_lobe(n_v: jax.Array, roughness: jax.Array, f0: jax.Array) -> jax.Array:
    """Fraction (..., 1) of uniform light that the GGX lobe reflects to the viewer.

    Schlick's Fresnel term splits it into F0 scale + bias, which depend on roughness and
    angle only (Karis, "Real shading in Unreal Engine 4", 2013); see `_LOBE_SCALE`.
    """
    powers = jnp.concatenate([(1 - n_v) ** k for k in _LOBE_POWERS], axis=-1)
    shape = (*powers.shape[:-1], 1)
    roughness = jnp.broadcast_to(roughness, shape)
    columns = jnp.concatenate([roughness**j for j in range(4)], axis=-1)
    scale, bias = (
        jnp.sum(matmul(powers, jnp.array(table)) * columns, axis=-1, keepdims=True)
        for table in (_LOBE_SCALE, _LOBE_BIAS)
    )
    return jnp.clip(f0 * scale + bias, 0.0, 1.0)


def _bounced_occlusion(occlusion, albedo):
    """Occlusion (..., 3) with light between the walls of a crease (Jimenez et al. 2016, eq. 8)."""
    a = 2.0404 * albedo - 0.3324
    b = -4.7951 * albedo + 0.6417
    c = 2.7552 * albedo + 0.6903
    return jnp.maximum(occlusion, ((occlusion * a + b) * occlusion + c) * occlusion)


def _specular_occlusion(n_v, occlusion, roughness):
    """Occlusion of the lobe from the occlusion of the hemisphere (Lagarde and de Rousiers 2014)."""
    power = jnp.exp2(-16 * roughness - 1)
    openness = jnp.maximum(n_v + occlusion, 1e-4) ** power - 1 + occlusion
    return jnp.clip(openness, 0.0, 1.0)

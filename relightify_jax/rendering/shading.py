"""The look of skin: Lambert and GGX under a `Light`, per pixel or per texel.

The reflection of one ray is `brdf`; here it is summed over all the light there is. What
surrounds the head reaches the viewer by two ways. The diffuse one is smooth, and spherical
harmonics or a precomputed transfer give it. The specular one is summed over all directions
of the environment, or, for a preview, approximated by `split_sum`.
"""

import functools
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.core.uv_layout import F0_AT_SPECULAR_ONE
from relightify_jax.rendering.brdf import (
    ONE_LOBE,
    Lobes,
    diffuse_bands,
    diffuse_response,
    directional_response,
    fresnel,
    ggx,
    specular_albedo_of_lobe,
)
from relightify_jax.rendering.lighting import (
    Light,
    latlong_directions,
    radiance_sh,
    sh_order,
    shade_sh,
)

SKIN_ROUGHNESS = 0.5
# How far light reaches past the terminator, RGB; see `brdf.diffuse_response`.
SKIN_SCATTER = (0.3, 0.12, 0.06)

# Grid on which a light known as spherical harmonics is summed.
_SH_GRID = (16, 32)
_MIN_OCCLUSION = 0.05
# Pixels and directions of one step: the block stays in the cache of a core.
_PIXEL_BLOCK = 1024
_DIRECTION_BLOCK = 64


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
    environment: jax.Array | None = None,
    irradiance: jax.Array | None = None,
    diffuse: Literal["sh", "quadrature"] = "sh",
    specular: Literal["quadrature", "split_sum"] = "quadrature",
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """Linear RGB that leaves the surface towards the viewer.

    Args:
        diffuse_albedo: (..., 3) linear RGB in [0, 1].
        specular_albedo: (..., 1), F0 = 0.08 times it.
        normals: (..., 3) unit, in the frame of the light; zero = background.
        view: (..., 3) unit, from the surface to the viewer.
        light: The light.
        roughness: Scalar or (..., 1); GGX alpha is its square.
        scatter: Scalar, (3,) or (..., 3), of the directional lights' terminator; 0 = sharp.
        occlusion: (..., 1) in [0, 1], 1 = open: the share of surrounding light that
            arrives, to which the walls of creases in light skin add their own.
        visibility: (..., D) in [0, 1], 1 = lit, of each directional light.
        environment: (h, w, 3) latlong radiance that `light.sh` is the projection of, see
            `environment.Environment`; seen in the sheen. None = what `light.sh` says.
        irradiance: (..., 3), irradiance / pi of what surrounds the head as it arrives in
            its own shadow, e.g. `transfer @ light.sh` of `occlusion.Occlusion`; replaces
            the normal, and `occlusion` then adds only what bounces in the creases.
        diffuse: "sh", or "quadrature", which sees what `light.sh` leaves out.
        specular: "quadrature", or the preview "split_sum": up to a third of the sheen off.
        lobes: The mixture of GGX lobes.

    Returns:
        (..., 3), non-negative, unbounded.
    """
    roughness = jnp.broadcast_to(jnp.asarray(roughness, jnp.float32), specular_albedo.shape)
    surface = normals, view, roughness, F0_AT_SPECULAR_ONE * specular_albedo
    sheen = split_sum if specular == "split_sum" else specular_quadrature
    mirrored = jnp.maximum(sheen(*surface, light.sh, environment, lobes), 0.0)
    if irradiance is not None:
        scattered = _leaving_base(*surface, irradiance, lobes)
    elif diffuse == "quadrature":
        scattered = diffuse_quadrature(*surface, light.sh, environment, lobes)
    else:
        scattered = _diffuse_sh(*surface, light.sh, lobes)
    scattered = diffuse_albedo * jnp.maximum(scattered, 0.0)
    if occlusion is not None:
        mirrored = mirrored * _specular_occlusion(normals, view, occlusion, roughness)
        bounced = _bounced_occlusion(occlusion, diffuse_albedo)
        darkened = 1.0 if irradiance is None else jnp.maximum(occlusion, _MIN_OCCLUSION)
        scattered = scattered * bounced / darkened
    material = diffuse_albedo, specular_albedo, normals, view, roughness, scatter, lobes
    return scattered + mirrored + _sum_beams(*material, light, visibility)


def _sum_beams(
    diffuse_albedo, specular_albedo, normals, view, roughness, scatter, lobes, light, visibility
) -> jax.Array:
    """What the surface returns (..., 3) of the directional lights."""

    def add_beam(color, beam):
        direction, radiance, lit = beam
        value = directional_response(
            diffuse_albedo, specular_albedo, normals, view, direction, roughness, scatter, lobes
        )
        return color + value * radiance * lit, None

    if visibility is None:
        lit = jnp.ones(light.directions.shape[:1])
    else:
        lit = jnp.moveaxis(visibility, -1, 0)[..., None]
    dark = jnp.zeros(diffuse_albedo.shape)
    return lax.scan(add_beam, dark, (light.directions, light.radiance, lit))[0]


def split_sum(
    normals: jax.Array,
    view: jax.Array,
    roughness: jax.Array,
    f0: jax.Array,
    sh: jax.Array,
    environment: jax.Array | None = None,
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """Sheen (..., 3) as albedo of the lobe times blurred radiance in the mirror direction.

    An approximation in name and deed: the lobe is taken round, about the mirror direction
    and of one width, and the environment is only seen through `sh`. Arguments as in
    `specular_quadrature`.
    """
    del environment
    n_v = jnp.clip(_dot(normals, view), 0.0, 1.0)
    reflectance = specular_albedo_of_lobe(n_v, roughness, f0, lobes)
    mirror = normalize(2 * _dot(normals, view) * normals - view)
    # GGX of width alpha over half vectors is about twice as wide over directions.
    return reflectance * radiance_sh(mirror, sh, blur=2 * roughness[..., 0] ** 2)


def specular_quadrature(
    normals: jax.Array,
    view: jax.Array,
    roughness: jax.Array,
    f0: jax.Array,
    sh: jax.Array,
    environment: jax.Array | None = None,
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """Sheen (..., 3) under surrounding light, summed over all its directions.

    The sum is scaled to the albedo of the lobe, which takes out most of what a coarse grid
    misses of it: against a fine grid the mean error at roughness 0.5 is 1.5 % of the sheen
    on 16 x 32 texels, 0.4 % on 32 x 64 and 0.1 % on 64 x 128; at 0.2 it is eightfold.

    Args:
        normals: (..., 3) unit, zero = background.
        view: (..., 3) unit.
        roughness: (..., 1).
        f0: (..., 1).
        sh: (K, 3) radiance, used where there is no environment.
        environment: (h, w, 3) latlong radiance or None.
        lobes: The mixture.

    Returns:
        (..., 3), linear in the light.
    """
    directions, radiance, solid_angle = _grid(sh, environment)
    flux = jnp.concatenate([radiance * solid_angle, solid_angle], axis=-1)
    kernel = functools.partial(_specular_kernel, lobes=lobes)
    n_v = jnp.clip(_dot(normals, view), 0.0, 1.0)
    surface = normals, view, roughness, f0
    total = _integrate(kernel, surface, n_v > 0, directions, flux)
    albedo = specular_albedo_of_lobe(n_v, roughness, f0, lobes)
    return albedo * total[..., :3] / jnp.maximum(total[..., 3:], 1e-9)


def diffuse_quadrature(
    normals: jax.Array,
    view: jax.Array,
    roughness: jax.Array,
    f0: jax.Array,
    sh: jax.Array,
    environment: jax.Array | None = None,
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """What a white base returns (..., 3); arguments as in `specular_quadrature`."""
    directions, radiance, solid_angle = _grid(sh, environment)
    kernel = functools.partial(_diffuse_kernel, lobes=lobes)
    surface = normals, view, roughness, f0
    active = jnp.any(normals != 0, axis=-1)
    return _integrate(kernel, surface, active, directions, radiance * solid_angle)


def _diffuse_sh(normals, view, roughness, f0, sh, lobes):
    """What a white base returns (..., 3) of spherical harmonics (K, 3)."""
    bands = diffuse_bands(_dot(normals, view), roughness, f0, sh_order(sh), lobes)
    return shade_sh(normals, sh, bands)


def _leaving_base(normals, view, roughness, f0, irradiance, lobes):
    """What a white base returns; the lobe takes its share on the way out only."""
    n_v = jnp.clip(_dot(normals, view), 0.0, 1.0)
    return (1 - specular_albedo_of_lobe(n_v, roughness, f0, lobes)) * irradiance


def _grid(sh, environment) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Directions (T, 3), radiance (T, 3) and solid angle (T, 1) of surrounding light."""
    height, width = _SH_GRID if environment is None else environment.shape[:2]
    grid, area = latlong_directions(height, width)
    directions = jnp.asarray(grid).reshape(-1, 3)
    if environment is None:
        radiance = radiance_sh(directions, sh)
    else:
        radiance = environment.reshape(-1, 3)
    return directions, radiance, jnp.repeat(jnp.asarray(area), width, axis=0)


def _specular_kernel(surface, directions, *, lobes):
    """GGX times the cosine (P, B) for surfaces (P, ...) and directions (B, 3)."""
    normals, view, roughness, f0 = surface
    n_l, v_l = matmul(normals, directions.T), matmul(view, directions.T)
    n_v = _dot(normals, view)
    # The half vector is l + v over its length, whose square is 2 + 2 v.l.
    squared = jnp.maximum(2 + 2 * v_l, 1e-6)
    n_h_squared = jnp.minimum((n_l + n_v) ** 2 / squared, 1.0)
    reflected = ggx(n_l, n_v, n_h_squared, 1 - n_h_squared, roughness, lobes)
    return reflected * fresnel(jnp.sqrt(squared) / 2, f0) * jnp.maximum(n_l, 0.0)


def _diffuse_kernel(surface, directions, *, lobes):
    normals, view, roughness, f0 = surface
    n_l = matmul(normals, directions.T)
    return diffuse_response(n_l, _dot(normals, view), roughness, f0, 0.0, lobes) / math.pi


def _integrate(
    kernel: Callable,
    surface: tuple[jax.Array, ...],
    active: jax.Array,
    directions: jax.Array,
    flux: jax.Array,
) -> jax.Array:
    """Sum (..., C) of `kernel(surface, directions) @ flux` in blocks that fit the cache.

    Args:
        kernel: (arrays (P, C), directions (B, 3)) -> (P, B).
        surface: Arrays (..., C).
        active: (...), where not, the result is zero and costs nothing.
        directions: (T, 3).
        flux: (T, C) what comes from each.
    """
    shape = surface[0].shape[:-1]
    surface = tuple(jnp.asarray(x).reshape(-1, x.shape[-1]) for x in surface)
    num, channels = surface[0].shape[0], flux.shape[-1]
    missing = -len(directions) % _DIRECTION_BLOCK
    blocks = tuple(
        jnp.pad(x, ((0, missing), (0, 0))).reshape(-1, _DIRECTION_BLOCK, x.shape[-1])
        for x in (directions, flux)
    )

    @jax.checkpoint
    def add_directions(total, block, part):
        return total + matmul(kernel(part, block[0]), block[1])

    def shade_block(index):
        # Indices past the end fill the last block; their results are dropped.
        part = tuple(x[jnp.minimum(index, num - 1)] for x in surface)
        start = jnp.zeros((index.shape[0], channels))
        return lax.scan(lambda t, b: (add_directions(t, b, part), None), start, blocks)[0]

    size = min(_PIXEL_BLOCK, num)
    (order,) = jnp.nonzero(active.reshape(-1), size=num + -num % size, fill_value=num)
    order = order.reshape(-1, size)
    dark = jnp.zeros((size, channels))
    colors = lax.map(
        lambda index: lax.cond(index[0] < num, shade_block, lambda _: dark, index), order
    )
    colors = colors.reshape(-1, channels)
    result = jnp.zeros((num, channels)).at[order.reshape(-1)].set(colors, mode="drop")
    return result.reshape(*shape, channels)


def _dot(a, b):
    return jnp.sum(a * b, axis=-1, keepdims=True)


def _bounced_occlusion(occlusion, albedo):
    """Occlusion (..., 3) with light between the walls of a crease (Jimenez et al. 2016, eq. 8)."""
    a = 2.0404 * albedo - 0.3324
    b = -4.7951 * albedo + 0.6417
    c = 2.7552 * albedo + 0.6903
    return jnp.maximum(occlusion, ((occlusion * a + b) * occlusion + c) * occlusion)


def _specular_occlusion(normals, view, occlusion, roughness):
    """Occlusion of the lobe from the occlusion of the hemisphere (Lagarde and de Rousiers 2014)."""
    n_v = jnp.clip(_dot(normals, view), 0.0, 1.0)
    power = jnp.exp2(-16 * roughness - 1)
    openness = jnp.maximum(n_v + occlusion, 1e-4) ** power - 1 + occlusion
    return jnp.clip(openness, 0.0, 1.0)

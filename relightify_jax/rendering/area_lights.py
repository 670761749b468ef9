"""Lights near the head: soft boxes (rectangles), bulbs (spheres) and points, with soft shadows.

A light becomes a fixed set of `LampSamples`, small emitters that each send inverse-square
light and cast a hard shadow from a perspective depth map of their own; the mean over the
samples is a shadow whose edge is as wide as the geometry says. Positions are in metres in
the frame of the surface; lights stay outside the sphere around the mesh.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.rendering.brdf import ONE_LOBE, Lobes, directional_response
from relightify_jax.rendering.occlusion import BIAS_PIXELS, compare_depth, frame_of, normal_offset
from relightify_jax.rendering.rasterize import rasterize_depth

# Widest view of a depth map: the sine of half its angle, for a light close to the mesh.
_MAX_SINE = 0.95


class RectangleLights(NamedTuple):
    """Soft boxes: they shine evenly, on the side of cross(half_u, half_v) only."""

    center: jax.Array  # (L, 3) metres.
    half_u: jax.Array  # (L, 3) metres, from the centre to the middle of a side.
    half_v: jax.Array  # (L, 3) metres, at a right angle to `half_u`.
    radiance: jax.Array  # (L, 3) linear RGB that leaves the front in every direction.


class SphereLights(NamedTuple):
    """Bulbs, which shine the same in every direction; radius 0 is a point light."""

    center: jax.Array  # (L, 3) metres.
    radius: jax.Array  # (L,) metres, 0 or more.
    intensity: jax.Array  # (L, 3) linear RGB: radiance times pi radius^2.


class LampSamples(NamedTuple):
    """Small emitters; concatenate the fields to shade with several lights at once."""

    position: jax.Array  # (S, 3) metres.
    axis: jax.Array  # (S, 3) unit: shines with the cosine to it; zero: the same everywhere.
    intensity: jax.Array  # (S, 3) linear RGB: irradiance at 1 m along `axis`.


def sample_rectangles(lights: RectangleLights, num_samples: int = 16) -> LampSamples:
    """Splits each rectangle into `num_samples` emitters of equal area.

    Args:
        lights: L rectangles.
        num_samples: N; seen along its sides the rectangle shows N different places, so
            the edge of a shadow has N steps.

    Returns:
        S = L N samples.
    """
    place = jnp.asarray(2 * _lattice(num_samples) - 1)
    offset = place[:, :1] * lights.half_u[:, None, :] + place[:, 1:] * lights.half_v[:, None, :]
    across = jnp.cross(lights.half_u, lights.half_v)
    area = 4 * jnp.sqrt(jnp.sum(across * across, axis=-1, keepdims=True))
    intensity = lights.radiance * area / num_samples
    return _flatten(lights.center[:, None] + offset, normalize(across), intensity)


def sample_spheres(lights: SphereLights, target: jax.Array, num_samples: int = 16) -> LampSamples:
    """Replaces each sphere by emitters on the disc that is seen from `target`.

    Scaled so that the irradiance at `target` is exactly that of the sphere, intensity over
    squared distance; elsewhere the shadows are those of the disc.

    Args:
        lights: L spheres around places other than `target`.
        target: (3,) metres, e.g. the middle of the face.
        num_samples: N emitters for each; 1 is enough for points.

    Returns:
        S = L N samples.
    """
    to_light = lights.center - target
    distance2 = jnp.sum(to_light * to_light, axis=-1, keepdims=True)
    direction = to_light * lax.rsqrt(distance2)
    frame = jax.vmap(frame_of)(direction)
    # The disc through the centre that fills the same cone of view as the sphere.
    sine2 = jnp.minimum(lights.radius[:, None] ** 2 / distance2, 0.9)
    radius = lights.radius[:, None] * lax.rsqrt(1 - sine2)
    place = jnp.asarray(_disc(num_samples)) * radius[:, None]
    position = lights.center[:, None] + matmul(place, frame[:, :2])
    away = position - target
    away2 = jnp.sum(away * away, axis=-1)
    arriving = jnp.mean(jnp.sum(away * direction[:, None], axis=-1) * away2**-1.5, axis=1)
    intensity = lights.intensity / (distance2 * arriving[:, None] * num_samples)
    return _flatten(position, jnp.zeros_like(direction), intensity)


def _flatten(position, axis, intensity) -> LampSamples:
    """Samples of positions (L, N, 3) with what is common to each light (L, 3)."""
    fields = position, axis[:, None], intensity[:, None]
    return LampSamples(*(jnp.broadcast_to(x, position.shape).reshape(-1, 3) for x in fields))


def _lattice(num: int) -> np.ndarray:
    """Well-spread points (num, 2) in [0, 1]^2: a rank-1 lattice, its step near the golden one.

    Both coordinates take every value (i + 1/2) / num.
    """
    golden = num * (math.sqrt(5) - 1) / 2
    steps = [step for step in range(1, num + 1) if math.gcd(step, num) == 1]
    step = min(steps, key=lambda step: abs(step - golden))
    index = np.arange(num)
    return ((np.stack([index, index * step % num], axis=-1) + 0.5) / num).astype(np.float32)


def _disc(num: int) -> np.ndarray:
    """Points (num, 2) spread evenly over the unit disc (golden-angle spiral), mean zero."""
    radius = np.sqrt((np.arange(num) + 0.5) / num)
    angle = np.arange(num) * np.pi * (3 - math.sqrt(5))
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return (points - points.mean(axis=0)).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("size", "blur"))
def lamp_visibility(
    points: jax.Array,
    faces: jax.Array,
    lamps: LampSamples,
    query_points: jax.Array,
    query_normals: jax.Array,
    *,
    size: int = 512,
    blur: int = 2,
) -> jax.Array:
    """How much of each lamp sample places on the surface see past the mesh.

    The perspective twin of `occlusion.directional_visibility`. Whether the surface faces
    the lamp is left to the cosine of the shading.

    Args:
        points: (V, 3) metres, the mesh.
        faces: (F, 3) int32; both sides hide.
        lamps: S samples outside the sphere around the mesh. Parts of the mesh that are
            behind a nearer one, or more than 70 degrees from its view, cast no shadow.
        query_points: (..., 3) on the surface, e.g. the texels of a map.
        query_normals: (..., 3) unit outward.
        size: Side of each depth map in pixels; it spans the mesh.
        blur: Width of the shadow's edge of one sample in pixels, which hides the steps
            between samples; at least 1.

    Returns:
        (S, ...) float32 in [0, 1]; 1 = lit. No gradient.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    center = (low + high) / 2
    radius = jnp.sqrt(jnp.max(jnp.sum((points - center) ** 2, axis=-1)) + 1e-20)
    query, normals = query_points.reshape(-1, 3), query_normals.reshape(-1, 3)
    inputs = lax.stop_gradient((points, query, normals, center, radius, lamps.position))
    points, query, normals, center, radius, positions = inputs
    offset = normal_offset(blur)

    def look(position):
        away = position - center
        distance = jnp.sqrt(jnp.sum(away * away) + 1e-20)
        frame = frame_of(away / distance)
        sine = jnp.minimum(radius / distance, _MAX_SINE)
        focal = (size / 2 - offset - blur) * jnp.sqrt(1 - sine * sine) / sine  # Pixels.

        def project(places):
            x, y, height = jnp.unstack(matmul(places - position, frame.T), axis=-1)
            depth = jnp.where(height < 0, -height, 1e-9)
            return size / 2 + focal / depth[:, None] * jnp.stack([x, -y], -1), depth

        # A pixel is depth / focal wide where the place is.
        depth = jnp.maximum(-matmul(query - position, frame[2]), 0.0)
        xy, depth = project(query + (offset / focal) * depth[:, None] * normals)
        buffer = rasterize_depth(
            *project(points), faces, height=size, width=size, near=1e-6, clip=False
        )
        return compare_depth(buffer, xy, (1 + BIAS_PIXELS / focal) / depth, blur)

    return lax.map(look, positions).reshape(-1, *query_points.shape[:-1])


def lamp_irradiance(positions: jax.Array, lamps: LampSamples) -> tuple[jax.Array, jax.Array]:
    """Unshadowed light of each sample at places.

    Args:
        positions: (..., 3) metres.
        lamps: S samples.

    Returns:
        Unit directions to the samples and irradiance over pi on a surface that faces them,
        both (S, ..., 3): a white Lambert surface renders with the second.
    """
    shape = (-1, *(1,) * (positions.ndim - 1), 3)
    position, axis, intensity = (x.reshape(shape) for x in lamps)
    away = position - positions
    distance2 = jnp.maximum(jnp.sum(away * away, axis=-1, keepdims=True), 1e-12)
    direction = away * lax.rsqrt(distance2)
    cosine = -jnp.sum(axis * direction, axis=-1, keepdims=True)
    has_axis = jnp.any(axis != 0, axis=-1, keepdims=True)
    emission = jnp.where(has_axis, jnp.maximum(cosine, 0.0), 1.0)
    return direction, intensity * emission / (math.pi * distance2)


@functools.partial(jax.jit, static_argnames="lobes")
def shade_lamps(
    diffuse_albedo: jax.Array,
    specular_albedo: jax.Array,
    positions: jax.Array,
    normals: jax.Array,
    view: jax.Array,
    lamps: LampSamples,
    roughness: jax.Array | float,
    *,
    scatter: jax.Array | tuple[float, float, float] | float = 0.0,
    visibility: jax.Array | None = None,
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """Linear RGB that leaves the surface towards the viewer, lit by near lights only.

    Exact in the limit of many samples; a highlight much narrower than the gaps between
    the samples, as on wet eyes, shows them one by one.

    Args:
        diffuse_albedo: (..., 3) linear RGB.
        specular_albedo: (..., 1), F0 = 0.08 times it.
        positions: (..., 3) metres, in the frame of the lamps.
        normals: (..., 3) unit.
        view: (..., 3) unit, from the surface to the viewer.
        lamps: S samples.
        roughness: Scalar or (..., 1).
        scatter: Softness of the diffuse terminator, see `shading.shade`.
        visibility: (S, ...) from `lamp_visibility`; None = no shadows.
        lobes: See `brdf.Lobes`.

    Returns:
        (..., 3), non-negative. Differentiable in all but `visibility`.
    """
    roughness = jnp.broadcast_to(jnp.asarray(roughness, jnp.float32), specular_albedo.shape)
    scatter = jnp.broadcast_to(jnp.asarray(scatter, jnp.float32), diffuse_albedo.shape)
    if visibility is None:
        visibility = jnp.ones((lamps.position.shape[0], *(1,) * (positions.ndim - 1)))

    @jax.checkpoint
    def add_sample(color, inputs):
        lamp, lit = inputs
        direction, irradiance = lamp_irradiance(positions, jax.tree.map(lambda x: x[None], lamp))
        response = directional_response(
            diffuse_albedo, specular_albedo, normals, view, direction[0], roughness, scatter, lobes
        )
        return color + response * irradiance[0] * lit[..., None], None

    return lax.scan(add_sample, jnp.zeros_like(diffuse_albedo), (lamps, visibility))[0]

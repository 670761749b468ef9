"""What a head hides from itself: cast shadows, ambient occlusion, SH transfer.

The mesh is drawn orthographically from every direction, and points of the surface are
looked up in the depth buffer. A point is first pushed out along its normal by the reach of
the comparison ("normal offset shadows"), which is just enough for a flat surface not to
shadow itself at any slope. The comparison is averaged over a few pixels, which makes the
edge of a shadow that wide.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.rendering.lighting import Light, sh_basis, shade_sh
from relightify_jax.rendering.rasterize import rasterize_depth

BIAS_PIXELS = 0.5
_CHUNK = 16  # Directions whose visibility is held at once by `compute_occlusion`.


class Occlusion(NamedTuple):
    """What places on a surface see of their surroundings, past the mesh."""

    transfer: jax.Array  # (..., (order + 1)^2); irradiance / pi is `transfer @ light.sh`.
    openness: jax.Array  # (...,) ambient occlusion: cosine-weighted share of the sky, 1 = open.
    bent_normal: jax.Array  # (..., 3) unit, cosine-weighted mean of the open directions.


def fibonacci_directions(num: int) -> np.ndarray:
    """`num` unit directions (num, 3) spread evenly over the sphere (golden-angle spiral)."""
    height = 1 - (2 * np.arange(num) + 1) / num
    angle = np.arange(num) * np.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - height**2)
    spiral = np.stack([radius * np.sin(angle), height, radius * np.cos(angle)], axis=-1)
    return spiral.astype(np.float32)


@functools.partial(jax.jit, static_argnames=("size", "blur"))
def directional_visibility(
    points: jax.Array,
    faces: jax.Array,
    directions: jax.Array,
    query_points: jax.Array,
    query_normals: jax.Array,
    *,
    size: int = 256,
    blur: int = 1,
) -> jax.Array:
    """How much of each direction places on the surface see past the mesh.

    Whether the surface itself faces the direction is left to the cosine of the shading.

    Args:
        points: (V, 3) metres, the mesh.
        faces: (F, 3) int32; both sides hide.
        directions: (N, 3) unit, away from the mesh.
        query_points: (..., 3) on the surface, e.g. `points`.
        query_normals: (..., 3) unit outward.
        size: Side of the depth buffer in pixels; it spans the mesh.
        blur: Width of a shadow's edge in pixels of the depth buffer, at least 1.

    Returns:
        (N, ...) float32 in [0, 1]; above 0.5 = visible. No gradient.
    """
    look = _observer(points, faces, query_points, query_normals, size, blur)
    return lax.map(look, directions).reshape(-1, *query_points.shape[:-1])


def cast_shadows(
    points: jax.Array,
    faces: jax.Array,
    light: Light,
    query_points: jax.Array,
    query_normals: jax.Array,
    *,
    size: int = 512,
    blur: int = 3,
) -> jax.Array:
    """Share (..., D) of each of a light's directional lights that reaches places; no gradient.

    Dark lights cost nothing. Other arguments as in `directional_visibility`: 512 pixels show
    a bust of 40 cm at 0.8 mm, and edges are then about 2.5 mm soft.
    """
    scene = lax.stop_gradient((points, faces))
    query = lax.stop_gradient((query_points, query_normals))

    def look(beam):
        direction, radiance = beam
        return lax.cond(
            jnp.any(radiance > 0),
            lambda: directional_visibility(*scene, direction[None], *query, size=size, blur=blur)[
                0
            ],
            lambda: jnp.ones(query_points.shape[:-1]),
        )

    return jnp.moveaxis(lax.map(look, (light.directions, light.radiance)), 0, -1)


@functools.partial(jax.jit, static_argnames=("order", "size", "blur"))
def compute_occlusion(
    points: jax.Array,
    faces: jax.Array,
    query_points: jax.Array,
    query_normals: jax.Array,
    directions: jax.Array,
    *,
    order: int = 4,
    size: int = 256,
    blur: int = 1,
) -> Occlusion:
    """Transfer vectors, ambient occlusion and bent normals in one pass over the directions.

    The same numbers as `sh_transfer` and `ambient_occlusion` of `directional_visibility`,
    without ever holding a visibility per direction and place: memory is that of the
    result and of a few buffers, so the places may be the texels of a map.

    Args:
        points: (V, 3) metres, the mesh.
        faces: (F, 3) int32; both sides hide.
        query_points: (..., 3) on the surface: vertices, texels, pixels.
        query_normals: (..., 3) unit outward.
        directions: (N, 3) unit, evenly spread over the sphere, e.g. 256 of
            `fibonacci_directions`; a multiple of 16 is fastest.
        order: Of the spherical harmonics, 0 to 4.
        size: Side of the depth buffers in pixels.
        blur: See `directional_visibility`.

    Returns:
        `Occlusion` of shape `query_points.shape[:-1]`. Visibility has no gradient; the
        cosine has one in `query_normals`.
    """
    shape = query_points.shape[:-1]
    normals = query_normals.reshape(-1, 3)
    look = _observer(points, faces, query_points, query_normals, size, blur)
    chunk = max(n for n in range(1, _CHUNK + 1) if directions.shape[0] % n == 0)
    # One product with the columns SH, direction and 1 gives all three results.
    columns = jnp.concatenate(
        [sh_basis(directions, order), directions, jnp.ones_like(directions[:, :1])], axis=-1
    )

    def add_chunk(totals, inputs):
        seen, unshadowed = totals
        chunk_directions, chunk_columns = inputs
        cosine = jnp.maximum(matmul(normals, chunk_directions.T), 0.0)
        lit = cosine * lax.map(look, chunk_directions).T
        return (seen + matmul(lit, chunk_columns), unshadowed + jnp.sum(cosine, axis=-1)), None

    totals = jnp.zeros((normals.shape[0], columns.shape[1])), jnp.zeros(normals.shape[0])
    chunks = directions.reshape(-1, chunk, 3), columns.reshape(-1, chunk, columns.shape[1])
    (seen, unshadowed), _ = lax.scan(add_chunk, totals, chunks)
    seen = seen / jnp.maximum(unshadowed, 1e-6)[:, None]
    # A place that sees nothing has no open direction; its normal is as good as any.
    bent_normal = normalize(seen[:, -4:-1] + 1e-4 * normals)
    return Occlusion(
        seen[:, :-4].reshape(*shape, -1),
        seen[:, -1].reshape(shape),
        bent_normal.reshape(*shape, 3),
    )


def _observer(
    points: jax.Array,
    faces: jax.Array,
    query_points: jax.Array,
    query_normals: jax.Array,
    size: int,
    blur: int,
) -> Callable[[jax.Array], jax.Array]:
    """The visibility (Q,) of the flattened query along one direction (3,), as a function."""
    low, high = points.min(axis=0), points.max(axis=0)
    center = (low + high) / 2
    radius = jnp.sqrt(jnp.max(jnp.sum((points - center) ** 2, axis=-1)) + 1e-20)
    offset = normal_offset(blur)
    scale = (size / 2 - offset - blur) / radius  # Pixels per metre.
    query = ((query_points - center) * scale + offset * query_normals).reshape(-1, 3)
    scaled, query = lax.stop_gradient(((points - center) * scale, query))

    def look(direction):
        frame = frame_of(direction)
        seen, place = matmul(scaled, frame.T), matmul(query, frame.T)
        # 1 / depth is what the rasterizer interpolates linearly on screen, which for a
        # parallel projection is the height towards the light.
        inverse_depth = 1.5 + seen[:, 2] / size
        buffer = rasterize_depth(
            _to_pixels(seen, size), 1 / inverse_depth, faces, height=size, width=size, clip=False
        )
        threshold = 1.5 + (place[:, 2] + BIAS_PIXELS) / size
        return compare_depth(buffer, _to_pixels(place, size), threshold, blur)

    return look


def normal_offset(blur: int) -> float:
    """Pixels to push a point out for a comparison `blur` pixels wide; see the module."""
    return blur / 2 + 1.0


def frame_of(direction: jax.Array) -> jax.Array:
    """Rows right, up, towards the viewer (3, 3) of a view along -`direction` (3,)."""
    helper = jnp.where(jnp.abs(direction[1]) < 0.9, jnp.array([0.0, 1, 0]), jnp.array([0.0, 0, 1]))
    right = normalize(jnp.cross(helper, direction))
    return jnp.stack([right, jnp.cross(direction, right), direction])


def _to_pixels(seen, size):
    return size / 2 + seen[:, :2] * jnp.array([1.0, -1.0])


def compare_depth(buffer: jax.Array, xy: jax.Array, threshold: jax.Array, blur: int) -> jax.Array:
    """Share (Q,) of the `blur` pixels wide square round xy with `buffer <= threshold`.

    Args:
        buffer: (S, S) inverse depth.
        xy: (Q, 2) pixels.
        threshold: (Q,) inverse depth.
        blur: Pixels, at least 1.
    """
    size = buffer.shape[0]
    low = jnp.floor(xy - blur / 2)
    fraction = xy - blur / 2 - low
    column, row = low.astype(jnp.int32).T

    def add_tap(lit, tap):
        step = jnp.stack([tap % (blur + 1), tap // (blur + 1)])
        # The first and the last pixel are covered in part, those between wholly.
        cover = jnp.where(step == 0, 1 - fraction, jnp.where(step == blur, fraction, 1.0))
        index = jnp.clip(row + step[1], 0, size - 1), jnp.clip(column + step[0], 0, size - 1)
        return lit + cover[:, 0] * cover[:, 1] * (buffer[index] <= threshold), None

    lit, _ = lax.scan(add_tap, jnp.zeros_like(threshold), jnp.arange((blur + 1) ** 2))
    return lit / blur**2


def ambient_occlusion(
    normals: jax.Array, directions: jax.Array, visibility: jax.Array
) -> jax.Array:
    """Cosine-weighted fraction (V,) of the hemisphere that each vertex sees; 1 = open.

    Args:
        normals: (V, 3) unit.
        directions: (N, 3), spread over the sphere.
        visibility: (N, V) from `directional_visibility` at the vertices.
    """
    return jnp.sum(_cosine_weights(normals, directions) * visibility, axis=0)


def sh_transfer(
    normals: jax.Array, directions: jax.Array, visibility: jax.Array, order: int = 2
) -> jax.Array:
    """Transfer vectors (V, (order + 1)^2): shadowed irradiance / pi is `transfer @ light.sh`.

    Precomputed radiance transfer (Sloan et al. 2002) for a Lambert surface without
    bounces, by averaging over `directions`, so that uniform light arrives with the
    ambient occlusion exactly. Other arguments as in `ambient_occlusion`.
    """
    lit = _cosine_weights(normals, directions) * visibility
    return matmul(lit.T, sh_basis(directions, order))


def receive_light(transfer: jax.Array, sh: jax.Array) -> jax.Array:
    """Shadowed irradiance / pi and ambient occlusion (..., 4) of the smooth surface.

    Linear in the transfer: interpolating the result is as good as interpolating vectors.

    Args:
        transfer: (..., K or more).
        sh: (K, 3) radiance coefficients.

    Raises:
        ValueError: If `transfer` is of a lower order than `sh`.
    """
    num = sh.shape[0]
    if transfer.shape[-1] < num:
        raise ValueError(f"Transfer of {transfer.shape[-1]} coefficients for a light of {num}.")
    openness = math.sqrt(4 * math.pi) * transfer[..., :1]  # The response to uniform light.
    return jnp.concatenate([matmul(transfer[..., :num], sh), openness], axis=-1)


def shadowed_irradiance(
    received: jax.Array, sh: jax.Array, normals: jax.Array, detail: jax.Array
) -> jax.Array:
    """Irradiance / pi (..., 3) of surrounding light, for normals with detail.

    Transfer vectors know the smooth surface only. What the detail would change on an open
    surface is added, scaled by the ambient occlusion: exact where nothing hides the sky or
    where there is no detail, first order between.

    Args:
        received: (..., 4) from `receive_light`.
        sh: (K, 3) radiance coefficients.
        normals: (..., 3) unit, of the smooth surface.
        detail: (..., 3) unit, e.g. from a normal map.
    """
    relief = shade_sh(detail, sh) - shade_sh(normals, sh)
    return received[..., :3] + received[..., 3:] * relief


def _cosine_weights(normals, directions):
    """Clamped cosines (N, V), divided by their sum over the directions."""
    cosine = jnp.maximum(matmul(directions, normals.T), 0.0)
    return cosine / jnp.maximum(jnp.sum(cosine, axis=0), 1e-6)


@functools.partial(jax.jit, static_argnames=("num_directions", "size"))
def mesh_occlusion(
    points: jax.Array, faces: jax.Array, num_directions: int = 64, size: int = 256
) -> jax.Array:
    """Ambient occlusion (V,) of a mesh of points (V, 3) and triangles (F, 3)."""
    normals = vertex_normals(points, faces)
    directions = jnp.asarray(fibonacci_directions(num_directions))
    visibility = directional_visibility(points, faces, directions, points, normals, size=size)
    return ambient_occlusion(normals, directions, visibility)

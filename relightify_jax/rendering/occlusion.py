"""What a head hides from itself: visibility of directions, ambient occlusion, SH transfer.

The mesh is drawn orthographically from every direction and its vertices are looked up in
the depth buffer. A vertex is first pushed out along its normal by a pixel and a half
("normal offset shadows"), so that a smooth surface does not shadow itself, and the
comparison is blended between four pixels, which makes the edge of a shadow a pixel wide.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.rendering.lighting import sh_basis
from relightify_jax.rendering.rasterize import rasterize_depth

_OFFSET_PIXELS = 1.5
_BIAS_PIXELS = 0.5


def fibonacci_directions(num: int) -> np.ndarray:
    """`num` unit directions (num, 3) spread evenly over the sphere (golden-angle spiral)."""
    height = 1 - (2 * np.arange(num) + 1) / num
    angle = np.arange(num) * np.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - height**2)
    spiral = np.stack([radius * np.sin(angle), height, radius * np.cos(angle)], axis=-1)
    return spiral.astype(np.float32)


@functools.partial(jax.jit, static_argnames="size")
def directional_visibility(
    points: jax.Array,
    faces: jax.Array,
    normals: jax.Array,
    directions: jax.Array,
    *,
    size: int = 256,
) -> jax.Array:
    """How much of each direction each vertex sees past the rest of the mesh.

    Whether the surface itself faces the direction is left to the cosine of the shading,
    but for what the pushed-out vertex makes of it.

    Args:
        points: (V, 3) metres.
        faces: (F, 3) int32; both sides hide.
        normals: (V, 3) unit outward.
        directions: (N, 3) unit, away from the mesh.
        size: Side of the depth buffer in pixels; it spans the mesh.

    Returns:
        (N, V) float32 in [0, 1]; above 0.5 = visible. No gradient.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    centered = points - (low + high) / 2
    radius = jnp.sqrt(jnp.max(jnp.sum(centered * centered, axis=-1)) + 1e-20)
    # In pixels of the depth buffer, with a margin for the offset and the blend.
    scaled = lax.stop_gradient(centered * ((size / 2 - 4) / radius))

    def look(direction):
        frame = _frame_of(direction)
        seen = matmul(scaled, frame.T)
        pushed = matmul(scaled + _OFFSET_PIXELS * normals, frame.T)
        # 1 / depth is what the rasterizer interpolates linearly on screen, which for a
        # parallel projection is the height towards the light.
        inverse_depth = 1.5 + seen[:, 2] / size
        buffer = rasterize_depth(
            _to_pixels(seen, size), 1 / inverse_depth, faces, height=size, width=size
        )
        threshold = 1.5 + (pushed[:, 2] + _BIAS_PIXELS) / size
        return _blend_comparison(buffer, _to_pixels(pushed, size), threshold)

    return lax.map(look, directions)


def _frame_of(direction):
    """Rows right, up, towards the viewer (3, 3) of a view along -`direction`."""
    helper = jnp.where(jnp.abs(direction[1]) < 0.9, jnp.array([0.0, 1, 0]), jnp.array([0.0, 0, 1]))
    right = normalize(jnp.cross(helper, direction))
    return jnp.stack([right, jnp.cross(direction, right), direction])


def _to_pixels(seen, size):
    return size / 2 + seen[:, :2] * jnp.array([1.0, -1.0])


def _blend_comparison(buffer, xy, threshold):
    """Bilinear blend (V,) of `buffer <= threshold` over the four pixels round xy (V, 2)."""
    size = buffer.shape[0]
    low = jnp.floor(xy - 0.5)
    fraction = xy - 0.5 - low
    column, row = low.astype(jnp.int32).T
    lit = jnp.zeros_like(threshold)
    for down in (0, 1):
        for right in (0, 1):
            index = jnp.clip(row + down, 0, size - 1), jnp.clip(column + right, 0, size - 1)
            weight = jnp.abs(1 - right - fraction[:, 0]) * jnp.abs(1 - down - fraction[:, 1])
            lit = lit + weight * (buffer[index] <= threshold)
    return lit


def ambient_occlusion(
    normals: jax.Array, directions: jax.Array, visibility: jax.Array
) -> jax.Array:
    """Cosine-weighted fraction (V,) of the hemisphere that each vertex sees; 1 = open.

    Args:
        normals: (V, 3) unit.
        directions: (N, 3), spread over the sphere.
        visibility: (N, V) from `directional_visibility`.
    """
    cosine = jnp.maximum(matmul(directions, normals.T), 0.0)
    return jnp.sum(cosine * visibility, axis=0) / jnp.maximum(jnp.sum(cosine, axis=0), 1e-6)


def sh_transfer(normals: jax.Array, directions: jax.Array, visibility: jax.Array) -> jax.Array:
    """Transfer vectors (V, 9): shadowed irradiance / pi is `transfer @ light.sh`.

    Precomputed radiance transfer (Sloan et al. 2002) for a Lambert surface without
    bounces, by averaging over `directions`; arguments as in `ambient_occlusion`.
    """
    cosine = jnp.maximum(matmul(directions, normals.T), 0.0) * visibility
    return matmul(cosine.T, sh_basis(directions)) * (4 / directions.shape[0])


def mesh_occlusion(
    points: jax.Array, faces: jax.Array, num_directions: int = 64, size: int = 256
) -> jax.Array:
    """Ambient occlusion (V,) of a mesh of points (V, 3) and triangles (F, 3)."""
    normals = vertex_normals(points, faces)
    directions = jnp.asarray(fibonacci_directions(num_directions))
    visibility = directional_visibility(points, faces, normals, directions, size=size)
    return ambient_occlusion(normals, directions, visibility)

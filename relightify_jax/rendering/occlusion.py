"""What a head hides from itself: cast shadows, ambient occlusion, SH transfer.

The mesh is drawn orthographically from every direction, and points of the surface are
looked up in the depth buffer. A point is first pushed out along its normal by the reach of
the comparison ("normal offset shadows"), which is just enough for a flat surface not to
shadow itself at any slope. The comparison is averaged over a few pixels, which makes the
edge of a shadow that wide.
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

_BIAS_PIXELS = 0.5


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
    low, high = points.min(axis=0), points.max(axis=0)
    center = (low + high) / 2
    radius = jnp.sqrt(jnp.max(jnp.sum((points - center) ** 2, axis=-1)) + 1e-20)
    offset = blur / 2 + 1.0
    scale = (size / 2 - offset - blur) / radius  # Pixels per metre.
    shape = query_points.shape[:-1]
    query = ((query_points - center) * scale + offset * query_normals).reshape(-1, 3)
    scaled, query = lax.stop_gradient(((points - center) * scale, query))

    def look(direction):
        frame = _frame_of(direction)
        seen, place = matmul(scaled, frame.T), matmul(query, frame.T)
        # 1 / depth is what the rasterizer interpolates linearly on screen, which for a
        # parallel projection is the height towards the light.
        inverse_depth = 1.5 + seen[:, 2] / size
        buffer = rasterize_depth(
            _to_pixels(seen, size), 1 / inverse_depth, faces, height=size, width=size
        )
        threshold = 1.5 + (place[:, 2] + _BIAS_PIXELS) / size
        return _compare(buffer, _to_pixels(place, size), threshold, blur)

    return lax.map(look, directions).reshape(-1, *shape)


def _frame_of(direction):
    """Rows right, up, towards the viewer (3, 3) of a view along -`direction`."""
    helper = jnp.where(jnp.abs(direction[1]) < 0.9, jnp.array([0.0, 1, 0]), jnp.array([0.0, 0, 1]))
    right = normalize(jnp.cross(helper, direction))
    return jnp.stack([right, jnp.cross(direction, right), direction])


def _to_pixels(seen, size):
    return size / 2 + seen[:, :2] * jnp.array([1.0, -1.0])


def _compare(buffer, xy, threshold, blur):
    """Share (Q,) of the `blur` pixels wide square round xy (Q, 2) with `buffer <= threshold`."""
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
    cosine = jnp.maximum(matmul(directions, normals.T), 0.0)
    return jnp.sum(cosine * visibility, axis=0) / jnp.maximum(jnp.sum(cosine, axis=0), 1e-6)


def sh_transfer(normals: jax.Array, directions: jax.Array, visibility: jax.Array) -> jax.Array:
    """Transfer vectors (V, 9): shadowed irradiance / pi is `transfer @ light.sh`.

    Precomputed radiance transfer (Sloan et al. 2002) for a Lambert surface without
    bounces, by averaging over `directions`; arguments as in `ambient_occlusion`.
    """
    cosine = jnp.maximum(matmul(directions, normals.T), 0.0) * visibility
    return matmul(cosine.T, sh_basis(directions)) * (4 / directions.shape[0])


@functools.partial(jax.jit, static_argnames=("num_directions", "size"))
def mesh_occlusion(
    points: jax.Array, faces: jax.Array, num_directions: int = 64, size: int = 256
) -> jax.Array:
    """Ambient occlusion (V,) of a mesh of points (V, 3) and triangles (F, 3)."""
    normals = vertex_normals(points, faces)
    directions = jnp.asarray(fibonacci_directions(num_directions))
    visibility = directional_visibility(points, faces, directions, points, normals, size=size)
    return ambient_occlusion(normals, directions, visibility)

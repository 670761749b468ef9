"""Which places of a surface a camera sees: a z-buffer with slope-scaled tolerance.

A place is seen if nothing of the head lies in front of it. The buffer knows the nearest
surface at the centres of its pixels only, so between them a place may lie behind it by what
the surface recedes over a pixel: the tolerance grows with the pixel and with the slope
(as OpenGL's polygon offset). Measured against ray casting in tests/fitting/test_visibility.py.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import normalize
from relightify_jax.geometry.camera import (
    Camera,
    project,
    project_camera_frame,
    rotate_to_camera,
    scale_image,
    to_camera_frame,
)
from relightify_jax.geometry.mesh import face_normals
from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas
from relightify_jax.rendering.interpolate import compute_fragments
from relightify_jax.rendering.rasterize import rasterize

# The tolerance is bias + pixel * (slope * tan(angle) + flat), in metres. Half a pixel's
# diagonal is 0.71 pixels; the flat part is for curvature.
_BIAS, _SLOPE, _FLAT = 1e-4, 0.7, 0.3
_MIN_COSINE = 0.05  # Steeper slopes get no more tolerance.


class DepthBuffer(NamedTuple):
    """The nearest surface at every pixel centre, Z pixels per side."""

    inverse: jax.Array  # (Z, Z) 1/metres, 0 at background.
    face: jax.Array  # (Z, Z) int32, -1 at background.
    focal: jax.Array  # () pixels of the buffer.
    factor: jax.Array  # () pixels of the buffer per pixel of the image.


def draw_depth(
    camera: Camera, points: jax.Array, faces: jax.Array, image_size: int, size: int
) -> DepthBuffer:
    """Draws the buffer. Pure; jit it.

    Args:
        camera: Of a square image.
        points: (V, 3) vertices, model space, metres.
        faces: (F, 3) int32, everything that can hide.
        image_size: Pixels per side of the camera's image.
        size: Pixels per side of the buffer; twice the image's is good.
    """
    factor = size / image_size
    zoomed = scale_image(camera, factor)
    xy, depth = project(zoomed, points)
    visibility = rasterize(xy, depth, faces, height=size, width=size, clip=False)
    inverse = compute_fragments(xy, depth, faces, visibility).inverse_depth
    return DepthBuffer(inverse, visibility.face, zoomed.focal, jnp.float32(factor))


def is_visible(
    buffer: DepthBuffer, pixels: jax.Array, depth: jax.Array, cosine: jax.Array
) -> jax.Array:
    """Whether places are seen.

    Args:
        buffer: Of the same camera.
        pixels: (..., 2) in the camera's image.
        depth: (...,) metres.
        cosine: (...,) of the angle between the triangle's own normal and the view. A normal
            smoothed over the mesh tells less well what faces away.

    Returns:
        (...,) bool; False outside the image and for what faces away.
    """
    size = buffer.inverse.shape[0]
    place = pixels * buffer.factor
    in_view = jnp.all((place >= 0) & (place < size), axis=-1) & (depth > 0)
    nearest = 1.0 / jnp.maximum(look_up(buffer.inverse, place), 1e-9)
    return in_view & (cosine > 0) & (depth <= nearest + tolerance(buffer, depth, cosine))


def visible_texels(
    camera: Camera,
    points: jax.Array,
    faces: jax.Array,
    atlas: UVAtlas,
    *,
    image_size: int,
    buffer_size: int,
) -> jax.Array:
    """Which texels a camera sees: (R, R) bool. Pure; jit it.

    Neither the angle of view nor the distance from an edge matters here: how far a seen
    texel is to be believed is for `unwrap_texture` to say.

    Args:
        camera: Of a square image.
        points: (V, 3) vertices, model space, metres.
        faces: (F, 3) int32, of all parts: the whole head hides.
        atlas: Of the part in question, R texels per side.
        image_size: Pixels per side of the camera's image.
        buffer_size: Pixels per side of the z-buffer, twice the image's or more.
    """
    buffer = draw_depth(camera, points, faces, image_size, buffer_size)
    position = sample_atlas(atlas, faces, to_camera_frame(camera, points))
    pixels, depth = project_camera_frame(camera, position)
    cosine = triangle_cosine(camera, points, faces, atlas, position)
    return (atlas.face >= 0) & is_visible(buffer, pixels, depth, cosine)


def triangle_cosine(
    camera: Camera, points: jax.Array, faces: jax.Array, atlas: UVAtlas, position: jax.Array
) -> jax.Array:
    """Cosine (R, R) between each texel's triangle and its view; `position` in the camera."""
    normals = rotate_to_camera(camera, face_normals(points, faces))
    return jnp.sum(normals[jnp.maximum(atlas.face, 0)] * normalize(-position), axis=-1)


def tolerance(buffer: DepthBuffer, depth: jax.Array, cosine: jax.Array) -> jax.Array:
    """Metres (...,) that a place may lie behind the buffer's pixel and still be seen."""
    tangent = jnp.sqrt(jnp.maximum(1 - cosine**2, 0)) / jnp.maximum(cosine, _MIN_COSINE)
    return _BIAS + depth / buffer.focal * (_SLOPE * tangent + _FLAT)


def look_up(image: jax.Array, place: jax.Array) -> jax.Array:
    """Values (...,) of image (Z, Z) at the pixels that hold `place` (..., 2)."""
    index = jnp.clip(place.astype(jnp.int32), 0, image.shape[0] - 1)
    return image[index[..., 1], index[..., 0]]

"""A pinhole camera in glTF's frame: +X right, +Y up, looking down -Z.

Pixel centres lie at +0.5, row 0 is the top of the image.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import matmul
from relightify_jax.geometry.rotations import matrix_from_axis_angle


class Camera(NamedTuple):
    """Intrinsics in pixels and the rigid motion camera_from_model in metres."""

    focal: jax.Array  # (), pixels.
    center: jax.Array  # (2,), principal point x, y in pixels.
    rotation: jax.Array  # (3,), axis-angle of camera_from_model.
    translation: jax.Array  # (3,), metres; z is negative in front of the camera.


def check_camera(camera: Camera) -> None:
    """Raises ValueError if a number of the camera is known not to be finite."""
    for name, value in camera._asdict().items():
        try:
            numbers = np.asarray(value)
        except jax.errors.TracerArrayConversionError:
            continue
        if not np.all(np.isfinite(numbers)):
            raise ValueError(f"The camera's {name} is not finite: {numbers}.")


def to_camera_frame(camera: Camera, points: jax.Array) -> jax.Array:
    """Moves model-space points (..., 3) to the camera's frame, metres."""
    rotation = matrix_from_axis_angle(camera.rotation)
    return matmul(points, rotation.T) + camera.translation


def rotate_to_camera(camera: Camera, directions: jax.Array) -> jax.Array:
    """Rotates model-space directions (..., 3) to the camera's frame."""
    return matmul(directions, matrix_from_axis_angle(camera.rotation).T)


def project_camera_frame(camera: Camera, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Projects camera-frame points (..., 3) to pixels (..., 2) and depth (...,) > 0 in metres."""
    depth = -points[..., 2]
    safe = jnp.where(jnp.abs(depth) < 1e-6, 1e-6, depth)[..., None]
    offset = points[..., :2] * jnp.array([1.0, -1.0]) / safe
    return camera.center + camera.focal * offset, depth


def project(camera: Camera, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Projects model-space points (..., 3) to pixels (..., 2) and depth (...,) in metres.

    A point behind the camera has depth <= 0; the rasterizer drops it.
    """
    return project_camera_frame(camera, to_camera_frame(camera, points))


def camera_position(camera: Camera) -> jax.Array:
    """Camera centre (3,) in model space, metres."""
    rotation = matrix_from_axis_angle(camera.rotation)
    return -matmul(rotation.T, camera.translation)


def scale_image(camera: Camera, scale: float | jax.Array) -> Camera:
    """The same camera for the image resized by `scale`."""
    return camera._replace(focal=camera.focal * scale, center=camera.center * scale)


def shift_image(camera: Camera, offset: jax.Array) -> Camera:
    """The same camera for the image whose pixel (0, 0) was at -`offset` (x, y)."""
    return camera._replace(center=camera.center + offset)

"""A picture that shows whether a fit lies on its photograph."""

import jax.numpy as jnp
import numpy as np

from relightify_jax.fitting.crop import Crop, camera_in_crop, cut_image
from relightify_jax.fitting.fit import FitResult
from relightify_jax.geometry.camera import project
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel, landmarks
from relightify_jax.rendering.lighting import Light, uniform_sh
from relightify_jax.rendering.renderer import head_mesh, render_surface
from relightify_jax.rendering.shading import shade

_CLAY = 0.55  # Albedo.
_OPACITY = 0.55
_DOT_COLOR = (0.02, 0.9, 0.25)  # Linear.
_DOT_RADIUS = 1 / 420  # Of the picture's side.


def draw_fit_overlay(
    linear_photo: np.ndarray, fit: FitResult, model: MorphableModel, crop: Crop
) -> np.ndarray:
    """Draws the fitted landmarks, and the fitted face in clay, over the photo.

    Args:
        linear_photo: (H, W, 3) linear RGB.
        fit: From `fit_image`.
        model: The model of the fit.
        crop: The window to show, S pixels per side.

    Returns:
        (S, 2 S, 3) linear RGB: on the left the landmarks of the mesh as dots, on the
        right the face part half transparent.
    """
    portrait, _ = cut_image(np.asarray(linear_photo), crop)
    camera = camera_in_crop(fit.camera, crop)
    surface = render_surface(
        head_mesh(model), fit.points, camera, height=crop.size, width=crop.size
    )
    light = Light(
        uniform_sh(jnp.full(3, 0.25)),
        jnp.array([[-0.4, 0.5, 0.77]]),
        jnp.full((1, 3), 0.9),
    )
    toward_camera = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), surface.normals.shape)
    clay = shade(
        jnp.full_like(surface.normals, _CLAY),
        jnp.zeros_like(surface.normals[..., :1]),
        surface.normals,
        toward_camera,
        light,
    )
    cover = _OPACITY * (np.asarray(surface.part) == PARTS.index("face"))[..., None]
    dressed = portrait * (1 - cover) + np.asarray(clay) * cover
    pixels, _ = project(camera, landmarks(model, fit.points))
    return np.concatenate([_draw_dots(portrait, np.asarray(pixels)), dressed], axis=1)


def _draw_dots(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Paints antialiased discs at pixels (N, 2) into a copy of image (S, S, 3)."""
    size = image.shape[0]
    radius = max(_DOT_RADIUS * size, 0.8)
    reach = int(np.ceil(radius)) + 1
    offset = np.arange(-reach, reach + 1)
    rows, columns = np.meshgrid(offset, offset, indexing="ij")
    base = np.floor(pixels[:, ::-1]).astype(int)  # Row, column.
    place = base[:, None] + np.stack([rows.ravel(), columns.ravel()], axis=-1)
    distance = np.linalg.norm(place + 0.5 - pixels[:, None, ::-1], axis=-1)
    weight = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    inside = np.all((place >= 0) & (place < size), axis=-1)
    cover = np.zeros((size, size))
    np.maximum.at(cover, tuple(place[inside].T), weight[inside])
    return image * (1 - cover[..., None]) + np.array(_DOT_COLOR) * cover[..., None]

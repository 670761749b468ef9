"""Where the 468 points of a landmark network lie on a head model.

Random heads are drawn, the network is run on the pictures, and the surface point under
every landmark is carried to the mean by its barycentric coordinates; the median over the
pictures is the place, the median distance from it the spread.

    networks = load_networks()
    def find(picture): return next((f.points for f in find_faces(networks, picture)), None)
    places = place_landmarks(load_embedded_model(), draw_head, find, num_pictures=200)
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from data_pipeline.face_model.surfaces import closest_points
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.rendering.rasterize import rasterize


class DrawnHead(NamedTuple):
    """A picture of a random head."""

    picture: np.ndarray  # (H, W, 3) linear RGB.
    points: jax.Array  # (V, 3) posed vertices, metres.
    camera: Camera


class LandmarkPlaces(NamedTuple):
    """Landmarks on the mean of a model."""

    triangle: np.ndarray  # (L,) int.
    bary: np.ndarray  # (L, 3).
    spread: np.ndarray  # (L,) metres, median distance over the pictures.
    count: np.ndarray  # (L,) pictures in which the landmark lay on the head.


@functools.partial(jax.jit, static_argnames=("height", "width"))
def _draw(points, camera, faces, *, height, width):
    """Pixels (V, 2) of the vertices and the triangle (H, W) seen at each pixel."""
    xy, depth = project(camera, points)
    return xy, rasterize(xy, depth, faces, height=height, width=width, cull="back").face


def surface_under(
    model: MorphableModel, head: DrawnHead, pixels: np.ndarray, skin_only: np.ndarray
) -> np.ndarray:
    """Points (L, 3) of the mean that are seen at pixels (L, 2), NaN beside the skin."""
    height, width = head.picture.shape[:2]
    xy, seen = _draw(head.points, head.camera, model.faces, height=height, width=width)
    column, row = np.floor(pixels[:, :2]).astype(int).T
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    face = np.asarray(seen)[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    face = np.where(inside, face, -1)
    corners = np.asarray(model.faces)[face]
    a, b, c = np.moveaxis(np.asarray(xy, float)[corners], 1, 0)

    def area(p, q, r):
        return (q - p)[:, 0] * (r - p)[:, 1] - (q - p)[:, 1] * (r - p)[:, 0]

    total = area(a, b, c)
    point = pixels[:, :2]
    # Affine within a triangle of a millimetre: the perspective is negligible.
    bary = np.stack([area(point, b, c), area(a, point, c), area(a, b, point)], axis=-1)
    bary = np.clip(bary / np.where(total == 0, 1, total)[:, None], 0, 1)
    bary /= np.maximum(bary.sum(1, keepdims=True), 1e-9)
    out = (np.asarray(model.mean, float)[corners] * bary[..., None]).sum(1)
    out[(face < 0) | ~skin_only[face]] = np.nan
    return out


def place_landmarks(
    model: MorphableModel,
    draw: Callable[[int], DrawnHead],
    find: Callable[[np.ndarray], np.ndarray | None],
    *,
    num_pictures: int,
) -> LandmarkPlaces:
    """Places a network's landmarks on a model; see the module's docstring.

    Args:
        model: The head model.
        draw: Number of a picture -> the head drawn for it.
        find: Picture -> landmarks (L, >= 2) in pixels, None if no face is found.
        num_pictures: How many to draw.

    Raises:
        ValueError: If no face is found in any picture.
    """
    part = np.asarray(model.face_part)
    hits = []
    for number in range(num_pictures):
        head = draw(number)
        found = find(head.picture)
        if found is not None:
            hits.append(surface_under(model, head, np.asarray(found, float), part == 0))
    if not hits:
        raise ValueError("No face was found in any of the pictures.")
    stack = np.stack(hits)
    seen = np.isfinite(stack[..., 0])
    # A landmark that is never seen stays at the middle of the others, with a huge spread.
    filled = np.where(seen.any(0)[None, :, None], stack, np.nanmean(stack, axis=(0, 1)))
    middle = np.nanmedian(filled, axis=0)
    spread = np.nanmedian(np.linalg.norm(filled - middle, axis=-1), axis=0)
    spread = np.where(seen.sum(0) < 0.2 * len(stack), 1.0, spread)
    skin = np.flatnonzero(part == 0)
    places = closest_points(np.asarray(model.mean, float), np.asarray(model.faces)[skin], middle)
    return LandmarkPlaces(skin[places.triangle], places.bary, spread, seen.sum(0))

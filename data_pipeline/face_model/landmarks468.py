"""Where the 468 points of a landmark network lie on a head model.

Random heads are drawn, the network is run on the pictures, and the surface point under
every landmark is carried to the mean by its barycentric coordinates; the median over the
pictures is the place, the median distance from it the spread. Closed lips overlap by
less than the network's error, so that a point of one may be seen on the other: landmarks
of the inner lips are looked for on their own lip only.

    networks = load_networks()
    def find(picture): return next((f.points for f in find_faces(networks, picture)), None)
    places = place_landmarks(load_embedded_model(), draw_head, find, num_pictures=200)
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from relightify_jax.face_models.surfaces import closest_points
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.rendering.rasterize import rasterize


class DrawnHead(NamedTuple):
    """A picture of a random head."""

    picture: np.ndarray  # (H, W, 3) linear RGB.
    points: jax.Array  # (V, 3) posed vertices, metres.
    camera: Camera


class Sheet(NamedTuple):
    """One of several pieces of skin that touch."""

    anchors: tuple[int, ...]  # Landmarks on it, far from the others.
    members: tuple[int, ...]  # Landmarks on it that might be taken for another's.


# Both inner rings of each lip, from the right to the left, without the corners.
UPPER_LIP = Sheet(
    (37, 0, 267),
    (183, 42, 41, 38, 12, 268, 271, 272, 407, 191, 80, 81, 82, 13, 312, 311, 310, 415),
)
LOWER_LIP = Sheet(
    (84, 17, 314),
    (96, 89, 179, 86, 15, 316, 403, 319, 325, 95, 88, 178, 87, 14, 317, 402, 318, 324),
)


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
) -> tuple[np.ndarray, np.ndarray]:
    """Points (L, 3) of the mean seen at pixels (L, 2), NaN beside the skin, and triangles (L,)."""
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
    return out, face


def sheet_of(vertices: np.ndarray, triangles: np.ndarray, anchors: list[np.ndarray]) -> np.ndarray:
    """The sheet (T,) int that each triangle belongs to: the nearest along the surface.

    Args:
        vertices: (V, 3).
        triangles: (T, 3) of the surface.
        anchors: For each sheet points (a, 3) on it.
    """
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    start, end = np.unique(np.sort(pairs, axis=1), axis=0).T
    length = np.linalg.norm(vertices[start] - vertices[end], axis=1)
    graph = sp.coo_matrix((length, (start, end)), shape=(len(vertices),) * 2).tocsr()
    distance = []
    for points in anchors:
        nearest = triangles[closest_points(vertices, triangles, points).triangle, 0]
        distance.append(dijkstra(graph, directed=False, indices=nearest, min_only=True))
    return np.stack(distance)[:, triangles].sum(axis=-1).argmin(axis=0)


def place_landmarks(
    model: MorphableModel,
    draw: Callable[[int], DrawnHead],
    find: Callable[[np.ndarray], np.ndarray | None],
    *,
    num_pictures: int,
    sheets: tuple[Sheet, ...] = (UPPER_LIP, LOWER_LIP),
) -> LandmarkPlaces:
    """Places a network's landmarks on a model; see the module's docstring.

    Args:
        model: The head model.
        draw: Number of a picture -> the head drawn for it.
        find: Picture -> landmarks (L, >= 2) in pixels, None if no face is found.
        num_pictures: How many to draw.
        sheets: Pieces of skin that touch, and whose landmarks stay on them.

    Raises:
        ValueError: If no face is found in any picture.
    """
    part = np.asarray(model.face_part)
    hits, faces = [], []
    for number in range(num_pictures):
        head = draw(number)
        found = find(head.picture)
        if found is not None:
            points, face = surface_under(model, head, np.asarray(found, float), part == 0)
            hits.append(points)
            faces.append(face)
    if not hits:
        raise ValueError("No face was found in any of the pictures.")
    stack, face = np.stack(hits), np.stack(faces)
    vertices = np.asarray(model.mean, float)
    skin = np.flatnonzero(part == 0)
    triangles = np.asarray(model.faces)[skin]
    sheet = np.full(len(part), -1)
    if sheets:
        places_of = [np.nanmedian(stack, axis=0)[list(anchors)] for anchors, _ in sheets]
        sheet[skin] = sheet_of(vertices, triangles, places_of)
    for number, (_, members) in enumerate(sheets):
        astray = np.zeros(stack.shape[:2], bool)
        astray[:, members] = sheet[face[:, members]] != number
        stack[astray] = np.nan
    middle, spread, count = _middle_of(stack)
    places = closest_points(vertices, triangles, middle)
    triangle, bary = skin[places.triangle], places.bary.copy()
    for number, (_, members) in enumerate(sheets):
        own = np.flatnonzero(sheet == number)
        found = closest_points(vertices, np.asarray(model.faces)[own], middle[list(members)])
        triangle[list(members)], bary[list(members)] = own[found.triangle], found.bary
    return LandmarkPlaces(triangle, bary, spread, count)


def _middle_of(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median (L, 3), spread (L,) and count (L,) of hits (N, L, 3), NaN where there is none."""
    seen = np.isfinite(stack[..., 0])
    # A landmark that is never seen stays at the middle of the others, with a huge spread.
    filled = np.where(seen.any(0)[None, :, None], stack, np.nanmean(stack, axis=(0, 1)))
    middle = np.nanmedian(filled, axis=0)
    spread = np.nanmedian(np.linalg.norm(filled - middle, axis=-1), axis=0)
    return middle, np.where(seen.sum(0) < 0.2 * len(stack), 1.0, spread), seen.sum(0)

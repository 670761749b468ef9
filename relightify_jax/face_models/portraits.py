"""Where the landmark network sees the 468 FaceMesh points on a head model.

Random heads of the model are drawn from several sides in soft light, the network is run on
each picture and on its mirror image, and the surface point under every landmark is carried to
the mean by its barycentric coordinates. The median over the pictures is the place, the median
distance from it the spread.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from relightify_jax.core.facemesh import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_OUTER,
    LIPS_INNER,
    LIPS_OUTER,
    MIRROR,
    NUM_LANDMARKS,
)
from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.face_models.pieces import eye_centres, eye_directions
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.landmarks.faces import find_faces
from relightify_jax.landmarks.network import LandmarkNetworks
from relightify_jax.rendering.interpolate import compute_fragments, interpolate
from relightify_jax.rendering.occlusion import mesh_occlusion
from relightify_jax.rendering.rasterize import rasterize

_SIZE = 384  # Pixels per side of a picture.
_FAR, _NEAR = 1.2, 0.6  # Metres between head and camera: to look for the face, and then.
_FACE = 0.28  # Metres around the face that a near picture shows.
_TURN = (25.0, 12.0)  # Degrees of yaw and pitch, at most.
_VARIATION = 0.8  # Deviation of the identity coefficients.
_AMBIENT, _BEAM = 0.6, 0.5
_BACKGROUND = 0.25

_SKIN = (0.45, 0.28, 0.21)
_BROW, _LIPS, _SCLERA, _IRIS = (0.07, 0.045, 0.035), (0.36, 0.13, 0.11), (0.6,) * 3, (0.03,) * 3
_MOUTH = (0.2, 0.08, 0.07)
_IRIS_ANGLE = np.deg2rad(25.0)


class DrawnModel(NamedTuple):
    """What is drawn: V vertices, F triangles, K modes."""

    points: np.ndarray  # (V, 3) the mean, metres, +Y up, the face along +Z.
    identity: np.ndarray  # (V, 3, K), coefficients ~N(0, 1).
    triangles: np.ndarray  # (F, 3) integers.
    albedo: np.ndarray  # (V, 3) linear RGB.


class SeenLandmarks(NamedTuple):
    """The landmarks as the network sees them."""

    points: np.ndarray  # (468, 3) of the mean, metres; NaN where hardly ever seen.
    spread: np.ndarray  # (468,) metres, median distance over the pictures.


@jax.jit
def _draw(points, albedo, occlusion, faces, light, camera):
    """A picture (R, R, 3), pixels (V, 2) of the vertices, and the triangle (R, R) seen."""
    xy, depth = project(camera, points)
    seen = rasterize(xy, depth, faces, height=_SIZE, width=_SIZE, cull="back")
    fragments = compute_fragments(xy, depth, faces, seen)
    beam = jnp.maximum(matmul(normalize(vertex_normals(points, faces)), light[:, None]), 0.0)
    colors = albedo * (_AMBIENT * jnp.sqrt(occlusion)[:, None] + _BEAM * beam)
    picture = interpolate(colors, faces, fragments)
    return jnp.where(fragments.mask[..., None], picture, _BACKGROUND), xy, seen.face


def paint_pieces(points: np.ndarray, triangles: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Albedo (V, 3) of a head without colours: skin, eyes with irises, the mouth's inside.

    Args:
        points: (V, 3) metres.
        triangles: (F, 3) integers.
        part: (F,) from `pieces.find_pieces`.
    """
    albedo = np.tile(np.array(_SKIN, np.float32), (len(points), 1))
    albedo[triangles[part == PARTS.index("mouth")]] = _MOUTH
    centres = eye_centres(points, triangles, part)
    for name, centre in zip(("eye_left", "eye_right"), centres, strict=True):
        eye = np.unique(triangles[part == PARTS.index(name)])
        offset = eye_directions(points[eye], centre)
        is_iris = offset[:, 2] > np.cos(_IRIS_ANGLE) * np.linalg.norm(offset, axis=1)
        albedo[eye] = np.where(is_iris[:, None], _IRIS, _SCLERA)
    return albedo


def paint_face(albedo: np.ndarray, uv: np.ndarray, landmark_uv: np.ndarray) -> np.ndarray:
    """Adds brows and lips to a head without colours.

    Args:
        albedo: (V, 3) from `paint_pieces`.
        uv: (V, 2) canonical texture coordinates; NaN off the face.
        landmark_uv: (468, 2), see `canonical.landmark_uv`.
    """
    painted = albedo.copy()
    for ring, color in ((BROW_LEFT, _BROW), (BROW_RIGHT, _BROW), (LIPS_OUTER, _LIPS)):
        painted[_inside(landmark_uv[list(ring)], uv)] = color
    return painted


def _inside(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Which of `points` (N, 2) lie in a polygon (n, 2): a ray crosses it an odd number of times."""
    (x, y), crossings = points.T, np.zeros(len(points), int)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, 1, axis=0), strict=True):
        meets = (y0 > y) != (y1 > y)
        crossings += meets & (x < x0 + (x1 - x0) * (y - y0) / (y1 - y0 if y1 != y0 else 1.0))
    return crossings % 2 == 1


def see_landmarks(
    networks: LandmarkNetworks, model: DrawnModel, num_pictures: int, seed: int = 0
) -> SeenLandmarks | None:
    """Draws heads and finds their landmarks.

    Args:
        networks: From `load_networks`.
        model: What to draw.
        num_pictures: How many.
        seed: Of the heads, views and lights.

    Returns:
        The landmarks; None if the mean shows no face, or half of the pictures.
    """
    rng = np.random.default_rng(seed)
    low, high = model.points.min(0), model.points.max(0)
    occlusion = mesh_occlusion(
        jnp.asarray(model.points, jnp.float32), jnp.asarray(model.triangles, jnp.int32)
    )
    light = np.array([0.2, 0.4, 0.9])
    whole = _camera((low + high) / 2, 0.0, 0.0, 1.1 * float(np.max(high - low)), _FAR)
    first = _look(networks, model, model.points, occlusion, light, whole)
    if first is None:
        return None
    eyes = first[list(EYE_OUTER)]
    target = np.nanmean([np.nanmean(eyes, axis=0), first[4]], axis=0)  # 4: tip of the nose.
    if not np.isfinite(target).all():
        return None
    places = []
    for _ in range(num_pictures):
        code = _VARIATION * rng.standard_normal(model.identity.shape[2])
        head = model.points + model.identity @ code
        yaw, pitch = rng.uniform(-1, 1, 2) * _TURN
        camera = _camera(target, yaw, pitch, _FACE, _NEAR)
        light = np.array([rng.uniform(-0.5, 0.5), rng.uniform(0.1, 0.6), 1.0])
        place = _look(networks, model, head, occlusion, light, camera)
        if place is not None:
            places.append(place)
    if len(places) < num_pictures / 2:
        return None
    return _middle_of(np.stack(places))


def _middle_of(stack: np.ndarray) -> SeenLandmarks:
    """Median and spread of places (N, 468, 3), NaN where there is none."""
    seen = np.isfinite(stack[..., 0]).sum(0) > len(stack) // 4
    middle = np.full((NUM_LANDMARKS, 3), np.nan)
    spread = np.full(NUM_LANDMARKS, np.inf)
    middle[seen] = np.nanmedian(stack[:, seen], axis=0)
    spread[seen] = np.nanmedian(np.linalg.norm(stack[:, seen] - middle[seen], axis=-1), axis=0)
    return SeenLandmarks(middle, spread)


def _camera(target: np.ndarray, yaw: float, pitch: float, extent: float, away: float) -> Camera:
    """Looks at `target` from the front, turned by degrees; `extent` metres fill the picture."""
    turn = Rotation.from_euler("YX", [yaw, pitch], degrees=True)
    return Camera(
        jnp.float32(_SIZE * away / extent),
        jnp.full(2, _SIZE / 2, jnp.float32),
        jnp.asarray(turn.as_rotvec(), jnp.float32),
        jnp.asarray(-turn.apply(target) - [0, 0, away], jnp.float32),
    )


def _look(networks, model, head, occlusion, light, camera) -> np.ndarray | None:
    """Points (468, 3) of the mean under the landmarks of one picture; None without a face."""
    from_camera = Rotation.from_rotvec(np.asarray(camera.rotation, float)).inv()
    picture, xy, seen = _draw(
        jnp.asarray(head, jnp.float32),
        jnp.asarray(model.albedo, jnp.float32),
        occlusion,
        jnp.asarray(model.triangles, jnp.int32),
        jnp.asarray(from_camera.apply(light / np.linalg.norm(light)), jnp.float32),
        camera,
    )
    picture = np.asarray(picture)
    found, mirrored = (find_faces(networks, view) for view in (picture, picture[:, ::-1]))
    if not found or not mirrored:
        return None
    # The network's preference for a side cancels.
    other = mirrored[0].points[list(MIRROR), :2] * [-1, 1] + [_SIZE, 0]
    pixels = (found[0].points[:, :2].astype(np.float64) + other) / 2
    face, bary = _triangles_at(pixels, np.asarray(xy, float), np.asarray(seen), model.triangles)
    place = (model.points[model.triangles[face]] * bary[..., None]).sum(1)
    return np.where((face < 0)[:, None], np.nan, place)


def _triangles_at(pixels, xy, seen, triangles) -> tuple[np.ndarray, np.ndarray]:
    """Triangle (L,), -1 beside the mesh, and barycentric coordinates (L, 3) at pixels (L, 2)."""
    column, row = np.floor(pixels).astype(int).T
    inside = (row >= 0) & (row < _SIZE) & (column >= 0) & (column < _SIZE)
    face = np.where(inside, seen[np.clip(row, 0, _SIZE - 1), np.clip(column, 0, _SIZE - 1)], -1)
    a, b, c = np.moveaxis(xy[triangles[face]], 1, 0)

    def area(p, q, r):
        return (q - p)[:, 0] * (r - p)[:, 1] - (q - p)[:, 1] * (r - p)[:, 0]

    total = area(a, b, c)
    # Affine within a triangle of a few millimetres: the perspective is negligible.
    bary = np.stack([area(pixels, b, c), area(a, pixels, c), area(a, b, pixels)], axis=-1)
    bary = np.clip(bary / np.where(total == 0, 1, total)[:, None], 0, 1)
    return face, bary / np.maximum(bary.sum(1, keepdims=True), 1e-9)


# No guides: without hair the network guesses the brows, and an inner lip's landmark is as
# often seen on the other lip.
UNRELIABLE = (*BROW_LEFT, *BROW_RIGHT, *LIPS_INNER)

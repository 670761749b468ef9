"""Where the landmark network sees the 468 FaceMesh points on the mean of a head model.

The head is drawn from several sides in plain light, the network is run on the pictures, and
the surface under every landmark is looked up. The median over the pictures is the place. What
the network thinks of such pictures is biased; the bias cancels where the places on two heads
that are drawn alike are taken for one another.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from relightify_jax.core.facemesh import NUM_LANDMARKS
from relightify_jax.core.numerics import normalize
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.rotations import matrix_from_axis_angle
from relightify_jax.landmarks.faces import find_faces
from relightify_jax.landmarks.network import LandmarkNetworks
from relightify_jax.rendering.interpolate import compute_fragments, interpolate
from relightify_jax.rendering.occlusion import mesh_occlusion
from relightify_jax.rendering.rasterize import rasterize

_SIZE = 384  # Pixels per side of a picture.
_DISTANCE = 0.6  # Metres from the head: as in a self-portrait.
_FACE = 0.26  # Metres that the picture's side shows around the face.
_TURN = np.array([25.0, 12.0])  # Degrees of yaw and pitch, at most.
_VARIATION = 0.8  # Deviation of the identity coefficients.
_AMBIENT, _BEAM = 0.35, 0.8
_BACKGROUND = 0.25


class SeenLandmarks(NamedTuple):
    """The landmarks as the network sees them on a mesh."""

    points: np.ndarray  # (468, 3) near the surface, metres; NaN where never seen.
    spread: np.ndarray  # (468,) metres, median distance over the pictures.
    count: np.ndarray  # (468,) pictures in which a landmark lay on the head.


@jax.jit
def _draw(points, colors, faces, camera):
    """A picture (R, R, 3), pixels (V, 2) of the vertices, and the triangle (R, R) seen."""
    xy, depth = project(camera, points)
    seen = rasterize(xy, depth, faces, height=_SIZE, width=_SIZE, cull="back")
    fragments = compute_fragments(xy, depth, faces, seen)
    picture = interpolate(colors, faces, fragments)
    return jnp.where(fragments.mask[..., None], picture, _BACKGROUND), xy, seen.face


@jax.jit
def _shade(points, faces, albedo, occlusion, light):
    """Colours (V, 3) of matt vertices under a beam and an even sky."""
    beam = jnp.maximum(normalize(vertex_normals(points, faces)) @ light, 0.0)
    return albedo * (_AMBIENT * occlusion**POW + _BEAM * beam)[:, None]

POW = 0.5



def _camera(middle: np.ndarray, yaw: float, pitch: float, extent: float, distance: float) -> Camera:
    """Looks at `middle` from the front, turned by degrees; `extent` metres fill the picture."""
    turn = Rotation.from_euler("YX", [yaw, pitch], degrees=True).inv()
    return Camera(
        jnp.float32(_SIZE * distance / extent),
        jnp.full(2, _SIZE / 2, jnp.float32),
        jnp.asarray(turn.as_rotvec(), jnp.float32),
        jnp.asarray(-turn.apply(middle) - [0, 0, distance], jnp.float32),
    )


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


def see_landmarks(
    networks: LandmarkNetworks,
    points: np.ndarray,
    identity: np.ndarray,
    triangles: np.ndarray,
    albedo: np.ndarray,
    num_pictures: int = 40, middle0=None
) -> SeenLandmarks | None:
    """Draws random heads of a model and finds their landmarks.

    Args:
        networks: From `load_networks`.
        points: (V, 3) the mean, metres, +Y up, the face along +Z.
        identity: (V, 3, K) modes, coefficients ~N(0, 1).
        triangles: (F, 3) integers.
        albedo: (V, 3) linear RGB of the vertices.
        num_pictures: How many to draw.

    Returns:
        The landmarks on the mean; None if no picture shows a face.
    """
    faces, mean = jnp.asarray(triangles, jnp.int32), np.asarray(points, np.float64)
    rng = np.random.default_rng(0)
    occlusion = mesh_occlusion(jnp.asarray(mean, jnp.float32), faces)
    places = []
    for _ in range(num_pictures):
        code = _VARIATION * rng.standard_normal(identity.shape[2])
        head = (mean + identity @ code).astype(np.float32)
        middle = head[np.argmax(head[:, 2] - 0.0)] * [1, 1, 0.7] if middle0 is None else middle0
        camera = _camera(middle, *(rng.uniform(-1, 1, 2) * _TURN), _FACE, _DISTANCE)
        light = np.array([rng.uniform(-0.5, 0.5), rng.uniform(0.1, 0.6), 1.0])
        light = matrix_from_axis_angle(camera.rotation).T @ (light / np.linalg.norm(light))
        colors = _shade(head, faces, jnp.asarray(albedo, jnp.float32), occlusion, light)
        picture, xy, seen = map(np.asarray, _draw(head, colors, faces, camera))
        found = find_faces(networks, picture)
        if not found:
            continue
        pixels = found[0].points[:, :2].astype(np.float64)
        face, bary = _triangles_at(pixels, xy.astype(np.float64), seen, triangles)
        place = (mean[triangles[face]] * bary[..., None]).sum(1)
        places.append(np.where((face < 0)[:, None], np.nan, place))
    if not places:
        return None
    stack = np.stack(places)
    count = np.isfinite(stack[..., 0]).sum(0)
    seen = count > len(places) // 4
    middle = np.full((NUM_LANDMARKS, 3), np.nan)
    spread = np.full(NUM_LANDMARKS, np.inf)
    middle[seen] = np.nanmedian(stack[:, seen], axis=0)
    spread[seen] = np.nanmedian(np.linalg.norm(stack[:, seen] - middle[seen], axis=-1), axis=0)
    return SeenLandmarks(middle, spread, count)

"""Meshes as a rasterizer gets them: projected heads and spheres of any size."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import read_npz
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.mesh import vertex_normals

# The object is one unit high, three units away, and fills 87 % of the image's height.
_DISTANCE = 3.0
_FOCAL = 2.6  # Of the image's side.
_MAX_LEVEL = {"head": 2, "sphere": 8}


class Mesh(NamedTuple):
    """A mesh in model space, one unit high, around the origin."""

    name: str
    points: np.ndarray  # (V, 3) float32.
    faces: np.ndarray  # (F, 3) int32, counter-clockwise seen from outside.


class Scene(NamedTuple):
    """A mesh on a square image."""

    mesh: str
    size: int  # Pixels per side.
    xy: np.ndarray  # (V, 2) float32 pixels, y down.
    depth: np.ndarray  # (V,) float32, positive.
    faces: np.ndarray  # (F, 3) int32.
    attributes: np.ndarray  # (V, 6) float32: position and normal.


def load_mesh(name: str) -> Mesh:
    """Makes a mesh.

    Args:
        name: "head:N", the shipped head after N = 0, 1 or 2 subdivisions; "sphere:N", an
            icosahedron after N of them (20 4^N triangles); or the path of an .npz with
            `points` or `mean` (V, 3) and `faces` (F, 3).

    Raises:
        InputError: If there is no such mesh.
    """
    if name.endswith(".npz"):
        return _read_mesh(name)
    kind, _, level = name.partition(":")
    if kind not in _MAX_LEVEL or not level.isdigit() or int(level) > _MAX_LEVEL[kind]:
        raise InputError(f"There is no mesh {name!r}; give head:1, sphere:5 or a path to .npz.")
    if kind == "sphere":
        points, faces = icosphere(int(level))
    else:
        model = load_embedded_model(int(level))
        points, faces = np.asarray(model.mean), np.asarray(model.faces)
    return Mesh(name, _normalize(points), faces.astype(np.int32))


def icosphere(num_subdivisions: int) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere of 20 4^n triangles: points (V, 3) float32 and faces (20 4^n, 3) int32."""
    golden = (1 + 5**0.5) / 2
    one = [(a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    points = np.array(
        [(0, a, b) for a, b in one] + [(a, b, 0) for a, b in one] + [(b, 0, a) for a, b in one]
    )
    # The faces of an icosahedron are its triples of mutually nearest corners.
    near = np.linalg.norm(points[:, None] - points, axis=-1) < 2.1
    faces = np.array(
        [
            (i, j, k)
            for i in range(12)
            for j in range(i + 1, 12)
            for k in range(j + 1, 12)
            if near[i, j] and near[j, k] and near[k, i]
        ]
    )
    inward = np.linalg.det(points[faces]) < 0
    faces[inward] = faces[inward][:, [0, 2, 1]]
    for _ in range(num_subdivisions):
        sides = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1), axis=-1)
        edges, side = np.unique(sides.reshape(-1, 2), axis=0, return_inverse=True)
        a, b, c = faces.T
        ab, bc, ca = len(points) + side.reshape(-1, 3).T
        points = np.concatenate([points, points[edges].mean(axis=1)])
        children = [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
        faces = np.stack(children).transpose(2, 0, 1).reshape(-1, 3)
        points /= np.linalg.norm(points, axis=-1, keepdims=True)
    points /= np.linalg.norm(points, axis=-1, keepdims=True)
    return points.astype(np.float32), faces.astype(np.int32)


def pose(mesh: Mesh, size: int, yaw: float) -> Scene:
    """Puts a mesh before the camera, turned by `yaw` radians about the vertical."""
    xy, depth = _project(mesh.points, size, np.float32(yaw))
    normals = jax.jit(vertex_normals)(mesh.points, mesh.faces)
    return Scene(
        mesh=mesh.name,
        size=size,
        xy=np.asarray(xy),
        depth=np.asarray(depth),
        faces=mesh.faces,
        attributes=np.concatenate([mesh.points, np.asarray(normals)], axis=-1),
    )


def pose_many(mesh: Mesh, size: int, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (num, V, 2) and depth (num, V) of a mesh at yaws from -35 to 35 degrees."""
    yaws = np.linspace(-0.6, 0.6, num, dtype=np.float32)
    xy, depth = jax.vmap(lambda yaw: _project(mesh.points, size, yaw))(yaws)
    return np.asarray(xy), np.asarray(depth)


@functools.partial(jax.jit, static_argnames="size")
def _project(points: jax.Array, size: int, yaw: jax.Array) -> tuple[jax.Array, jax.Array]:
    camera = Camera(
        focal=jnp.float32(_FOCAL * size),
        center=jnp.full(2, size / 2, jnp.float32),
        rotation=yaw * jnp.array([0.0, 1.0, 0.0]),
        translation=jnp.array([0.0, 0.0, -_DISTANCE]),
    )
    return project(camera, points)


def _normalize(points: np.ndarray) -> np.ndarray:
    low, high = points.min(axis=0), points.max(axis=0)
    return ((points - (low + high) / 2) / (high - low)[1]).astype(np.float32)


def _read_mesh(path: str) -> Mesh:
    arrays = read_npz(path, "a mesh")
    points = arrays.get("points", arrays.get("mean"))
    faces = arrays.get("faces")
    if points is None or faces is None:
        raise InputError(f"{path} holds no mesh: it needs `faces` and `points` or `mean`.")
    if points.ndim != 2 or points.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise InputError(
            f"{path} holds no triangles: points {points.shape} and faces {faces.shape} "
            "must be (V, 3) and (F, 3)."
        )
    if faces.size == 0 or faces.min() < 0 or faces.max() >= len(points):
        raise InputError(f"{path} has triangles of vertices that it lacks; it cannot be drawn.")
    stem = path.rsplit("/", 1)[-1].removesuffix(".npz")
    return Mesh(stem, _normalize(points.astype(np.float32)), faces.astype(np.int32))

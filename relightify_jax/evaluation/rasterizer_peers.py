"""Other rasterizers on the same projected mesh, where they are installed.

A peer is a context manager that takes a scene and yields `Drawing`; what it needs once
(buffers, a tree) is made on entry, what a new picture costs is the call to `draw`, up to
the triangle indices in host memory. A peer that is not there raises `Unavailable`.
Back-facing triangles are not drawn.
"""

import contextlib
import importlib
import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from relightify_jax.evaluation.rasterizer_scenes import Scene

_VERTEX_SHADER = """
#version 330
in vec4 position;
void main() { gl_Position = position; }
"""
_FRAGMENT_SHADER = """
#version 330
out float face;
void main() { face = float(gl_PrimitiveID + 1); }
"""


class Unavailable(Exception):
    """Why a peer cannot take part, in one sentence."""


class Drawing(NamedTuple):
    """A peer that is ready to draw."""

    draw: Callable[[], np.ndarray]  # Returns (H, W) int triangle indices, -1 at background.
    description: str  # What it is, with its version or device.


Peer = Callable[[Scene], contextlib.AbstractContextManager[Drawing]]


@contextlib.contextmanager
def opengl(scene: Scene) -> Iterator[Drawing]:
    """OpenGL 3.3 through moderngl without a window; drawing includes reading back.

    Without a GPU, Mesa's llvmpipe draws on all CPU cores.
    """
    moderngl = _import("moderngl")
    try:
        context = moderngl.create_standalone_context(backend="egl")
    except Exception as error:  # Whatever the driver says.
        raise Unavailable(f"OpenGL cannot be started ({error}).") from None
    size = scene.size
    with contextlib.ExitStack() as stack:
        stack.callback(context.release)
        program = context.program(vertex_shader=_VERTEX_SHADER, fragment_shader=_FRAGMENT_SHADER)
        mesh = context.vertex_array(
            program,
            [(context.buffer(clip_coordinates(scene).tobytes()), "4f", "position")],
            index_buffer=context.buffer(scene.faces.astype("i4").tobytes()),
        )
        # Float32 holds indices up to 2^24 exactly and, unlike an integer, can be cleared.
        target = context.framebuffer(
            context.texture((size, size), 1, dtype="f4"), context.depth_renderbuffer((size, size))
        )
        target.use()
        context.enable(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        # Row 0 of OpenGL is our top row, so the picture is mirrored and so is orientation.
        context.front_face = "cw"
        pixels = np.empty((size, size), np.float32)

        def draw() -> np.ndarray:
            target.clear()
            mesh.render()
            target.read_into(pixels, components=1, dtype="f4")
            return pixels.astype(np.int32) - 1

        info = context.info
        snapping = f"vertices snapped to 1/{2 ** info['GL_SUBPIXEL_BITS']} pixel"
        yield Drawing(draw, f"{info['GL_RENDERER']}, {snapping}")


@contextlib.contextmanager
def embree(scene: Scene) -> Iterator[Drawing]:
    """Embree through trimesh: one ray a pixel from the camera; the tree is made once."""
    trimesh = _import("trimesh")
    _import("embreex")
    tracers = _import("trimesh.ray.ray_pyembree")
    points, directions = camera_space(scene)
    front = front_faces(scene)
    mesh = trimesh.Trimesh(points, scene.faces[front], process=False)
    tracer = tracers.RayMeshIntersector(mesh)
    origins = np.zeros_like(directions)
    tracer.intersects_first(origins[:1], directions[:1])  # Makes the tree.

    def draw() -> np.ndarray:
        hit = tracer.intersects_first(origins, directions)
        return np.where(hit < 0, -1, front[hit]).reshape(scene.size, scene.size)

    yield Drawing(draw, f"embreex {_version('embreex')} through trimesh {trimesh.__version__}")


@contextlib.contextmanager
def pytorch3d(scene: Scene) -> Iterator[Drawing]:
    """PyTorch3D's rasterizer (C++ on the CPU), one face a pixel, no blur, no gradient.

    Its normalised coordinates have +X left and +Y up, both in [-1, 1] over a square image.
    """
    structures = _import("pytorch3d.structures")
    rasterize_meshes = _import("pytorch3d.renderer.mesh.rasterize_meshes").rasterize_meshes
    torch = _import("torch")
    ndc = 1.0 - 2.0 * scene.xy / scene.size
    front = front_faces(scene)
    meshes = structures.Meshes(
        verts=[torch.from_numpy(np.column_stack([ndc, scene.depth]).astype(np.float32))],
        faces=[torch.from_numpy(scene.faces[front].astype(np.int64))],
    )

    def draw() -> np.ndarray:
        face, *_ = rasterize_meshes(
            meshes, scene.size, blur_radius=0.0, faces_per_pixel=1, perspective_correct=True
        )
        hit = face[0, ..., 0].numpy()
        return np.where(hit < 0, -1, front[hit])

    yield Drawing(draw, f"PyTorch3D {_version('pytorch3d')} on the CPU")


PEERS: dict[str, Peer] = {"opengl": opengl, "embree": embree, "pytorch3d": pytorch3d}


def clip_coordinates(scene: Scene) -> np.ndarray:
    """OpenGL's clip coordinates (V, 4) float32 with our row 0 at the lower edge, w = depth."""
    near, far = 0.9 * scene.depth.min(), 1.1 * scene.depth.max()
    z = ((far + near) * scene.depth - 2 * far * near) / (far - near)
    xy = (2 * scene.xy / scene.size - 1) * scene.depth[:, None]
    return np.column_stack([xy, z, scene.depth]).astype(np.float32)


def camera_space(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Points (V, 3) and one direction a pixel (H W, 3), float64: x right, y down, z depth."""
    half = scene.size / 2
    xy = (scene.xy.astype(float) - half) / half * scene.depth[:, None]
    line = (np.arange(scene.size) + 0.5 - half) / half
    x, y = np.meshgrid(line, line)
    directions = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    return np.column_stack([xy, scene.depth]), directions


def front_faces(scene: Scene) -> np.ndarray:
    """Indices of the triangles that face the camera."""
    a, b, c = scene.xy.astype(float)[scene.faces].transpose(1, 0, 2)
    (abx, aby), (acx, acy) = (b - a).T, (c - a).T
    return np.flatnonzero(abx * acy - aby * acx < 0)  # y is down.


def _import(name: str) -> Any:
    """Imports an optional package; by name, as the library depends on none of them."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"{name.split('.')[0]} is not installed ({error}).") from None


def _version(package: str) -> str:
    return importlib.metadata.version(package)

"""Meshes of captures: Wavefront OBJ with texture coordinates, in this project's frame."""

import pathlib
from typing import NamedTuple

import numpy as np

from data_pipeline.captures.facts import METRES, axes_matrix
from relightify_jax.core.errors import InputError
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel

_HEIGHT = (0.1, 0.6)  # Metres: from a mask of the face to a head with its neck.


class SurfaceMesh(NamedTuple):
    """Triangles with positions and texture coordinates; V vertices, T coordinates, F triangles."""

    points: np.ndarray  # (V, 3) float64 metres; +X the subject's left, +Y up, +Z ahead.
    triangles: np.ndarray  # (F, 3) int into points.
    uv: np.ndarray  # (T, 2) float64, v down from the top.
    uv_triangles: np.ndarray  # (F, 3) int into uv.


class MeshFile(NamedTuple):
    """An OBJ file and how to read it; hashable, so that what is made of it can be kept."""

    path: pathlib.Path
    axes: tuple[str, ...]  # Their axes that point to the subject's left, up and ahead.
    unit: str  # A key of `facts.METRES`.


def in_tile(corners: np.ndarray) -> np.ndarray:
    """Which triangles (F,) lie in the tile [0, 1]^2, by texture coordinates (F, 3, 2)."""
    return np.all((corners > -1e-4) & (corners < 1 + 1e-4), axis=(1, 2))


def read_mesh(file: MeshFile) -> SurfaceMesh:
    """Reads an OBJ; polygons are split into fans of triangles.

    Args:
        file: The file, its axes and its unit.

    Raises:
        InputError: If it is damaged, has no texture coordinates, or is not in its unit.
    """
    mesh = _parse(file.path)
    points = mesh.points @ axes_matrix(file.axes).T * METRES[file.unit]
    height = float(np.ptp(points[:, 1]))
    if not _HEIGHT[0] <= height <= _HEIGHT[1]:
        raise InputError(
            f"{file.path} is {height:.3g} m high if it is in {file.unit} with "
            f'{file.axes[1]} up; state "unit" (m, dm, cm, mm) and "axes" in capture.json.'
        )
    return mesh._replace(points=points)


def mesh_of_model(model: MorphableModel) -> SurfaceMesh:
    """The face part of a model's mean; its texture coordinates are canonical."""
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    return SurfaceMesh(
        np.asarray(model.mean, np.float64),
        np.asarray(model.faces)[on_face],
        np.asarray(model.uv, np.float64),
        np.asarray(model.uv_faces)[on_face],
    )


def same_topology(first: SurfaceMesh, second: SurfaceMesh) -> bool:
    """Whether two meshes differ in the places of their vertices only."""
    return (
        len(first.points) == len(second.points)
        and np.array_equal(first.triangles, second.triangles)
        and np.array_equal(first.uv_triangles, second.uv_triangles)
        and first.uv.shape == second.uv.shape
        and np.allclose(first.uv, second.uv, atol=1e-5)
    )


def _parse(path: pathlib.Path) -> SurfaceMesh:
    """An OBJ in its own frame and unit, v turned down."""
    points, uv, faces, uv_faces = [], [], [], []
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                kind, *fields = line.split() or [""]
                if kind == "v":
                    points.append([float(x) for x in fields[:3]])
                elif kind == "vt":
                    uv.append([float(x) for x in fields[:2]])
                elif kind == "f":
                    corners = [field.split("/") for field in fields]
                    fan = _fan([_index(c[0], points) for c in corners])
                    faces += fan
                    if all(len(c) > 1 and c[1] for c in corners):
                        uv_faces += _fan([_index(c[1], uv) for c in corners])
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); make it readable.") from None
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} is no OBJ that can be read ({error}); export it again.") from None
    if not faces or len(uv_faces) != len(faces):
        raise InputError(
            f"{path} has {len(faces)} triangles, {len(uv_faces)} of them with texture "
            "coordinates; export it with UVs."
        )
    mesh = SurfaceMesh(
        np.array(points, np.float64).reshape(-1, 3),
        np.array(faces),
        np.array(uv, np.float64).reshape(-1, 2) * [1, -1] + [0, 1],
        np.array(uv_faces),
    )
    inside = (
        0 <= mesh.triangles.min() and mesh.triangles.max() < len(mesh.points)
        and 0 <= mesh.uv_triangles.min() and mesh.uv_triangles.max() < len(mesh.uv)
    )  # fmt: skip
    if not inside or not np.isfinite(mesh.points).all() or not np.isfinite(mesh.uv).all():
        raise InputError(
            f"{path} is damaged: faces name vertices that are not there, or a number "
            "is not finite; export it again."
        )
    return mesh


def _index(text: str, so_far: list) -> int:
    """OBJ counts from 1, or backwards from the last entry."""
    number = int(text)
    return number - 1 if number > 0 else len(so_far) + number


def _fan(corners: list[int]) -> list[tuple[int, int, int]]:
    return [(corners[0], b, c) for b, c in zip(corners[1:-1], corners[2:], strict=True)]

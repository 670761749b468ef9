"""Where the triangles of a laboratory's topology lie in the canonical UV layout.

A twin of the mesh whose texture coordinates are canonical says so exactly; otherwise the mesh
is registered to the embedded head as face models are (docs/FACE_MODELS.md), once per topology.
"""

import functools
import hashlib
import pathlib
from typing import NamedTuple

import numpy as np
from absl import logging

from data_pipeline.captures.meshes import MeshFile, SurfaceMesh, in_tile, mesh_of_model, read_mesh
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path, read_npz
from relightify_jax.face_models.adapt import load_reference, register_raw
from relightify_jax.face_models.cache import cache_folder
from relightify_jax.face_models.layout import lay_out
from relightify_jax.face_models.pieces import find_pieces
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.face_files.raw import RawFaceModel, signed_volume
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.landmarks.network import load_networks

_FORMAT = 1  # Raised whenever the same mesh would give other coordinates.
_PICTURES = (8, 32)  # Of the mesh, that the landmark network looks at.


class Source(NamedTuple):
    """Which topology maps are laid out in; hashable.

    Without a mesh they are in the canonical layout already.
    """

    mesh: MeshFile | None
    twin: pathlib.Path | None = None  # The same triangles with canonical coordinates.


class Topology(NamedTuple):
    """A topology and its place in the canonical layout."""

    mesh: SurfaceMesh  # The head that stands for it.
    used: np.ndarray  # (n,) its triangles that lie on the face, in the tile of the maps.
    canonical: np.ndarray  # (n, 3, 2) of their corners, v down.


def load_topology(source: Source) -> Topology:
    """Reads or computes the correspondence of a topology; a minute the first time.

    Args:
        source: Of the topology.

    Raises:
        InputError: If a file cannot be used, or no face is seen on the mesh.
    """
    found = _topology_or_error(source)
    if isinstance(found, InputError):
        raise found
    return found


@functools.lru_cache(maxsize=2)
def _topology_or_error(source: Source) -> Topology | InputError:
    """What fails for one capture of thousands fails for all: it is tried once."""
    try:
        return _load_topology(source)
    except InputError as error:
        return error


def _load_topology(source: Source) -> Topology:
    if source.mesh is None:
        mesh = mesh_of_model(load_embedded_model())
        return _topology(mesh, np.ones(len(mesh.triangles), bool), mesh.uv[mesh.uv_triangles])
    mesh = read_mesh(source.mesh)
    if source.twin is None:
        on_face, canonical = _registered(source.mesh.path, mesh)
        return _topology(mesh, on_face, canonical)
    twin = read_mesh(source.mesh._replace(path=source.twin))
    if not np.array_equal(twin.triangles, mesh.triangles):
        raise InputError(
            f"{source.twin} has other faces than {source.mesh.path}; export the same "
            "mesh in the same vertex and face order, with canonical UVs."
        )
    canonical = twin.uv[twin.uv_triangles]
    return _topology(mesh, in_tile(canonical), canonical)


def _topology(mesh: SurfaceMesh, on_face: np.ndarray, canonical: np.ndarray) -> Topology:
    used = np.flatnonzero(on_face & in_tile(mesh.uv[mesh.uv_triangles]))
    return Topology(mesh, used, canonical[used])


def _registered(path: pathlib.Path, mesh: SurfaceMesh) -> tuple[np.ndarray, np.ndarray]:
    """Which triangles (F,) are of the face, and canonical coordinates (F, 3, 2), kept on disk."""
    digest = hashlib.sha256(str(_FORMAT).encode())
    for array in (mesh.points.astype(np.float32), mesh.triangles.astype(np.int64)):
        digest.update(array.tobytes())
    kept = cache_folder() / f"topology-{digest.hexdigest()[:20]}.npz"
    if kept.is_file():
        try:
            arrays = read_npz(kept, "a kept UV correspondence")
            return arrays["on_face"], arrays["canonical"].astype(np.float64)
        except (InputError, KeyError) as error:
            logging.warning("%s is made anew: %s", kept, error)
    on_face, canonical = _register(path, mesh)
    try:
        with atomic_path(kept) as partial, partial.open("wb") as file:
            np.savez(file, on_face=on_face, canonical=canonical.astype(np.float32))
    except OSError as error:
        logging.warning("%s cannot be written (%s)", kept, error.strerror)
    return on_face, canonical


def _register(path: pathlib.Path, mesh: SurfaceMesh) -> tuple[np.ndarray, np.ndarray]:
    if signed_volume(mesh.points, mesh.triangles) <= 0:
        raise InputError(
            f"The triangles of {path} face inwards; flip their normals and export again."
        )
    logging.info("%s is brought to the canonical layout, about a minute, once", path)
    count = len(mesh.points)
    raw = RawFaceModel(
        points=mesh.points.astype(np.float32),
        identity=np.zeros((count, 3, 1), np.float32),
        expression=np.zeros((count, 3, 0), np.float32),
        triangles=mesh.triangles.astype(np.int32),
        colour=None,
        joints=None,
        identity_names=("none",),
        expression_names=(),
        name=str(path),
        licence="the user's",
        source="its laboratory, upright and facing +Z by the axes in capture.json",
    )
    reference = load_reference()
    piece = find_pieces(mesh.points, raw.triangles)
    registered = register_raw(raw, piece, load_networks(), _PICTURES)
    layout = lay_out(reference, registered, mesh.points, raw.triangles, piece)
    return layout.part == PARTS.index("face"), layout.uv[layout.uv_faces]

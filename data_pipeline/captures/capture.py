"""One capture of a laboratory, from its files to a record of the data set."""

import contextlib
import dataclasses
import functools
import os
import pathlib

import numpy as np
from absl import logging

from data_pipeline.captures.align import Alignment, Anchors, align, find_anchors, num_identity
from data_pipeline.captures.checks import check_sizes, colour_warning
from data_pipeline.captures.correspondence import Source, load_topology
from data_pipeline.captures.facts import Facts, read_facts, read_frame
from data_pipeline.captures.fill import fill_unknown
from data_pipeline.captures.head import head_normals, unit
from data_pipeline.captures.images import Picture, read_picture
from data_pipeline.captures.layouts import LAYOUTS, Files, file_stem, find_files, missing_map
from data_pipeline.captures.maps import linear_from_code, roughness, specular_albedo
from data_pipeline.captures.meshes import MeshFile, SurfaceMesh, read_mesh, same_topology
from data_pipeline.captures.orientation import Surface, build_surface, mesh_normals, object_normals
from data_pipeline.captures.transfer import (
    MapShape,
    load_texel_map,
    map_shape,
    sample_map,
    sampling_factor,
    source_coverage,
    to_texels,
)
from data_pipeline.encoding import FaceRecord
from relightify_jax.core.errors import InputError
from relightify_jax.face_models.registration import Similarity
from relightify_jax.rendering.shading import SKIN_ROUGHNESS

TEMPLATE, TWIN = "template.obj", "template_canonical.obj"
_SIZES = (16, 4096)
_LEAST_VALID = 0.02  # Of the texels of the tile.
_OFF_FACE = 0.006  # Metres; a mesh that lies farther off the face model is no neutral face.
_COLOURS = 20_000  # Pixels that the colours are judged by.


@dataclasses.dataclass(frozen=True)
class Capture:
    """A capture that is not read yet; cheap, and picklable for worker processes."""

    subject: str  # Who: splits keep all captures of a subject together.
    name: str  # Unique in the folder; errors begin with it.
    layout: str
    size: int  # Texels per side of the record, R.
    files: Files
    shared: Source | None  # The topology of the folder.

    def load(self) -> FaceRecord:
        """Reads, checks and brings the capture to the canonical layout.

        The first capture of a topology may take a minute more.

        Returns:
            Maps of R texels, float32; `valid` is 1 where the capture says something, the rest
            is filled smoothly. `identity` is fitted to the capture's own mesh, else 0.

        Raises:
            InputError: Naming the capture, what is wrong with it and what to do.
        """
        try:
            return _load(self)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None

    def licence(self) -> str:
        """The licence stated for this capture.

        Raises:
            InputError: If capture.json cannot be used.
        """
        try:
            return _read_facts(self.layout, self.files).licence
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None


def read_captures(folder: str | os.PathLike[str], layout: str, size: int) -> list[Capture]:
    """Lists the captures of a folder and brings their topology to the canonical layout.

    No map is opened yet. A topology without a twin takes a minute the first time.

    Args:
        folder: A tree as docs/CAPTURES.md describes it.
        layout: "plain", "ffhq_uv_intrinsics", "realfacedb" or "nextface".
        size: Texels per side of the records.

    Returns:
        The captures in a fixed order, by name.

    Raises:
        InputError: If there is no such folder, layout or size, or nothing is there to read.
    """
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise InputError(
            "Records of {} texels are not made; ask for {} to {}.".format(size, *_SIZES)
        )
    root = pathlib.Path(folder)
    found = sorted(find_files(root, layout), key=lambda files: files.name)
    shared = _shared_source(root, layout, found)
    return [Capture(files.subject, files.name, layout, size, files, shared) for files in found]


def _shared_source(root: pathlib.Path, layout: str, found: list[Files]) -> Source | None:
    """The topology of the folder: that of its template, else of the first mesh; loaded."""
    defaults = LAYOUTS[layout].facts
    if (root / TEMPLATE).is_file():
        twin = root / TWIN
        mesh = MeshFile(root / TEMPLATE, *read_frame([root], defaults))
        source = Source(mesh, twin if twin.is_file() else None)
        load_topology(source)  # What is wrong with it would be wrong with every capture.
        return source
    for files in found:
        if files.mesh is None:
            continue
        try:
            facts = _read_facts(layout, files)
            mesh = MeshFile(files.mesh, facts.axes, facts.unit)
            if facts.uv_layout == "canonical":
                continue
            read_mesh(mesh)
        except InputError:
            continue  # Its own load will say so.
        # Here, so that worker processes find it done.
        with contextlib.suppress(InputError):
            load_topology(Source(mesh))
        return Source(mesh)
    return None


def _read_facts(layout: str, files: Files) -> Facts:
    defaults = LAYOUTS[layout].facts | files.entries
    if "normals" not in files.maps:
        defaults = {"normal_space": "object"} | defaults
    return read_facts(files.folders, defaults)


def _load(capture: Capture) -> FaceRecord:
    files = capture.files
    missing = missing_map(capture.layout, files)
    if missing:
        raise InputError(
            f"{files.expected} lacks {file_stem(capture.layout, missing)}.png ({missing}); add it "
            "or leave the capture out."
        )
    facts = _read_facts(capture.layout, files)
    pictures = {kind: read_picture(kind, path) for kind, path in files.maps.items()}
    shape = map_shape(*check_sizes(pictures), facts.crop)
    source, mesh = _geometry(capture, facts)
    topology = load_topology(source)
    factor = sampling_factor(topology, capture.size, shape)
    texels = load_texel_map(source, capture.size, factor)
    alignment = _alignment(source, mesh)
    surface = build_surface(mesh or topology.mesh, texels)

    weight = _weight(source, shape, pictures)
    maps = _Maps(files, facts, pictures, weight, shape, surface)
    coverage = to_texels(*sample_map(texels, weight[..., None], weight, shape), factor)[1]
    valid = coverage > 0.5
    if valid.mean() < _LEAST_VALID:
        raise InputError(
            f"its maps cover {valid.mean():.1%} of the face's tile; check the UVs of "
            f"{source.mesh.path if source.mesh else 'the maps'}, the mask and the crop."
        )
    maps.warn()
    identity = alignment.identity if mesh is not None else np.zeros(num_identity(), np.float32)
    base = head_normals(identity, capture.size)
    normals = maps.normals() @ alignment.pose.rotation
    # The residual continues, so that what is filled is still shaped like a head.
    normals = unit(base + fill_unknown(normals - base, valid))
    return FaceRecord(
        *(
            np.ascontiguousarray(array, np.float32)
            for array in (
                fill_unknown(maps.diffuse(), valid),
                normals,
                fill_unknown(maps.specular(valid), valid),
                fill_unknown(maps.roughness(), valid),
                valid[..., None],
                identity,
            )
        )
    )


def _geometry(capture: Capture, facts: Facts) -> tuple[Source, SurfaceMesh | None]:
    """The topology of a capture's maps, and its own mesh in that topology if it has one."""
    own = None
    if capture.files.mesh is not None:
        own = MeshFile(capture.files.mesh, facts.axes, facts.unit)
    if facts.uv_layout == "canonical":
        if own is None:
            return Source(None), None
        return Source(own, twin=own.path), read_mesh(own)
    if own is None:
        if capture.shared is not None:
            return capture.shared, None
        raise InputError(
            "its maps have the UV layout of a mesh that is not there: put the topology with its "
            f"UVs into {capture.files.folders[0] / TEMPLATE}, or mesh.obj beside the maps."
        )
    mesh = read_mesh(own)
    if capture.shared is not None and same_topology(load_topology(capture.shared).mesh, mesh):
        return capture.shared, mesh
    return Source(own), mesh


def _alignment(source: Source, mesh: SurfaceMesh | None) -> Alignment:
    """Pose and identity; those of the template for captures without a mesh."""
    if source.mesh is None:
        pose = Similarity(1.0, np.eye(3), np.zeros(3))
        return Alignment(pose, np.zeros(num_identity(), np.float32), 0.0)
    anchors = _anchors(source)
    found = align(anchors, (mesh or load_topology(source).mesh).points)
    if found.error > _OFF_FACE:
        logging.warning(
            "%s lies %.1f mm off the face model: is it a neutral face, and the correspondence "
            "right?", source.mesh.path, 1e3 * found.error,
        )  # fmt: skip
    return found


@functools.lru_cache(maxsize=2)
def _anchors(source: Source) -> Anchors:
    return find_anchors(load_topology(source))


def _weight(source: Source, shape: MapShape, pictures: dict[str, Picture]) -> np.ndarray:
    """Where (H, W) the maps of a capture say something, in [0, 1]."""
    weight = source_coverage(source, shape)
    if "mask" in pictures:
        weight = weight * np.clip(pictures["mask"].values[..., 0], 0.0, 1.0)
    opaque = pictures["diffuse_albedo"].opaque
    return weight if opaque is None else weight * opaque


@dataclasses.dataclass(frozen=True)
class _Maps:
    """The maps of a capture in the canonical layout, each computed when asked for."""

    files: Files
    facts: Facts
    pictures: dict[str, Picture]
    weight: np.ndarray
    shape: MapShape
    surface: Surface

    def _carry(self, kind: str, encoding: str) -> np.ndarray:
        linear = linear_from_code(self.pictures[kind].values, encoding).astype(np.float32)
        texels = self.surface.texels
        return to_texels(*sample_map(texels, linear, self.weight, self.shape), texels.factor)[0]

    def diffuse(self) -> np.ndarray:
        return self._carry("diffuse_albedo", self.facts.diffuse_encoding)

    def specular(self, valid: np.ndarray) -> np.ndarray:
        linear = self._carry("specular_albedo", self.facts.specular_encoding)
        return specular_albedo(self.files.maps["specular_albedo"], linear, valid, self.facts)

    def roughness(self) -> np.ndarray:
        if "roughness" not in self.pictures:
            side = self.surface.texels.triangle.shape[0] // self.surface.texels.factor
            return np.full((side, side, 1), SKIN_ROUGHNESS, np.float32)
        linear = self._carry("roughness", self.facts.roughness_encoding)
        return roughness(linear, self.facts.roughness_meaning)

    def normals(self) -> np.ndarray:
        if "normals" in self.pictures:
            return object_normals(
                self.files.maps["normals"], self.pictures["normals"], self.weight, self.shape,
                self.surface, self.facts,
            )  # fmt: skip
        height = None
        if "displacement" in self.pictures:
            if self.facts.displacement_mm is None:
                raise InputError(
                    f"{self.files.maps['displacement']} needs its scale: state "
                    '"displacement_mm": [height of black, height of white] in capture.json.'
                )
            low, high = self.facts.displacement_mm
            height = low + (high - low) * self._carry("displacement", "linear")[..., 0]
        return mesh_normals(self.surface, height)

    def warn(self) -> None:
        """Says in the log what looks wrong about the colours."""
        path, picture = self.files.maps["diffuse_albedo"], self.pictures["diffuse_albedo"]
        coded = picture.values[self.weight > 0.5]
        coded = coded[:: max(1, len(coded) // _COLOURS)]
        readings = {code: linear_from_code(coded, code) for code in ("linear", "srgb")}
        sentence = colour_warning(path, self.facts.diffuse_encoding, readings)
        if sentence:
            logging.warning("%s: %s", self.files.name, sentence)
        if picture.bits == 8 and self.facts.diffuse_encoding == "linear":
            logging.warning(
                "%s: %s stores linear light in 8 bits, which leaves bands in dark skin; export "
                "16 bits or sRGB.", self.files.name, path,
            )  # fmt: skip

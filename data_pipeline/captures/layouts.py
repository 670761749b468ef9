"""Folder trees of captures: which files belong to which capture, and what they are by default."""

import json
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from data_pipeline.captures.images import find_picture
from relightify_jax.core.errors import InputError

KINDS = ("diffuse_albedo", "specular_albedo", "normals", "roughness", "displacement", "mask")
PATCHES = "patches.json"


class Files(NamedTuple):
    """The files of one capture; none of them is opened yet."""

    subject: str
    name: str  # Of the record, unique in its folder.
    expected: str  # Where the files should be, for messages.
    maps: dict[str, pathlib.Path]  # By kind, those that are there.
    mesh: pathlib.Path | None
    folders: tuple[pathlib.Path, ...]  # Where capture.json may lie, the nearest last.
    entries: dict[str, Any]  # Facts that the layout itself knows.


class Layout(NamedTuple):
    """A folder tree that can be read."""

    find: Callable[[pathlib.Path], Iterator[Files]]
    required: tuple[str, ...]
    # A mesh with texture coordinates stands in for these.
    by_mesh: tuple[str, ...]
    facts: dict[str, Any]  # What need not be stated in capture.json.


def _find_plain(root: pathlib.Path) -> Iterator[Files]:
    """SUBJECT/[CAPTURE/]diffuse_albedo.png ..."""
    for subject in _folders(root):
        inner = [] if _maps(subject, _PLAIN) else _folders(subject)
        for folder in inner or [subject]:
            name = folder.relative_to(root).as_posix()
            mesh = folder / "mesh.obj"
            chain = (root, subject, folder) if folder != subject else (root, subject)
            yield _files(subject.name, name, folder, _PLAIN, mesh, chain)


def _find_intrinsics(root: pathlib.Path) -> Iterator[Files]:
    """[Data/][.../]ID/diffuse.png ..., at any depth, as archives unpack."""
    data = root / "Data" if (root / "Data").is_dir() else root
    stems = set(_INTRINSICS.values())
    for folder in sorted({path.parent for path in data.rglob("*.*") if path.stem in stems}):
        if folder != data:
            name = folder.relative_to(data).as_posix()
            yield _files(folder.name, name, folder, _INTRINSICS, None, (root, folder))


def _find_nextface(root: pathlib.Path) -> Iterator[Files]:
    """[SUBJECT/]diffuseMap_N.png, meshN.obj ...; several photographs may share the maps."""
    for folder in [root, *(path for path in sorted(root.rglob("*")) if path.is_dir())]:
        meshes = sorted(folder.glob("mesh[0-9]*.obj"), key=_number)
        textures = {_number(path) for path in folder.glob("diffuseMap_[0-9]*.png")}
        for number in sorted({_number(mesh) for mesh in meshes} | textures):
            # Maps that all photographs share have the number 0.
            texture = number if number in textures or len(textures) != 1 else min(textures)
            names = {kind: f"{stem}_{texture}" for kind, stem in _NEXTFACE.items()}
            subject = folder.relative_to(root).as_posix() if folder != root else root.name
            if len(textures) > 1:
                subject = f"{subject}/{texture}"
            name = f"{subject}/mesh{number}" if len(textures) <= 1 else subject
            mesh = folder / f"mesh{number}.obj"
            yield _files(subject, name, folder, names, mesh, (root, folder))


def _find_patches(root: pathlib.Path) -> Iterator[Files]:
    """Patches whose names and places patches.json states."""
    path = root / PATCHES
    if not path.is_file():
        raise InputError(
            f"{root} holds patches of RealFaceDB, but nothing says where on the face they lie: "
            "the release names neither its UV topology nor the places, and a patch at a wrong "
            f"place would spoil the statistics of every texel. Write {path} with the places and "
            "put the topology's template.obj beside it (docs/CAPTURES.md), or use whole maps in "
            'the layout "plain".'
        )
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        width, height = (int(x) for x in stated["map_size"])
        names, places = stated["files"], stated["places"]
        subjects = stated.get("subjects", {})
        crops = {key: (int(left), int(top)) for key, (left, top) in places.items()}
        unknown = sorted(set(names) - set(KINDS))
        stems = {key: {k: n.format(id=key) for k, n in names.items()} for key in crops}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f'{path} cannot be used ({error!r}); state "map_size": [width, height], "files": '
            '{"diffuse_albedo": "NAME_{id}.png", ...} and "places": {"ID": [left, top], ...}.'
        ) from None
    if unknown:
        raise InputError(f"{path} names files of {unknown[0]!r}; have {', '.join(KINDS)}.")
    for key, (left, top) in sorted(crops.items()):
        found = {kind: root / name for kind, name in stems[key].items()}
        yield Files(
            subject=str(subjects.get(key, key)),
            name=key,
            expected=", ".join(stems[key].values()),
            maps={kind: file for kind, file in found.items() if file.is_file()},
            mesh=None,
            folders=(root,),
            entries={"crop": (left, top, width, height)},
        )


_PLAIN = {kind: kind for kind in KINDS}
_INTRINSICS = {"diffuse_albedo": "diffuse", "specular_albedo": "specular", "normals": "normal"}
_NEXTFACE = {
    "diffuse_albedo": "diffuseMap",
    "specular_albedo": "specularMap",
    "roughness": "roughnessMap",
}
_ALL = ("diffuse_albedo", "specular_albedo", "normals")
LAYOUTS = {
    "plain": Layout(_find_plain, _ALL, ("normals",), {}),
    "ffhq_uv_intrinsics": Layout(
        _find_intrinsics,
        _ALL,
        (),
        {
            "licence": "CC BY-NC-ND 4.0 (FFHQ-UV-Intrinsics): share no adapted data",
            "uv_layout": "mesh",
            "diffuse_encoding": "srgb",
            "specular_encoding": "linear",
            "specular_meaning": "relative",
            "normal_space": "detect",
            "normal_green": "detect",
        },
    ),
    "realfacedb": Layout(
        _find_patches,
        _ALL,
        (),
        {
            "licence": "RealFaceDB: signed agreement, non-commercial, to be deleted in time",
            "uv_layout": "mesh",
            "diffuse_encoding": "srgb",
            "specular_encoding": "linear",
            "specular_meaning": "relative",
            "normal_space": "detect",
            "normal_green": "detect",
        },
    ),
    "nextface": Layout(
        _find_nextface,
        ("diffuse_albedo", "specular_albedo", "roughness"),
        (),
        {
            "licence": "NextFace output: research; Basel Face Model and AlbedoMM terms",
            "uv_layout": "mesh",
            # NextFace raises every map to 1 / 2.2 when it saves it, roughness as well.
            "diffuse_encoding": "gamma2.2",
            "specular_encoding": "gamma2.2",
            "specular_meaning": "relative",
            "roughness_encoding": "gamma2.2",
            "roughness_meaning": "alpha_squared",
            "normal_space": "object",
            # Meshes are in its camera's frame: y down, the face towards -z, millimetres.
            "axes": ("+X", "-Y", "-Z"),
            "unit": "mm",
        },
    ),
}


def find_files(folder: pathlib.Path, layout: str) -> list[Files]:
    """Lists the captures of a folder.

    Args:
        folder: As the layout has it.
        layout: A key of `LAYOUTS`.

    Raises:
        InputError: If there is no such layout or folder, or it holds no capture.
    """
    if layout not in LAYOUTS:
        raise InputError(f"Unknown layout {layout!r} of captures; have {', '.join(LAYOUTS)}.")
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one that holds the captures.")
    try:
        found = list(LAYOUTS[layout].find(folder))
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); make it readable.") from None
    if not found:
        tree = " ".join((LAYOUTS[layout].find.__doc__ or "").split())
        raise InputError(f"{folder} holds no capture of the layout {layout!r}, which is {tree}")
    return found


def missing_map(layout: str, files: Files) -> str | None:
    """The first kind of map that a capture lacks."""
    rule = LAYOUTS[layout]
    has_mesh = files.mesh is not None and files.mesh.is_file()
    for kind in rule.required:
        if kind not in files.maps and not (has_mesh and kind in rule.by_mesh):
            return kind
    return None


def file_stem(layout: str, kind: str) -> str:
    """What the file of a kind of map is called in a layout."""
    stems: Mapping[str, str] = {
        "ffhq_uv_intrinsics": _INTRINSICS, "nextface": _NEXTFACE
    }.get(layout, _PLAIN)  # fmt: skip
    return stems[kind]


def _files(
    subject: str,
    name: str,
    folder: pathlib.Path,
    stems: Mapping[str, str],
    mesh: pathlib.Path | None,
    folders: tuple[pathlib.Path, ...],
) -> Files:
    mesh = mesh if mesh is not None and mesh.is_file() else None
    return Files(subject, name, str(folder), _maps(folder, stems), mesh, folders, {})


def _maps(folder: pathlib.Path, stems: Mapping[str, str]) -> dict[str, pathlib.Path]:
    found = {kind: find_picture(folder, stem) for kind, stem in stems.items()}
    return {kind: path for kind, path in found.items() if path is not None}


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _number(path: pathlib.Path) -> int:
    found = re.search(r"(\d+)$", path.stem)
    return int(found.group(1)) if found else 0

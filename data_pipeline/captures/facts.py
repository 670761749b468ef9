"""What a laboratory states about its captures: capture.json, checked."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from relightify_jax.core.errors import InputError

FILE = "capture.json"
METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001}

_CODES = ("srgb", "linear", "gamma2.2")
_CHOICES = {
    "uv_layout": ("canonical", "mesh"),
    "diffuse_encoding": _CODES,
    "specular_encoding": _CODES,
    "specular_meaning": ("albedo", "f0", "relative"),
    "roughness_encoding": _CODES,
    "roughness_meaning": ("roughness", "alpha", "alpha_squared", "glossiness"),
    "normal_space": ("object", "tangent", "detect"),
    "normal_green": ("up", "down", "detect"),
    "unit": tuple(METRES),
}
_STATED = ("licence", "uv_layout", "diffuse_encoding", "specular_encoding", "normal_space")


class Facts(NamedTuple):
    """How to read the numbers in a capture's files; see docs/CAPTURES.md."""

    licence: str
    uv_layout: str
    diffuse_encoding: str
    specular_encoding: str
    normal_space: str
    normal_green: str = "up"
    specular_meaning: str = "albedo"
    roughness_encoding: str = "linear"
    roughness_meaning: str = "roughness"
    unit: str = "m"
    # Their axes that point to the subject's left, up and ahead.
    axes: tuple[str, ...] = ("+X", "+Y", "+Z")
    displacement_mm: tuple[float, ...] | None = None  # Heights of black and of white.
    # Left and top of the maps within the whole UV map, and its width and height, in pixels.
    crop: tuple[int, ...] | None = None


def read_facts(folders: Sequence[pathlib.Path], defaults: dict[str, Any]) -> Facts:
    """Gathers the facts of a capture.

    Args:
        folders: Where capture.json may lie; the later one wins, entry by entry.
        defaults: Entries that need not be stated.

    Raises:
        InputError: If an entry is missing, unknown or has no such value.
    """
    entries, where = _gather(folders, defaults)
    missing = [name for name in _STATED if name not in entries]
    if missing:
        choices = _CHOICES.get(missing[0], ("as its owner words it",))
        raise InputError(
            f"{where} does not state {', '.join(missing)}; add "
            f'"{missing[0]}": {" | ".join(choices)}.'
        )
    return Facts(**{name: _frozen(value) for name, value in entries.items()})


def read_frame(
    folders: Sequence[pathlib.Path], defaults: dict[str, Any]
) -> tuple[tuple[str, ...], str]:
    """Axes and unit of the meshes of some folders; arguments and errors as `read_facts`."""
    entries, _ = _gather(folders, defaults)
    entries = {**Facts._field_defaults, **entries}
    return tuple(entries["axes"]), entries["unit"]


def axes_matrix(axes: Sequence[str]) -> np.ndarray:
    """Rotation (3, 3) from their frame to ours: +X the subject's left, +Y up, +Z ahead.

    Raises:
        InputError: If the axes are no right-handed frame.
    """
    matrix = np.zeros((3, 3))
    for row, axis in enumerate(axes):
        matrix[row, "XYZ".index(axis[1])] = 1.0 if axis[0] == "+" else -1.0
    if np.linalg.det(matrix) < 0.5:
        raise InputError(
            f'"axes": {list(axes)} is no right-handed frame; name the axes that point '
            "to the subject's left, up and ahead, and mirror files of left-handed programs."
        )
    return matrix


def _gather(
    folders: Sequence[pathlib.Path], defaults: dict[str, Any]
) -> tuple[dict[str, Any], pathlib.Path]:
    """All entries, checked one by one, and the file that the reader is sent to."""
    entries, where = dict(defaults), folders[-1] / FILE
    for path in (folder / FILE for folder in folders):
        if path.is_file():
            found = _read_json(path)
            for name, value in found.items():
                _check_entry(path, name, value)
            entries, where = entries | found, path
    return entries, where


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as JSON ({error}); write one object of facts, see "
            "docs/CAPTURES.md."
        ) from None
    if not isinstance(entries, dict):
        raise InputError(f"{path} must hold one JSON object of facts.")
    return entries


def _check_entry(where: pathlib.Path, name: str, value: Any) -> None:
    if name not in Facts._fields:
        raise InputError(
            f"{where} states {name!r}, which means nothing here; have {', '.join(Facts._fields)}."
        )
    if name in _CHOICES:
        valid, wanted = value in _CHOICES[name], " | ".join(_CHOICES[name])
    elif name == "axes":
        valid = _is_list(value, 3, str) and all(
            len(axis) == 2 and axis[0] in "+-" and axis[1] in "XYZ" for axis in value
        )
        wanted = 'three of "+X", "-X", "+Y", ...'
    elif name == "displacement_mm":
        valid = value is None or _is_list(value, 2, (int, float))
        wanted = "[height of black, height of white] in millimetres"
    elif name == "crop":
        valid = value is None or (_is_list(value, 4, int) and min(value[2:]) > 0)
        wanted = "[left, top, width of the whole map, its height] in pixels"
    else:
        valid, wanted = isinstance(value, str) and bool(value.strip()), "a text"
    if not valid:
        raise InputError(f'{where} has "{name}": {value!r}; give {wanted}.')


def _is_list(value: Any, length: int, kind: type | tuple[type, ...]) -> bool:
    is_list = isinstance(value, list | tuple) and len(value) == length
    return is_list and all(isinstance(x, kind) and not isinstance(x, bool) for x in value)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

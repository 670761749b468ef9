"""This project's own file format of face models.

A model file is an .npz with the arrays of `MorphableModel` under the names of its fields
(float32 metres and int32), `quads`, and the strings `expression_names`, `name`, `licence`.
`expression_range`, `expression_deviation`, `albedo_mean` and `albedo_modes` may be left out.
"""

import os
from typing import Any

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path, read_npz
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel, VertexAlbedo

# Field, number of axes, and whether it holds floats.
_ARRAYS = (
    ("mean", 2, True), ("identity", 3, True), ("expression", 3, True),
    ("faces", 2, False), ("uv", 2, True), ("uv_faces", 2, False), ("face_part", 1, False),
    ("landmark_vertices", 2, False), ("landmark_bary", 2, True), ("landmark_spread", 1, True),
    ("quads", 2, False),
)  # fmt: skip
_OPTIONAL = (
    ("expression_range", 2, True), ("expression_deviation", 1, True),
    ("albedo_mean", 2, True), ("albedo_modes", 3, True),
)  # fmt: skip
_STRINGS = ("expression_names", "name", "licence")


def save_face_model(
    path: str | os.PathLike[str], model: MorphableModel, *, compress: bool = True
) -> None:
    """Writes a model in this project's format, whole or not at all."""
    fields: dict[str, Any] = {
        name: np.asarray(getattr(model, name)) for name in (*(n for n, *_ in _ARRAYS), *_STRINGS)
    }
    optional = {
        "expression_range": model.expression_range,
        "expression_deviation": model.expression_deviation,
    }
    if model.albedo is not None:
        optional |= {"albedo_mean": model.albedo.mean, "albedo_modes": model.albedo.modes}
    fields |= {name: np.asarray(value) for name, value in optional.items() if value is not None}
    with atomic_path(path) as partial, partial.open("wb") as file:
        (np.savez_compressed if compress else np.savez)(file, **fields)


def read_face_model(path: str | os.PathLike[str]) -> MorphableModel:
    """Reads a model in this project's format.

    Raises:
        InputError: If the file is missing, lacks arrays, or they do not fit together.
    """
    arrays = read_npz(path, "a face model")
    missing = [name for name in (*(n for n, *_ in _ARRAYS), *_STRINGS) if name not in arrays]
    if missing:
        raise InputError(f"{path} is not a face model: it lacks {', '.join(missing)}.")
    present = (*_ARRAYS, *(entry for entry in _OPTIONAL if entry[0] in arrays))
    for name, num_axes, is_float in present:
        array = arrays[name]
        if array.ndim != num_axes or np.issubdtype(array.dtype, np.floating) != is_float:
            raise InputError(
                f"{path} is not a face model: {name} is {array.dtype} of shape {array.shape}."
            )
        if is_float and not np.isfinite(array).all():
            raise InputError(f"{path}: {name} holds NaN or infinity; export the model again.")
    _check_fit(path, arrays)
    values = {
        name: jnp.asarray(arrays[name], jnp.float32 if is_float else jnp.int32)
        for name, _, is_float in present
    }
    mean, modes = values.pop("albedo_mean", None), values.pop("albedo_modes", None)
    return MorphableModel(
        **values,
        albedo=None if mean is None or modes is None else VertexAlbedo(mean, modes),
        expression_names=tuple(str(name) for name in arrays["expression_names"]),
        name=str(arrays["name"]),
        licence=str(arrays["licence"]),
    )


def _check_fit(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> None:
    """Whether sizes, indices and units of the arrays agree."""
    num_vertices, num_uv = len(arrays["mean"]), len(arrays["uv"])
    complaints = {
        "identity and expression must have as many vertices as mean": any(
            arrays[name].shape[1:] != arrays["mean"].shape for name in ("identity", "expression")
        ),
        "every expression needs a name": len(arrays["expression"])
        != len(arrays["expression_names"]),
        "expression_range must be (E, 2) and expression_deviation (E,)": any(
            name in arrays and arrays[name].shape != (len(arrays["expression"]), *rest)
            for name, rest in (("expression_range", (2,)), ("expression_deviation", ()))
        ),
        "albedo_mean and albedo_modes must have as many vertices as mean": any(
            name in arrays and arrays[name].shape[-2:] != arrays["mean"].shape
            for name in ("albedo_mean", "albedo_modes")
        ),
        "faces, uv_faces and face_part must have one row per triangle": not (
            arrays["faces"].shape == arrays["uv_faces"].shape
            and len(arrays["faces"]) == len(arrays["face_part"])
        ),
        "there must be 468 landmarks": any(
            len(arrays[name]) != 468
            for name in ("landmark_vertices", "landmark_bary", "landmark_spread")
        ),
        "indices must lie within the vertices and UVs": not (
            _within(arrays["faces"], num_vertices)
            and _within(arrays["uv_faces"], num_uv)
            and _within(arrays["landmark_vertices"], num_vertices)
            and _within(arrays["face_part"], len(PARTS))
        ),
        "triangles must be sorted by part": bool(np.any(np.diff(arrays["face_part"]) < 0)),
        "vertices must be in metres": not 0.1 < np.ptp(arrays["mean"][:, 1]) < 1.0,
    }
    for sentence, is_wrong in complaints.items():
        if is_wrong:
            raise InputError(f"{path} is not a usable face model: {sentence}.")


def _within(indices: np.ndarray, count: int) -> bool:
    return indices.size > 0 and int(indices.min()) >= 0 and int(indices.max()) < count

"""Face models as files: which one a program's --face_model means, and our own format.

Our format is one .npz file without pickles. Its arrays are the fields of `MorphableModel`
under their own names, metres, UV v down, plus "format":

    format            text, FORMAT
    mean (V, 3), identity (K, V, 3), expression (E, V, 3)          float16 or float32
    faces (F, 3), uv_faces (F, 3), face_part (F,), quads (Q, 4)    integers
    uv (T, 2), landmark_bary (468, 3), landmark_spread (468,)      float32
    landmark_vertices (468, 3)                                     integers
    expression_names (E,), name, licence                           text
"""

import os
import pathlib

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path, read_npz
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.ict import load_ict_folder, load_ict_npz
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel

FORMAT = "relightify face model 1"
_FLOATS = ("mean", "identity", "expression", "uv", "landmark_bary", "landmark_spread")
_INTEGERS = ("faces", "uv_faces", "face_part", "landmark_vertices", "quads")
_TEXTS = ("expression_names", "name", "licence")
_SHAPES = {
    "mean": ("V", 3),
    "identity": ("K", "V", 3),
    "expression": ("E", "V", 3),
    "faces": ("F", 3),
    "uv": ("T", 2),
    "uv_faces": ("F", 3),
    "face_part": ("F",),
    "landmark_vertices": ("L", 3),
    "landmark_bary": ("L", 3),
    "landmark_spread": ("L",),
    "quads": ("Q", 4),
    "expression_names": ("E",),
    "name": (),
    "licence": (),
}
NUM_LANDMARKS = 468


def load_face_model(spec: str) -> MorphableModel:
    """Loads the face model that a user named.

    Args:
        spec: "embedded", "ict:PATH" with an ICT-FaceKit folder or .npz, or the path of a
            file of our own format.

    Raises:
        InputError: If there is no such model or it cannot be used.
    """
    if spec == "embedded":
        return load_embedded_model()
    kind, _, path = spec.partition(":")
    if kind == "ict" and path:
        return load_ict_npz(path) if path.endswith(".npz") else load_ict_folder(path)
    if not spec.endswith(".npz"):
        raise InputError(
            f"There is no face model {spec!r}; give 'embedded', 'ict:PATH' with the folder of "
            "ICT-FaceKit, or the path of a face model in .npz."
        )
    return _read_own(spec)


def save_face_model(path: str | os.PathLike[str], model: MorphableModel) -> None:
    """Writes a model in our own format; `load_face_model` reads it back unchanged."""
    arrays = {name: np.asarray(getattr(model, name)) for name in (*_FLOATS, *_INTEGERS)}
    arrays |= {name: np.array(getattr(model, name)) for name in _TEXTS}
    if not model.expression_names:
        arrays["expression_names"] = np.zeros(0, "U1")
    with atomic_path(path) as partial:
        np.savez_compressed(partial, format=np.array(FORMAT), **arrays)


def _read_own(path: str) -> MorphableModel:
    arrays = read_npz(path, "a face model")
    missing = [name for name in _SHAPES if name not in arrays]
    if missing:
        hint = "; for an ICT-FaceKit file write ict:PATH" if "group_names" in arrays else ""
        raise InputError(
            f"{path} is not a face model of {FORMAT!r}: it lacks {', '.join(missing)}{hint}."
        )
    _check_shapes(path, arrays)
    _check_values(path, arrays)
    floats = {name: jnp.asarray(arrays[name], jnp.float32) for name in _FLOATS}
    integers = {name: jnp.asarray(arrays[name], jnp.int32) for name in _INTEGERS[:-1]}
    return MorphableModel(
        **floats,
        **integers,
        quads=arrays["quads"].astype(np.int32),
        expression_names=tuple(str(name) for name in arrays["expression_names"]),
        name=str(arrays["name"]),
        licence=str(arrays["licence"]),
    )


def _check_shapes(path: str, arrays: dict[str, np.ndarray]) -> None:
    sizes: dict[str, int] = {"L": NUM_LANDMARKS}
    for name, shape in _SHAPES.items():
        found = arrays[name].shape
        agrees = len(found) == len(shape) and all(
            size == (sizes.setdefault(want, size) if isinstance(want, str) else want)
            for want, size in zip(shape, found, strict=True)
        )
        if not agrees:
            wanted = tuple(sizes.get(want, want) for want in shape)
            raise InputError(
                f"{path} cannot be used as a face model: {name} has shape {found}, expected "
                f"({', '.join(map(str, wanted))})."
            )


def _check_values(path: str, arrays: dict[str, np.ndarray]) -> None:
    def complain(problem):
        raise InputError(f"{path} cannot be used as a face model: {problem}.")

    for name in _FLOATS:
        if arrays[name].dtype.kind != "f":
            complain(f"{name} holds {arrays[name].dtype} instead of floating-point numbers")
        if not np.isfinite(arrays[name]).all():
            complain(f"{name} holds NaN or infinite numbers")
    num_vertices, num_uv = len(arrays["mean"]), len(arrays["uv"])
    limits = {"faces": num_vertices, "landmark_vertices": num_vertices, "quads": num_vertices}
    limits |= {"uv_faces": num_uv, "face_part": len(PARTS)}
    for name, limit in limits.items():
        values = arrays[name]
        if values.dtype.kind not in "iu":
            complain(f"{name} holds {values.dtype} instead of integers")
        if values.size and (values.min() < 0 or values.max() >= limit):
            complain(f"{name} holds indices outside 0 to {limit - 1}")
    if (np.diff(arrays["face_part"].astype(int)) < 0).any():
        complain("its triangles are not sorted by part")
    extent = np.ptp(arrays["mean"], axis=0).max() if num_vertices else 0.0
    if not 0.1 < extent < 1.5:
        complain(f"it is {extent:.3g} m large; heads are in metres, about 0.3")


def describe_model(model: MorphableModel) -> str:
    """One line about a model, for logs and reports."""
    return (
        f"{pathlib.Path(model.name).name}: {model.mean.shape[0]} vertices, "
        f"{model.faces.shape[0]} triangles, {model.identity.shape[0]} identity modes, "
        f"{model.expression.shape[0]} expressions"
    )

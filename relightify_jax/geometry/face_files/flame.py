"""Reader of FLAME, a head with 300 shape and 100 expression modes, and its eye, jaw and neck.

Li et al., "Learning a model of facial shape and expression from 4D scans", SIGGRAPH Asia
2017. The files are Python 2 pickles with chumpy and scipy.sparse objects, in metres, +Y up,
the face along +Z; coefficients are in standard deviations. Pickles are programs: only what
such a file needs is let through, and chumpy, long abandoned, is not needed.
"""

import collections
import io
import os
import pathlib
import pickle
from typing import Any

import numpy as np
import scipy.sparse

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import read_npz
from relightify_jax.geometry.face_files.raw import (
    Joints,
    Origin,
    RawFaceModel,
    check_model,
    require_keys,
    require_shapes,
)

ORIGIN = Origin(
    file="generic_model.pkl (FLAME 2020), flame2023.pkl or flame2023_Open.pkl",
    url="https://flame.is.tue.mpg.de",
    licence="accepted on the site: CC BY 4.0 for 2020 and 2023 Open, else non-commercial",
    unit="metres",
)
JOINT_NAMES = ("root", "neck", "jaw", "eye_left", "eye_right")
_NUM_VERTICES = 5023
_NUM_SHAPE, _NUM_EXPRESSION = 300, 100
_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")


def read_flame(path: str | os.PathLike[str]) -> RawFaceModel:
    """Reads FLAME 2020 or 2023.

    Args:
        path: The .pkl file as downloaded, or an .npz file with the same entries.

    Returns:
        The model, with `joints` named `JOINT_NAMES` and without colour.

    Raises:
        InputError: If the file is missing, holds anything but arrays, or does not fit.
    """
    path = pathlib.Path(path)
    if path.suffix == ".npz":
        entries: dict[str, Any] = read_npz(path, "a FLAME model")
    else:
        entries = read_pickle(path, ORIGIN)
    require_keys(path, ORIGIN, entries, _KEYS)
    arrays = {key: _as_array(path, key, entries[key]) for key in _KEYS}
    vertices, joints = _NUM_VERTICES, len(JOINT_NAMES)
    shapes = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, _NUM_SHAPE + _NUM_EXPRESSION),
        "posedirs": (vertices, 3, 9 * (joints - 1)),
        "J_regressor": (joints, vertices),
        "weights": (vertices, joints),
        "kintree_table": (2, joints),
        "f": (None, 3),
    }
    require_shapes(path, ORIGIN, arrays, shapes)
    identity, expression = np.split(arrays["shapedirs"], [_NUM_SHAPE], axis=2)
    return check_model(
        path,
        ORIGIN,
        RawFaceModel(
            points=arrays["v_template"],
            identity=identity,
            expression=expression,
            triangles=arrays["f"].astype(np.int64),
            colour=None,
            joints=_joints(arrays, identity, expression),
            identity_names=tuple(f"shape{i:03d}" for i in range(_NUM_SHAPE)),
            expression_names=tuple(f"expression{i:03d}" for i in range(_NUM_EXPRESSION)),
            name="FLAME",
            licence=ORIGIN.licence,
            source=ORIGIN.url,
        ),
    )


def _joints(arrays: dict[str, np.ndarray], identity: np.ndarray, expression: np.ndarray) -> Joints:
    """The joints that the regressor finds on the shaped head."""
    regressor = arrays["J_regressor"]
    # The root's parent is written as 2^32 - 1, or -1.
    parents = [int(parent) for parent in arrays["kintree_table"][0]]
    # The root, which turns the whole head, has no correctives in the file.
    correctives = np.pad(arrays["posedirs"], ((0, 0), (0, 0), (9, 0)))
    return Joints(
        names=JOINT_NAMES,
        parents=tuple(parent if 0 <= parent < len(parents) else -1 for parent in parents),
        positions=regressor @ arrays["v_template"],
        position_identity=np.tensordot(regressor, identity, axes=1),
        position_expression=np.tensordot(regressor, expression, axes=1),
        weights=arrays["weights"],
        correctives=correctives,
    )


def read_pickle(path: str | os.PathLike[str], origin: Origin) -> dict[str, Any]:
    """Reads a pickled dictionary of arrays without running anything that is in it.

    Raises:
        InputError: If the file is missing or damaged, or asks for anything but NumPy
            arrays, scipy.sparse matrices and chumpy's containers.
    """
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise origin.error(path, f"cannot be read ({error.strerror})") from None
    try:
        entries = _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    except InputError as error:
        raise origin.error(path, str(error)) from None
    except Exception as error:  # A damaged pickle raises whatever it runs into.
        raise origin.error(path, f"is no readable pickle ({error})") from None
    if not isinstance(entries, dict):
        raise origin.error(path, f"holds a {type(entries).__name__} instead of named arrays")
    return {str(key): value for key, value in entries.items()}


class _Container:
    """Stands for a class of chumpy or scipy: keeps the state and does nothing."""

    state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _ColumnMatrix(_Container):
    """Stands for scipy.sparse.csc_matrix."""


class _RowMatrix(_Container):
    """Stands for scipy.sparse.csr_matrix."""


def _encode(text: str, encoding: str) -> bytes:
    """The part of `codecs.encode` with which pickles write bytes."""
    if encoding != "latin1":
        raise InputError(f"asks for the encoding {encoding!r}")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Gives what a face model needs and refuses the rest."""
        # Files name the modules of the NumPy and SciPy that wrote them.
        root = module.partition(".")[0]
        if root == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if root == "numpy" and module.endswith("multiarray") and name in _NUMPY:
            return _NUMPY[name]
        if root == "scipy" and ".sparse" in module and name in _SPARSE:
            return _SPARSE[name]
        if root == "chumpy":
            return _Container
        if (module, name) in _BUILTINS:
            return _BUILTINS[module, name]
        raise InputError(f"is no face model: it asks to run {module}.{name}")


_SPARSE = {"csc_matrix": _ColumnMatrix, "csr_matrix": _RowMatrix}
_NUMPY = {
    # Taken from NumPy's own pickles: the module that holds them has moved.
    "_reconstruct": np.zeros(1).__reduce__()[0],
    "scalar": np.float64(0).__reduce__()[0],
}
_BUILTINS: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode,
    ("copy_reg", "_reconstructor"): _Container().__reduce_ex__(0)[0],
    ("copyreg", "_reconstructor"): _Container().__reduce_ex__(0)[0],
    ("collections", "OrderedDict"): collections.OrderedDict,
    **{
        (module, kind.__name__): kind
        for module in ("__builtin__", "builtins")
        for kind in (object, set, frozenset, bytes)
    },
    ("__builtin__", "long"): int,
    ("__builtin__", "unicode"): str,
}


def _as_array(path: str | os.PathLike[str], key: str, value: Any) -> np.ndarray:
    """The numbers of an array, a sparse matrix or a container of chumpy, float32 if real."""
    try:
        array = np.asarray(_unwrap(value))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ORIGIN.error(path, f"has a damaged {key} ({error})") from None
    if array.dtype.kind not in "fiu":
        raise ORIGIN.error(path, f"has no plain array under {key}")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _unwrap(value: Any) -> Any:
    """The array in a sparse matrix, or in chumpy's `Ch` (x) or `Select` (a at idxs)."""
    if not isinstance(value, _Container):
        return value
    state = value.state
    if isinstance(value, _ColumnMatrix | _RowMatrix):
        is_rows = isinstance(value, _RowMatrix)
        build = scipy.sparse.csr_matrix if is_rows else scipy.sparse.csc_matrix
        shape = state["_shape"] if "_shape" in state else state["shape"]
        matrix = build((state["data"], state["indices"], state["indptr"]), shape=shape)
        matrix.check_format(full_check=True)  # The conversion trusts its indices.
        return matrix.toarray()
    if "x" in state:
        return _unwrap(state["x"])
    if "a" in state and "idxs" in state:
        picked = np.ravel(_unwrap(state["a"]))[np.ravel(state["idxs"])]
        return picked.reshape(state.get("preferred_shape", picked.shape))
    return None

"""Readers of the Basel Face Models, masks of the face (2019 also a head) with vertex colours.

2009: Paysan et al., "A 3D face model for pose and illumination invariant face recognition",
AVSS 2009; a MATLAB file in micrometres, colours of 0 to 255, modes of unit length beside
their standard deviations, triangles 1-based and wound clockwise.
2017: Gerig et al., "Morphable face models - an open framework", FG 2018; and 2019: statismo's
HDF5 in millimetres, colours of 0 to 1, modes of unit length beside their variances. The mean
of the expressions is a displacement that every face has.

All have +Y up and the face along +Z. Colours are those of photographs, taken for sRGB.
"""

import os
import pathlib
from typing import Any

import numpy as np
import scipy.io

from relightify_jax.core.errors import InputError
from relightify_jax.geometry.face_files.raw import (
    Colour,
    Origin,
    RawFaceModel,
    check_model,
    colour_from_srgb,
    require_keys,
    require_shapes,
)

ORIGIN_2009 = Origin(
    file="01_MorphableModel.mat (Basel Face Model 2009)",
    url="https://faces.dmi.unibas.ch/bfm/",
    licence="signed form, non-commercial; commercial use is sold",
    unit="micrometres",
)
ORIGIN_2017 = Origin(
    file="model2017-1_bfm_nomouth.h5, model2017-1_face12_nomouth.h5 or model2019_*.h5",
    url="https://faces.dmi.unibas.ch/bfm/bfm2017.html",
    licence="form by mail, non-commercial",
    unit="millimetres",
)
_NUM_VERTICES_2009 = 53490
_MODELS = ("shape", "color", "expression")
_PARTS = ("mean", "pcaBasis", "pcaVariance")
# Metres: farther than the mean expression moves a vertex, nearer than a face is large.
_MAX_MEAN_EXPRESSION = 0.05


def read_bfm2009(path: str | os.PathLike[str]) -> RawFaceModel:
    """Reads the Basel Face Model 2009, which has no expressions.

    Args:
        path: 01_MorphableModel.mat.

    Returns:
        The model, with colour and without joints.

    Raises:
        InputError: If the file is missing or does not fit.
    """
    origin = ORIGIN_2009
    arrays: dict[str, Any] = {}
    try:
        arrays = scipy.io.loadmat(os.fspath(path), appendmat=False)
    except OSError as error:
        raise origin.error(path, f"cannot be read ({error.strerror})") from None
    except Exception as error:  # scipy raises whatever a damaged file runs into.
        raise origin.error(path, f"is no readable MATLAB file ({error})") from None
    keys = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
    require_keys(path, origin, arrays, keys)
    size = 3 * _NUM_VERTICES_2009
    shapes: dict[str, tuple[int | None, ...]] = {"tl": (None, 3)}
    for model in ("shape", "tex"):
        modes = np.shape(arrays[f"{model}PC"])[-1]
        shapes |= {f"{model}MU": (size, 1), f"{model}PC": (size, None), f"{model}EV": (modes, 1)}
    require_shapes(path, origin, arrays, shapes)

    def modes_of(model: str, unit: float) -> np.ndarray:
        scale = (unit * arrays[f"{model}EV"][:, 0]).astype(np.float32)
        return (arrays[f"{model}PC"].astype(np.float32) * scale).reshape(-1, 3, len(scale))

    identity = modes_of("shape", 1e-6)
    return check_model(
        path,
        origin,
        RawFaceModel(
            points=arrays["shapeMU"].reshape(-1, 3) * 1e-6,
            identity=identity,
            expression=np.zeros((len(identity), 3, 0), np.float32),
            # 0-based, and turned round: MATLAB's triangles are clockwise from outside.
            triangles=arrays["tl"].astype(np.int64)[:, [0, 2, 1]] - 1,
            colour=colour_from_srgb(
                arrays["texMU"].reshape(-1, 3) / 255.0, modes_of("tex", 1 / 255)
            ),
            joints=None,
            identity_names=tuple(f"shape{i:03d}" for i in range(identity.shape[2])),
            expression_names=(),
            name="Basel Face Model 2009",
            licence=origin.licence,
            source=origin.url,
        ),
    )


def read_bfm2017(path: str | os.PathLike[str], year: str = "2017") -> RawFaceModel:
    """Reads a Basel Face Model of 2017 or 2019, of any of their croppings.

    Args:
        path: The .h5 file. Models of identity, expression and colour are used where
            present; that of identity must be.
        year: For the model's name; the files do not tell.

    Returns:
        The model, whose `points` include the mean expression, without joints.

    Raises:
        InputError: If h5py or the file is missing, or the file does not fit.
    """
    origin = ORIGIN_2017
    arrays = _read_h5(path)
    needed = [f"shape/model/{part}" for part in _PARTS] + ["shape/representer/cells"]
    require_keys(path, origin, arrays, needed)
    size = np.asarray(arrays["shape/model/mean"]).size
    present = [name for name in _MODELS if f"{name}/model/mean" in arrays]
    for name in present:
        keys = [f"{name}/model/{part}" for part in _PARTS]
        require_keys(path, origin, arrays, keys)
        modes = np.size(arrays[keys[2]])
        shapes = dict(zip(keys, ((size,), (size, modes), (modes,)), strict=True))
        require_shapes(path, origin, arrays, shapes)
    if size % 3:
        raise origin.error(path, f"has a mean of {size} numbers, which are no 3-D points")
    cells = np.asarray(arrays["shape/representer/cells"])
    cells = cells if cells.ndim == 2 and cells.shape[0] != 3 else cells.T
    require_shapes(path, origin, {"shape/representer/cells": cells}, {needed[-1]: (None, 3)})

    mean, identity = _statismo(arrays, "shape", 1e-3)
    shift, expression = np.zeros_like(mean), np.zeros((len(mean), 3, 0), np.float32)
    if "expression" in present:
        shift, expression = _statismo(arrays, "expression", 1e-3)
    if np.abs(shift).max() > _MAX_MEAN_EXPRESSION:
        raise origin.error(path, "has an expression/model/mean that is no displacement in mm")
    colour: Colour | None = None
    if "color" in present:
        colour = colour_from_srgb(*_statismo(arrays, "color", 1.0))
    return check_model(
        path,
        origin,
        RawFaceModel(
            points=mean + shift,
            identity=identity,
            expression=expression,
            triangles=cells.astype(np.int64),
            colour=colour,
            joints=None,
            identity_names=tuple(f"shape{i:03d}" for i in range(identity.shape[2])),
            expression_names=tuple(f"expression{i:03d}" for i in range(expression.shape[2])),
            name=f"Basel Face Model {year}",
            licence=origin.licence,
            source=origin.url,
        ),
    )


def _statismo(arrays: dict[str, Any], name: str, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (V, 3) and modes (V, 3, K), scaled by the standard deviations, of one model."""
    mean, basis, variance = (arrays[f"{name}/model/{part}"] for part in _PARTS)
    scale = (unit * np.sqrt(np.maximum(variance, 0))).astype(np.float32)
    modes = basis.astype(np.float32) * scale
    return mean.reshape(-1, 3) * unit, modes.reshape(-1, 3, len(scale))


def _read_h5(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a statismo file that are read here, by their paths in it."""
    try:
        import h5py
    except ImportError:
        raise InputError(f"Reading {path} needs h5py; run: pip install h5py") from None
    if not pathlib.Path(path).is_file():
        raise ORIGIN_2017.error(path, "does not exist")
    keys = [f"{name}/model/{part}" for name in _MODELS for part in _PARTS]
    try:
        with h5py.File(path, "r") as file:
            wanted = [key for key in (*keys, "shape/representer/cells") if key in file]
            return {key: file[key][()] for key in wanted}
    except Exception as error:  # h5py raises whatever a damaged file runs into.
        raise ORIGIN_2017.error(path, f"is no readable HDF5 file ({error})") from None

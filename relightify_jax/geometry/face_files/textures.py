"""Readers of statistical albedo that lies in files beside a face model.

AlbedoMM: Smith et al., "A morphable face albedo model", CVPR 2020: colours of the vertices of
the Basel Face Models of 2017 and 2019, linear RGB, modes of unit length beside their variances.
FLAME's texture spaces: pictures of 512 x 512, blue first, whose modes are in standard
deviations; FLAME_texture.npz of 0 to 255, the one made from the Basel Face Model of 0 to 1, both
taken for sRGB; AlbedoMM's own for FLAME, of 0 to 1, linear. Here they are looked up at the
vertices. Where vertices lie in the picture is told by `vt` and `ft` of the file, or else by
head_template.obj beside it, as it comes with FLAME.
"""

import pathlib
from collections.abc import Sequence

import numpy as np
from absl import logging

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import read_npz
from relightify_jax.geometry.face_files.raw import (
    Colour,
    Origin,
    RawFaceModel,
    colour_from_srgb,
    require_keys,
    require_shapes,
)

ORIGIN_ALBEDOMM = Origin(
    file="albedoModel2020_bfm_albedoPart.h5 or albedoModel2020_face12_albedoPart.h5",
    url="https://github.com/waps101/AlbedoMM/releases",
    licence="academic use only",
    unit="linear RGB",
)
ORIGIN_FLAME_TEXTURE = Origin(
    file="FLAME_texture.npz, FLAME_albedo_from_BFM.npz or albedoModel2020_FLAME_albedoPart.npz",
    url="https://flame.is.tue.mpg.de and https://github.com/TimoBolkart/BFM_to_FLAME",
    licence="of the FLAME site, of the Basel Face Model and academic use, respectively",
    unit="texels",
)
ALBEDOMM_FILES = ("albedoModel2020_*_albedoPart.h5",)
# The first that is there counts: true albedo before the colours of photographs.
FLAME_TEXTURE_FILES = (
    "albedoModel2020_FLAME_albedoPart.npz",
    "FLAME_albedo_from_BFM.npz",
    "FLAME_texture.npz",
)
_SIDE = 512
_TEMPLATES = ("head_template.obj", "head_template_mesh.obj")


def read_albedomm(paths: Sequence[pathlib.Path], model: RawFaceModel) -> RawFaceModel:
    """Gives a Basel Face Model the albedo of AlbedoMM.

    Args:
        paths: Files of AlbedoMM; the one of the model's number of vertices counts.
        model: The model.

    Returns:
        The model with another `colour`; as it is, with a line in the log, if none fits.

    Raises:
        InputError: If h5py is missing or a file is damaged.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f"Reading {paths[0]} needs h5py; run: pip install h5py") from None
    keys = [f"diffuseAlbedo/model/{part}" for part in ("mean", "pcaBasis", "pcaVariance")]
    size = model.points.size
    for path in paths:
        try:
            with h5py.File(path, "r") as file:
                arrays = {key: file[key][()] for key in keys if key in file}
        except Exception as error:  # h5py raises whatever a damaged file runs into.
            raise ORIGIN_ALBEDOMM.error(path, f"is no readable HDF5 file ({error})") from None
        require_keys(path, ORIGIN_ALBEDOMM, arrays, keys)
        if np.size(arrays[keys[0]]) != size:
            logging.warning(
                "%s is left out: it has %d vertices, %s %d",
                path, np.size(arrays[keys[0]]) // 3, model.name, len(model.points),
            )  # fmt: skip
            continue
        mean, basis, variance = (np.asarray(arrays[key], np.float32) for key in keys)
        modes = variance.size
        shapes = dict(zip(keys, ((size,), (size, modes), (modes,)), strict=True))
        flat = {keys[0]: mean.ravel(), keys[1]: basis, keys[2]: variance.ravel()}
        require_shapes(path, ORIGIN_ALBEDOMM, flat, shapes)
        scaled = basis * np.sqrt(np.maximum(variance.ravel(), 0))
        colour = Colour(np.clip(mean.reshape(-1, 3), 0, 1), scaled.reshape(-1, 3, modes))
        return model._replace(colour=colour)
    return model


def read_flame_texture(paths: Sequence[pathlib.Path], model: RawFaceModel) -> RawFaceModel:
    """Gives FLAME the colours of a texture space.

    Args:
        paths: Files of texture spaces, the first of which counts.
        model: FLAME.

    Returns:
        The model with `colour`.

    Raises:
        InputError: If the file is damaged, or nothing tells where the vertices lie in it.
    """
    path, origin = paths[0], ORIGIN_FLAME_TEXTURE
    arrays = read_npz(path, f"{origin.file} from {origin.url}")
    names = ("mean", "tex_dir") if "tex_dir" in arrays else ("MU", "PC")
    require_keys(path, origin, arrays, names)
    for name in names:
        if arrays[name].size == 0 or arrays[name].size % (3 * _SIDE**2):
            raise origin.error(path, f"has {name} of shape {arrays[name].shape}")
    num_modes = arrays[names[1]].size // (3 * _SIDE**2)
    mean = arrays[names[0]].reshape(_SIDE, _SIDE, 3, 1)
    modes = arrays[names[1]].reshape(_SIDE, _SIDE, 3, num_modes)
    uv = _vertex_uv(path, arrays, model)
    scale = 1 / 255 if names[0] == "mean" else 1.0
    mean, modes = (scale * _look_up(texture, uv)[:, ::-1] for texture in (mean, modes))
    if not (np.isfinite(mean).all() and np.isfinite(modes).all() and mean.max() <= 1.5):
        raise origin.error(path, "is no texture space: its colours are out of range")
    if path.name.startswith("albedoModel2020"):
        return model._replace(colour=Colour(np.clip(mean[..., 0], 0, 1), modes))
    return model._replace(colour=colour_from_srgb(mean[..., 0], modes))


def _look_up(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear look-up (V, 3, A) in (R, R, 3, A) at uv (V, 2), v up."""
    place = np.clip(uv * [1, -1] + [0, 1], 0, 1) * _SIDE - 0.5
    low = np.clip(np.floor(place).astype(int), 0, _SIDE - 2)
    x, y = np.moveaxis(np.clip(place - low, 0, 1), 1, 0)[..., None, None]
    column, row = low.T
    upper = texture[row, column] * (1 - x) + texture[row, column + 1] * x
    lower = texture[row + 1, column] * (1 - x) + texture[row + 1, column + 1] * x
    return (upper * (1 - y) + lower * y).astype(np.float32)


def _vertex_uv(
    path: pathlib.Path, arrays: dict[str, np.ndarray], model: RawFaceModel
) -> np.ndarray:
    """Texture coordinates (V, 2) of the vertices, v up; of several the last."""
    if "vt" in arrays and "ft" in arrays:
        uv, corners, triangles = arrays["vt"], arrays["ft"].astype(np.int64), model.triangles
    else:
        templates = [path.with_name(name) for name in _TEMPLATES]
        found = [template for template in templates if template.is_file()]
        if not found:
            raise ORIGIN_FLAME_TEXTURE.error(
                path, f"needs {_TEMPLATES[0]}, which comes with FLAME, beside it, or neither"
            )
        path = found[0]
        uv, corners, triangles = _read_template(path)
    fits = (
        uv.ndim == 2
        and uv.shape[1] >= 2
        and corners.shape == triangles.shape == model.triangles.shape
        and 0 <= corners.min() <= corners.max() < len(uv)
        and triangles.max() < len(model.points)
    )
    if not fits:
        raise ORIGIN_FLAME_TEXTURE.error(path, f"does not fit the triangles of {model.name}")
    out = np.zeros((len(model.points), 2))
    out[triangles] = uv[corners][..., :2]
    return out


def _read_template(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Texture coordinates (T, 2), their triangles and those of the vertices (F, 3) of an OBJ."""
    uv, corners, triangles = [], [], []
    try:
        for line in path.read_text().splitlines():
            kind, *fields = line.split() or [""]
            if kind == "vt":
                uv.append([float(field) for field in fields[:2]])
            elif kind == "f":
                pairs = [field.split("/")[:2] for field in fields[:3]]
                triangles.append([int(vertex) - 1 for vertex, _ in pairs])
                corners.append([int(texture) - 1 for _, texture in pairs])
        return np.array(uv), np.array(corners), np.array(triangles)
    except ValueError as error:
        raise ORIGIN_FLAME_TEXTURE.error(path, f"is no readable OBJ file ({error})") from None

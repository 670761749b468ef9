"""Face models by name: what every program's --face_model takes."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from absl import logging

from relightify_jax.core.errors import InputError
from relightify_jax.face_models.adapt import adapt_model
from relightify_jax.face_models.cache import cached_model
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.face_files.bfm import (
    ORIGIN_2009,
    ORIGIN_2017,
    read_bfm2009,
    read_bfm2017,
)
from relightify_jax.geometry.face_files.flame import ORIGIN as ORIGIN_FLAME
from relightify_jax.geometry.face_files.flame import read_flame
from relightify_jax.geometry.face_files.gnm import ORIGIN as ORIGIN_GNM
from relightify_jax.geometry.face_files.gnm import read_gnm
from relightify_jax.geometry.face_files.raw import Origin, RawFaceModel
from relightify_jax.geometry.face_files.textures import (
    ALBEDOMM_FILES,
    FLAME_TEXTURE_FILES,
    read_albedomm,
    read_flame_texture,
)
from relightify_jax.geometry.ict import ict_files, load_ict_folder, load_ict_npz
from relightify_jax.geometry.model_files import read_face_model
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.landmarks.network import load_networks


class Kind(NamedTuple):
    """A kind of file with a laboratory's model."""

    origin: Origin
    names: tuple[str, ...]  # Of the file, as patterns, looked for when a folder is given.
    read: Callable[[pathlib.Path], RawFaceModel]
    # Files of albedo that may lie beside the model, and the reader of colours from one.
    albedo_names: tuple[str, ...] = ()
    read_albedo: Callable | None = None


KINDS = {
    "gnm": Kind(ORIGIN_GNM, ("gnm_head*.npz",), read_gnm),
    "flame": Kind(
        ORIGIN_FLAME,
        ("flame2023_Open.pkl", "flame2023*.pkl", "generic_model.pkl"),
        read_flame,
        FLAME_TEXTURE_FILES,
        read_flame_texture,
    ),
    "bfm2017": Kind(
        ORIGIN_2017,
        ("model2017*.h5",),
        lambda path: read_bfm2017(path, "2017"),
        ALBEDOMM_FILES,
        read_albedomm,
    ),
    "bfm2019": Kind(
        ORIGIN_2017,
        ("model2019*.h5",),
        lambda path: read_bfm2017(path, "2019"),
        ALBEDOMM_FILES,
        read_albedomm,
    ),
    "bfm2009": Kind(ORIGIN_2009, ("01_MorphableModel.mat",), read_bfm2009),
}
SPECS = f"embedded|ict:PATH|{'|'.join(f'{kind}:PATH' for kind in KINDS)}|PATH.npz"


def load_face_model(spec: str = "embedded") -> MorphableModel:
    """Loads a face model.

    Models of laboratories are brought to the canonical UV layout, which takes about a minute
    the first time; the result is kept under ~/.cache/relightify_jax.

    Args:
        spec: "embedded"; "ict:PATH" with a checkout of ICT-FaceKit or a packed .npz of it;
            "gnm:PATH", "flame:PATH", "bfm2017:PATH", "bfm2019:PATH" or "bfm2009:PATH" with
            the laboratory's file, or the folder that holds it; or the path of an .npz in this
            project's format.

    Raises:
        InputError: If it cannot be used; the sentence names the file expected, where it comes
            from and its licence.
    """
    if spec == "embedded":
        return load_embedded_model()
    kind, colon, rest = spec.partition(":")
    if colon and (kind == "ict" or kind in KINDS):
        if not rest:
            raise InputError(f"The path is missing in {spec!r}; give --face_model={kind}:PATH.")
        path = pathlib.Path(rest).expanduser()
        return _load_ict(path) if kind == "ict" else _load_raw(kind, path)
    if spec.endswith(".npz"):
        return read_face_model(spec)
    raise InputError(f"Unknown face model {spec!r}; give {SPECS}.")


def _load_ict(path: pathlib.Path) -> MorphableModel:
    if not path.is_dir():
        return load_ict_npz(path)
    return cached_model("ict", ict_files(path), lambda: load_ict_folder(path))


def _load_raw(name: str, path: pathlib.Path) -> MorphableModel:
    kind = KINDS[name]
    path = _find_file(kind, path)
    beside = [found for pattern in kind.albedo_names for found in sorted(path.parent.glob(pattern))]

    def build() -> MorphableModel:
        raw = kind.read(path)
        if beside and kind.read_albedo is not None:
            raw = kind.read_albedo(beside, raw)
        logging.info("%s: to the canonical UV layout, about a minute, once", raw.name)
        return adapt_model(raw, load_networks())

    return cached_model(name, [path, *beside], build)


def _find_file(kind: Kind, path: pathlib.Path) -> pathlib.Path:
    """The model's file; of a folder the first that has one of the names."""
    if path.is_file():
        return path
    if not path.exists():
        raise kind.origin.error(path, "does not exist")
    for pattern in kind.names:
        if found := sorted(path.glob(pattern)):
            return found[0]
    raise kind.origin.error(path, f"is a folder without {' or '.join(kind.names)}")

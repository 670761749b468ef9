"""Adapted face models on disk, so that the minute it takes is spent once per file."""

import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence

from absl import logging

from relightify_jax.core.errors import InputError
from relightify_jax.geometry.model_files import read_face_model, save_face_model
from relightify_jax.geometry.morphable_model import MorphableModel

# Raised whenever the same files would give another model.
FORMAT = 1
_CHUNK = 1 << 20


def cache_folder() -> pathlib.Path:
    """Where adapted models are kept: $XDG_CACHE_HOME or ~/.cache, and our name."""
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(root) / "relightify_jax"


def cached_model(
    kind: str, files: Sequence[pathlib.Path], build: Callable[[], MorphableModel]
) -> MorphableModel:
    """The model that `build` makes of `files`, read from the cache where it is there.

    A cache that cannot be read or written costs a line in the log and time, no more.

    Args:
        kind: Of the model, e.g. "flame"; part of the name.
        files: All files that the model depends on.
        build: Makes the model.

    Raises:
        InputError: If a file cannot be read; and what `build` raises.
    """
    path = cache_folder() / f"{kind}-{_checksum(files)[:20]}-v{FORMAT}.npz"
    if path.is_file():
        try:
            return read_face_model(path)
        except InputError as error:
            logging.warning("%s is made anew: %s", path, error)
    model = build()
    try:
        # Modes are noise to a compressor: it would take longer than the registration.
        save_face_model(path, model, compress=False)
        logging.info("%s is kept in %s", model.name, path)
    except OSError as error:
        logging.warning("%s cannot be written (%s)", path, error.strerror)
    return model


def _checksum(files: Sequence[pathlib.Path]) -> str:
    """SHA-256 of the files' names and contents."""
    total = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror}); give a readable file."
            ) from None
        total.update(path.name.encode() + b"\0" + digest.digest())
    return total.hexdigest()

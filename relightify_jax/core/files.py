"""Files that are either whole or not there."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import numpy as np

from relightify_jax.core.errors import InputError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields a path beside `path` to write to; renames it on success.

    On failure `path` keeps what it held. The temporary name keeps the suffix, from
    which many writers infer the format.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=path.suffix, prefix=".part-", dir=path.parent)
    os.close(handle)
    partial = pathlib.Path(name)
    try:
        yield partial
        # mkstemp makes private files; results are readable as the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yields an empty folder whose entries replace those of folder `path` on success.

    On failure `path` keeps what it held. Entries that the run does not write, such as
    a user's own files, are left alone.

    Raises:
        InputError: If the folder cannot be made or written to.
    """
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        stage = pathlib.Path(tempfile.mkdtemp(prefix=".part-", dir=path))
    except OSError as error:
        raise InputError(
            f"Cannot write to the folder {path} ({error.strerror}); give another one."
        ) from None
    try:
        yield stage
        for entry in sorted(stage.iterdir()):
            _replace(entry, path / entry.name, stage)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _replace(entry: pathlib.Path, target: pathlib.Path, stage: pathlib.Path) -> None:
    """Renames `entry` to `target`; an old folder there is moved into `stage` first."""
    if target.is_dir() and not target.is_symlink():
        target.rename(stage / f".old-{entry.name}")
    os.replace(entry, target)


def read_npz(path: str | os.PathLike[str], what: str) -> dict[str, np.ndarray]:
    """Reads every array of an .npz file.

    Args:
        path: The file.
        what: What it should be, for the error message, e.g. "a face model".

    Raises:
        InputError: If the file is missing or is no .npz file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give the path of {what} (.npz).") from None
    except Exception as error:  # zipfile, zlib and numpy each raise their own.
        raise InputError(f"{path} is not {what}: it cannot be read as .npz ({error}).") from None

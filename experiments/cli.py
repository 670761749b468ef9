"""What every program does at its edge: parse flags, explain errors, record the run."""

import importlib.metadata
import json
import os
import pathlib
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "ml-collections")

_Value = TypeVar("_Value")


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs `main` under absl; an `InputError` prints its sentence and exits with 2."""

    def guarded(argv: Sequence[str]) -> None:
        if len(argv) > 1:
            _fail(f"Unexpected argument {argv[1]!r}; every option starts with --.")
        logging.get_absl_handler().addFilter(_is_ours)
        try:
            main(argv)
        except InputError as error:
            _fail(str(error))

    app.run(guarded, flags_parser=_parse)


def record_run(
    folder: str | os.PathLike[str], config: ConfigDict | None, facts: Mapping[str, Any]
) -> None:
    """Writes `run.json` beside the results: configuration, command, versions, facts."""
    versions = {name: _version(name) for name in (*_PACKAGES, "relightify-jax")}
    record = {
        "command": sys.argv,
        "config": None if config is None else json.loads(config.to_json_best_effort()),
        "facts": dict(facts),
        "versions": {"python": platform.python_version(), **versions},
    }
    with atomic_path(pathlib.Path(folder) / "run.json") as path:
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def use_compile_cache() -> bool:
    """Keeps compiled programs in the user's cache folder; True if it had to be made."""
    if jax.config.jax_compilation_cache_dir is not None:
        return False
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    folder = home / "relightify_jax" / "compiled"
    is_first = not folder.exists()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return is_first


def require(value: _Value | None, flag: str, what: str) -> _Value:
    """Returns a flag's value.

    Raises:
        InputError: If it was not given.
    """
    if not value:
        raise InputError(f"--{flag} is missing; give {what}.")
    return value


def _is_ours(record: Any) -> bool:
    """Whether to log a record: libraries report on backends they miss, and every write."""
    chatty = ("orbax", "jax/_src", "tensorflow_datasets")
    return record.levelname != "INFO" or not any(name in record.pathname for name in chatty)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        _fail(f"{_last_line(error)} Run with --help to see all options.")
    except (AttributeError, KeyError) as error:
        # ml_collections raises these bare for a key that the configuration lacks.
        _fail(f"The configuration has no such entry: {error}".replace("\n", " "))
    except (OSError, ValueError) as error:
        _fail(f"The configuration cannot be used: {error}".replace("\n", " "))


def _last_line(error: Exception) -> str:
    """The message alone: ml_collections puts a whole traceback before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[-1].removeprefix("ValueError: ") if lines else type(error).__name__
    return line if line.endswith(".") else line + "."


def _fail(sentence: str) -> NoReturn:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(InputError.EXIT_CODE)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

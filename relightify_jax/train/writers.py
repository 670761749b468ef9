"""Where metrics go: the log and a file of JSON lines. The only file that imports clu writers."""

import importlib.util
import json
import os
import pathlib
import sys
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

if importlib.util.find_spec("tensorflow") is None:
    # clu 0.0.12 imports its TensorFlow writer eagerly; nothing here uses it.
    _STUB = types.ModuleType("clu.metric_writers.summary_writer")
    _STUB.SummaryWriter = None  # type: ignore[attr-defined]
    sys.modules.setdefault(_STUB.__name__, _STUB)

from clu import metric_writers  # noqa: E402


class JsonLinesWriter:
    """Appends {"step": n, name: value, ...} lines to a file."""

    def __init__(self, path: str | os.PathLike[str]):
        """Opens `path` for appending; makes its folder."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Writes one line."""
        values = {name: float(np.asarray(value)) for name, value in scalars.items()}
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Writer:
    """Sends scalars to the log and to `metrics.jsonl` in a folder."""

    def __init__(self, folder: str | os.PathLike[str]):
        """Makes `folder` if needed."""
        self._log = metric_writers.LoggingWriter()
        self._lines = JsonLinesWriter(pathlib.Path(folder) / "metrics.jsonl")

    def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Writes scalars of `step`; arrays are fetched from their device."""
        values = {name: float(np.asarray(value)) for name, value in scalars.items()}
        self._log.write_scalars(step, values)
        self._lines.write_scalars(step, values)

    def close(self) -> None:
        """Flushes everything."""
        self._log.flush()
        self._lines.close()

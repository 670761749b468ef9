"""Tables of results: rows are dictionaries, columns say how to print them.

Markdown for people, LaTeX for papers, CSV for spreadsheets, JSON for programs.
"""

import csv
import io
import json
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from relightify_jax.core.files import atomic_path

Rows = Sequence[Mapping[str, Any]]

_MISSING = "-"
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


class Column(NamedTuple):
    """One column of a table."""

    key: str  # Of the rows' dictionaries.
    title: str
    format: str = ""  # Of `format()`, e.g. ".2f"; used for numbers only.


def to_markdown(rows: Rows, columns: Sequence[Column]) -> str:
    """A Markdown table whose source is aligned too; numbers stand right, None is "-"."""
    cells = [[_escape_markdown(text) for text in line] for line in _cells(rows, columns)]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(columns))]
    is_number = [_holds_numbers(rows, column) for column in columns]
    rule = ["-" * (width - 1) + (":" if right else "-")
            for width, right in zip(widths, is_number, strict=True)]  # fmt: skip
    return "".join(
        "| "
        + " | ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, is_number, strict=True)
        )
        + " |\n"
        for line in (cells[0], rule, *cells[1:])
    )


def to_latex(rows: Rows, columns: Sequence[Column]) -> str:
    """A LaTeX tabular without packages."""
    lines = [
        " & ".join("".join(_LATEX.get(char, char) for char in text) for text in line) + r" \\"
        for line in _cells(rows, columns)
    ]
    spec = "".join("r" if _holds_numbers(rows, column) else "l" for column in columns)
    return "\n".join(
        [rf"\begin{{tabular}}{{{spec}}}", r"\hline", lines[0], r"\hline", *lines[1:],
         r"\hline", r"\end{tabular}", ""]
    )  # fmt: skip


def to_csv(rows: Rows, columns: Sequence[Column]) -> str:
    """Comma-separated values in full precision, headed by the columns' keys."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.key for column in columns])
    for row in rows:
        writer.writerow([row.get(column.key) for column in columns])
    return file.getvalue()


def to_json(rows: Rows, columns: Sequence[Column] = ()) -> str:
    """All entries of the rows; a number that is not finite becomes null, as JSON has none."""
    del columns
    cleaned = [{key: _finite(value) for key, value in row.items()} for row in rows]
    return json.dumps(cleaned, indent=2, allow_nan=False) + "\n"


_WRITERS: dict[str, Callable[[Rows, Sequence[Column]], str]] = {
    ".md": to_markdown, ".tex": to_latex, ".csv": to_csv, ".json": to_json,
}  # fmt: skip


def write_table(path: str | os.PathLike[str], rows: Rows, columns: Sequence[Column]) -> None:
    """Writes a table, whole or not at all.

    Args:
        path: Ends in .md, .tex, .csv or .json, which says what is written.
        rows: One dictionary a row; an entry may be missing.
        columns: What to show in which order; JSON holds everything.

    Raises:
        ValueError: If the ending is another one.
    """
    suffix = pathlib.Path(path).suffix
    if suffix not in _WRITERS:
        raise ValueError(f"A table can be {', '.join(_WRITERS)}, got {suffix!r}.")
    with atomic_path(path) as partial:
        partial.write_text(_WRITERS[suffix](rows, columns), encoding="utf-8")


def _cells(rows: Rows, columns: Sequence[Column]) -> list[list[str]]:
    """Titles and formatted entries."""
    body = [[_text(row.get(column.key), column.format) for column in columns] for row in rows]
    return [[column.title for column in columns], *body]


def _text(value: Any, spec: str) -> str:
    if value is None:
        return _MISSING
    return format(value, spec) if _is_number(value) else str(value)


def _escape_markdown(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _holds_numbers(rows: Rows, column: Column) -> bool:
    values = [row.get(column.key) for row in rows]
    present = [value for value in values if value is not None]
    return bool(present) and all(_is_number(value) for value in present)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

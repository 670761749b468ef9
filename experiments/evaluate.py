r"""Judges methods on data with known truth, and writes tables.

    python -m experiments.evaluate --config=configs/evaluate.py:fitting --out=DIR
    python -m experiments.evaluate --config=configs/evaluate.py:headline --out=DIR \
        --config.headline=4 --config.truth_model=ict:PATH --config.fit_model=ict:PATH
    python -m experiments.evaluate --config=configs/evaluate.py:now --out=DIR \
        --config.data_dir=NoW_Dataset/final_release_version/iphone_pictures
    python -m experiments.evaluate --config=configs/evaluate.py:skin --out=DIR \
        --config.photos_dir=PHOTOS --config.data_dir=DATASET

Writes table.md, table.csv, results.json, rows.jsonl and run.json to --out; now and realy write
the folder submission, too, and skin two pictures. An interrupted run goes on where it stopped
when it is started again. docs/FITTING.md and docs/SKIN.md say what is measured.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import cli, evaluate_benchmark, evaluate_fitting, evaluate_skin
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path
from relightify_jax.evaluation import fitting_protocol, tables


class Report(NamedTuple):
    """What a protocol found."""

    title: str
    columns: tuple[tables.Column, ...]
    rows: list[dict[str, Any]]
    notes: Sequence[str]  # Sentences below the table.


def _fitting(config: ConfigDict, folder: pathlib.Path) -> Report:
    rows = evaluate_fitting.evaluate_fitting(config, folder)
    table = fitting_protocol.summarise_rows(rows)
    return Report("Fitting", fitting_protocol.COLUMNS, table, fitting_protocol.NOTES)


def _benchmark(config: ConfigDict, folder: pathlib.Path) -> Report:
    rows = evaluate_benchmark.predict_benchmark(config, folder)
    failed = sum(row["state"] == "failed" for row in rows)
    notes = [f"{len(rows) - failed} of {len(rows)} photos have a prediction in submission."]
    return Report(f"Submission: {config.protocol}", evaluate_benchmark.COLUMNS, rows, notes)


def _skin(config: ConfigDict, folder: pathlib.Path) -> Report:
    rows = evaluate_skin.evaluate_skin(config, folder)
    return Report("Skin", evaluate_skin.COLUMNS, rows, evaluate_skin.NOTES)


# By `config.protocol`.
PROTOCOLS: dict[str, Callable[[ConfigDict, pathlib.Path], Report]] = {
    "fitting": _fitting,
    "now": _benchmark,
    "realy": _benchmark,
    "skin": _skin,
}


def run(config: ConfigDict, out: str) -> str:
    """Runs the protocol that `config` names; returns what it wrote to table.md.

    Raises:
        InputError: If there is no such protocol, or something that it needs is missing.
    """
    if config.protocol not in PROTOCOLS:
        raise InputError(
            f"There is no protocol {config.protocol!r}; choose from {', '.join(PROTOCOLS)}."
        )
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    report = PROTOCOLS[config.protocol](config, folder)
    for name in ("table.csv", "results.json"):
        tables.write_table(folder / name, report.rows, report.columns)
    notes = "".join(f"- {note}\n" for note in report.notes)
    text = f"# {report.title}\n\n{tables.to_markdown(report.rows, report.columns)}\n{notes}"
    with atomic_path(folder / "table.md") as path:
        path.write_text(text, encoding="utf-8")
    cli.record_run(folder, config, {"notes": list(report.notes)})
    return text


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    config_flags.DEFINE_config_file(
        "config", "configs/evaluate.py", "Configuration, e.g. configs/evaluate.py:fitting."
    )
    flags.DEFINE_string("out", None, "Folder for the tables.")


def main(argv: Sequence[str]) -> None:
    """Entry point."""
    del argv
    out = cli.require(flags.FLAGS.out, "out", "a folder for the tables")
    cli.use_compile_cache()
    print(run(flags.FLAGS.config, out))
    print(f"Done. The tables are in {out}.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)

r"""Judges methods on data with known truth, and writes tables.

    python -m experiments.evaluate --config=configs/evaluate.py:fitting --out=DIR
    python -m experiments.evaluate --config=configs/evaluate.py:headline --out=DIR \
        --config.headline=4 --config.truth_model=ict:PATH --config.fit_model=ict:PATH

Writes table.md, table.csv, results.json, rows.jsonl and run.json to --out. An interrupted run
goes on where it stopped when it is started again.
"""

import pathlib
from collections.abc import Callable, Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments import cli, evaluate_fitting
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path
from relightify_jax.evaluation import fitting_protocol, tables


def _fitting(config: ConfigDict, folder: pathlib.Path) -> str:
    rows = evaluate_fitting.evaluate_fitting(config, folder)
    table = fitting_protocol.summarise_rows(rows)
    for name in ("table.csv", "results.json"):
        tables.write_table(folder / name, table, fitting_protocol.COLUMNS)
    notes = "".join(f"- {note}\n" for note in fitting_protocol.NOTES)
    return f"# Fitting\n\n{tables.to_markdown(table, fitting_protocol.COLUMNS)}\n{notes}"


# By `config.protocol`; each returns the text of table.md.
PROTOCOLS: dict[str, Callable[[ConfigDict, pathlib.Path], str]] = {"fitting": _fitting}


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
    text = PROTOCOLS[config.protocol](config, folder)
    with atomic_path(folder / "table.md") as path:
        path.write_text(text, encoding="utf-8")
    cli.record_run(folder, config, {})
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

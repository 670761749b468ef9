r"""Measures speed and quality, and writes a table.

    python -m experiments.benchmark --config=configs/benchmark.py:rasterizer --out=DIR
    python -m experiments.benchmark --config=configs/benchmark.py:rasterizer --out=DIR \
        --config.mesh_npz=head.npz --config.sizes="(512,)"
    python -m experiments.benchmark --config=configs/benchmark.py:mitsuba --out=DIR
    python -m experiments.benchmark --config=configs/benchmark.py:fitting --out=DIR
    python -m experiments.benchmark --config=configs/benchmark.py:data --out=DIR

Writes table.md, table.csv, results.json and run.json (configuration, machine, versions) to
--out. Peers are measured where they are installed: pip install "relightify_jax[bench]". The
comparison with Mitsuba 3 takes pip install "relightify_jax[validate]" and adds pictures.
"""

import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict, config_flags
from tqdm import tqdm

from experiments import benchmark_data, benchmark_fitting, cli
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path, staged_folder
from relightify_jax.evaluation import mitsuba_benchmark, rasterizer_benchmark, tables

_PEER_PACKAGES = ("moderngl", "embreex", "trimesh", "torch", "pytorch3d", "mitsuba")


class Report(NamedTuple):
    """What a benchmark found."""

    title: str
    columns: tuple[tables.Column, ...]
    rows: list[dict[str, Any]]
    notes: list[str]  # Sentences below the table.


def measure_rasterizer(config: ConfigDict, folder: pathlib.Path) -> Report:
    """The rasterizer and its peers, over meshes and sizes."""
    del folder
    plan = rasterizer_benchmark.Plan(
        meshes=(*filter(None, [config.mesh_npz]), *config.meshes),
        sizes=config.sizes,
        batch=config.batch,
        batch_size=config.batch_size,
        yaw=float(np.radians(config.yaw)),
        peers=config.peers,
        num_repeats=config.num_repeats,
        max_seconds=config.max_seconds,
    )
    rows, notes = rasterizer_benchmark.measure(plan, lambda work: tqdm(work, "scenes"))
    notes = [*rasterizer_benchmark.NOTES, *notes]
    return Report("Rasterizer", rasterizer_benchmark.COLUMNS, rows, notes)


def compare_with_mitsuba(config: ConfigDict, folder: pathlib.Path) -> Report:
    """The renderer beside Mitsuba 3; writes pictures to `folder`."""
    plan = mitsuba_benchmark.Plan(
        scenes=config.scenes,
        sizes=config.sizes,
        materials=config.materials,
        lights=config.lights,
        environments=config.environments,
        num_samples=config.num_samples,
        yaw=float(np.radians(config.yaw)),
        variant=config.variant,
    )
    rows, notes = mitsuba_benchmark.measure(plan, folder, lambda work: tqdm(work, "pictures"))
    notes = [*mitsuba_benchmark.NOTES, *notes]
    return Report("Renderer beside Mitsuba 3", mitsuba_benchmark.COLUMNS, rows, notes)


def time_fitting(config: ConfigDict, folder: pathlib.Path) -> Report:
    """The fit: one photograph, many landmarks, a batch of photographs."""
    del folder
    rows = benchmark_fitting.measure_fitting(config)
    return Report("Fitting", benchmark_fitting.COLUMNS, rows, list(benchmark_fitting.NOTES))


def time_data(config: ConfigDict, folder: pathlib.Path) -> Report:
    """Synthetic faces: drawn, lit, read."""
    del folder
    rows = benchmark_data.measure_data(config)
    return Report("Faces for training", benchmark_data.COLUMNS, rows, list(benchmark_data.NOTES))


# By `config.benchmark`; the folder is for pictures and the like.
BENCHMARKS: dict[str, Callable[[ConfigDict, pathlib.Path], Report]] = {
    "rasterizer": measure_rasterizer,
    "mitsuba": compare_with_mitsuba,
    "fitting": time_fitting,
    "data": time_data,
}


def run(config: ConfigDict, out: str | os.PathLike[str]) -> str:
    """Runs the benchmark that `config` names; returns what it wrote to table.md.

    Raises:
        InputError: If there is no such benchmark, or something that it needs is missing.
    """
    if config.benchmark not in BENCHMARKS:
        raise InputError(
            f"There is no benchmark {config.benchmark!r}; choose from {', '.join(BENCHMARKS)}."
        )
    facts = machine_facts()
    with staged_folder(out) as folder:
        report = BENCHMARKS[config.benchmark](config, folder)
        text = _page(report, facts)
        with atomic_path(folder / "table.md") as path:
            path.write_text(text, encoding="utf-8")
        for name in ("table.csv", "results.json"):
            tables.write_table(folder / name, report.rows, report.columns)
        cli.record_run(folder, config, facts | {"notes": report.notes})
    return text


def machine_facts() -> dict[str, Any]:
    """The device, the processor and how busy it was, and the versions of the peers."""
    device = jax.devices()[0]
    return {
        "device": f"{device.device_kind} ({device.platform})",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "jax": jax.__version__,
        "peers": {name: version for name in _PEER_PACKAGES if (version := _version(name))},
    }


def _page(report: Report, facts: dict[str, Any]) -> str:
    where = (
        f"{facts['device']}; {facts['processor']}, {facts['cores']} cores, "
        f"load {facts['load'][0]} at the start; JAX {facts['jax']}."
    )
    notes = "".join(f"- {note}\n" for note in report.notes)
    table = tables.to_markdown(report.rows, report.columns)
    return f"# {report.title}\n\n{where}\n\n{table}\n{notes}"


def _processor() -> str:
    """The processor's name as Linux knows it, else its architecture."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    config_flags.DEFINE_config_file(
        "config", "configs/benchmark.py", "Configuration, e.g. configs/benchmark.py:rasterizer."
    )
    flags.DEFINE_string("out", None, "Folder for the table.")


def main(argv: Sequence[str]) -> None:
    """Entry point."""
    del argv
    out = cli.require(flags.FLAGS.out, "out", "a folder for the table")
    # A program from the cache would have no compile time.
    jax.config.update("jax_enable_compilation_cache", False)
    print(run(flags.FLAGS.config, out))
    print(f"Done. The table is in {out}.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)

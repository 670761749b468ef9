"""The benchmark "data": drawing faces, lighting them in a training step, reading records."""

import itertools
import os
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
from tqdm import tqdm

from configs.data import get_config as data_config
from data_pipeline import build
from data_pipeline.encoding import FaceRecord
from data_pipeline.loaders import make_loader
from data_pipeline.synthetic.record import sample_face
from data_pipeline.synthetic.scene import build_scene
from relightify_jax.evaluation.tables import Column
from relightify_jax.evaluation.timing import time_calls
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.light_stage.stage import build_stage
from relightify_jax.train.relit import relit_maps

COLUMNS = (
    Column("what", "what"),
    Column("size", "texels"),
    Column("count", "faces at once"),
    Column("milliseconds", "ms a face", ".1f"),
    Column("rate", "faces a second", ".1f"),
    Column("setup_seconds", "first call s", ".1f"),
)
NOTES = (
    "Fastest of the repeats. Drawing: the generator, one program. Lighting: pose, shadows, light, "
    "photograph and mask, as inside a training step. Reading: the loader of one process, mirrored "
    "and batched, codes on the host.",
)
_READ_BATCHES = 8


def measure_data(config: ConfigDict) -> list[dict[str, Any]]:
    """Times the way of a face from the generator into a training step.

    Args:
        config: See configs/benchmark.py:data.

    Returns:
        One row per program and size.
    """
    rows = []
    for size in tqdm(config.sizes, "sizes"):
        faces, row = _draw(config, size)
        rows += [row, _light(config, size, faces), _read(config, size)]
    return rows


def _draw(config: ConfigDict, size: int) -> tuple[FaceRecord, dict[str, Any]]:
    """Draws a batch of faces: the faces, and the row."""
    scene = build_scene(load_face_model(config.face_model), size)
    count = config.draw_batch
    keys = jax.random.split(jax.random.key(0), count)
    draw = sample_face if count == 1 else jax.jit(jax.vmap(sample_face, in_axes=(0, None)))

    def call() -> Any:
        return draw(keys[0] if count == 1 else keys, scene).maps

    row = _time("drawing", size, count, call, config)
    return jax.tree.map(lambda x: x[None] if count == 1 else x, call()), row


def _light(config: ConfigDict, size: int, faces: FaceRecord) -> dict[str, Any]:
    stage = build_stage(load_face_model(config.face_model), size)
    count = config.light_batch
    batch = jax.tree.map(lambda x: jnp.resize(x, (count, *x.shape[1:])), faces)
    light = jax.jit(relit_maps)
    return _time("lighting", size, count, lambda: light(jax.random.key(1), stage, batch), config)


def _read(config: ConfigDict, size: int) -> dict[str, Any]:
    """Writes a few records, reads them over and over."""
    data = data_config("synthetic")
    data.update(uv_size=size, num=config.read_records, validation_every=config.read_records)
    with tempfile.TemporaryDirectory() as folder:
        path, _ = build.build(data, folder, num_workers=1)
        loader = make_loader(
            os.fspath(path), "train", config.read_batch, 0, mirror=True, decode=False
        )

        def call() -> Any:
            for _ in itertools.islice(loader, _READ_BATCHES):
                pass

        return _time("reading", size, config.read_batch, call, config, rounds=_READ_BATCHES)


def _time(
    what: str, size: int, count: int, call: Any, config: ConfigDict, rounds: int = 1
) -> dict[str, Any]:
    start = time.perf_counter()
    jax.block_until_ready(call())
    setup = time.perf_counter() - start
    times = time_calls(call, config.num_repeats, max_seconds=config.max_seconds)
    seconds = min(times) / (count * rounds)
    return {
        "what": what,
        "size": size,
        "count": count,
        "milliseconds": 1000 * seconds,
        "rate": 1 / seconds,
        "setup_seconds": setup,
    }

"""Batches of UV maps for training; the position in the data is a function of the step."""

import os
from collections.abc import Iterator

import grain
import jax
import numpy as np
from grain import experimental

from data_pipeline.encoding import decode_maps, mirror_maps
from data_pipeline.uv_faces.uv_faces_dataset_builder import open_split
from relightify_jax.core.errors import InputError


def make_loader(
    data_dir: str | os.PathLike[str],
    split: str,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    *,
    mirror: bool = False,
    shuffle: bool = True,
    num_threads: int = 2,
    process_index: int | None = None,
    process_count: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches of a data set written by `data_pipeline.build_synthetic`.

    Batch number s holds the same records whatever `start_step` it is reached from and
    however many processes share it. Every pass over the data has an order of its own.

    Args:
        data_dir: Folder of the data set.
        split: "train", "validation" or a slice such as "train[:100]".
        batch_size: Records per step over all processes, B.
        seed: Seed of order and mirroring.
        start_step: Steps to skip, at no cost.
        mirror: Whether to mirror half of the faces, drawn anew on every pass.
        shuffle: Whether to shuffle.
        num_threads: Threads that read and decode.
        process_index: Of this process; `jax.process_index()` by default.
        process_count: `jax.process_count()` by default.

    Returns:
        Iterator of {"maps": (B / processes, R, R, 10) float32}, linear, in the order of
        `core.uv_layout`.

    Raises:
        InputError: If the data set is missing or `batch_size` does not fit it.
    """
    index = jax.process_index() if process_index is None else process_index
    count = jax.process_count() if process_count is None else process_count
    if batch_size < 1 or batch_size % count:
        raise InputError(
            f"batch_size {batch_size} must be a positive multiple of {count} processes."
        )
    source = open_split(data_dir, split)
    if not len(source):
        raise InputError(f"Split {split!r} of {data_dir} is empty; build it with more records.")
    dataset = grain.MapDataset.source(source).seed(seed)
    if shuffle:
        dataset = dataset.shuffle()
    dataset = dataset.repeat()
    dataset = dataset.random_map(_decode_and_mirror) if mirror else dataset.map(_decode)
    loader = experimental.ElasticIterator(
        dataset,
        batch_size,
        grain.sharding.ShardOptions(shard_index=index, shard_count=count, drop_remainder=True),
        read_options=grain.ReadOptions(
            num_threads=num_threads, prefetch_buffer_size=2 * batch_size // count
        ),
    )
    iterator = iter(loader)
    iterator.set_state({"global_next_index": batch_size * start_step})
    return iterator


def _decode(record: dict) -> dict[str, np.ndarray]:
    return {"maps": decode_maps(record["maps"])}


def _decode_and_mirror(record: dict, rng: np.random.Generator) -> dict[str, np.ndarray]:
    maps = decode_maps(record["maps"])
    return {"maps": mirror_maps(maps) if rng.random() < 0.5 else maps}

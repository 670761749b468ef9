"""Batches of relightable faces; the position in the data is a function of the step."""

import functools
import os
from collections.abc import Iterator
from typing import Any

import grain
import jax
import numpy as np
from grain import experimental

from data_pipeline.encoding import FaceRecord, decode_record, mirror_record
from data_pipeline.relightable_faces.relightable_faces_dataset_builder import (
    open_dataset,
    open_split,
)
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
    decode: bool = True,
    num_threads: int = 2,
    num_workers: int = 0,
    process_index: int | None = None,
    process_count: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches of a data set written by `data_pipeline.build`.

    Batch number s holds the same records whatever `start_step` it is reached from, however
    many processes share it and however many threads or workers read. Every pass over the
    data has an order of its own.

    Args:
        data_dir: Folder of the data set.
        split: "train", "validation" or a slice such as "train[:100]".
        batch_size: Records per step over all processes, B.
        seed: Seed of order and mirroring.
        start_step: Steps to skip, at no cost.
        mirror: Whether to mirror half of the faces, drawn anew on every pass.
        shuffle: Whether to shuffle.
        decode: Whether to decode here, in NumPy. Codes are a quarter of the bytes to move:
            decode them on the device with `encoding.decode_batch(batch, jnp)`.
        num_threads: Threads that read, in every worker.
        num_workers: Worker processes, started by spawning; 0 reads in this one. With
            workers, close the iterator by `.close()`.
        process_index: Of this process; `jax.process_index()` by default.
        process_count: `jax.process_count()` by default.

    Returns:
        Iterator of dictionaries: the fields of `encoding.FaceRecord` with a leading axis
        B / processes, float32 or codes (uint8, uint16); "index" (B / processes,) int32.

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
    modes = read_identity_mirror(data_dir) if mirror else None
    dataset = dataset.random_map(functools.partial(_prepare, modes=modes, decode=decode))
    workers = None
    if num_workers:
        workers = grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=2)
    loader = experimental.ElasticIterator(
        dataset,
        batch_size,
        grain.sharding.ShardOptions(shard_index=index, shard_count=count, drop_remainder=True),
        read_options=grain.ReadOptions(
            num_threads=num_threads, prefetch_buffer_size=2 * batch_size // count
        ),
        multiprocessing_options=workers,
    )
    iterator = iter(loader)
    iterator.set_state({"global_next_index": batch_size * start_step})
    return iterator


def read_facts(data_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """What a program must know of a data set, as its description states it.

    Returns:
        "uv_size" (texels per side), "face_model" (for `load_face_model`), "licence",
        "statistics" and "splits" as in docs/DATA.md.
    """
    metadata = open_dataset(data_dir).info.metadata
    settings = metadata["settings"]
    return {
        "uv_size": settings["uv_size"],
        "face_model": settings.get("face_model", "embedded"),
        **{name: metadata[name] for name in ("licence", "statistics", "splits")},
    }


def read_identity_mirror(data_dir: str | os.PathLike[str]) -> np.ndarray:
    """Matrix (K, K) float32 that mirrors identity coefficients, for `mirror_record`."""
    return np.asarray(open_dataset(data_dir).info.metadata["identity_mirror"], np.float32)


def record_of(stored: dict[str, Any]) -> FaceRecord:
    """The coded face in an element of `open_split`."""
    return FaceRecord(**{name: stored[name] for name in FaceRecord._fields})


def _prepare(
    stored: dict[str, Any], rng: np.random.Generator, *, modes: np.ndarray | None, decode: bool
) -> dict[str, np.ndarray]:
    record = record_of(stored)
    if modes is not None and rng.random() < 0.5:
        record = mirror_record(record, modes)
    if decode:
        record = decode_record(record)
    return {"index": np.int32(stored["index"]), **record._asdict()}

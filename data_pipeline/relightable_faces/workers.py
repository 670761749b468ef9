"""Writes shards on all cores, on an accelerator or on an Apache Beam cluster.

On a CPU every core gets a process of its own: one face does not keep all cores busy. On an
accelerator threads share the device, and while it draws faces for one of them the others
compress and write.
"""

import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import jax

from data_pipeline.relightable_faces.examples import Source
from data_pipeline.relightable_faces.shards import Shard, write_shard
from relightify_jax.core.errors import InputError

_POLL_SECONDS = 0.2
_ACCELERATOR_THREADS = 8

_counter: Any = None  # In a worker process: records written by all of them.


def write_shards(
    folder: pathlib.Path,
    source: Source,
    shards: Sequence[Shard],
    num_workers: int,
    report: Callable[[int], None],
) -> None:
    """Writes `shards` on this machine.

    Args:
        folder: Of the data set.
        source: Of the records.
        shards: What to write.
        num_workers: Processes or threads; 0 chooses by the machine.
        report: Called from this thread with the number of further records.

    Raises:
        InputError: See `shards.write_shard`. What runs is finished, the rest is not begun.
    """
    if not shards:
        return
    use_threads = source.on_device and jax.default_backend() != "cpu"
    limit = num_workers or (
        min(_ACCELERATOR_THREADS, _num_cores()) if use_threads else _num_cores()
    )
    limit = min(limit, len(shards))
    if limit == 1:
        for shard in shards:
            write_shard(folder, source, shard, functools.partial(report, 1))
        return
    if use_threads:
        next(source.examples(shards[0].split, shards[0].start, shards[0].start + 1))  # Compiles.
        counter: Any = _ThreadCounter()
        executor: Any = concurrent.futures.ThreadPoolExecutor(limit)
        job = functools.partial(write_shard, folder, source, advance=counter.advance)
    else:
        context = multiprocessing.get_context("spawn")
        counter = context.Value("q", 0)
        arguments = (counter, context.Value("i", 0), limit, os.getpid())
        executor = concurrent.futures.ProcessPoolExecutor(limit, context, _start_worker, arguments)
        job = functools.partial(_write_in_process, folder, source)
    with executor:
        futures = [executor.submit(job, shard) for shard in shards]
        try:
            for count in _follow(futures, counter):
                report(count)
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def write_shards_on_beam(
    folder: pathlib.Path, source: Source, shards: Sequence[Shard], options: Sequence[str]
) -> None:
    """Writes `shards` as the elements of an Apache Beam pipeline.

    The files are those that `write_shards` would have written. Every machine must see
    `folder`, and what the source reads, under the same path.

    Args:
        folder: Of the data set.
        source: Of the records.
        shards: What to write.
        options: Of the pipeline, such as "--runner=DirectRunner".

    Raises:
        InputError: If Beam is not installed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise InputError(
            "Apache Beam is not installed; run `pip install 'relightify_jax[beam]'`, or leave "
            "out --beam."
        ) from None
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create([tuple(shard) for shard in shards])
            # Otherwise one machine may receive them all.
            | beam.Reshuffle()
            | "Write" >> beam.Map(_write_on_beam, os.fspath(folder), source)
        )


def _write_on_beam(shard: tuple[str, int, int, int], folder: str, source: Any) -> int:
    # Any, because Beam checks annotations and cannot check a protocol.
    written = Shard(*shard)
    write_shard(pathlib.Path(folder), source, written, lambda: None)
    return written.stop - written.start


class _ThreadCounter:
    """Stands in for `multiprocessing.Value`."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def advance(self) -> None:
        with self._lock:
            self.value += 1


def _follow(futures: Sequence[concurrent.futures.Future], counter: Any) -> Iterator[int]:
    """Yields increments of `counter` until all futures are done; raises their errors."""
    seen, waiting = 0, set(futures)
    while waiting:
        done, waiting = concurrent.futures.wait(
            waiting, _POLL_SECONDS, concurrent.futures.FIRST_EXCEPTION
        )
        value = counter.value
        yield value - seen
        seen = value
        for future in done:
            try:
                future.result()
            except BrokenProcessPool:
                raise InputError(
                    "A worker process was killed, perhaps for lack of memory; finished files "
                    "are kept: give the same command again, with a smaller --workers."
                ) from None


def _start_worker(counter: Any, order: Any, num_workers: int, parent: int) -> None:
    """Prepares a worker process: its share of the cores, and an end when its parent ends."""
    global _counter
    _counter = counter
    with order.get_lock():
        number = order.value
        order.value += 1
    if hasattr(os, "sched_setaffinity"):
        # JAX starts as many threads as it sees cores.
        cores = sorted(os.sched_getaffinity(0))
        share = cores[number % len(cores) :: num_workers] or cores
        os.sched_setaffinity(0, share)
    jax.config.update("jax_platforms", "cpu")
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _write_in_process(folder: pathlib.Path, source: Source, shard: Shard) -> None:
    def advance() -> None:
        with _counter.get_lock():
            _counter.value += 1

    write_shard(folder, source, shard, advance)


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

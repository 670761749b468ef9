"""The one training loop. Host side only: batches, steps, metrics, checkpoints, clock."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh

from relightify_jax.train import sharding
from relightify_jax.train.checkpoints import Checkpoints
from relightify_jax.train.state import TrainState
from relightify_jax.train.writers import Writer

Batches = Callable[[int], Iterator[Any]]  # First step -> batches from there on.
Evaluation = Callable[[TrainState, int], dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long to train and how often to look.

    Attributes:
        num_steps: Updates in all.
        minutes: Time limit over all sessions of a run, or None. Progress, which the
            learning rate follows, is then whichever of steps and time is further on,
            so that a run on an unknown machine still ends with a small rate. Such a
            run is not reproducible bit by bit; one without a limit is.
        log_every: Steps between lines of metrics.
        evaluate_every: Steps between evaluations.
    """

    num_steps: int
    minutes: float | None = None
    log_every: int = 50
    evaluate_every: int = 500

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done, in [0, 1]."""
        done = step / self.num_steps
        if self.minutes is not None:
            done = max(done, seconds / (60 * self.minutes))
        return min(done, 1.0)


def train(
    step_fn: Callable[..., Any],
    state: TrainState,
    shardings: Any,
    batches: Batches,
    schedule: Schedule,
    mesh: Mesh,
    writer: Writer,
    checkpoints: Checkpoints | None = None,
    evaluate: Evaluation | None = None,
) -> TrainState:
    """Runs `step_fn` until the schedule ends; resumes from the latest checkpoint.

    Args:
        step_fn: Jitted (state, batch, progress) -> (state, metrics).
        state: Fresh state; consumed.
        shardings: Of the state.
        batches: Data as a function of the step to start from.
        schedule: Length and intervals.
        mesh: Device mesh.
        writer: Receives metrics.
        checkpoints: Where to save and resume, or None.
        evaluate: Called at its interval and at the end; "val_loss" ranks checkpoints.

    Returns:
        The last state.

    Raises:
        FloatingPointError: If a logged metric is not finite.
    """
    seconds = 0.0
    if checkpoints is not None:
        state, seconds = checkpoints.restore(state, shardings)
    first = int(state.step)
    if first:
        logging.info("Resuming after step %d.", first)
    start = time.monotonic() - seconds
    data = batches(first)
    # Metrics of the step before: reading them never stalls the device.
    pending: tuple[int, Any] | None = None
    whole = sharding.replicated(mesh)
    step = first
    while (
        step < schedule.num_steps
        and (progress := schedule.progress(step, time.monotonic() - start)) < 1.0
    ):
        batch = sharding.place_batch(next(data), mesh)
        rate_clock = jax.device_put(np.float32(progress), whole)
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            state, metrics = step_fn(state, batch, rate_clock)
        step += 1
        if pending is not None:
            _report(writer, *pending)
            pending = None
        elapsed = time.monotonic() - start
        if step % schedule.log_every == 0:
            pending = step, {**metrics, "seconds": elapsed}
        values = None
        if evaluate is not None and step % schedule.evaluate_every == 0:
            values = evaluate(state, step)
            writer.write_scalars(step, values)
        if checkpoints is not None:
            checkpoints.save(step, state, time.monotonic() - start, values)
            if checkpoints.reached_preemption(step):
                logging.warning("Preempted after step %d.", step)
                break
    if pending is not None:
        _report(writer, *pending)
    if checkpoints is not None:
        checkpoints.save(step, state, time.monotonic() - start, force=True)
    return state


def _report(writer: Writer, step: int, metrics: dict[str, Any]) -> None:
    values = {name: float(value) for name, value in jax.device_get(metrics).items()}
    writer.write_scalars(step, values)
    for name, value in values.items():
        if not math.isfinite(value):
            raise FloatingPointError(f"{name} became {value} at step {step}.")

"""Checkpoints: the latest two and the best one. The only file that imports Orbax.

Checkpoint N holds N applied updates. Saving is asynchronous and safe although the next
step donates the buffers.
"""

import json
import os
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from relightify_jax.train.state import TrainState

BEST_METRIC = "val_loss"  # Lower is better.
_POLICIES = ocp.checkpoint_managers


def _metric(metrics: Any) -> float:
    return metrics[BEST_METRIC]


class Checkpoints:
    """Saves and restores a `TrainState` and the seconds it was trained for."""

    def __init__(self, folder: str | os.PathLike[str], every: int):
        """Opens or creates `folder`; saves every `every` steps and on preemption."""
        options = ocp.CheckpointManagerOptions(
            save_decision_policy=_POLICIES.AnySavePolicy(
                [
                    _POLICIES.FixedIntervalPolicy(every),
                    _POLICIES.PreemptionCheckpointingPolicy(),
                ]
            ),
            # `max_to_keep` with a best metric would delete the latest checkpoint.
            preservation_policy=_POLICIES.AnyPreservationPolicy(
                [
                    _POLICIES.LatestN(2),
                    _POLICIES.BestN(
                        n=1,
                        get_metric_fn=_metric,
                        reverse=True,
                        keep_checkpoints_without_metrics=False,
                    ),
                ]
            ),
            best_fn=_metric,  # Without it metrics are not stored.
            best_mode="min",
        )
        self._manager = ocp.CheckpointManager(
            pathlib.Path(folder).absolute(), options=options, item_names=("state", "clock")
        )

    def restore(self, state: TrainState, shardings: Any) -> tuple[TrainState, float]:
        """Returns the latest state and its seconds of training, or `state` and 0.

        Args:
            state: A state of the right shapes, e.g. the fresh one.
            shardings: Where the leaves shall live; the mesh may differ from the saved.
        """
        step = self._manager.latest_step()
        if step is None:
            return state, 0.0
        abstract = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state, shardings
        )
        items = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract), clock=ocp.args.JsonRestore()
            ),
        )
        return items.state, float(items.clock["seconds"])

    def save(
        self,
        step: int,
        state: TrainState,
        seconds: float,
        metrics: dict[str, float] | None = None,
        *,
        force: bool = False,
    ) -> bool:
        """Saves if step is due, or in any case with `force`; True if it did."""
        if force and step == self._manager.latest_step():
            return False
        return self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                clock=ocp.args.JsonSave(json.loads(json.dumps({"seconds": seconds}))),
            ),
            metrics=metrics,
            force=force,
        )

    def reached_preemption(self, step: int) -> bool:
        """Whether the machine is about to be taken away."""
        return self._manager.reached_preemption(step)

    def close(self) -> None:
        """Waits for writes under way and frees the threads."""
        self._manager.wait_until_finished()
        self._manager.close()

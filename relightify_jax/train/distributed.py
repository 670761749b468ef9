"""Joining the processes of a pod, and protection against preemption on one machine."""

import socket

import jax
from absl import logging

MODES = ("auto", "off", "on")


def initialize(mode: str = "auto") -> None:
    """Joins the other processes. Call before anything else touches JAX.

    Args:
        mode: "off" does nothing. "on" finds the coordinator from the environment, as
            on a TPU pod or under Slurm. "auto" makes this process a cluster of one,
            which makes SIGTERM save a checkpoint instead of losing the run.

    Raises:
        ValueError: If the mode is unknown.
    """
    match mode:
        case "off":
            pass
        case "on":
            jax.distributed.initialize()
        case "auto":
            try:
                jax.distributed.initialize(f"127.0.0.1:{_free_port()}", 1, 0)
            except RuntimeError as error:  # JAX is in use already: train unprotected.
                logging.warning("A kill will lose steps since the last checkpoint: %s", error)
        case _:
            raise ValueError(f"Unknown mode {mode!r}; have {', '.join(MODES)}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

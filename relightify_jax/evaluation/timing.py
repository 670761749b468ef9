"""Times of compiled programs and of plain functions."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

_MIN_REPEATS = 3


class Timing(NamedTuple):
    """What a program costs."""

    seconds: tuple[float, ...]  # Of every repeat.
    setup_seconds: float  # Tracing and compiling, or whatever is done once.
    temp_bytes: int | None  # Largest scratch memory of one call, None where not known.

    @property
    def min(self) -> float:
        """Fastest repeat in seconds: the cost on a machine that does nothing else."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Median repeat in seconds."""
        return statistics.median(self.seconds)


def time_calls(
    call: Callable[[], Any], num_repeats: int, max_seconds: float = float("inf")
) -> tuple[float, ...]:
    """Seconds of each of `num_repeats` calls, after one more that is not counted.

    Args:
        call: Returns a pytree; arrays of JAX in it are waited for.
        num_repeats: Calls to time, at least 1.
        max_seconds: No further call begins after this time, but for three of them.

    Raises:
        ValueError: If `num_repeats` is below 1.
    """
    if num_repeats < 1:
        raise ValueError(f"num_repeats must be at least 1, got {num_repeats}.")
    jax.block_until_ready(call())
    seconds: list[float] = []
    while len(seconds) < num_repeats:
        if len(seconds) >= _MIN_REPEATS and sum(seconds) > max_seconds:
            break
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return tuple(seconds)


def time_compiled(
    function: Callable[..., Any],
    *arguments: Any,
    num_repeats: int,
    max_seconds: float = float("inf"),
) -> tuple[Timing, Any]:
    """Compiles `function` for `arguments` and times it on the default device.

    The compile time is that of the compiler only if JAX's persistent cache is off; what
    inner jitted functions have traced before is not traced again.

    Args:
        function: Traceable; all its arrays are arguments.
        *arguments: Pytrees of arrays; moved to the device before the clock starts.
        num_repeats: Calls to time.
        max_seconds: See `time_calls`.

    Returns:
        The timing and the function's result.
    """
    arguments = jax.block_until_ready(jax.device_put(arguments))
    start = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    setup_seconds = time.perf_counter() - start
    seconds = time_calls(lambda: compiled(*arguments), num_repeats, max_seconds)
    # Not every backend can tell.
    analysis = compiled.memory_analysis()
    temp_bytes = getattr(analysis, "temp_size_in_bytes", None)
    return Timing(seconds, setup_seconds, temp_bytes), compiled(*arguments)

"""The clock: what it counts and what it leaves out."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.evaluation.timing import Timing, time_calls, time_compiled


def test_one_call_more_than_counted_is_made():
    calls = []
    seconds = time_calls(lambda: calls.append(1), num_repeats=5)
    assert len(seconds) == 5 and len(calls) == 6


def test_the_warm_up_does_not_count():
    waits = iter([0.1, 0.0, 0.0, 0.0])
    assert max(time_calls(lambda: time.sleep(next(waits)), num_repeats=3)) < 0.05


def test_a_slow_call_is_repeated_three_times_only():
    seconds = time_calls(lambda: time.sleep(0.01), num_repeats=50, max_seconds=0.001)
    assert len(seconds) == 3 and min(seconds) >= 0.01


def test_nothing_to_time_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        time_calls(lambda: None, num_repeats=0)


def test_a_program_is_traced_once_and_gives_its_result():
    traces = []

    def double(x):
        traces.append(1)
        return 2 * x

    timing, result = time_compiled(double, np.arange(3.0, dtype=np.float32), num_repeats=4)
    np.testing.assert_array_equal(result, [0, 2, 4])
    assert traces == [1] and len(timing.seconds) == 4 and timing.setup_seconds > 0


def test_memory_is_that_of_the_program():
    def needs_a_megabyte(key):
        return jnp.sort(jax.random.normal(key, (1 << 18,)))[::1000]

    timing, _ = time_compiled(needs_a_megabyte, jax.random.key(0), num_repeats=1)
    assert 1 << 20 <= timing.temp_bytes < 1 << 25


def test_the_middle_time_is_the_median():
    timing = Timing((3.0, 1.0, 10.0), 0.0, None)
    assert (timing.min, timing.median) == (1.0, 3.0)

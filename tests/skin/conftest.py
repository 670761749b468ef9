"""Fixtures that the tests of the skin share."""

import functools

import jax
import pytest


@pytest.fixture(scope="session")
def quick_jit():
    """`jax.jit` for functions that take longer to compile than to run."""
    return functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

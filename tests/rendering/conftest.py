"""Fixtures of the rendering tests."""

import jax
import pytest


@pytest.fixture
def quick_compilation():
    """Compiles without optimising, which takes most of the time of a program that runs once.

    Not for the rasterizer's own tests: those must see what users run.
    """
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)

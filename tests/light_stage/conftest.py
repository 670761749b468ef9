"""A small stage and a plain face for the tests of the light stage."""

import jax
import jax.numpy as jnp
import pytest

from relightify_jax.light_stage.stage import Reflectance, Stage, build_stage

SIZE = 96


@pytest.fixture(scope="session")
def stage(embedded_model) -> Stage:
    jax.config.update("jax_disable_most_optimizations", True)
    built = build_stage(embedded_model, SIZE, num_directions=64)
    jax.config.update("jax_disable_most_optimizations", False)
    return built


@pytest.fixture
def plain_face(stage) -> Reflectance:
    """Even skin without detail: the normals are those of the mean head."""
    shape = stage.openness.shape[:2]
    return Reflectance(
        jnp.broadcast_to(jnp.array([0.42, 0.25, 0.18]), (*shape, 3)),
        stage.surface.normals,
        jnp.full((*shape, 1), 0.4),
        jnp.full((*shape, 1), 0.5),
    )


@pytest.fixture
def quick_compilation():
    """Compiles without optimising, which takes most of the time of a program that runs once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)

"""The train state, created sharded, and one optimizer update of it."""

import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from relightify_jax.train import optimizers, sharding


class TrainState(flax.struct.PyTreeNode):
    """Everything a step reads and writes."""

    step: jax.Array  # () int32, updates applied so far.
    params: Any
    average: Any  # Power-function average of `params`, what is shipped.
    opt_state: Any
    key: jax.Array  # Root of all random streams; constant.


def make_state(
    init_fn: Callable[[jax.Array], Any],
    optimizer: optax.GradientTransformation,
    seed: int,
    mesh: Mesh,
) -> tuple[TrainState, Any]:
    """Creates the state directly on its devices.

    Args:
        init_fn: Key -> parameters.
        optimizer: From `optimizers.make_optimizer`.
        seed: Seed of the initialisation and of the training's random streams.
        mesh: Mesh from `sharding.make_mesh`.

    Returns:
        The state and its shardings, a tree of the same structure.
    """

    def create(key: jax.Array) -> TrainState:
        key_init, key_train = jax.random.split(key)
        params = init_fn(key_init)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            average=jax.tree.map(jnp.copy, params),
            opt_state=optimizer.init(params),
            key=key_train,
        )

    key = jax.random.key(seed)
    shardings = sharding.fsdp_shardings(jax.eval_shape(create, key), mesh)
    return jax.jit(create, out_shardings=shardings)(key), shardings


def apply_gradients(
    state: TrainState, grads: Any, optimizer: optax.GradientTransformation, rate: jax.Array
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update at learning rate `rate`; returns the next state and its metrics."""
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
    step = state.step + 1
    weight = 1.0 - optimizers.average_decay(step)
    average = optax.incremental_update(params, state.average, weight)
    metrics = {"grad_norm": optax.tree.norm(grads), "learning_rate": rate}
    state = state.replace(step=step, params=params, average=average, opt_state=opt_state)
    return state, metrics


def jit_step(
    step_fn: Callable[..., Any], shardings: Any, mesh: Mesh, *constants: Any
) -> Callable[..., Any]:
    """Compiles an update for the mesh.

    Args:
        step_fn: (*constants, state, batch, progress) -> (state, metrics).
        shardings: Of the state.
        mesh: Device mesh.
        *constants: Pytrees that never change. They are bound as arguments, not closed
            over, because XLA folds what it closes over.

    Returns:
        (state, batch, progress) -> (state, metrics), which consumes `state`.
    """
    whole = sharding.replicated(mesh)
    bound = tuple(jax.device_put(constant, whole) for constant in constants)
    step = jax.jit(
        step_fn,
        in_shardings=(*(whole for _ in bound), shardings, sharding.batch_sharding(mesh), whole),
        out_shardings=(shardings, whole),
        donate_argnums=len(bound),
    )
    return functools.partial(step, *bound)

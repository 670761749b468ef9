"""Bounded, robust Levenberg-Marquardt for small dense least-squares problems.

The cost is sum_i w_i rho(r_i) with the Geman-McClure kernel
rho(r) = r^2 / (1 + r^2 / c_i^2), whose limit for c_i = inf is the plain square.
Each step solves the iteratively reweighted normal equations, so its direction is
one of descent for the robust cost, and is taken only if that cost falls.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.core.numerics import matmul

# Damping grows quickly after a failure and shrinks slowly after a success.
_EASE, _TIGHTEN = 0.4, 6.0
_MIN_DAMPING, _MAX_DAMPING = 1e-6, 1e6


class Loss(NamedTuple):
    """Weights and robust scales of N residuals, each broadcastable to (N,)."""

    weight: jax.Array  # >= 0.
    cutoff: jax.Array  # Geman-McClure scale in units of the residual; inf is quadratic.


class Bounds(NamedTuple):
    """The box and the subset that a solve may move in, each (P,)."""

    lower: jax.Array
    upper: jax.Array
    free: jax.Array  # bool; parameters outside the subset keep their values exactly.


class Solution(NamedTuple):
    """Result of `minimize`."""

    theta: jax.Array  # (P,).
    costs: jax.Array  # (S + 1,), before the first and after every step; never rises.


def robust_cost(residuals: jax.Array, loss: Loss) -> jax.Array:
    """Cost () of residuals (N,); see the module docstring."""
    squared = residuals * residuals
    return jnp.sum(loss.weight * squared / (1.0 + squared / loss.cutoff**2))


def minimize(
    residual_fn: Callable[[jax.Array, Any], jax.Array],
    theta: jax.Array,
    data: Any,
    loss: Loss,
    bounds: Bounds,
    *,
    num_steps: int,
    damping: float = 1e-2,
) -> Solution:
    """Minimizes the robust cost of `residual_fn(theta, data)`. Pure; jit the caller.

    Bounds are kept by projection with an active set: a parameter that sits on a bound
    and whose gradient points outwards leaves the linear system of that step.

    Args:
        residual_fn: (theta (P,), data) -> residuals (N,), in units of their deviation.
        theta: (P,) starting point inside the bounds.
        data: Pytree of arrays handed to `residual_fn`.
        loss: Weights and robust scales of the residuals.
        bounds: Box and free subset.
        num_steps: Trials, taken or not.
        damping: Initial damping relative to the diagonal of the normal matrix.

    Returns:
        The best point and the cost after every trial. A trial with a cost that is not
        finite is rejected, so a finite start gives a finite result.
    """
    theta, data, loss = jax.tree.map(lambda x: jnp.asarray(x)[None], (theta, data, loss))
    solution = minimize_shared(
        residual_fn, theta, data, loss, bounds, num_shared=0, num_steps=num_steps, damping=damping
    )
    return Solution(solution.theta[0], solution.costs)


def minimize_shared(
    residual_fn: Callable[[jax.Array, Any], jax.Array],
    theta: jax.Array,
    data: Any,
    loss: Loss,
    bounds: Bounds,
    *,
    num_shared: int,
    num_steps: int,
    damping: float = 1e-2,
    jacobian_fn: Callable[[jax.Array, Any], tuple[jax.Array, jax.Array]] | None = None,
) -> Solution:
    """Minimizes the sum of the robust costs of B views that share some parameters.

    Args:
        residual_fn: (theta (P,), data) -> residuals (N,) of one view.
        theta: (B, P) start; the first `num_shared` columns are common to all views, those
            of the first view count.
        data: Pytree of arrays with a leading axis B.
        loss: Weights and robust scales, (B or 1, N or 1).
        bounds: Box and free subset, (P,) or (B, P).
        num_shared: How many parameters are common.
        num_steps: Trials, taken or not.
        damping: Initial damping relative to the diagonal of the normal matrix.
        jacobian_fn: (theta, data) -> residuals (N,) and their derivatives (P, N), one row
            for each parameter; None takes them by forward differentiation.

    Returns:
        As `minimize`; theta is (B, P) with equal shared columns.
    """
    num_views, _ = theta.shape
    loss = Loss(*(jnp.broadcast_to(x, (num_views, x.shape[-1])) for x in loss))
    if jacobian_fn is None:
        jacobian_fn = functools.partial(_forward_jacobian, residual_fn)

    def pack(rows):
        rows = jnp.broadcast_to(rows, theta.shape)
        return jnp.concatenate([rows[0, :num_shared], rows[:, num_shared:].reshape(-1)])

    def unpack(packed):
        shared = jnp.broadcast_to(packed[:num_shared], (num_views, num_shared))
        return jnp.concatenate([shared, packed[num_shared:].reshape(num_views, -1)], axis=1)

    def linearize(packed):
        def view(theta, data, loss):
            residuals, jacobian = jacobian_fn(theta, data)
            influence = loss.weight / (1.0 + residuals**2 / loss.cutoff**2) ** 2
            weighted = jacobian * influence
            return matmul(weighted, jacobian.T), matmul(weighted, residuals)

        normal, gradient = jax.vmap(view)(unpack(packed), data, loss)
        return _assemble_normal(normal, num_shared), jnp.concatenate(
            [gradient[:, :num_shared].sum(axis=0), gradient[:, num_shared:].reshape(-1)]
        )

    def cost_of(packed):
        view = lambda theta, data, loss: robust_cost(residual_fn(theta, data), loss)  # noqa: E731
        return jnp.sum(jax.vmap(view)(unpack(packed), data, loss))

    box = Bounds(*(pack(x) for x in bounds))
    solution = _descend(cost_of, linearize, pack(theta), box, num_steps, damping)
    return Solution(unpack(solution.theta), solution.costs)


def _assemble_normal(normal: jax.Array, num_shared: int) -> jax.Array:
    """One matrix for shared, then own parameters, from those (B, P, P) of the views."""
    num_views, size, _ = normal.shape
    num_own = (size - num_shared) * num_views
    cross = jnp.moveaxis(normal[:, :num_shared, num_shared:], 0, 1).reshape(num_shared, num_own)
    own = normal[:, num_shared:, num_shared:]
    own = jnp.einsum("bij,bc->bicj", own, jnp.eye(num_views, dtype=normal.dtype))
    own = own.reshape(num_own, num_own)
    shared = normal[:, :num_shared, :num_shared].sum(axis=0)
    return jnp.block([[shared, cross], [cross.T, own]])


def _descend(cost_of, linearize, theta, bounds: Bounds, num_steps: int, damping) -> Solution:
    """Levenberg-Marquardt on (P,) parameters, given cost and normal equations."""

    def step(state: Any, _: Any) -> tuple[Any, jax.Array]:
        theta, cost, normal, gradient, damping, moved = state
        # After a refused trial the last derivatives still hold.
        normal, gradient = lax.cond(moved, linearize, lambda _: (normal, gradient), theta)
        candidate = _trial(theta, normal, gradient, damping, bounds)
        new_cost = cost_of(candidate)
        taken = new_cost < cost  # False for NaN.
        theta = jnp.where(taken, candidate, theta)
        cost = jnp.where(taken, new_cost, cost)
        factor = jnp.where(taken, _EASE, _TIGHTEN)
        damping = jnp.clip(damping * factor, _MIN_DAMPING, _MAX_DAMPING)
        return (theta, cost, normal, gradient, damping, taken), cost

    cost = cost_of(theta)
    size, dtype = theta.shape[0], theta.dtype
    nothing = jnp.zeros((size, size), dtype), jnp.zeros(size, dtype)
    start = (theta, cost, *nothing, jnp.asarray(damping, dtype), jnp.asarray(True))
    last, costs = lax.scan(step, start, length=num_steps)
    return Solution(last[0], jnp.concatenate([cost[None], costs]))


def _forward_jacobian(residual_fn, theta, data) -> tuple[jax.Array, jax.Array]:
    residuals, pushforward = jax.linearize(lambda theta: residual_fn(theta, data), theta)
    return residuals, jax.vmap(pushforward)(jnp.eye(theta.shape[0], dtype=theta.dtype))


def _trial(theta, normal, gradient, damping, bounds: Bounds) -> jax.Array:
    """The damped Newton step from `theta`, projected on the box."""
    leaving = ((theta <= bounds.lower) & (gradient > 0)) | (
        (theta >= bounds.upper) & (gradient < 0)
    )
    moves = (bounds.free & ~leaving).astype(theta.dtype)
    diagonal = jnp.diagonal(normal)
    # Parameters that no residual sees still get a positive pivot.
    floor = 1e-6 * jnp.max(diagonal) + 1e-12
    # Preconditioning by the diagonal keeps float32 accurate across units.
    scale = moves * lax.rsqrt(diagonal + floor)
    system = normal * scale[:, None] * scale[None, :]
    system = system + jnp.diag(damping + 1.0 - moves)
    delta = jax.scipy.linalg.solve(system, -gradient * scale, assume_a="pos") * scale
    moved = jnp.clip(theta + delta, bounds.lower, bounds.upper)
    return jnp.where(bounds.free, moved, theta)

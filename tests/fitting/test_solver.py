"""The solver finds known minima, keeps its box and never makes things worse."""

import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.fitting.solver import Bounds, Loss, minimize, robust_cost

SQUARE = Loss(jnp.ones(1), jnp.full(1, jnp.inf))


def free(size, low=-np.inf, high=np.inf):
    return Bounds(jnp.full(size, low), jnp.full(size, high), jnp.ones(size, bool))


def rosenbrock(theta, data):
    return jnp.array([10 * (theta[1] - theta[0] ** 2), data - theta[0]])


def test_a_curved_valley_is_followed_to_its_end():
    start = jnp.array([-1.2, 1.0])
    solution = minimize(rosenbrock, start, 1.0, SQUARE, free(2), num_steps=60)
    np.testing.assert_allclose(solution.theta, [1.0, 1.0], atol=1e-3)


@pytest.mark.parametrize("cutoff", [np.inf, 1.0])
def test_cost_never_rises_and_is_that_of_the_result(cutoff):
    loss = Loss(jnp.array([2.0, 0.5]), jnp.array([cutoff, np.inf]))
    solution = minimize(rosenbrock, jnp.array([-1.2, 1.0]), 1.0, loss, free(2), num_steps=25)
    costs = np.asarray(solution.costs)
    assert np.all(np.diff(costs) <= 0)
    assert costs[-1] < 0.5 * costs[0]
    final = robust_cost(rosenbrock(solution.theta, 1.0), loss)
    np.testing.assert_allclose(final, costs[-1], rtol=1e-5)


def test_bounded_optimum_lies_on_the_bound_and_moves_the_others():
    # Correlated residuals: clipping the free optimum alone would be wrong.
    matrix = jnp.array([[1.0, 0.9], [0.9, 1.0]])
    bounds = free(2, 0.0, 1.0)
    solution = minimize(
        lambda theta, data: matrix @ theta - data,
        jnp.full(2, 0.5),
        jnp.array([2.0, 0.0]),
        SQUARE,
        bounds,
        num_steps=40,
    )
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 201)] * 2), -1).reshape(-1, 2)
    costs = np.sum((grid @ np.asarray(matrix) - [2.0, 0.0]) ** 2, axis=-1)
    np.testing.assert_allclose(solution.theta, grid[costs.argmin()], atol=6e-3)


def test_parameters_that_are_not_free_keep_their_bits():
    bounds = free(2)._replace(free=jnp.array([True, False]))
    start = jnp.array([-1.2, 0.7])
    solution = minimize(rosenbrock, start, 1.0, SQUARE, bounds, num_steps=20)
    assert solution.theta[1] == start[1]
    assert solution.theta[0] != start[0]


def test_a_gross_outlier_is_ignored():
    data = jnp.concatenate([jnp.full(20, 3.0), jnp.array([500.0])])
    loss = Loss(jnp.ones(1), jnp.full(1, 2.0))
    solution = minimize(
        lambda theta, data: theta[0] - data, jnp.array([2.0]), data, loss, free(1), num_steps=30
    )
    np.testing.assert_allclose(solution.theta, [3.0], atol=0.01)


def test_steps_to_where_nothing_is_finite_are_refused():
    solution = minimize(
        lambda theta, data: jnp.log(theta) - data,
        jnp.array([3.0]),
        jnp.float32(-3.0),
        SQUARE,
        free(1),
        num_steps=60,
    )
    np.testing.assert_allclose(solution.theta, np.exp([-3.0]), rtol=1e-2)

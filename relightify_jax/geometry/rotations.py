"""Rotations as axis-angle vectors."""

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import matmul


def matrix_from_axis_angle(axis_angle: jax.Array) -> jax.Array:
    """Rodrigues' formula, smooth at zero.

    Args:
        axis_angle: (3,) rotation axis times angle in radians.

    Returns:
        (3, 3) rotation matrix.
    """
    squared = jnp.sum(axis_angle * axis_angle)
    is_small = squared < 1e-12
    angle = jnp.sqrt(jnp.where(is_small, 1.0, squared))
    sinc = jnp.where(is_small, 1.0 - squared / 6, jnp.sin(angle) / angle)
    versine = jnp.where(is_small, 0.5 - squared / 24, (1 - jnp.cos(angle)) / angle**2)
    x, y, z = axis_angle
    zero = jnp.zeros_like(x)
    cross = jnp.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]])
    return jnp.eye(3) + sinc * cross + versine * matmul(cross, cross)

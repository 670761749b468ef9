"""How much skin a millimetre of the map is, so that patterns come out round on the face.

The layout squeezes the forehead and the neck from top to bottom and the sides of the face
from left to right. Its scale along rows and columns, read off the mean head, is taken as
the product of two curves; that halves the distortion, and what is left is under a quarter.
"""

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.skin.noise import MILLIMETRES_PER_UV

# Millimetres of skin per millimetre of the map, at 17 places from edge to edge.
_RIGHT = np.array([1.5, 1.45, 1.33, 1.11, 0.98, 0.95, 0.90, 0.80, 0.78])
_RIGHT = np.concatenate([_RIGHT, _RIGHT[-2::-1]])
_DOWN = np.array(
    [1.90, 1.65, 1.35, 0.96, 0.72, 0.84, 0.82, 0.86, 0.88]
    + [0.78, 0.80, 0.84, 0.95, 1.16, 1.37, 1.44, 1.20]
)


def skin_scale(place: jax.Array) -> jax.Array:
    """Millimetres of skin (..., 2) to the right and down per millimetre of the map.

    Args:
        place: (..., 2) places on the map in mm.
    """
    at = place / MILLIMETRES_PER_UV
    knots = jnp.linspace(0.0, 1.0, len(_DOWN))
    right = jnp.interp(at[..., 0], knots, jnp.asarray(_RIGHT, jnp.float32))
    down = jnp.interp(at[..., 1], knots, jnp.asarray(_DOWN, jnp.float32))
    return jnp.stack([right, down], -1)


def lay_on_skin(fields: jax.Array) -> jax.Array:
    """Resamples periodic patterns (R, R, C) that are even in mm of skin onto the map."""
    fields = _resample(fields, _DOWN, axis=0)
    return _resample(fields, _RIGHT, axis=1)


def _resample(fields: jax.Array, scale: np.ndarray, axis: int) -> jax.Array:
    """Catmull-Rom interpolation along one axis, at the length of skin from the middle."""
    size = fields.shape[axis]
    steps = np.interp((np.arange(size) + 0.5) / size, np.linspace(0, 1, len(scale)), scale)
    length = np.cumsum(steps) - 0.5 * steps
    at = length - length[size // 2 - 1 : size // 2 + 1].mean() + (size - 1) / 2
    first = np.floor(at).astype(np.int32)
    t = at - first
    weights = [
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    ]
    shape = [size if i == axis else 1 for i in range(3)]
    total = jnp.zeros_like(fields)
    for offset, weight in zip(range(-1, 3), weights, strict=True):
        rows = jnp.take(fields, jnp.asarray((first + offset) % size), axis=axis)
        total += rows * jnp.asarray(weight.reshape(shape), fields.dtype)
    return total

"""How much skin a millimetre of the map is, so that patterns come out round on the face.

The layout squeezes the forehead and the neck from top to bottom and the sides of the face
from left to right. For patterns, its scale along rows and columns, read off the mean head,
is taken as the product of two curves, which halves the distortion; single marks have their
place looked up in a table.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from relightify_jax.core.numerics import einsum
from relightify_jax.skin.noise import MILLIMETRES_PER_UV

# Millimetres of skin per millimetre of the map, at 17 places from edge to edge.
_RIGHT = np.array([1.5, 1.45, 1.33, 1.11, 0.98, 0.95, 0.90, 0.80, 0.78])
_RIGHT = np.concatenate([_RIGHT, _RIGHT[-2::-1]])
_DOWN = np.array(
    [1.90, 1.65, 1.35, 0.96, 0.72, 0.84, 0.82, 0.86, 0.88]
    + [0.78, 0.80, 0.84, 0.95, 1.16, 1.37, 1.44, 1.20]
)

# The same by place: rows from top to bottom, columns from the middle to either side.
# fmt: off
_TABLE_RIGHT = np.array([
    [0.68, 0.66, 0.72, 0.80, 0.81], [0.76, 0.75, 0.77, 0.80, 0.79], [0.81, 0.75, 0.89, 1.00, 0.75],
    [0.78, 0.82, 0.91, 1.16, 0.80], [0.79, 0.95, 1.02, 1.36, 1.26], [0.91, 1.03, 1.06, 1.44, 1.29],
    [0.80, 0.96, 1.03, 1.32, 1.11], [0.74, 0.87, 1.01, 1.32, 1.40], [0.64, 0.79, 1.03, 1.24, 1.17],
    [0.66, 0.74, 0.89, 1.01, 1.01], [0.60, 0.61, 0.62, 0.73, 1.10], [0.57, 0.56, 0.54, 0.60, 1.02],
    [0.67, 0.59, 0.65, 0.78, 0.88],
])
_TABLE_DOWN = np.array([
    [1.97, 1.80, 1.14, 1.12, 1.07], [1.61, 1.58, 1.31, 1.00, 0.91], [1.06, 1.11, 1.07, 0.84, 0.80],
    [0.76, 0.78, 0.62, 0.76, 0.79], [0.98, 0.85, 0.68, 0.76, 1.10], [0.97, 0.81, 0.78, 0.76, 0.99],
    [0.94, 0.82, 0.85, 0.78, 0.92], [0.91, 0.72, 0.74, 0.72, 0.70], [1.17, 0.82, 0.66, 0.65, 0.61],
    [1.05, 0.99, 0.81, 0.68, 0.61], [1.38, 1.38, 1.05, 0.79, 0.61], [1.55, 1.50, 1.40, 1.04, 0.60],
    [1.07, 1.10, 1.35, 1.54, 0.72],
])
# fmt: on


def skin_scale(place: jax.Array) -> jax.Array:
    """Millimetres of skin (..., 2) to the right and down per millimetre of the map.

    Args:
        place: (..., 2) places on the map in mm.
    """
    at = place / MILLIMETRES_PER_UV
    rows, columns = _TABLE_RIGHT.shape
    row = at[..., 1] * (rows - 1)
    column = jnp.abs(2 * at[..., 0] - 1) * (columns - 1)
    table = jnp.asarray(np.stack([_TABLE_RIGHT, _TABLE_DOWN]), jnp.float32)
    scale = jax.vmap(lambda x: map_coordinates(x, [row, column], order=1, mode="nearest"))(table)
    return jnp.moveaxis(scale, 0, -1)


def scale_map(size: int) -> jax.Array:
    """`skin_scale` of every texel of a map, (2, R, R): to the right, then down."""
    at = (np.arange(size) + 0.5) / size
    rows, columns = _TABLE_RIGHT.shape
    down = np.maximum(1 - np.abs(at[:, None] * (rows - 1) - np.arange(rows)), 0)
    right = np.abs(2 * at[:, None] - 1) * (columns - 1)
    right = np.maximum(1 - np.abs(right - np.arange(columns)), 0)
    table = jnp.asarray(np.stack([_TABLE_RIGHT, _TABLE_DOWN]), jnp.float32)
    return einsum("in,cnm,jm->cij", jnp.float32(down), table, jnp.float32(right))


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

"""UV maps as networks see them: perceptual residuals to the mean face.

Texture and albedo are sRGB encoded, so that an error on dark skin weighs as much as
the same visible error on light skin. Then the mean face is subtracted per texel and
each kind of map is divided by its spread: the networks see numbers of about unit size
and need not learn where the lips are.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import color, numerics
from relightify_jax.core.uv_layout import UV_CHANNELS

# Spread of each kind of map as the networks see it. More means more of the code and of
# the loss: errors of albedo are the easiest to see, specular albedo is mostly noise.
_IMPORTANCE = {"texture": 1.0, "diffuse_albedo": 1.5, "normals": 1.0, "specular_albedo": 0.4}


class MapStatistics(NamedTuple):
    """Mean and spread of perceptual maps over a training set."""

    mean: jax.Array  # (H, W, 10), sRGB in [0, 1] for colours, averaged normals.
    scale: jax.Array  # (10,), one value per kind of map.


def perceptual_from_maps(stack: jax.Array) -> jax.Array:
    """Encodes linear maps (..., H, W, 10): colours to sRGB, the rest unchanged."""
    return jnp.concatenate([color.srgb_from_linear(stack[..., :6]), stack[..., 6:]], axis=-1)


def maps_from_perceptual(stack: jax.Array) -> jax.Array:
    """Inverse of `perceptual_from_maps` that also returns to the valid set.

    Colours and specular albedo are clipped to [0, 1] and normals made unit.
    """
    normals = numerics.normalize(stack[..., UV_CHANNELS["normals"]])
    specular = jnp.clip(stack[..., UV_CHANNELS["specular_albedo"]], 0.0, 1.0)
    colors = color.linear_from_srgb(jnp.clip(stack[..., :6], 0.0, 1.0))
    return jnp.concatenate([colors, normals, specular], axis=-1)


def standardize_maps(statistics: MapStatistics, stack: jax.Array) -> jax.Array:
    """Perceptual maps (..., H, W, 10) to residuals of about unit size."""
    mean, scale = _broadcast(statistics, stack.ndim)
    return (stack - mean) / scale


def restore_maps(statistics: MapStatistics, residual: jax.Array) -> jax.Array:
    """Inverse of `standardize_maps`."""
    mean, scale = _broadcast(statistics, residual.ndim)
    return residual * scale + mean


def _broadcast(statistics: MapStatistics, ndim: int) -> tuple[jax.Array, jax.Array]:
    mean, scale = jnp.asarray(statistics.mean), jnp.asarray(statistics.scale)
    axes = tuple(range(ndim - 3))
    return jnp.expand_dims(mean, axes), jnp.expand_dims(scale, (*axes, ndim - 3, ndim - 2))


def statistics_from_moments(mean: np.ndarray, mean_square: np.ndarray) -> MapStatistics:
    """Statistics from the per-texel first and second moments (H, W, 10).

    The spread is shared within a kind of map: colours keep their balance and the
    length of a normal's error stays an angle.
    """
    variance = np.maximum(mean_square - mean**2, 0.0)
    scale = np.ones(mean.shape[-1], np.float32)
    for name, channels in UV_CHANNELS.items():
        spread = np.sqrt(variance[..., channels].mean()) + 1e-4
        scale[channels] = spread / _IMPORTANCE[name]
    return MapStatistics(jnp.asarray(mean, jnp.float32), jnp.asarray(scale))

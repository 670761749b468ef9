"""Colour spaces: linear Rec. 709 inside the library, sRGB at the file edge.

Functions take NumPy or JAX arrays (..., 3) in [0, 1] and return JAX arrays.
"""

import jax
import jax.numpy as jnp

# Rec. 709 luminance weights (ITU-R BT.709-6, item 3.2).
LUMINANCE = (0.2126, 0.7152, 0.0722)


def srgb_from_linear(x: jax.Array) -> jax.Array:
    """sRGB transfer curve (IEC 61966-2-1); clips to [0, 1]."""
    x = jnp.clip(x, 0.0, 1.0)
    power = 1.055 * jnp.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055
    return jnp.where(x <= 0.0031308, 12.92 * x, power)


def linear_from_srgb(x: jax.Array) -> jax.Array:
    """Inverse of `srgb_from_linear` on [0, 1]."""
    x = jnp.asarray(x)
    # The power of a negative number would turn the gradient of the other branch to NaN.
    power = ((jnp.maximum(x, 0.04045) + 0.055) / 1.055) ** 2.4
    return jnp.where(x <= 0.04045, x / 12.92, power)


def luminance(x: jax.Array) -> jax.Array:
    """Relative luminance (...,) of linear RGB (..., 3)."""
    return jnp.asarray(x) @ jnp.asarray(LUMINANCE)

"""Smooth extension of known texels over unknown ones: push-pull and membranes."""

import jax
import jax.numpy as jnp

_MIN_SIDE = 4


def push_pull(values: jax.Array, known: jax.Array) -> jax.Array:
    """Fills unknown texels from coarser and coarser averages of the known ones.

    Gortler et al. 1996, "The Lumigraph", section 3.4.

    Args:
        values: (H, W, C), H and W powers of two; ignored where unknown.
        known: (H, W, 1) in {0, 1}.

    Returns:
        (H, W, C), `values` where known. Zero if nothing is known.
    """
    return _fill(values, known.astype(jnp.float32), relax_steps=0)


def membrane(values: jax.Array, weight: jax.Array, relax_steps: int = 16) -> jax.Array:
    """The smoothest function near given values: a screened Poisson equation.

    Minimises sum |grad s|^2 + w / (1 - w) |s - values|^2 by relaxation on every level
    of a pyramid. Weight 1 is a fixed value, weight 0 a free one, as in Poisson image
    editing (Perez et al. 2003); weights between are elastic.

    Args:
        values: (H, W, C), H and W powers of two; ignored where the weight is 0.
        weight: (H, W, 1) in [0, 1].
        relax_steps: Relaxations per level.

    Returns:
        (H, W, C), `values` where the weight is 1. Zero if all weights are 0.
    """
    return _fill(values, weight.astype(jnp.float32), relax_steps)


def _fill(values: jax.Array, weight: jax.Array, relax_steps: int) -> jax.Array:
    height, width, _ = values.shape
    values = jnp.where(weight > 0, values, 0.0)
    if min(height, width) <= _MIN_SIDE:
        total = jnp.sum(weight, (0, 1), keepdims=True)
        mean = jnp.sum(weight * values, (0, 1), keepdims=True) / jnp.maximum(total, 1e-6)
        return weight * values + (1.0 - weight) * mean
    coarse_weight = _halve(weight)
    coarse_values = _halve(weight * values) / jnp.maximum(coarse_weight, 1e-6)
    # For plain filling a coarse texel with anything known in it is known.
    next_weight = coarse_weight if relax_steps else (coarse_weight > 0).astype(jnp.float32)
    coarse = _fill(coarse_values, next_weight, relax_steps)
    filled = weight * values + (1.0 - weight) * resize_linear(coarse, height, width)
    if not relax_steps:
        return filled
    stiffness = weight / jnp.maximum(1.0 - weight, 1e-6)

    def relax(_: int, x: jax.Array) -> jax.Array:
        free = (4.0 * _average_of_neighbours(x) + stiffness * values) / (4.0 + stiffness)
        return jnp.where(weight >= 1.0, values, free)

    return jax.lax.fori_loop(0, relax_steps, relax, filled)


def _halve(x: jax.Array) -> jax.Array:
    """Averages blocks of 2 x 2 texels of x (H, W, C)."""
    height, width, channels = x.shape
    return x.reshape(height // 2, 2, width // 2, 2, channels).mean((1, 3))


def _average_of_neighbours(x: jax.Array) -> jax.Array:
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")
    vertical = padded[:-2, 1:-1] + padded[2:, 1:-1]
    horizontal = padded[1:-1, :-2] + padded[1:-1, 2:]
    return 0.25 * (vertical + horizontal)


def resize_linear(x: jax.Array, height: int, width: int) -> jax.Array:
    """Resizes x (H, W, C) bilinearly, texel centres at +0.5."""
    return jax.image.resize(x, (height, width, x.shape[-1]), "linear")


def blur(x: jax.Array, sigma: float) -> jax.Array:
    """Gaussian blur of x (H, W, C), edges replicated; `sigma` in texels."""
    radius = max(1, int(3 * sigma + 0.5))
    offsets = jnp.arange(-radius, radius + 1)
    kernel = jnp.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / jnp.sum(kernel)
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (radius, radius)
        padded = jnp.moveaxis(jnp.pad(x, pad, mode="edge"), axis, -1)
        smooth = jax.vmap(lambda row: jnp.convolve(row, kernel, "valid"))(
            padded.reshape(-1, padded.shape[-1])
        )
        x = jnp.moveaxis(smooth.reshape(*padded.shape[:-1], -1), -1, axis)
    return x

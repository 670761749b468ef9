"""Float32 helpers that stay exact on accelerators and finite at singular points."""

import jax
import jax.numpy as jnp
from jax import lax


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """Matrix product in full float32.

    `a @ b` runs in bfloat16 on TPU and in TF32 on recent GPUs by default, which
    moves a projected vertex by pixels. Geometry never uses `@` directly.
    """
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def einsum(spec: str, *operands: jax.Array) -> jax.Array:
    """`jnp.einsum` in full float32; see `matmul`."""
    return jnp.einsum(spec, *operands, precision=lax.Precision.HIGHEST)


def safe_norm(x: jax.Array, axis: int = -1, *, keepdims: bool = False) -> jax.Array:
    """Euclidean norm with a zero, not NaN, gradient at zero."""
    squared = jnp.sum(x * x, axis=axis, keepdims=keepdims)
    is_zero = squared <= 0
    return jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, squared)))


def normalize(x: jax.Array, axis: int = -1, eps: float = 1e-16) -> jax.Array:
    """Unit vectors along `axis`; the zero vector stays zero, with finite gradient."""
    return x * lax.rsqrt(jnp.sum(x * x, axis=axis, keepdims=True) + eps)

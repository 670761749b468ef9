"""Bilinear lookups in images and textures, clamped at the border."""

import jax
import jax.numpy as jnp


def sample_image(image: jax.Array, xy: jax.Array) -> jax.Array:
    """Samples an image at pixel coordinates, differentiable in both arguments.

    Args:
        image: (H, W, C).
        xy: (..., 2) x right, y down; the centre of pixel (row 0, column 0) is (0.5, 0.5).
            Beyond the outermost centres the border colour is returned.

    Returns:
        (..., C).
    """
    height, width, channels = image.shape
    last = jnp.array([width - 1, height - 1], xy.dtype)
    position = jnp.clip(xy - 0.5, 0.0, last)
    low = jnp.clip(jnp.floor(position), 0, jnp.maximum(last - 1, 0))
    fraction = position - low
    column, row = low[..., 0].astype(jnp.int32), low[..., 1].astype(jnp.int32)
    flat = image.reshape(height * width, channels)

    def texel(row: jax.Array, column: jax.Array) -> jax.Array:
        return flat[jnp.minimum(row, height - 1) * width + jnp.minimum(column, width - 1)]

    right, down = fraction[..., :1], fraction[..., 1:]
    top = texel(row, column) * (1 - right) + texel(row, column + 1) * right
    bottom = texel(row + 1, column) * (1 - right) + texel(row + 1, column + 1) * right
    return top * (1 - down) + bottom * down


def sample_texture(texture: jax.Array, uv: jax.Array) -> jax.Array:
    """Samples a texture (H, W, C) at uv (..., 2) in [0, 1], v down: (..., C)."""
    height, width = texture.shape[:2]
    return sample_image(texture, uv * jnp.array([width, height], uv.dtype))

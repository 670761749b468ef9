"""UV maps in eight bits on disk, float32 in memory.

Texture and diffuse albedo are stored as sRGB, which spends the codes where the eye does;
normals as (n + 1) / 2; specular albedo as it is.
"""

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.color import linear_from_srgb, srgb_from_linear
from relightify_jax.core.uv_layout import NUM_UV_CHANNELS, UV_CHANNELS

_COLOUR = slice(UV_CHANNELS["texture"].start, UV_CHANNELS["diffuse_albedo"].stop)


def encode_maps(stack: np.ndarray) -> np.ndarray:
    """Rounds linear maps (..., 10) float32 to uint8.

    Raises:
        ValueError: If a value is not finite.
    """
    stack = np.asarray(stack, np.float32)
    if stack.shape[-1] != NUM_UV_CHANNELS or not np.isfinite(stack).all():
        raise ValueError(f"Expected {NUM_UV_CHANNELS} finite channels, got {stack.shape}.")
    coded = stack.copy()
    coded[..., _COLOUR] = np.asarray(srgb_from_linear(jnp.asarray(stack[..., _COLOUR])))
    normals = UV_CHANNELS["normals"]
    coded[..., normals] = (stack[..., normals] + 1) / 2
    return np.round(np.clip(coded, 0, 1) * 255).astype(np.uint8)


def decode_maps(coded: np.ndarray) -> np.ndarray:
    """Inverse of `encode_maps`: linear (..., 10) float32 with unit normals."""
    linear = _SRGB_TABLE[coded]
    plain = _PLAIN_TABLE[coded]
    out = np.empty(coded.shape, np.float32)
    out[..., _COLOUR] = linear[..., _COLOUR]
    normals = 2 * plain[..., UV_CHANNELS["normals"]] - 1
    length = np.sqrt(np.sum(normals * normals, axis=-1, keepdims=True))
    out[..., UV_CHANNELS["normals"]] = normals / np.maximum(length, 1e-6)
    out[..., UV_CHANNELS["specular_albedo"]] = plain[..., UV_CHANNELS["specular_albedo"]]
    return out


def mirror_maps(stack: np.ndarray) -> np.ndarray:
    """The mirror image of a face (..., R, R, 10) in memory: u and the normals' x change sides."""
    mirrored = stack[..., ::-1, :].copy()
    mirrored[..., UV_CHANNELS["normals"].start] *= -1
    return mirrored


_PLAIN_TABLE = (np.arange(256) / 255).astype(np.float32)
_SRGB_TABLE = np.asarray(linear_from_srgb(jnp.asarray(_PLAIN_TABLE)), np.float32)

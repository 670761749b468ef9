"""The channel order of a face's UV maps, defined once for data, models and export.

A stack of maps is (..., H, W, 10), linear, row 0 at v = 0 (top). Texture and
albedos are linear RGB in [0, 1]; normals are unit vectors in object space of the
rest pose; specular albedo S in [0, 1] means F0 = 0.08 S (skin is S = 0.35).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

UV_CHANNELS = {
    "texture": slice(0, 3),
    "diffuse_albedo": slice(3, 6),
    "normals": slice(6, 9),
    "specular_albedo": slice(9, 10),
}
NUM_UV_CHANNELS = 10
NUM_REFLECTANCE_CHANNELS = NUM_UV_CHANNELS - 3  # All but the texture.

# Reflectance at normal incidence of specular albedo 1 (Disney and Unreal use 0.08).
F0_AT_SPECULAR_ONE = 0.08
SKIN_SPECULAR_ALBEDO = 0.35  # F0 = 0.028, refractive index 1.4.


class UVMaps(NamedTuple):
    """Maps of one face or a batch, each (..., H, W, C), float32, linear."""

    texture: jax.Array  # (..., H, W, 3), lit, RGB in [0, 1].
    diffuse_albedo: jax.Array  # (..., H, W, 3), RGB in [0, 1].
    normals: jax.Array  # (..., H, W, 3), unit, object space, rest pose.
    specular_albedo: jax.Array  # (..., H, W, 1), in [0, 1].


def stack_maps(maps: UVMaps) -> jax.Array:
    """Concatenates maps to (..., H, W, 10) in `UV_CHANNELS` order."""
    return jnp.concatenate(maps, axis=-1)


def split_maps(stack: jax.Array) -> UVMaps:
    """Inverse of `stack_maps`.

    Raises:
        ValueError: If the last axis is not 10.
    """
    if stack.shape[-1] != NUM_UV_CHANNELS:
        raise ValueError(f"Expected {NUM_UV_CHANNELS} channels, got shape {stack.shape}.")
    return UVMaps(*(stack[..., channels] for channels in UV_CHANNELS.values()))

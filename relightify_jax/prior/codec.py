"""Faces to latents and back: two autoencoders and the statistics around them.

A face latent is z = [z_texture | z_reflectance] along channels. Each part comes from
its own encoder, so a mask can touch the texture alone.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from relightify_jax.core.uv_layout import UVMaps, split_maps
from relightify_jax.models import KLAutoencoder, autoencoder
from relightify_jax.models.autoencoder import DOWNSAMPLING, ENCODER_MARGIN
from relightify_jax.prior import encoding
from relightify_jax.prior.encoding import MapStatistics

NUM_TEXTURE_CHANNELS = 3


class FaceCodec(flax.struct.PyTreeNode):
    """Texture and reflectance autoencoders with the mean face.

    Attributes:
        texture: Module of the texture autoencoder.
        reflectance: Module of the reflectance autoencoder.
        params: {"texture": ..., "reflectance": ...}, parameters of the two.
        statistics: Mean and spread of the maps.
    """

    texture: KLAutoencoder = flax.struct.field(pytree_node=False)
    reflectance: KLAutoencoder = flax.struct.field(pytree_node=False)
    params: Any
    statistics: MapStatistics

    @property
    def uv_size(self) -> int:
        """Texels per side of the maps."""
        return self.statistics.mean.shape[0]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(h, w, Z) of a face latent."""
        side = self.uv_size // DOWNSAMPLING
        features = self.texture.latent_features + self.reflectance.latent_features
        return side, side, features

    def texture_channels(self) -> jax.Array:
        """(Z,) float32, 1 for channels of the texture."""
        return (jnp.arange(self.latent_shape[2]) < self.texture.latent_features).astype(jnp.float32)

    def encode_texture(self, residual: jax.Array) -> jax.Array:
        """Standardised texture (B, H, W, 3) to latents (B, H/8, W/8, Zt)."""
        return autoencoder.encode(self.texture, self.params["texture"], residual).mean

    def encode(self, residual: jax.Array) -> jax.Array:
        """Standardised maps (B, H, W, 10) to face latents (B, H/8, W/8, Z)."""
        texture = self.encode_texture(residual[..., :NUM_TEXTURE_CHANNELS])
        rest = residual[..., NUM_TEXTURE_CHANNELS:]
        params = self.params["reflectance"]
        reflectance = autoencoder.encode(self.reflectance, params, rest).mean
        return jnp.concatenate([texture, reflectance], axis=-1)

    def decode(self, latents: jax.Array) -> jax.Array:
        """Face latents (B, h, w, Z) to standardised maps (B, 8 h, 8 w, 10)."""
        split = self.texture.latent_features
        parts = [
            autoencoder.decode(self.texture, self.params["texture"], latents[..., :split]),
            autoencoder.decode(self.reflectance, self.params["reflectance"], latents[..., split:]),
        ]
        return jnp.concatenate(parts, axis=-1)

    def maps_from_latents(self, latents: jax.Array) -> UVMaps:
        """Face latents (B, h, w, Z) to linear UV maps (B, H, W, .)."""
        perceptual = encoding.restore_maps(self.statistics, self.decode(latents))
        return split_maps(encoding.maps_from_perceptual(perceptual))

    def latents_from_maps(self, stack: jax.Array) -> jax.Array:
        """Linear maps (B, H, W, 10) to face latents (B, h, w, Z)."""
        perceptual = encoding.perceptual_from_maps(stack)
        return self.encode(encoding.standardize_maps(self.statistics, perceptual))


def known_cells(known: jax.Array) -> jax.Array:
    """Latent cells whose whole receptive field is known.

    Args:
        known: (B, H, W, 1) bool, texels that are known; sides divisible by 8. Texels
            beyond the border count as known: the encoder sees the same zeros there
            for every face.

    Returns:
        (B, H/8, W/8, 1) bool. Latents of these cells do not depend on other texels.
    """
    window = DOWNSAMPLING + 2 * ENCODER_MARGIN
    pad = (ENCODER_MARGIN, ENCODER_MARGIN)
    unknown = 1.0 - known.astype(jnp.float32)
    reached = jax.lax.reduce_window(
        unknown,
        0.0,
        jax.lax.max,
        (1, window, window, 1),
        (1, DOWNSAMPLING, DOWNSAMPLING, 1),
        ((0, 0), pad, pad, (0, 0)),
    )
    return reached == 0

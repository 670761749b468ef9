"""Variational autoencoders of UV maps: 8 times smaller, with a strictly local encoder.

One autoencoder compresses the texture and another the reflectance, so that a mask can
touch the texture alone. They work on standardised residuals to the mean face (see
`relightify_jax.prior.encoding`), which are about N(0, 1).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from relightify_jax.models import blocks

DOWNSAMPLING = 8  # Texels per latent cell and side.
_STEM = 4  # Texels per side of a cell of the stem, half a latent cell.
_NUM_STEM_CONVS = 2
# A latent cell sees its own texels and this many more on each side.
ENCODER_MARGIN = _STEM * _NUM_STEM_CONVS


class Posterior(NamedTuple):
    """Diagonal Gaussian over latents, each (B, H/8, W/8, Z) float32."""

    mean: jax.Array
    log_variance: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """Draws one latent."""
        noise = jax.random.normal(key, self.mean.shape)
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise

    def kl(self) -> jax.Array:
        """Divergence from N(0, I) in nats per latent element, a scalar."""
        variance = jnp.exp(self.log_variance)
        return 0.5 * jnp.mean(self.mean**2 + variance - 1.0 - self.log_variance)


class LocalEncoder(nn.Module):
    """Encoder whose latents depend on 24 x 24 texels each, and on nothing else.

    Space-to-depth by 4, two 3 x 3 convolutions, a stride-2 2 x 2 convolution, a 1 x 1
    convolution; no normalisation, no attention. A latent cell is therefore exact as
    soon as the texels within `ENCODER_MARGIN` of it are known, whatever fills the rest
    of a partial texture.
    """

    latent_features: int
    features: int
    forward_vjp: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> Posterior:
        """Maps x (B, H, W, C) to a posterior at (B, H/8, W/8)."""
        conv = {"forward_vjp": self.forward_vjp, "dtype": self.dtype}
        h = blocks.space_to_depth(x, _STEM)
        for i in range(_NUM_STEM_CONVS):
            h = nn.silu(blocks.Conv(self.features, **conv, name=f"stem_{i}")(h))
        h = blocks.space_to_depth(h, DOWNSAMPLING // _STEM)
        h = nn.silu(blocks.Conv(2 * self.features, 1, dtype=self.dtype, name="merge")(h))
        h = blocks.Conv(2 * self.latent_features, 1, dtype=self.dtype, name="head")(h)
        mean, log_variance = jnp.split(h.astype(jnp.float32), 2, axis=-1)
        return Posterior(mean, jnp.clip(log_variance - 4.0, -12.0, 2.0))


class Decoder(nn.Module):
    """Residual decoder that ends with a convolution between full-size texels.

    Depth-to-space writes 4 x 4 blocks at once; the last convolutions run over the
    full-size map, so that the blocks cannot be told apart.
    """

    out_features: int
    features: tuple[int, int]
    num_blocks: int = 2
    full_size_features: int = 8
    forward_vjp: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps z (B, h, w, Z) to (B, 8 h, 8 w, out_features), float32."""
        kind = {"forward_vjp": self.forward_vjp, "dtype": self.dtype}
        coarse, fine = self.features
        h = blocks.Conv(coarse, **kind, name="conv_in")(z)
        for i in range(self.num_blocks):
            h = blocks.LocalResBlock(**kind, name=f"coarse_{i}")(h)
        h = blocks.Conv(4 * fine, **kind, name="up_2")(h)
        h = blocks.depth_to_space(h, DOWNSAMPLING // _STEM)
        for i in range(self.num_blocks):
            h = blocks.LocalResBlock(**kind, name=f"fine_{i}")(h)
        h = blocks.Conv(_STEM**2 * self.full_size_features, **kind, name="up_4")(nn.silu(h))
        h = nn.silu(blocks.depth_to_space(h, _STEM))
        h = blocks.Conv(self.out_features, **kind, name="conv_out")(h)
        return h.astype(jnp.float32)


class KLAutoencoder(nn.Module):
    """Encoder and decoder with a Gaussian latent (Kingma & Welling 2014).

    Attributes:
        num_channels: Channels of the maps.
        latent_features: Channels of the latent.
        encoder_features: Channels of the encoder at 1/4 size.
        decoder_features: Channels of the decoder at 1/8 and 1/4 size.
        num_blocks: Residual blocks per decoder size.
        full_size_features: Channels of the decoder at full size.
        forward_vjp: See `blocks.Conv`.
        dtype: Compute type.
    """

    num_channels: int
    latent_features: int
    encoder_features: int = 64
    decoder_features: tuple[int, int] = (96, 64)
    num_blocks: int = 2
    full_size_features: int = 8
    forward_vjp: bool = False
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        """Builds the two halves."""
        kind: dict[str, Any] = {"forward_vjp": self.forward_vjp, "dtype": self.dtype}
        self.encoder = LocalEncoder(self.latent_features, self.encoder_features, **kind)
        self.decoder = Decoder(
            self.num_channels,
            self.decoder_features,
            self.num_blocks,
            self.full_size_features,
            **kind,
        )

    def encode(self, x: jax.Array) -> Posterior:
        """Maps standardised maps (B, H, W, C), sides divisible by 8, to a posterior."""
        return self.encoder(x)

    def decode(self, z: jax.Array) -> jax.Array:
        """Maps latents (B, H/8, W/8, Z) to standardised maps (B, H, W, C)."""
        return self.decoder(z)

    def __call__(self, x: jax.Array, key: jax.Array) -> tuple[jax.Array, Posterior]:
        """Reconstructs x through a sampled latent; returns it with the posterior."""
        posterior = self.encoder(x)
        return self.decoder(posterior.sample(key)), posterior


def build_autoencoder(spec: Mapping[str, Any]) -> KLAutoencoder:
    """Builds the module from a mapping of its attributes (lists become tuples)."""
    values = {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in spec.items()}
    return KLAutoencoder(**values)

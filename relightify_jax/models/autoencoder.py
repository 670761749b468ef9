"""Variational autoencoders of UV maps: 8 times smaller, with a strictly local encoder.

One autoencoder compresses the texture and another the reflectance, so that a mask can
touch the texture alone. They work on standardised residuals to the mean face (see
`relightify_jax.prior.encoding`), which are about unit size.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from relightify_jax.models import blocks

DOWNSAMPLING = 8  # Texels per latent cell and side.
_STEM = 4  # Texels per side of a cell of the stem, half a latent cell.
_NUM_STEM_CONVS = 2
# A latent cell sees its own texels and this many more on each side.
ENCODER_MARGIN = _STEM * _NUM_STEM_CONVS
_START_LOG_VARIANCE = 6.0  # Minus this; a spread of 0.05.


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


class PatchCode(nn.Module):
    """Fixed linear code of patches, 8 x 8 texels x C channels.

    Faces are aligned and their residuals smooth, so the principal components of patches
    already code them well. Back from coefficients goes the best linear map from 3 x 3
    cells, which leaves little of the patches' borders. Both come from data in closed
    form (`fit_patch_code`) and are not trained: the networks around them start from a
    good codec and learn what it misses.

    Attributes:
        num_channels: C.
        latent_features: Components kept, Z.
    """

    num_channels: int
    latent_features: int

    def setup(self) -> None:
        """Declares analysis (64 C, Z) and synthesis (3, 3, Z, 64 C)."""
        size = DOWNSAMPLING**2 * self.num_channels
        init = nn.initializers.lecun_normal()
        self.analysis = self.param("analysis", init, (size, self.latent_features), jnp.float32)
        shape = (3, 3, self.latent_features, size)
        self.synthesis = self.param("synthesis", init, shape, jnp.float32)

    def analyze(self, x: jax.Array) -> jax.Array:
        """Maps (B, H, W, C) to coefficients (B, H/8, W/8, Z) of about unit size."""
        return blocks.space_to_depth(x, DOWNSAMPLING) @ jax.lax.stop_gradient(self.analysis)

    def synthesize(self, z: jax.Array) -> jax.Array:
        """Coefficients (B, h, w, Z) to maps (B, 8 h, 8 w, C)."""
        patches = blocks.convolve_with_forward_vjp(z, jax.lax.stop_gradient(self.synthesis))
        return blocks.depth_to_space(patches, DOWNSAMPLING)


def fit_patch_code(maps: np.ndarray, latent_features: int) -> dict[str, np.ndarray]:
    """Parameters of a `PatchCode` for standardised maps, on the host.

    Args:
        maps: (N, H, W, C), sides divisible by 8.
        latent_features: Components to keep, Z.

    Returns:
        "analysis" (64 C, Z), principal components over 8, and "synthesis"
        (3, 3, Z, 64 C), least squares; float32.
    """
    n, height, width, c = maps.shape
    f = DOWNSAMPLING
    h, w = height // f, width // f
    patches = np.asarray(maps, np.float32).reshape(n, h, f, w, f, c)
    patches = patches.transpose(0, 1, 3, 2, 4, 5).reshape(n * h * w, f * f * c)
    _, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    analysis = vectors[:, ::-1][:, :latent_features] / f
    codes = (patches @ analysis).reshape(n, h, w, -1)
    codes = np.pad(codes, ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = np.stack([codes[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=3)
    around = around.reshape(n * h * w, -1).astype(np.float32)
    gram = (around.T @ around).astype(np.float64)
    gram += 1e-5 * np.trace(gram) / len(gram) * np.eye(len(gram))
    synthesis = np.linalg.solve(gram, (around.T @ patches).astype(np.float64))
    return {
        "analysis": analysis.astype(np.float32),
        "synthesis": synthesis.reshape(3, 3, latent_features, f * f * c).astype(np.float32),
    }


class LocalEncoder(nn.Module):
    """What a latent cell adds to its patch's coefficients, from 24 x 24 texels.

    Space-to-depth by 4, two 3 x 3 convolutions, a stride-2 2 x 2 convolution, a 1 x 1
    convolution; no normalisation, no attention. A latent cell is therefore exact as
    soon as the texels within `ENCODER_MARGIN` of it are known, whatever fills the rest
    of a partial texture. Starts at zero.
    """

    latent_features: int
    features: int
    forward_vjp: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Maps x (B, H, W, C) to a correction and a log variance (B, H/8, W/8, Z)."""
        conv: dict[str, Any] = {"forward_vjp": self.forward_vjp, "dtype": self.dtype}
        h = blocks.space_to_depth(x, _STEM)
        for i in range(_NUM_STEM_CONVS):
            h = nn.silu(blocks.Conv(self.features, **conv, name=f"stem_{i}")(h))
        h = blocks.space_to_depth(h, DOWNSAMPLING // _STEM)
        h = nn.silu(blocks.Conv(2 * self.features, 1, dtype=self.dtype, name="merge")(h))
        h = blocks.Conv(2 * self.latent_features, 1, zero_init=True, dtype=self.dtype, name="head")(
            h
        )
        correction, log_variance = jnp.split(h.astype(jnp.float32), 2, axis=-1)
        return correction, jnp.clip(log_variance - _START_LOG_VARIANCE, -12.0, 2.0)


class Decoder(nn.Module):
    """What the patches' linear reconstruction lacks: detail and continuity.

    Depth-to-space writes 4 x 4 blocks at once; the last convolution runs over the
    full-size map, where it sees the linear reconstruction too, so that no pattern of
    patches is left. Starts at zero.
    """

    out_features: int
    features: tuple[int, int]
    num_blocks: int = 2
    full_size_features: int = 8
    forward_vjp: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, z: jax.Array, linear: jax.Array) -> jax.Array:
        """Corrects `linear` (B, 8 h, 8 w, out_features) given z (B, h, w, Z)."""
        kind: dict[str, Any] = {"forward_vjp": self.forward_vjp, "dtype": self.dtype}
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
        h = jnp.concatenate([h, linear.astype(h.dtype)], axis=-1)
        h = blocks.Conv(self.out_features, zero_init=True, **kind, name="conv_out")(h)
        return linear + h.astype(jnp.float32)


class KLAutoencoder(nn.Module):
    """Linear patch code, encoder and decoder with a Gaussian latent (Kingma & Welling 2014).

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
        """Builds the linear code and the two networks."""
        kind: dict[str, Any] = {"forward_vjp": self.forward_vjp, "dtype": self.dtype}
        self.patches = PatchCode(self.num_channels, self.latent_features)
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
        correction, log_variance = self.encoder(x)
        return Posterior(self.patches.analyze(x) + correction, log_variance)

    def decode(self, z: jax.Array) -> jax.Array:
        """Maps latents (B, H/8, W/8, Z) to standardised maps (B, H, W, C)."""
        return self.decoder(z, self.patches.synthesize(z))

    def __call__(self, x: jax.Array, key: jax.Array) -> tuple[jax.Array, Posterior]:
        """Reconstructs x through a sampled latent; returns it with the posterior."""
        posterior = self.encode(x)
        return self.decode(posterior.sample(key)), posterior


def encode(module: KLAutoencoder, params: Any, x: jax.Array) -> Posterior:
    """`KLAutoencoder.encode` of a module with its parameters."""
    result: Any = module.apply({"params": params}, x, method=KLAutoencoder.encode)
    return result


def decode(module: KLAutoencoder, params: Any, z: jax.Array) -> jax.Array:
    """`KLAutoencoder.decode` of a module with its parameters."""
    result: Any = module.apply({"params": params}, z, method=KLAutoencoder.decode)
    return result


def build_autoencoder(spec: Mapping[str, Any]) -> KLAutoencoder:
    """Builds the module from a mapping of its attributes (lists become tuples)."""
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in spec.items()
    }
    return KLAutoencoder(**values)

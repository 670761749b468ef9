"""The prior: a codec and a diffusion model over its standardised latents."""

from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.diffusion import gaussian, parameterization, preconditioning
from relightify_jax.diffusion.gaussian import GaussianModel
from relightify_jax.diffusion.schedules import NoiseLevel
from relightify_jax.models import UNet, unet
from relightify_jax.prior.codec import FaceCodec


class LatentStatistics(NamedTuple):
    """What makes latents about N(0, 1): a mean per cell, a spread per channel."""

    mean: jax.Array  # (h, w, Z)
    scale: jax.Array  # (Z,)

    def standardize(self, latents: jax.Array) -> jax.Array:
        """(B, h, w, Z) latents of the codec to about N(0, 1)."""
        return (latents - self.mean[None]) / self.scale[None, None, None]

    def restore(self, latents: jax.Array) -> jax.Array:
        """Inverse of `standardize`."""
        return latents * self.scale[None, None, None] + self.mean[None]


def latent_statistics(latents: np.ndarray) -> LatentStatistics:
    """Statistics of latents (N, h, w, Z), on the host."""
    mean = latents.mean(0, dtype=np.float64)
    scale = np.sqrt(((latents - mean) ** 2).mean((0, 1, 2))) + 1e-4
    return LatentStatistics(mean.astype(np.float32), scale.astype(np.float32))


class Prior(flax.struct.PyTreeNode):
    """Everything that is known of faces before a photo is seen.

    Attributes:
        denoiser: Module of the denoising network.
        codec: Maps to latents and back.
        params: Parameters of the denoising network.
        latents: Statistics of the codec's latents.
        gaussian: Gaussian of the standardised latents.
    """

    denoiser: UNet = flax.struct.field(pytree_node=False)
    codec: FaceCodec
    params: Any
    latents: LatentStatistics
    gaussian: GaussianModel

    def denoise_ve(self, y: jax.Array, sigma: jax.Array) -> jax.Array:
        """Estimates x (B, h, w, Z) from y = x + sigma eps; see `preconditioning`."""

        def network(inputs: jax.Array, time: jax.Array) -> jax.Array:
            return unet.predict(self.denoiser, self.params, inputs, time)

        return preconditioning.denoise(network, self.gaussian, y, sigma)

    def denoise(self, z: jax.Array, level: NoiseLevel) -> jax.Array:
        """The same for the variance-preserving samplers of `relightify_jax.diffusion`."""
        return parameterization.vp_from_ve(self.denoise_ve)(z, level)

    def start(
        self,
        key: jax.Array,
        num: int,
        levels: NoiseLevel,
        known: jax.Array,
        mask: jax.Array,
        temperature: float | jax.Array = 1.0,
    ) -> jax.Array:
        """Draws noisy latents (num, h, w, Z) to start a sampler of `levels` from.

        They are samples of the Gaussian model given what is known, at the first level.
        Plain noise would be right only at a level that drowns the leading modes, far
        above the others.

        Args:
            key: Random key, consumed.
            num: Latents to draw.
            levels: (S,).
            known: (h, w, Z) standardised, ignored where `mask` is 0.
            mask: (h, w, Z), 1 = known; zeros for an unconditional start.
            temperature: Scale of the randomness outside the Gaussian's modes. Below 1 a
                deterministic sampler draws calmer skin, as truncation does in GANs: what
                a small network has not learned to correlate is mottle.
        """
        key_clean, key_noise = jax.random.split(key)
        clean = gaussian.sample_conditional(
            self.gaussian, key_clean, num, known, mask, temperature=temperature
        )
        noise = jax.random.normal(key_noise, clean.shape)
        noise = noise - (1.0 - temperature) * gaussian.off_modes(self.gaussian, noise)
        return jnp.asarray(levels.alpha)[0] * clean + jnp.asarray(levels.sigma)[0] * noise

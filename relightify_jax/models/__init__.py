"""Linen networks: blocks, autoencoder, denoising U-Net. They know no diffusion."""

from relightify_jax.models.autoencoder import (
    KLAutoencoder,
    Posterior,
    build_autoencoder,
    fit_patch_code,
)
from relightify_jax.models.unet import UNet, build_unet

__all__ = [
    "KLAutoencoder",
    "Posterior",
    "UNet",
    "build_autoencoder",
    "build_unet",
    "fit_patch_code",
]

"""The face prior: a codec of UV maps, a diffusion model of its latents, completion."""

from relightify_jax.prior.codec import FaceCodec
from relightify_jax.prior.face_prior import Prior
from relightify_jax.prior.store import load_codec, load_prior, save_codec, save_prior

__all__ = ["FaceCodec", "Prior", "load_codec", "load_prior", "save_codec", "save_prior"]

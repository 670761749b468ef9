"""The face prior: a codec of UV maps, a diffusion model of its latents, completion."""

from relightify_jax.prior.codec import FaceCodec
from relightify_jax.prior.complete import complete_maps, completion_errors
from relightify_jax.prior.composite import composite_texture, transfer_detail
from relightify_jax.prior.face_prior import Prior
from relightify_jax.prior.normals import merge_normals
from relightify_jax.prior.store import load_codec, load_prior, save_codec, save_prior

__all__ = [
    "FaceCodec",
    "Prior",
    "complete_maps",
    "completion_errors",
    "composite_texture",
    "load_codec",
    "load_prior",
    "merge_normals",
    "save_codec",
    "save_prior",
    "transfer_detail",
]

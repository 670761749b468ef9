"""From a partial texture to all maps of a face, in one sequence of denoising steps."""

import functools

import jax
import jax.numpy as jnp

from relightify_jax.core import color
from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import UVMaps
from relightify_jax.diffusion import schedules
from relightify_jax.diffusion.inpainting import SOLVERS
from relightify_jax.diffusion.schedules import NoiseLevel
from relightify_jax.prior import encoding, fill
from relightify_jax.prior.codec import NUM_TEXTURE_CHANNELS, known_cells
from relightify_jax.prior.encoding import MapStatistics
from relightify_jax.prior.face_prior import Prior

_TRUSTED = 0.5
# Tuned on 16 held-out faces with half, oval and three-quarter masks. The start is a
# sample of the Gaussian given what is known, so that little noise on top is enough:
# from ratio 80 the completions lose 1 to 2 dB.
_SIGMA_MIN, _SIGMA_MAX = 0.1, 10.0
DEFAULT_GUIDANCE = 3.0
DEFAULT_STEPS = 25
DEFAULT_TEMPERATURE = 0.4


def complete_maps(
    prior: Prior,
    key: jax.Array,
    texture: jax.Array,
    confidence: jax.Array,
    *,
    num_seeds: int = 2,
    num_steps: int = DEFAULT_STEPS,
    guidance: float = DEFAULT_GUIDANCE,
    temperature: float = DEFAULT_TEMPERATURE,
    eta: float = 0.0,
    solver: str = "mcg",
) -> UVMaps:
    """Completes a texture and predicts albedo, normals and specular albedo.

    Latent cells whose whole receptive field was observed are kept; everything else,
    and all reflectance, is sampled given them. The maps come from the decoder: put the
    photo's own texels back with `relightify_jax.prior.composite`.

    Args:
        prior: From `load_prior`.
        key: Random key, consumed.
        texture: (R, R, 3) linear RGB in [0, 1], R the prior's `codec.uv_size`; ignored
            where unknown.
        confidence: (R, R, 1) in [0, 1]; more than 0.5 is known.
        num_seeds: Completions to draw.
        num_steps: Denoising steps.
        guidance: Weight of the manifold gradient; see `inpainting.mcg`.
        temperature: Scale of fine randomness, see `Prior.start`.
        eta: 0 for DDIM steps, 1 for ancestral ones.
        solver: Name in `inpainting.SOLVERS`.

    Returns:
        Maps (num_seeds, R, R, .), linear.

    Raises:
        InputError: If the texture has another size than the prior, or an option is out
            of range.
    """
    size = prior.codec.uv_size
    if texture.shape != (size, size, 3) or confidence.shape != (size, size, 1):
        raise InputError(
            f"The prior works on textures of {size} x {size} texels, but got "
            f"{tuple(texture.shape)} with confidence {tuple(confidence.shape)}; resize them first."
        )
    if solver not in SOLVERS:
        raise InputError(f"Unknown solver {solver!r}; have {', '.join(SOLVERS)}.")
    if num_seeds < 1 or num_steps < 1:
        raise InputError("The numbers of seeds and of denoising steps must be at least 1.")
    levels = schedules.noise_levels(schedules.karras_sigmas(num_steps, _SIGMA_MIN, _SIGMA_MAX))
    return _complete(
        prior,
        key,
        texture,
        confidence,
        levels,
        guidance,
        temperature,
        eta,
        num_seeds=num_seeds,
        solver=solver,
    )


def encode_observed(
    prior: Prior, texture: jax.Array, confidence: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Latents of the observed texture and where they can be trusted.

    Args:
        prior: The prior.
        texture: (R, R, 3) linear.
        confidence: (R, R, 1).

    Returns:
        known: (h, w, Z) standardised face latent, zero in the reflectance channels.
        mask: (h, w, Z), 1 where `known` is exact.
    """
    trusted = confidence > _TRUSTED
    statistics = prior.codec.statistics
    texture_statistics = MapStatistics(
        statistics.mean[..., :NUM_TEXTURE_CHANNELS], statistics.scale[:NUM_TEXTURE_CHANNELS]
    )
    perceptual = color.srgb_from_linear(jnp.where(trusted, texture, 0.0))
    residual = encoding.standardize_maps(texture_statistics, perceptual)
    residual = fill.push_pull(residual, trusted)
    latents = prior.codec.encode_texture(residual[None])
    num_other = prior.codec.latent_shape[2] - latents.shape[-1]
    latents = jnp.pad(latents, ((0, 0),) * 3 + ((0, num_other),))
    mask = known_cells(trusted[None])[0] * prior.codec.texture_channels()[None, None]
    return prior.latents.standardize(latents)[0] * mask, mask


@functools.partial(jax.jit, static_argnames=("num_seeds", "solver"))
def _complete(
    prior: Prior,
    key: jax.Array,
    texture: jax.Array,
    confidence: jax.Array,
    levels: NoiseLevel,
    guidance: float,
    temperature: float,
    eta: float,
    *,
    num_seeds: int,
    solver: str,
) -> UVMaps:
    known, mask = encode_observed(prior, texture, confidence)
    key_start, key_solve = jax.random.split(key)
    start = prior.start(key_start, num_seeds, levels, known, mask, temperature)
    known, mask = (jnp.broadcast_to(x, (num_seeds, *x.shape)) for x in (known, mask))
    options = {"eta": eta} | ({"guidance": guidance} if solver == "mcg" else {})
    latents = SOLVERS[solver](prior.denoise, key_solve, start, known, mask, levels, **options)
    return prior.codec.maps_from_latents(prior.latents.restore(latents))


def completion_errors(maps: UVMaps, texture: jax.Array, confidence: jax.Array) -> jax.Array:
    """Root mean squared sRGB error (B,) of completions on the observed texels.

    Observed texels near the border of the hole were hidden from the solver, because
    their latent cells were not wholly known; how well a completion meets them ranks the
    seeds.
    """
    trusted = (confidence > _TRUSTED)[None].astype(jnp.float32)
    error = color.srgb_from_linear(maps.texture) - color.srgb_from_linear(texture)[None]
    total = jnp.sum(trusted * error**2, axis=(1, 2, 3))
    return jnp.sqrt(total / jnp.maximum(3.0 * jnp.sum(trusted), 1.0))

"""Inpainting with manifold constrained gradients (Chung et al. 2022).

Beside replacing the known part, every step moves the rest of the latent down the
gradient of the misfit of the denoiser's estimate on the known part. This is what
couples the reflectance, no texel of which is ever known, to the observed texture.
"""

import jax
import jax.numpy as jnp

from relightify_jax.diffusion import samplers
from relightify_jax.diffusion.inpainting.known_region import replace_known
from relightify_jax.diffusion.parameterization import DenoiseFn
from relightify_jax.diffusion.schedules import NoiseLevel


def misfit_gradient(
    denoise_fn: DenoiseFn,
    z: jax.Array,
    known: jax.Array,
    mask: jax.Array,
    level: NoiseLevel,
    norm_power: int,
) -> tuple[jax.Array, jax.Array]:
    """Gradient by z of ||mask (known - x(z))||^p / p, and the estimate x(z).

    The norm is taken per example: over the whole batch, as in published code, results
    would depend on the batch.
    """

    def misfit(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        clean = denoise_fn(z, level)
        square = jnp.sum((mask * (known - clean)) ** 2, axis=(1, 2, 3))
        # The offset keeps the gradient finite at a perfect fit.
        norm = jnp.sqrt(square + 1e-12) if norm_power == 1 else 0.5 * square
        return jnp.sum(norm), clean

    return jax.grad(misfit, has_aux=True)(z)


def inpaint(
    denoise_fn: DenoiseFn,
    key: jax.Array,
    start: jax.Array,
    known: jax.Array,
    mask: jax.Array,
    levels: NoiseLevel,
    *,
    guidance: float | jax.Array = 1.0,
    norm_power: int = 1,
    eta: float = 0.0,
) -> jax.Array:
    """Completes `known`; see `relightify_jax.diffusion.inpainting`.

    Per step, with z' the DDIM update of z and g from `misfit_gradient`:

        z <- (1 - mask) (z' - guidance g) + mask (alpha_next known + sigma_next noise)

    Args:
        denoise_fn: Denoiser; differentiated by z only, parameters get no gradient.
        key: Random key, consumed.
        start: (B, H, W, C).
        known: (B, H, W, C).
        mask: (B, H, W, C).
        levels: (S,).
        guidance: Weight of the gradient. 0 is `replacement` at twice its price.
        norm_power: 1 as in the authors' code, 2 as in their text.
        eta: See `samplers.ddim_update`.

    Returns:
        (B, H, W, C).

    Raises:
        ValueError: If `norm_power` is neither 1 nor 2.
    """
    if norm_power not in (1, 2):
        raise ValueError(f"norm_power must be 1 or 2, got {norm_power}.")

    def step(z: jax.Array, inputs: tuple[NoiseLevel, jax.Array]) -> tuple[jax.Array, None]:
        level, key_step = inputs
        key_known, key_noise = jax.random.split(key_step)
        gradient, clean = misfit_gradient(denoise_fn, z, known, mask, level, norm_power)
        noise = jax.random.normal(key_noise, z.shape)
        z = samplers.ddim_update(z, clean, level, noise, eta) - guidance * gradient
        return replace_known(z, known, mask, level, jax.random.normal(key_known, z.shape)), None

    levels = jax.tree.map(jnp.asarray, levels)
    keys = jax.random.split(key, levels.time.shape[0])
    return jax.lax.scan(step, start, (levels, keys))[0]

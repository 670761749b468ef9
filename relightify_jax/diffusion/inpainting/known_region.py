"""What all solvers do to the known part of a latent."""

import jax

from relightify_jax.diffusion.schedules import NoiseLevel


def replace_known(
    z: jax.Array, known: jax.Array, mask: jax.Array, level: NoiseLevel, noise: jax.Array
) -> jax.Array:
    """Puts `known`, noised to the level z has arrived at, where `mask` is 1.

    The level is the next one of the step, at which z already is; published code noises
    to the level before, which leaves noise in the result. After the last step the known
    part is therefore exact.
    """
    noised = level.alpha_next * known + level.sigma_next * noise
    return mask * noised + (1.0 - mask) * z

"""Inpainting by replacement alone (Song et al. 2021, score SDE, appendix I.2).

The network must carry what is known into the hole by itself. The baseline.
"""

import jax
import jax.numpy as jnp

from relightify_jax.diffusion import samplers
from relightify_jax.diffusion.inpainting.known_region import replace_known
from relightify_jax.diffusion.parameterization import DenoiseFn
from relightify_jax.diffusion.schedules import NoiseLevel


def inpaint(
    denoise_fn: DenoiseFn,
    key: jax.Array,
    start: jax.Array,
    known: jax.Array,
    mask: jax.Array,
    levels: NoiseLevel,
    *,
    eta: float = 0.0,
) -> jax.Array:
    """See `relightify_jax.diffusion.inpainting`; `eta` as in `samplers.ddim_update`."""

    def step(z: jax.Array, inputs: tuple[NoiseLevel, jax.Array]) -> tuple[jax.Array, None]:
        level, key_step = inputs
        key_known, key_noise = jax.random.split(key_step)
        noise = jax.random.normal(key_noise, z.shape)
        z = samplers.ddim_update(z, denoise_fn(z, level), level, noise, eta)
        return replace_known(z, known, mask, level, jax.random.normal(key_known, z.shape)), None

    levels = jax.tree.map(jnp.asarray, levels)
    keys = jax.random.split(key, levels.time.shape[0])
    return jax.lax.scan(step, start, (levels, keys))[0]

"""Adam, a learning rate that follows progress, and weight averaging."""

import jax
import jax.numpy as jnp
import optax


def make_optimizer(
    *, b2: float = 0.99, weight_decay: float = 0.0, clip_norm: float = 1.0
) -> optax.GradientTransformation:
    """Adam without a learning rate: the step multiplies by `learning_rate`.

    The rate is kept out because it may follow the clock of a run with a time limit.
    """
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.scale_by_adam(b2=b2),
        optax.add_decayed_weights(weight_decay),
    )


def learning_rate(
    progress: jax.Array, *, peak: float, warmup: float = 0.02, final: float = 0.01
) -> jax.Array:
    """Linear warm-up, then half a cosine.

    Args:
        progress: Share of the run that is done, in [0, 1].
        peak: Highest rate.
        warmup: Share of the run spent warming up.
        final: Rate at the end, as a share of `peak`.
    """
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip((progress - warmup) / (1 - warmup), 0, 1)))
    rise = jnp.clip((progress + 1e-3) / (warmup + 1e-3), 0, 1)
    return peak * rise * (final + (1 - final) * cosine)


def average_decay(step: jax.Array, gamma: float = 6.94) -> jax.Array:
    """Decay of the power-function average at update `step` (from 1).

    Karras et al. 2024, eq. 4: beta = (1 - 1/t)^(gamma + 1). The average spans a fixed
    share of the run so far, 10 % (relative standard deviation) for gamma 6.94, so one
    value suits runs of any length.
    """
    return (1.0 - 1.0 / step.astype(jnp.float32)) ** (gamma + 1.0)

"""Solvers that complete a partly known latent, one per file, with one interface.

Every solver is

    inpaint(denoise_fn, key, start, known, mask, levels, *, options) -> latent

    denoise_fn  (z (B, H, W, C), level) -> estimate of x. Bind its parameters inside the
                jitted caller, where they are tracers.
    key         random key, consumed
    start       (B, H, W, C) at the first level, see `samplers.sample`
    known       (B, H, W, C) clean; values where `mask` is 0 are ignored
    mask        (B, H, W, C), 1 = known, 0 = to be generated. Channels may differ: a
                mask that is 0 in a block of channels asks for that block everywhere.
    levels      (S,) table from `schedules.noise_levels`

and returns a clean latent that equals `known` where `mask` is 1. Each is one scan and
treats the examples of a batch independently.
"""

from collections.abc import Callable

import jax

from relightify_jax.diffusion.inpainting import mcg, replacement

Solver = Callable[..., jax.Array]

SOLVERS: dict[str, Solver] = {"mcg": mcg.inpaint, "replacement": replacement.inpaint}

__all__ = ["SOLVERS", "Solver", "mcg", "replacement"]

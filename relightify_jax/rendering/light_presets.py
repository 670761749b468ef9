"""Named lights for previews and reports: small, procedural, all of the same shape.

Exposed for skin: an albedo of 0.4 renders at 0.2 to 0.5 where the light is meant to fall.
Left and right are the viewer's: the subject's left, +X, is on the right of the picture.
"""

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import normalize
from relightify_jax.rendering.lighting import Light, disc_sh, uniform_sh

NUM_PRESET_DIRECTIONS = 3

_WARM = np.array([1.0, 0.78, 0.55])
_COOL = np.array([0.72, 0.86, 1.0])
_WHITE = np.ones(3)


def named_lights() -> dict[str, Light]:
    """The preset lights by name, each with three directions, ready to swap under one jit."""
    wide, broad, half_sky = 0.9, 1.2, np.pi / 2
    return {
        "studio": _light(
            uniform_sh(0.10 * _WHITE)
            + disc_sh([-0.7, 0.5, 0.8], wide, 0.42 * _WHITE)
            + disc_sh([0.9, 0.1, 0.6], broad, 0.16 * _COOL),
            [([-0.65, 0.6, 0.75], 0.55 * _WHITE), ([0.8, 0.5, -0.8], 0.8 * _COOL)],
        ),
        "window left": _light(
            uniform_sh(0.05 * _COOL) + disc_sh([-1.0, 0.25, 0.45], wide, 0.75 * _COOL),
            [([-0.9, 0.3, 0.5], 0.35 * _COOL)],
        ),
        "window right": _light(
            uniform_sh(0.05 * _WARM) + disc_sh([1.0, 0.25, 0.45], wide, 0.75 * _WARM),
            [([0.9, 0.3, 0.5], 0.35 * _WARM)],
        ),
        "overcast": _light(
            uniform_sh(0.22 * _WHITE) + disc_sh([0.0, 1.0, 0.25], half_sky, 0.85 * _COOL), []
        ),
        "golden hour": _light(
            uniform_sh(np.array([0.10, 0.12, 0.17]))
            + disc_sh([0.2, 1.0, 0.2], half_sky, np.array([0.10, 0.14, 0.22]))
            + disc_sh([0.8, 0.1, 0.6], broad, 0.25 * _WARM),
            [([0.75, 0.28, 0.6], np.array([1.15, 0.68, 0.32]))],
        ),
        "neon": _light(
            uniform_sh(np.array([0.02, 0.015, 0.04]))
            + disc_sh([-1.0, 0.1, 0.35], wide, np.array([0.75, 0.05, 0.42]))
            + disc_sh([1.0, 0.1, 0.35], wide, np.array([0.03, 0.32, 0.75])),
            [
                ([-0.9, 0.15, 0.3], np.array([0.45, 0.02, 0.25])),
                ([0.9, 0.15, 0.3], np.array([0.01, 0.18, 0.48])),
            ],
        ),
        "top": _light(
            uniform_sh(0.05 * _WHITE) + disc_sh([0.0, 1.0, 0.4], wide, 0.55 * _WHITE),
            [([0.0, 1.0, 0.55], 0.75 * _WHITE)],
        ),
        "from below": _light(
            uniform_sh(0.03 * _COOL) + disc_sh([0.0, -1.0, 0.6], wide, 0.6 * _WARM),
            [([0.0, -0.7, 0.9], 0.35 * _WARM)],
        ),
        "rim": _light(
            uniform_sh(0.06 * _WHITE) + disc_sh([0.0, 0.3, 1.0], broad, 0.18 * _WHITE),
            [([-0.9, 0.35, -0.55], 1.3 * _WARM), ([0.9, 0.35, -0.55], 1.3 * _COOL)],
        ),
        "flat": _light(uniform_sh(0.85 * _WHITE), []),
    }


def _light(sh, beams) -> Light:
    """A light of `NUM_PRESET_DIRECTIONS` beams (direction, radiance); missing ones are dark."""
    dark = [([0.0, 0.0, 1.0], np.zeros(3))] * (NUM_PRESET_DIRECTIONS - len(beams))
    directions, radiance = zip(*(beams + dark), strict=True)
    return Light(
        sh=sh.astype(jnp.float32),
        directions=normalize(jnp.array(directions, jnp.float32)),
        radiance=jnp.array(np.stack(radiance), jnp.float32),
    )

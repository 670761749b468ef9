"""Wrinkles as strokes: broken, wobbling grooves along families of lines.

A wrinkle is a valley with a narrow floor and a wide mouth: the sum of two Gaussians across
the line. Gaussians can be averaged over a texel in closed form, so a wrinkle narrower than a
texel turns shallower by the right amount, and the slope that is lost is known: it is
returned as the slope variance that makes a rough highlight of fine lines (Olano & Baker
2010, "LEAN mapping"; Toksvig 2005, "Mipmapping normal maps").
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import einsum
from relightify_jax.skin.noise import smooth_step

# Standard deviations in texels: of the average that a texel holds, and of that average
# after the central difference of `relief.bump_normals`.
TEXEL_FILTER = 0.5
SLOPE_FILTER = math.sqrt(TEXEL_FILTER**2 + 1 / 3)

_NARROWEST = 0.03  # mm.
_FLOOR = 0.4, 1.0  # Share of the depth and width, relative to the groove's, of the floor,
_MOUTH = 0.6, 4.0  # and of the mouth of the valley.


class Strokes(NamedTuple):
    """Lines of a layer, (N, A): N lines, A places along them."""

    offset: jax.Array  # From the line's row, in rows.
    depth: jax.Array  # mm.
    width: jax.Array  # mm, standard deviation of the valley's floor.


class Engraving(NamedTuple):
    """What strokes do to the skin, (R, R) each."""

    height: jax.Array  # mm, below 0.
    slope_variance: jax.Array  # Mean squared slope of what is finer than a texel.


def sample_strokes(
    key: jax.Array, depth: jax.Array, width: jax.Array, unbroken: jax.Array, num_rows: int
) -> Strokes:
    """Draws lines that start, deepen, fade and stop along their way.

    Args:
        key: Random key, consumed.
        depth: (A,) mm at the deepest, per place along the lines.
        width: (A,) mm.
        unbroken: (), how much of a line there is: -1 = almost nothing, 1 = all of it.
        num_rows: Number of lines N.
    """
    keys = jax.random.split(key, 4)
    shape = num_rows, depth.shape[0]
    long, short = (
        _smooth_rows(jax.random.normal(k, shape), sigma)
        for k, sigma in ((keys[0], 9.0), (keys[1], 1.6))
    )
    place, strength = jax.random.uniform(keys[2], (2, num_rows, 1))
    there = smooth_step(-0.3, 1.2, long + 0.25 * short + unbroken)
    wander = _smooth_rows(jax.random.normal(keys[3], shape), 9.0)
    return Strokes(
        offset=0.44 * (place - 0.5) + 0.17 * wander + 0.025 * short,
        depth=depth * there * (0.3 + 0.7 * strength**1.5),
        width=width * jnp.exp(0.2 * short + 0.25 * (strength - 0.5)),
    )


def engrave(
    strokes: Strokes,
    row: jax.Array,
    along: jax.Array,
    pitch: jax.Array,
    wander: jax.Array,
    texel: float,
) -> Engraving:
    """Cuts the lines into the skin.

    Args:
        strokes: The lines.
        row: (R, R), line n runs near n.
        along: (R, R) index into the places along a line.
        pitch: (R, R) distance of neighbouring lines, mm.
        wander: (R, R) displacement across the lines, mm.
        texel: Millimetres per texel.
    """
    num_rows, num_steps = strokes.depth.shape
    table = jnp.stack([x.reshape(-1) for x in strokes])
    nearest = jnp.round(row)
    step = jnp.clip(along, 0, num_steps - 2)
    low = step.astype(jnp.int32)
    fraction = step - low

    def one_line(total: Engraving, neighbour: jax.Array) -> tuple[Engraving, None]:
        line = nearest + neighbour
        index = jnp.mod(line.astype(jnp.int32), num_rows) * num_steps + low
        start, end = table[:, index], table[:, index + 1]
        offset, depth, width = start + fraction * (end - start)
        across = (row - line - offset) * pitch + wander
        # Beyond the neighbours a line is not looked for: it has to be gone by there.
        width = jnp.clip(width, _NARROWEST, jnp.maximum(0.065 * pitch, _NARROWEST))
        cut = groove(across, depth, width, texel)
        return jax.tree.map(jnp.add, total, cut), None

    zero = Engraving(jnp.zeros_like(row), jnp.zeros_like(row))
    return jax.lax.scan(one_line, zero, jnp.arange(-1.0, 2.0))[0]


def groove(across: jax.Array, depth: jax.Array, width: jax.Array, texel: float) -> Engraving:
    """One groove, averaged over texels.

    A Gaussian of depth d and width s keeps the area of its section: averaged with standard
    deviation T it has the width sqrt(s^2 + T^2) and the depth d s / sqrt(s^2 + T^2). The
    integral of the squared slope across two Gaussians of widths s, r is

        sqrt(2 pi) (d s) (e r) (s^2 + r^2)^(-3/2),

    with 2 T^2 added to s^2 + r^2 once averaged; the difference is lost, around the groove.

    Args:
        across: (R, R) signed distance to the middle of the groove, mm.
        depth: mm, broadcast to it.
        width: Standard deviation of the floor, mm, broadcast.
        texel: Millimetres per texel.
    """
    blur = (TEXEL_FILTER * texel) ** 2
    seen = 2 * (SLOPE_FILTER * texel) ** 2
    height = jnp.zeros_like(across)
    for share, relative in (_FLOOR, _MOUTH):
        variance = jnp.square(relative * width)
        averaged = variance + blur
        gain = share * depth * jnp.sqrt(variance / averaged)
        height -= gain * jnp.exp(-0.5 * jnp.square(across) / averaged)
    lost = jnp.zeros_like(depth * width)
    for share_a, a in (_FLOOR, _MOUTH):
        for share_b, b in (_FLOOR, _MOUTH):
            square = (a * a + b * b) * jnp.square(width)
            moments = share_a * a * share_b * b * jnp.square(depth * width)
            lost += moments * (square**-1.5 - (square + seen) ** -1.5)
    around = jnp.square(width) + 0.5 * seen
    # sqrt(2 pi) of the integral and of the normal density around the groove cancel.
    lost = lost * jax.lax.rsqrt(around) * jnp.exp(-0.5 * jnp.square(across) / around)
    return Engraving(height, lost)


def _smooth_rows(noise: jax.Array, sigma: float) -> jax.Array:
    """Smooths (N, A) along A to unit variance."""
    index = np.arange(noise.shape[1])
    weights = np.exp(-0.5 * ((index[:, None] - index[None, :]) / sigma) ** 2)
    weights /= np.sqrt((weights**2).sum(1, keepdims=True))
    return einsum("ab,nb->na", jnp.asarray(weights, jnp.float32), noise)

"""Pores and the furrows between them: a jittered lattice of pits, one cell each.

The lattice does not depend on the size of the map, and every texel looks only at the nine
cells around it (Worley 1996, "A cellular texture basis function").
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.strokes import SLOPE_FILTER, TEXEL_FILTER

_CELLS = 248  # Per side of the map.
_CELL = MILLIMETRES_PER_UV / _CELLS  # mm.
# In larger texels the floor of a pit is not seen; everything is slope variance.
_COARSEST_TEXEL = 0.8


# Few pores are far wider and deeper than the others; those are what a portrait shows.
_RARE_WIDTH, _RARE_DEPTH = 0.5, 0.4
# E[(0.4 + 0.8 u + 0.4 u^6)^2] of the depths, u uniform in [0, 1].
_MEAN_SQUARE = 0.16 + 0.64 / 3 + 0.16 / 13 + 0.32 + 0.32 / 7 + 0.64 / 8


class PoreField(NamedTuple):
    """(R, R) each."""

    height: jax.Array  # mm, below 0.
    slope_variance: jax.Array


def dig_pores(
    key: jax.Array,
    density: jax.Array,
    radius: jax.Array,
    depth: jax.Array,
    furrows: jax.Array,
    drawn: tuple[jax.Array, jax.Array, jax.Array],
    scale: jax.Array,
) -> PoreField:
    """Pits of many sizes, drawn out where skin hangs, and furrows from pit to pit.

    An elongated Gaussian pit of depth d, widths a s and s, and n pits per square millimetre
    have the mean squared slope n pi d^2 (a + 1 / a) / 2; averaging over a texel leaves
    d a s^2 / sqrt((a^2 s^2 + T^2) (s^2 + T^2)) of the depth. What is lost is slope variance.

    Args:
        key: Random key, consumed.
        density: (R, R) share of cells with a pit, in [0, 1].
        radius: (R, R) standard deviation of a middling pit, mm.
        depth: (R, R) of a middling pit, mm.
        furrows: (R, R) depth of the furrows between pits, mm.
        drawn: Unit direction (x, y) and factor >= 1 by which pits are longer along it.
        scale: (2, R, R) millimetres of skin to the right and down per millimetre of the map.
    """
    size = density.shape[0]
    texel = MILLIMETRES_PER_UV / size
    x, y, longer = drawn
    per_area = density / (_CELL**2 * scale[0] * scale[1])
    # Means over the random sizes below: E[g^2] of depths, and of the middling shape.
    total = per_area * jnp.pi * jnp.square(depth) * 0.5 * (longer + 1 / longer) * _MEAN_SQUARE
    area = texel**2 * scale[0] * scale[1]
    blur, seen = TEXEL_FILTER**2 * area, SLOPE_FILTER**2 * area
    long2, wide2 = jnp.square(radius) * longer, jnp.square(radius) / longer
    kept = long2 * wide2 / ((long2 + seen) * (wide2 + seen))
    lost = total * (1 - kept)
    if texel > _COARSEST_TEXEL:
        return PoreField(jnp.zeros_like(density), lost)

    cells = jax.random.uniform(key, (4, _CELLS, _CELLS))
    at = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size * _CELLS
    home = at.astype(jnp.int32)
    fraction = at - home

    def one_cell(state, step):
        height, near, second = state
        down, right = step
        cell = cells[:, (home + down) % _CELLS][:, :, (home + right) % _CELLS]
        place_x, place_y, rank, big = cell
        dx = (fraction[None, :] - right - 0.1 - 0.8 * place_x) * _CELL * scale[0]
        dy = (fraction[:, None] - down - 0.1 - 0.8 * place_y) * _CELL * scale[1]
        widening = 0.6 + 0.9 * big**2 + _RARE_WIDTH * big**8
        along, across = dx * x + dy * y, dx * y - dy * x
        a, b = widening**2 * long2, widening**2 * wide2
        gain = jax.lax.rsqrt((1 + blur / a) * (1 + blur / b))
        pit = jnp.exp(-0.5 * (along**2 / (a + blur) + across**2 / (b + blur)))
        there = smooth_step(0.9 * rank, 0.9 * rank + 0.1, density)
        height -= there * depth * (0.4 + 0.8 * big + _RARE_DEPTH * big**6) * gain * pit
        distance = jnp.sqrt(along**2 / longer + across**2 * longer)
        second = jnp.minimum(second, jnp.maximum(near, distance))
        return (height, jnp.minimum(near, distance), second), None

    steps = jnp.meshgrid(jnp.arange(-1, 2), jnp.arange(-1, 2))
    far = jnp.full_like(density, 9.0)
    start = jnp.zeros_like(density), far, far
    around = tuple(step.reshape(-1) for step in steps)
    (height, near, second), _ = jax.lax.scan(one_cell, start, around)
    width = jnp.sqrt(0.08**2 + blur)
    height -= furrows * 0.08 / width * jnp.exp(-0.5 * jnp.square((second - near) / (2 * width)))
    return PoreField(height, lost)

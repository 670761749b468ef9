"""Hairs as strands: where their roots lie, and how they are drawn on a map.

A strand is an arc that tapers to its tip, possibly waved. It is drawn as points along
it, scattered bilinearly. Each adds its area to an optical depth, so that coverage is
right at every size of the map: a hair is much thinner than a texel. Random numbers
belong to follicles, not to texels: the same key gives the same hairs at every size.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import einsum
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, blur_map
from relightify_jax.skin.surface import skin_scale

NUM_TRAITS = 8
_NUM_FOLLICLES = 53_000  # At least the cells of the largest grid.
_BLUR_SIZE = 256  # Texels per side at which wide blurs are computed.
_OPACITY_OF_RANK = 4.0  # How much more a hair on top shows than one at the bottom (e^4).


def draw_numbers(key: jax.Array, uniforms: int, normals: int) -> tuple[jax.Array, jax.Array]:
    """Draws numbers for a person: (U,) uniform in [0, 1], (N,) about normal within +-3.

    One draw for all: every call of a random generator adds to the time of compilation.
    """
    numbers = jax.random.uniform(key, (uniforms + 3 * normals,))
    return numbers[:uniforms], 2.0 * jnp.sum(numbers[uniforms:].reshape(normals, 3) - 0.5, axis=1)


def draw_follicles(key: jax.Array) -> jax.Array:
    """Draws the table (F, K) of uniform numbers that all kinds of hair of a face share."""
    return jax.random.uniform(key, (_NUM_FOLLICLES, 3 + NUM_TRAITS))


class Roots(NamedTuple):
    """Candidate follicles, best first."""

    place: jax.Array  # (N, 2) mm right and down on the map.
    grows: jax.Array  # (N,) 1 where there is a hair, else 0.
    traits: jax.Array  # (N, NUM_TRAITS) uniform random numbers of each hair.


class Strands(NamedTuple):
    """Hairs, (N,) each; lengths and widths are mm of skin."""

    x: jax.Array  # mm of the map, of the root.
    y: jax.Array
    angle: jax.Array  # Radians of growth at the root, from right towards down.
    bend: jax.Array  # Radians by which the direction has turned at the tip.
    length: jax.Array  # mm.
    width: jax.Array  # mm at the root; 0 for no hair.
    taper: jax.Array  # Share of the width that is lost at the tip.
    wave: jax.Array  # mm, amplitude of waves about the arc.
    turns: jax.Array  # Waves along the hair.
    tone: jax.Array  # Log of its brightness.
    grey: jax.Array  # 0 coloured, 1 white.
    rank: jax.Array  # 0 below all others, 1 on top.


class HairLayer(NamedTuple):
    """Hair of one kind as maps, (R, R) each."""

    depth: jax.Array  # Optical depth; coverage is 1 - exp(-depth).
    tone: jax.Array  # Mean log brightness of what is seen.
    grey: jax.Array  # Share of white hairs in it.
    rank: jax.Array  # Mean rank of what is seen.


def sample_maps(maps: jax.Array, place: jax.Array) -> jax.Array:
    """Looks maps (R, R, C) up bilinearly at places (N, 2) in mm; returns (N, C)."""
    size = maps.shape[0]
    at = jnp.clip(place * (size / MILLIMETRES_PER_UV) - 0.5, 0.0, size - 1.001)
    corner = jnp.floor(at).astype(jnp.int32)
    fx, fy = jnp.moveaxis(at - corner, -1, 0)[..., None]
    flat = maps.reshape(size * size, -1)
    index = corner[:, 1] * size + corner[:, 0]
    top = flat[index] * (1 - fx) + flat[index + 1] * fx
    bottom = flat[index + size] * (1 - fx) + flat[index + size + 1] * fx
    return top * (1 - fy) + bottom * fy


def pick_roots(
    follicles: jax.Array,
    density: jax.Array,
    box: tuple[float, float, float, float],
    spacing: float,
    count: int,
) -> Roots:
    """Picks follicles by density.

    Args:
        follicles: Table of `draw_follicles`.
        density: (R, R) hairs per square millimetre of skin.
        box: Left, top, right, bottom of the candidates' grid in mm.
        spacing: Cells of that grid in mm; a cell holds at most one hair.
        count: Number of roots returned. Where more would grow, they are thinned evenly.

    Raises:
        ValueError: If the table is too short for the box.
    """
    columns = math.ceil((box[2] - box[0]) / spacing)
    rows = math.ceil((box[3] - box[1]) / spacing)
    number = columns * rows
    if number > follicles.shape[0]:
        raise ValueError(f"The box has {number} cells, the table {follicles.shape[0]} rows.")
    draws = follicles[:number]
    cell = jnp.stack([jnp.arange(number) % columns, jnp.arange(number) // columns], -1)
    place = jnp.array(box[:2]) + spacing * (cell + draws[:, :2])
    expected = sample_maps(density[..., None], place)[:, 0] * spacing**2
    expected *= jnp.prod(skin_scale(place), axis=-1)
    score = draws[:, 2] / jnp.maximum(expected, 1e-6)
    _, best = jax.lax.top_k(-score, min(count, number))
    return Roots(place[best], (score[best] < 1).astype(jnp.float32), draws[best, 3:])


def soften(image: jax.Array, radius: float) -> jax.Array:
    """Gaussian blur of a map (R, R) with standard deviation `radius` mm."""
    size = image.shape[0]
    step = max(size // _BLUR_SIZE, 1)
    step = step if size % step == 0 else 1
    coarse = size // step
    pooled = jnp.mean(image.reshape(coarse, step, coarse, step), axis=(1, 3))
    blurred = blur_map(pooled[..., None], radius * coarse / MILLIMETRES_PER_UV)[..., 0]
    return jax.image.resize(blurred, (size, size), "linear")


def draw_strands(strands: Strands, size: int, total: int, per_hair: jax.Array | int) -> HairLayer:
    """Draws hairs on a map of `size` texels per side.

    Args:
        strands: The hairs; those beyond `total // per_hair` are left out.
        size: Texels per side R.
        total: Number of points that are drawn.
        per_hair: Points of each hair; no further apart than about a texel.
    """
    scale = skin_scale(jnp.stack([strands.x, strands.y], -1))
    table = jnp.concatenate([jnp.stack(strands, -1), scale], -1)
    index = jnp.arange(total)
    hair = index // per_hair
    exists = hair < jnp.minimum(table.shape[0], total // per_hair)
    rows = table[jnp.minimum(hair, table.shape[0] - 1)]
    *columns, right, down = jnp.moveaxis(rows, -1, 0)
    s = Strands(*columns)
    t = (index % per_hair + 0.5) / per_hair
    half = 0.5 * s.bend * t
    # The chord of an arc: its length falls as sin(x) / x of half the turn.
    chord = s.length * t * jnp.sinc(half / jnp.pi)
    heading = s.angle + half
    wave = s.wave * jnp.sin(2 * jnp.pi * (s.turns * t + s.rank)) * jnp.minimum(4 * t, 1.0)
    x = s.x + (chord * jnp.cos(heading) - wave * jnp.sin(heading + half)) / right
    y = s.y + (chord * jnp.sin(heading) + wave * jnp.cos(heading + half)) / down
    area = s.width * (1 - s.taper * t**1.5) * s.length / (per_hair * right * down)
    seen = area * exists * jnp.exp(_OPACITY_OF_RANK * (s.rank - 1))
    values = jnp.stack([area * exists, seen, seen * s.tone, seen * s.grey, seen * s.rank], -1)
    depth, seen, *means = jnp.moveaxis(_scatter(x, y, values, size), -1, 0)
    means = [mean / jnp.maximum(seen, 1e-9) for mean in means]
    return HairLayer(depth * (size / MILLIMETRES_PER_UV) ** 2, *means)


def _scatter(x: jax.Array, y: jax.Array, values: jax.Array, size: int) -> jax.Array:
    """Adds values (M, C) bilinearly at mm (x, y) to zeros (R, R, C); outside is dropped."""
    px, py = (p * (size / MILLIMETRES_PER_UV) - 0.5 for p in (x, y))
    left, top = jnp.floor(px), jnp.floor(py)
    fx, fy = px - left, py - top
    weights = jnp.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], -1)
    inside = (left >= 0) & (left < size - 1) & (top >= 0) & (top < size - 1)
    index = jnp.where(inside, top * size + left, size * size).astype(jnp.int32)
    index = index[:, None] + jnp.array([0, 1, size, size + 1])
    added = einsum("mk,mc->mkc", weights, values)
    flat = jnp.zeros((size * size, values.shape[1])).at[index].add(added, mode="drop")
    return flat.reshape(size, size, -1)

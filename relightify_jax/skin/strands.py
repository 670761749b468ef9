"""Hairs as strands: where their roots lie, and how they are drawn on a map.

A strand is an arc that tapers to its tip, possibly waved. It is drawn as points along
it, scattered bilinearly. Each adds its area to an optical depth, so that coverage is
right at every size of the map: a hair is much thinner than a texel. Random numbers
belong to follicles, not to texels: the same key gives the same hairs at every size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
    columns = 3 + NUM_TRAITS
    # Drawn flat, which compiles in a fifth of the time.
    return jax.random.uniform(key, (_NUM_FOLLICLES * columns,)).reshape(-1, columns)


class Bed(NamedTuple):
    """Where hair of one kind may grow; static."""

    box: tuple[float, float, float, float]  # Left, top, right, bottom in mm of the map.
    spacing: float  # mm of the map between cells of a grid; a cell holds at most one hair.
    number: int  # Of roots. Where more would grow, they are thinned evenly.


def share_grey(share: jax.Array, traits: jax.Array, soft: jax.Array | float) -> jax.Array:
    """Whiteness (N,) of hairs of which a share is grey, by uniform random numbers (N,).

    A drawn hair stands for some that lie beside it: `soft` is the range over which they mix.
    """
    return jnp.clip((share * (1 + soft) - traits) / soft, 0.0, 1.0)


class Roots(NamedTuple):
    """Candidate follicles, best first."""

    place: jax.Array  # (N, 2) mm right and down on the map.
    scale: jax.Array  # (N, 2) mm of skin per mm of the map there.
    grows: jax.Array  # (N,) 1 where there is a hair, else 0.
    traits: jax.Array  # (N, NUM_TRAITS) uniform random numbers of each hair.


class Strands(NamedTuple):
    """Hairs, (N,) each; lengths and widths are mm of skin."""

    x: jax.Array  # mm of the map, of the root.
    y: jax.Array
    right: jax.Array  # mm of skin per mm of the map there, to the right
    down: jax.Array  # and down.
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


class Bundle(NamedTuple):
    """Hairs of one kind and how finely they are drawn."""

    strands: Strands  # Those beyond `points // per_hair` are left out.
    points: int  # Number of points that are drawn; static.
    per_hair: jax.Array | int  # Points of each hair; no further apart than about a texel.


class HairLayer(NamedTuple):
    """Hair as maps, (..., R, R) each."""

    depth: jax.Array  # Optical depth; coverage is 1 - exp(-depth).
    tone: jax.Array  # Mean log brightness of what is seen.
    grey: jax.Array  # Share of white hairs in it.
    rank: jax.Array  # Mean rank of what is seen.


def sample_maps(maps: Sequence[jax.Array], place: jax.Array) -> jax.Array:
    """Looks maps (R, R) up bilinearly at places (N, 2) in mm; returns (C, N)."""
    size = maps[0].shape[0]
    at = jnp.clip(place * (size / MILLIMETRES_PER_UV) - 0.5, 0.0, size - 1.001)
    corner = jnp.floor(at).astype(jnp.int32)
    fx, fy = (at - corner).T
    index = corner[:, 1] * size + corner[:, 0]
    flat = jnp.stack(maps).reshape(len(maps), -1)
    top = flat[:, index] * (1 - fx) + flat[:, index + 1] * fx
    bottom = flat[:, index + size] * (1 - fx) + flat[:, index + size + 1] * fx
    return top * (1 - fy) + bottom * fy


def pick_roots(
    follicles: jax.Array, densities: Sequence[jax.Array], beds: Sequence[Bed]
) -> list[Roots]:
    """Picks follicles by density, for several kinds of hair at once.

    Args:
        follicles: Table of `draw_follicles`.
        densities: (R, R) hairs per square millimetre of skin, of each kind.
        beds: Where each kind grows.

    Raises:
        ValueError: If the table is too short for a bed.
    """
    places = [_places(follicles, bed) for bed in beds]
    numbers = [place.shape[0] for place in places]
    scales = jnp.split(skin_scale(jnp.concatenate(places)), np.cumsum(numbers)[:-1])
    picked = []
    for place, scale, density, bed in zip(places, scales, densities, beds, strict=True):
        expected = sample_maps([density], place)[0] * bed.spacing**2 * jnp.prod(scale, axis=-1)
        score = follicles[: place.shape[0], 2] / jnp.maximum(expected, 1e-6)
        _, best = jax.lax.top_k(-score, min(bed.number, place.shape[0]))
        grows = (score[best] < 1).astype(jnp.float32)
        picked.append(Roots(place[best], scale[best], grows, follicles[best, 3:]))
    return picked


def _places(follicles: jax.Array, bed: Bed) -> jax.Array:
    """Places (M, 2) in mm of the candidates of a bed, row by row."""
    left, top, right, bottom = bed.box
    columns = math.ceil((right - left) / bed.spacing)
    number = columns * math.ceil((bottom - top) / bed.spacing)
    if number > follicles.shape[0]:
        raise ValueError(f"The bed has {number} cells, the table {follicles.shape[0]} rows.")
    index = jnp.arange(number)
    cell = jnp.stack([index % columns, index // columns], -1)
    return jnp.array([left, top]) + bed.spacing * (cell + follicles[:number, :2])


def soften(images: jax.Array, radii: Sequence[float]) -> jax.Array:
    """Gaussian blur of maps (C, R, R) with standard deviations `radii` (C,) in mm."""
    size = images.shape[-1]
    step = max(size // _BLUR_SIZE, 1)
    step = step if size % step == 0 else 1
    coarse = size // step
    pooled = jnp.mean(images.reshape(-1, coarse, step, coarse, step), axis=(2, 4))
    sigmas = jnp.array(radii) * (coarse / MILLIMETRES_PER_UV)
    blurred = jax.vmap(blur_map)(pooled[..., None], sigmas)[..., 0]
    return jax.image.resize(blurred, images.shape, "linear")


def draw_strands(bundles: Sequence[Bundle], size: int) -> HairLayer:
    """Draws bundles of hairs (B,), each on a map of its own of `size` texels per side.

    Returns:
        (B, R, R) maps.
    """
    table = jnp.concatenate([jnp.stack(b.strands, -1) for b in bundles])
    counts = [b.strands.x.shape[0] for b in bundles]
    parts = []
    for number, (b, first) in enumerate(zip(bundles, np.cumsum([0, *counts]), strict=False)):
        index = jnp.arange(b.points)
        hair = index // b.per_hair
        exists = hair < jnp.minimum(counts[number], b.points // b.per_hair)
        t = (index % b.per_hair + 0.5) / b.per_hair
        row = first + jnp.minimum(hair, counts[number] - 1)
        parts.append((row, t, exists / b.per_hair, jnp.full_like(index, number)))
    row, t, share, layer = (jnp.concatenate(x) for x in zip(*parts, strict=True))
    s = Strands(*jnp.moveaxis(table[row], -1, 0))
    half = 0.5 * s.bend * t
    # The chord of an arc: its length falls as sin(x) / x of half the turn.
    chord = s.length * t * jnp.sinc(half / jnp.pi)
    heading = s.angle + half
    wave = s.wave * jnp.sin(2 * jnp.pi * (s.turns * t + s.rank)) * jnp.minimum(4 * t, 1.0)
    x = s.x + (chord * jnp.cos(heading) - wave * jnp.sin(heading + half)) / s.right
    y = s.y + (chord * jnp.sin(heading) + wave * jnp.cos(heading + half)) / s.down
    area = s.width * (1 - s.taper * t * jnp.sqrt(t)) * s.length * share / (s.right * s.down)
    seen = area * jnp.exp(_OPACITY_OF_RANK * (s.rank - 1))
    values = jnp.stack([area, seen, seen * s.tone, seen * s.grey, seen * s.rank], -1)
    maps = _scatter(x, y, layer, values, (len(bundles), size, size))
    depth, seen, *means = jnp.moveaxis(maps, -1, 0)
    means = [mean / jnp.maximum(seen, 1e-9) for mean in means]
    return HairLayer(depth * (size / MILLIMETRES_PER_UV) ** 2, *means)


def _scatter(
    x: jax.Array, y: jax.Array, layer: jax.Array, values: jax.Array, shape: tuple[int, int, int]
) -> jax.Array:
    """Adds values (M, C) bilinearly at mm (x, y) to zeros (B, R, R, C); outside is dropped."""
    count, size, _ = shape
    px, py = (p * (size / MILLIMETRES_PER_UV) - 0.5 for p in (x, y))
    left, top = jnp.floor(px), jnp.floor(py)
    fx, fy = px - left, py - top
    weights = jnp.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], -1)
    inside = (left >= 0) & (left < size - 1) & (top >= 0) & (top < size - 1)
    corner = (layer * size + top.astype(jnp.int32)) * size + left.astype(jnp.int32)
    corner = jnp.where(inside, corner, count * size * size)
    index = corner[:, None] + jnp.array([0, 1, size, size + 1])
    added = einsum("mk,mc->mkc", weights, values)
    flat = jnp.zeros((count * size * size, values.shape[1])).at[index].add(added, mode="drop")
    return flat.reshape(*shape, -1)

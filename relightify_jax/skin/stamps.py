"""Small things drawn on a map: spots with uneven outlines, and vessels of short segments.

Places and sizes are in millimetres and every thing is drawn on a patch of fixed extent,
so that the cost follows the number of things, and the same things appear at every size.
What is narrower than a texel is drawn wider and fainter, with the same total.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.skin.noise import MILLIMETRES_PER_UV
from relightify_jax.skin.surface import skin_scale

_HARMONICS = (2.0, 3.0, 5.0)


class Spots(NamedTuple):
    """N spots; mm of skin and radians."""

    place: jax.Array  # (N, 2) centre, mm of the map: right and down from its upper left corner.
    radius: jax.Array  # (N,)
    strength: jax.Array  # (N,) value in the middle; 0 draws nothing.
    stretch: jax.Array  # (N,) long over short axis, >= 1.
    angle: jax.Array  # (N,) of the long axis.
    outline: jax.Array  # (N, 3, 2) cosine and sine amplitudes of the outline's harmonics.
    softness: jax.Array  # (N,) of the border, relative to the radius.
    layer: jax.Array  # (N,) int32, the map to draw on.


class Vessels(NamedTuple):
    """Straight segments (N, S) of N vessels; mm of the map."""

    start: jax.Array  # (N, S, 2)
    end: jax.Array  # (N, S, 2)
    width: jax.Array  # (N, S) half width.
    strength: jax.Array  # (N, S)


def random_spots(
    number: jax.Array,
    place: jax.Array,
    radius: jax.Array,
    strength: jax.Array,
    uneven: float,
    softness: float,
    layer: int = 0,
) -> Spots:
    """Gives spots random shapes.

    Args:
        number: (N, 8) uniform random numbers in [0, 1).
        place: (N, 2) mm.
        radius: (N,) mm.
        strength: (N,).
        uneven: 0 for circles, about 1 for ragged ovals.
        softness: Of the border, relative to the radius.
        layer: The map to draw on.
    """
    count = radius.shape[0]
    amplitude = uneven * jnp.array([0.27, 0.20, 0.12])[:, None]
    return Spots(
        place,
        radius,
        strength,
        1 + 0.7 * uneven * number[:, 0] ** 2,
        jnp.pi * number[:, 1],
        amplitude * (2 * number[:, 2:8].reshape(count, 3, 2) - 1),
        jnp.full(count, softness),
        jnp.full(count, layer),
    )


def draw_spots(
    spots: Spots, size: int, reach: float, num_layers: int = 1, peaks: bool = False
) -> jax.Array:
    """Draws spots on maps.

    Args:
        spots: The spots.
        size: Texels per side R.
        reach: Half extent in mm of the patch that holds the largest spot.
        num_layers: Number of maps L.
        peaks: If set, the maps are not the sums of soft spots but the largest of
            `strength * (1 - distance / radius)`, and -1 where there is no spot: a height
            from which borders are cut after adding noise.

    Returns:
        (L, R, R) maps.
    """
    offset, index = _patches(spots.place, spots.layer, size, reach)
    offset = offset * skin_scale(spots.place)[:, None, None]
    one = (slice(None), None, None)
    cos, sin = jnp.cos(spots.angle)[one], jnp.sin(spots.angle)[one]
    along = offset[..., 0] * cos + offset[..., 1] * sin
    across = (offset[..., 1] * cos - offset[..., 0] * sin) * spots.stretch[one]
    theta = jnp.arctan2(across, along)[..., None] * jnp.array(_HARMONICS)
    uneven = spots.outline[one]
    outline = 1 + jnp.sum(uneven[..., 0] * jnp.cos(theta) + uneven[..., 1] * jnp.sin(theta), -1)
    texel = MILLIMETRES_PER_UV / size
    seen = jnp.sqrt(spots.radius**2 + (0.5 * texel) ** 2)[one]
    distance = jnp.sqrt(along**2 + across**2) / (seen * jnp.maximum(outline, 0.3))
    strength = spots.strength[one]
    if peaks:
        value = jnp.where(strength > 0, strength * (1 - distance), -1.0)
        return _scatter(index, value, size, num_layers, -1.0)
    strength = strength * (spots.radius[one] / seen) ** 2
    value = strength * jax.nn.sigmoid((1 - distance) / spots.softness[one])
    return _scatter(index, value, size, num_layers)


def grow_vessels(
    key: jax.Array,
    root: jax.Array,
    heading: jax.Array,
    length: jax.Array,
    width: jax.Array,
    wander: jax.Array,
    *,
    steps: int,
    branches: int,
) -> Vessels:
    """Lets trunks wander from their roots and fork.

    Args:
        key: Random key, consumed.
        root: (N, 2) mm.
        heading: (N,) radians, 0 = right, pi / 2 = down.
        length: (N,) mm of a trunk; branches are half as long.
        width: (N,) mm, half width at the root; the tips are thinner.
        wander: (N,) radians, largest turn from one segment to the next.
        steps: Segments per trunk and per branch.
        branches: Branches per trunk.

    Returns:
        (N, (1 + branches) * steps) segments, of strength 1 at the roots, falling to the tips.
    """
    count = root.shape[0]
    number = jax.random.uniform(key, (count, 1 + branches, steps + 2))
    turns = wander[:, None, None] * (2 * number[..., :steps] - 1)

    def walk(start, heading, length, turns):
        course = heading + jnp.cumsum(turns, -1)
        step = jnp.stack([jnp.cos(course), jnp.sin(course)], -1) * (length / steps)
        path = start + jnp.cumsum(step, -2)
        return jnp.concatenate([jnp.broadcast_to(start, path[..., :1, :].shape), path], -2), course

    trunk, course = walk(
        root[:, None, None], heading[:, None, None], length[:, None, None, None], turns[:, :1]
    )
    fork = 1 + jnp.floor(number[:, 1:, -1] * (steps - 1)).astype(jnp.int32)
    away = jnp.where(number[:, 1:, -2] < 0.5, -0.7, 0.7)
    away += jnp.take_along_axis(course[:, 0], fork, 1)
    start = jnp.take_along_axis(trunk[:, 0], fork[..., None], 1)
    half = 0.5 * length[:, None, None, None]
    branch, _ = walk(start[:, :, None], away[..., None], half, turns[:, 1:])
    points = jnp.concatenate([trunk, branch], 1)
    taper = 1 - 0.75 * jnp.arange(steps) / steps
    order = jnp.where(jnp.arange(1 + branches) == 0, 1.0, 0.65)
    strength = (order[:, None] * taper).reshape(1, -1)
    shape = (count, (1 + branches) * steps)
    return Vessels(
        points[:, :, :-1].reshape(*shape, 2),
        points[:, :, 1:].reshape(*shape, 2),
        width[:, None] * (0.4 + 0.6 * strength),
        jnp.broadcast_to(strength, shape),
    )


def draw_vessels(vessels: Vessels, size: int, reach: float) -> jax.Array:
    """Draws segments whose patches reach `reach` mm from their middles.

    Returns:
        (R, R) map: at each texel the strongest segment.
    """
    start, end = vessels.start.reshape(-1, 2), vessels.end.reshape(-1, 2)
    layer = jnp.zeros(start.shape[0], jnp.int32)
    offset, index = _patches((start + end) / 2, layer, size, reach)
    half = ((end - start) / 2)[:, None, None]
    squared = jnp.maximum(jnp.sum(half**2, -1), 1e-8)
    t = jnp.clip(jnp.sum(offset * half, -1) / squared, -1, 1)[..., None]
    distance = jnp.sum((offset - t * half) ** 2, -1)
    texel = MILLIMETRES_PER_UV / size
    width = vessels.width.reshape(-1, 1, 1)
    seen = jnp.sqrt(width**2 + (0.5 * texel) ** 2)
    value = vessels.strength.reshape(-1, 1, 1) * width / seen * jnp.exp(-distance / seen**2)
    return _scatter(index, value, size, 1, 0.0)[0]


def _patches(
    place: jax.Array, layer: jax.Array, size: int, reach: float
) -> tuple[jax.Array, jax.Array]:
    """Texels around places (N, 2) mm on layers (N,).

    Returns:
        Offsets (N, P, P, 2) mm of their centres, and their flat indices (N, P, P), which
        are beyond all layers off the map.
    """
    texel = MILLIMETRES_PER_UV / size
    count = 2 * math.ceil(reach / texel) + 1
    nearest = jnp.floor(place / texel).astype(jnp.int32)
    cell = nearest[:, None] + (jnp.arange(count) - count // 2)[:, None]  # (N, P, 2)
    offset = (cell + 0.5) * texel - place[:, None]
    column, row = cell[:, None, :, 0], cell[:, :, None, 1]
    inside = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    x, y = jnp.broadcast_arrays(offset[:, None, :, 0], offset[:, :, None, 1])
    index = (layer[:, None, None] * size + row) * size + column
    return jnp.stack([x, y], -1), jnp.where(inside, index, jnp.iinfo(jnp.int32).max)


def _scatter(
    index: jax.Array, value: jax.Array, size: int, num_layers: int, background: float | None = None
) -> jax.Array:
    """Sum (L, R, R) of patches; with a background, the largest of it and of the patches."""
    out = jnp.full(num_layers * size * size, background or 0.0)
    at = out.at[index.reshape(-1)]
    values = value.reshape(-1)
    out = at.add(values, mode="drop") if background is None else at.max(values, mode="drop")
    return out.reshape(num_layers, size, size)

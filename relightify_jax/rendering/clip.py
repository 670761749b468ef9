"""Cuts triangles that reach behind the camera or far outside of the image.

A pixel xy with depth z is the homogeneous point (x z, y z, z), which is linear along a
line in space also where z is negative, so that cutting needs no camera.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.rendering.fixed_point import GUARD_PIXELS

_CORNERS = 8  # Three, and one more for each of five planes.
PIECES = _CORNERS - 2
# Cut corners must lie inside of the guard band, also after rounding.
_GUARD = 0.999 * GUARD_PIXELS


def clip_triangles(
    xy: jax.Array, depth: jax.Array, near: jax.Array | float, *, height: int, width: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Cuts triangles at the near plane and at the four sides of the guard band.

    One plane at a time (Sutherland and Hodgman 1974). Where an edge is cut does not depend
    on the triangle that it is asked for, so that neighbours still share it exactly.

    Args:
        xy: (N, 3, 2) pixels of the corners.
        depth: (N, 3), finite, of either sign.
        near: Smallest depth that is kept, positive.
        height: Image rows.
        width: Image columns.

    Returns:
        Pixels (N, 6, 3, 2) and depth (N, 6, 3) of a fan of pieces each, and whether the
        piece exists (N, 6).
    """
    center = jnp.array([width / 2, height / 2], jnp.float32)
    # A vertex in the camera's plane has no pixel; the camera gives it that of one aside.
    depth = jnp.where(jnp.abs(depth) < 1e-6, 1e-6, depth).astype(jnp.float32)[..., None]
    points = jnp.concatenate([(xy - center) * depth, depth], axis=-1)
    normals = jnp.array(
        [[0, 0, 1], [1, 0, _GUARD], [-1, 0, _GUARD], [0, 1, _GUARD], [0, -1, _GUARD]]
    )
    offsets = jnp.zeros(5).at[0].set(-near)
    polygon, count = jax.vmap(functools.partial(_clip, normals=normals, offsets=offsets))(points)
    first = jnp.arange(PIECES)
    fan = jnp.stack([jnp.zeros_like(first), first + 1, first + 2], axis=-1)
    exists = first + 2 < count[:, None]
    pieces = jnp.where(exists[..., None, None], polygon[:, fan], 1.0)
    return pieces[..., :2] / pieces[..., 2:] + center, pieces[..., 2], exists


def _clip(triangle, normals, offsets):
    """Polygon (8, 3) and its number of corners: what of a triangle (3, 3) lies inside."""

    def cut(state, plane):
        polygon, count = state
        normal, offset = plane
        slots = jnp.arange(_CORNERS)
        following = jnp.roll(polygon, -1, axis=0)
        following = jnp.where((slots == count - 1)[:, None], polygon[0], following)
        distance = jnp.sum(polygon * normal, axis=-1) + offset
        distance_following = jnp.sum(following * normal, axis=-1) + offset
        inside, inside_following = distance > 0, distance_following > 0
        crosses = inside != inside_following
        # The corners that stay and the points where an edge crosses, in turn.
        candidates = jnp.stack([polygon, _crossing(polygon, following, normal, offset)], axis=1)
        kept = (jnp.stack([inside, crosses], axis=1) & (slots < count)[:, None]).reshape(-1)
        position = jnp.where(kept, jnp.cumsum(kept) - 1, _CORNERS)
        polygon = jnp.ones_like(polygon).at[position].set(candidates.reshape(-1, 3), mode="drop")
        return (polygon, jnp.sum(kept)), None

    start = jnp.concatenate([triangle, jnp.ones((_CORNERS - 3, 3), triangle.dtype)])
    (polygon, count), _ = lax.scan(cut, (start, jnp.int32(3)), (normals, offsets))
    return polygon, count


def _crossing(start, end, normal, offset):
    """Where the edges (N, 3) cross the plane; the same bits for both directions of an edge."""
    ahead = (start - end) > 0
    same = start == end
    swap = ahead[:, 0] | (same[:, 0] & (ahead[:, 1] | (same[:, 1] & ahead[:, 2])))
    low, high = jnp.where(swap[:, None], end, start), jnp.where(swap[:, None], start, end)
    distance = jnp.sum(low * normal, axis=-1) + offset
    difference = distance - (jnp.sum(high * normal, axis=-1) + offset)
    share = distance / jnp.where(difference == 0, 1.0, difference)
    return low + share[:, None] * (high - low)

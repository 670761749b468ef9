"""Triangles as the rasterizer draws them: integer corners, exact areas, patches to visit.

Sums of products of two integers below 2^19 do not fit into int32, and JAX has no int64
unless a program asks for it everywhere; they are carried as a high and a low limb.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

_SUBPIXEL_BITS = 6
ONE = 1 << _SUBPIXEL_BITS  # One pixel in fixed point.
HALF = ONE // 2
_LIMB_BITS = 10
_LIMB = 1 << _LIMB_BITS
# Corners further from the image's centre are not drawn as they are; with images up to this
# size every difference stays below 2^19, which the two-limb products need.
GUARD_PIXELS = 4096
# Leaves room for a chunk beyond the last patch.
_MAX_PATCHES = (1 << 31) - (1 << 20)


class Triangles(NamedTuple):
    """Triangles in fixed point, turned clockwise on screen (positive area, y down)."""

    corners: jax.Array  # (T, 6) int32: x, y of each.
    scaled_inverse_depth: jax.Array  # (T, 3) float32: 1/z over twice the fixed-point area.
    face: jax.Array  # (T,) int32: the triangle of the mesh that this is (a piece of).
    origin: jax.Array  # (T, 2) int32: first pixel x, y of the bounding box.
    columns: jax.Array  # (T,) int32: patches per row of the bounding box.
    ends: jax.Array  # (T,) int32: patches of this and all earlier triangles.


def dot2(a: jax.Array, x: jax.Array, b: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """a x + b y exactly for arguments below 2^19, as (high, low): high 2^10 + low."""
    low = (a & (_LIMB - 1)) * x + (b & (_LIMB - 1)) * y
    high = (a >> _LIMB_BITS) * x + (b >> _LIMB_BITS) * y + (low >> _LIMB_BITS)
    return high, low & (_LIMB - 1)


def saturate(high: jax.Array, low: jax.Array) -> jax.Array:
    """The two-limb number as int32, exact below 2^29, else +-2^30 with the right sign."""
    fits = jnp.abs(high) < (1 << 19)
    return jnp.where(fits, high * _LIMB + low, jnp.where(high < 0, -(1 << 30), 1 << 30))


def to_float(high: jax.Array, low: jax.Array) -> jax.Array:
    """The two-limb number as float32."""
    return high.astype(jnp.float32) * float(_LIMB) + low.astype(jnp.float32)


def within_guard(xy: jax.Array, height: int, width: int) -> jax.Array:
    """Whether pixels xy (..., 2) are near enough to the image to be drawn; False for NaN."""
    center = jnp.array([width / 2, height / 2], jnp.float32)
    return jnp.all(jnp.abs(xy - center) < GUARD_PIXELS, axis=-1)


def set_up_triangles(
    corners: jax.Array,
    depth: jax.Array,
    usable: jax.Array,
    face: jax.Array,
    *,
    height: int,
    width: int,
    patch: int,
    max_patches: int | None,
    cull: str,
) -> tuple[Triangles, jax.Array]:
    """Snaps triangles to 1/64 pixel and counts the patches of each.

    Args:
        corners: (T, 3, 2) float32 pixels.
        depth: (T, 3) float32.
        usable: (T,) bool; others are left out, whatever their numbers are.
        face: (T,) int32, carried along.
        height: Image rows.
        width: Image columns.
        patch: Side of a patch in pixels.
        max_patches: Triangles beyond this many patches are left out.
        cull: "none", "back" or "front".

    Returns:
        The triangles, and whether any was left out because of `max_patches`.
    """
    # Corner by corner: XLA vectorises along the triangles.
    safe = jnp.where(usable[:, None, None], corners, 0.0).astype(jnp.float32)
    snapped = jnp.round(safe * ONE).astype(jnp.int32)
    x, y = ([snapped[:, i, axis] for i in range(3)] for axis in range(2))
    nearness = 1.0 / jnp.where(usable[:, None], depth, 1.0).astype(jnp.float32)
    inverse = [nearness[:, i] for i in range(3)]
    high, low = dot2(x[1] - x[0], y[2] - y[0], -(y[1] - y[0]), x[2] - x[0])
    clockwise = (high > 0) | ((high == 0) & (low > 0))  # On screen; back-facing, as y is down.
    drawn = usable & ((high != 0) | (low != 0))
    if cull == "back":
        drawn &= ~clockwise
    elif cull == "front":
        drawn &= clockwise
    for values in (x, y, inverse):
        values[1], values[2] = (
            jnp.where(clockwise, values[1], values[2]),
            jnp.where(clockwise, values[2], values[1]),
        )
    area = jnp.where(drawn, jnp.abs(to_float(high, low)), 1.0)

    # Pixels whose centres lie in the bounding box; many small triangles have none.
    first_x, columns = _patch_range(x, width, patch)
    first_y, rows = _patch_range(y, height, patch)
    count = jnp.where(drawn, columns * rows, 0)
    limit = _MAX_PATCHES if max_patches is None else min(max_patches, _MAX_PATCHES)
    overflow = jnp.zeros((), bool)
    if count.size * -(-height // patch) * -(-width // patch) > limit:
        # In float32 the running sum cannot wrap round; it is exact for small limits.
        fits = jnp.cumsum(count.astype(jnp.float32)) <= limit
        count, overflow = jnp.where(fits, count, 0), ~jnp.all(fits)
    triangles = Triangles(
        corners=jnp.stack([x[0], y[0], x[1], y[1], x[2], y[2]], axis=-1),
        scaled_inverse_depth=jnp.stack([value / area for value in inverse], axis=-1),
        face=face,
        origin=jnp.stack([first_x, first_y], axis=-1),
        columns=jnp.maximum(columns, 1),
        ends=jnp.cumsum(count),
    )
    return triangles, overflow


def _patch_range(corners, limit, patch):
    """First pixel (T,) of three (T,) fixed-point coordinates, and the number of patches."""
    low = jnp.minimum(jnp.minimum(corners[0], corners[1]), corners[2])
    high = jnp.maximum(jnp.maximum(corners[0], corners[1]), corners[2])
    first = jnp.clip((low + HALF - 1) >> _SUBPIXEL_BITS, 0, limit)
    last = jnp.clip((high - HALF) >> _SUBPIXEL_BITS, -1, limit - 1)
    return first, (jnp.maximum(last - first + 1, 0) + patch - 1) // patch

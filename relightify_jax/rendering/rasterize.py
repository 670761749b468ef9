"""Visibility: which triangle is seen at each pixel centre. Integers, no gradient.

The design: every triangle's bounding box is cut into patches of K x K pixels, the list of
patches is drawn in chunks of a static length, and a chunk is drawn by two scatters (largest
1/z, then lowest triangle index among those that reach it). Coverage is decided in exact
fixed-point integers with the top-left rule, so neighbouring triangles never both own a
pixel and never leave a hole; max and min do not depend on order, so the result is the same
on every device. Everything differentiable is recomputed by `interpolate`.

Pixel centres lie at +0.5, row 0 is the top. Vertices are snapped to 1/64 pixel.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_SUBPIXEL_BITS = 6
_ONE = 1 << _SUBPIXEL_BITS  # One pixel in fixed point.
_HALF = _ONE // 2
_LIMB_BITS = 10
_LIMB = 1 << _LIMB_BITS
# Vertices further from the image's centre are dropped with their triangles; with images up
# to this size every difference stays below 2^19, which the two-limb products need.
GUARD_PIXELS = 4096
_MAX_PATCHES = 1 << 30

Cull = Literal["none", "back", "front"]


class Visibility(NamedTuple):
    """The visible triangle of each pixel."""

    face: jax.Array  # (H, W) int32, -1 where there is none.
    overflow: jax.Array  # () bool: triangles were left out because of `max_patches`.


class _Triangles(NamedTuple):
    """Triangles in fixed point, turned clockwise on screen (positive area, y down)."""

    corners: jax.Array  # (F, 3, 2) int32.
    scaled_inverse_depth: jax.Array  # (F, 3) float32: 1/z over twice the fixed-point area.
    origin: jax.Array  # (F, 2) int32: first pixel x, y of the bounding box.
    columns: jax.Array  # (F,) int32: patches per row of the bounding box.
    ends: jax.Array  # (F,) int32: patches of this and all earlier triangles.


def rasterize(
    xy: jax.Array,
    depth: jax.Array,
    faces: jax.Array,
    *,
    height: int,
    width: int,
    patch: int = 4,
    max_patches: int | None = None,
    cull: Cull = "none",
    near: float | jax.Array = 1e-3,
) -> Visibility:
    """Finds the nearest triangle at every pixel centre.

    A triangle is dropped if it has no area or a vertex that is not finite, not beyond
    `near`, or more than `GUARD_PIXELS` from the image's centre. Equally near triangles:
    the lowest index wins.

    Args:
        xy: (V, 2) float32 pixels, y down.
        depth: (V,) float32, positive in front of the camera; 1 / depth is affine on screen.
        faces: (F, 3) int32; counter-clockwise in space is front-facing.
        height: Image rows, at most `GUARD_PIXELS`.
        width: Image columns, at most `GUARD_PIXELS`.
        patch: Side of the square of pixels drawn at once, 1 to 8; speed only.
        max_patches: Limit on the work, for bounded time; None draws everything.
        cull: "back" drops back-facing triangles, "front" front-facing ones.
        near: Smallest depth that is drawn.

    Returns:
        `Visibility`; `overflow` is always False unless `max_patches` is given (or a scene
        has more than 2^30 patches).

    Raises:
        ValueError: If the image is too large, `patch` or `cull` is not allowed.
    """
    face, _, overflow = _draw(xy, depth, faces, near, height, width, patch, max_patches, cull)
    return Visibility(jnp.where(face == faces.shape[0], -1, face), overflow)


def rasterize_depth(
    xy: jax.Array,
    depth: jax.Array,
    faces: jax.Array,
    *,
    height: int,
    width: int,
    patch: int = 4,
    cull: Cull = "none",
    near: float | jax.Array = 1e-3,
) -> jax.Array:
    """Inverse depth (H, W) of the nearest triangle, 0 where there is none; see `rasterize`."""
    return _draw(xy, depth, faces, near, height, width, patch, None, cull)[1]


@functools.partial(jax.jit, static_argnames=("height", "width", "patch", "max_patches", "cull"))
def _draw(xy, depth, faces, near, height, width, patch, max_patches, cull):
    """Returns triangle index (H, W), F where none; inverse depth (H, W); overflow ()."""
    if max(height, width) > GUARD_PIXELS:
        raise ValueError(f"Images up to {GUARD_PIXELS} pixels a side, got {height} x {width}.")
    if not 1 <= patch <= 8:  # Edge increments inside a larger patch overflow int32.
        raise ValueError(f"patch must be 1 to 8, got {patch}.")
    xy, depth = lax.stop_gradient((xy, depth))
    num_faces, num_pixels = faces.shape[0], height * width
    limit = _MAX_PATCHES if max_patches is None else min(max_patches, _MAX_PATCHES)
    triangles, overflow = _set_up(xy, depth, faces, near, height, width, patch, limit, cull)
    chunk = min(num_pixels // patch**2 + num_faces // 4 + 64, 1 << 17)

    def draw_chunk(state):
        """Draws the patches at hand and fetches the next ones."""
        first, (index, pixel, value), buffer, face = state
        nearer = buffer.at[pixel].max(value, mode="drop")
        face = jnp.where(nearer > buffer, num_faces, face)
        wins = value >= nearer.at[pixel].get(mode="fill", fill_value=jnp.inf)
        face = face.at[pixel].min(jnp.where(wins, index, num_faces), mode="drop")
        patches = _cover_patches(triangles, first, chunk, height, width, patch)
        return first + chunk, patches, nearer, face

    # Patches travel in the loop's state because that stores them: XLA otherwise recomputes
    # `value` inside both scatters, where it may round differently (also past an
    # optimization_barrier, on the CPU), and pixels find no winner.
    nothing = jnp.full((chunk, patch, patch), num_pixels, jnp.int32)
    patches = (nothing, nothing, jnp.zeros(nothing.shape, jnp.float32))
    buffer = jnp.zeros(num_pixels, jnp.float32)
    face = jnp.full(num_pixels, num_faces, jnp.int32)
    if num_faces:
        num_steps = (triangles.ends[-1] + chunk - 1) // chunk + 1
        _, _, buffer, face = lax.while_loop(
            lambda state: state[0] < num_steps * chunk,
            draw_chunk,
            (jnp.int32(0), patches, buffer, face),
        )
    shape = height, width
    return face.reshape(shape), buffer.reshape(shape), overflow


def _dot2(a, x, b, y):
    """a x + b y exactly for arguments below 2^19, as (high, low): high 2^10 + low."""
    low = (a & (_LIMB - 1)) * x + (b & (_LIMB - 1)) * y
    high = (a >> _LIMB_BITS) * x + (b >> _LIMB_BITS) * y + (low >> _LIMB_BITS)
    return high, low & (_LIMB - 1)


def _saturate(high, low):
    """The two-limb number as int32, exact below 2^29, else +-2^30 with the right sign."""
    fits = jnp.abs(high) < (1 << 19)
    return jnp.where(fits, high * _LIMB + low, jnp.where(high < 0, -(1 << 30), 1 << 30))


def _to_float(high, low):
    return high.astype(jnp.float32) * float(_LIMB) + low.astype(jnp.float32)


def _set_up(xy, depth, faces, near, height, width, patch, limit, cull):
    """Fixed-point triangles and the number of patches of each; overflow ()."""
    center = jnp.array([width / 2, height / 2], jnp.float32)
    in_range = jnp.all(jnp.abs(xy - center) < GUARD_PIXELS, axis=-1)  # False for NaN.
    usable = in_range & jnp.isfinite(depth) & (depth > near)
    fixed = jnp.round(jnp.where(usable[:, None], xy, 0.0).astype(jnp.float32) * _ONE)
    inverse = 1.0 / jnp.where(usable, depth, 1.0).astype(jnp.float32)
    corners = fixed.astype(jnp.int32)[faces]
    inverse = inverse[faces]

    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    high, low = _dot2(edge1[:, 0], edge2[:, 1], -edge1[:, 1], edge2[:, 0])
    clockwise = (high > 0) | ((high == 0) & (low > 0))  # On screen; back-facing, as y is down.
    drawn = usable[faces].all(axis=-1) & ((high != 0) | (low != 0))
    if cull == "back":
        drawn &= ~clockwise
    elif cull == "front":
        drawn &= clockwise
    elif cull != "none":
        raise ValueError(f"cull must be 'none', 'back' or 'front', got {cull!r}.")
    corners = jnp.where(clockwise[:, None, None], corners, corners[:, jnp.array([0, 2, 1])])
    inverse = jnp.where(clockwise[:, None], inverse, inverse[:, jnp.array([0, 2, 1])])
    area = jnp.where(drawn, jnp.abs(_to_float(high, low)), 1.0)

    # Pixels whose centres lie in the bounding box; most small triangles have none.
    limits = jnp.array([width, height], jnp.int32)
    first = jnp.clip((corners.min(axis=1) + _HALF - 1) >> _SUBPIXEL_BITS, 0, limits)
    last = jnp.clip((corners.max(axis=1) - _HALF) >> _SUBPIXEL_BITS, -1, limits - 1)
    patches = (jnp.maximum(last - first + 1, 0) + patch - 1) // patch
    count = jnp.where(drawn, patches[:, 0] * patches[:, 1], 0)
    # In float32 the running sum cannot wrap round; it is exact for small limits.
    fits = jnp.cumsum(count.astype(jnp.float32)) <= limit
    ends = jnp.cumsum(jnp.where(fits, count, 0))
    columns = jnp.maximum(patches[:, 0], 1)
    triangles = _Triangles(corners, inverse / area[:, None], first, columns, ends)
    return triangles, ~jnp.all(fits)


def _patch_rows(triangles, first, chunk):
    """Triangle (chunk,) and record (chunk, 13) of patches `first` to `first + chunk`."""
    ends = triangles.ends
    num_faces = ends.shape[0]
    starts = jnp.concatenate([jnp.zeros(1, ends.dtype), ends[:-1]])
    # The triangle of patch i is the number of triangles that end at or before i.
    ended = jnp.zeros(chunk, jnp.int32).at[jnp.maximum(ends - first, 0)].add(1, mode="drop")
    index = jnp.minimum(jnp.cumsum(ended), num_faces - 1)
    depth_bits = lax.bitcast_convert_type(triangles.scaled_inverse_depth, jnp.int32)
    record = jnp.concatenate(  # One gather of 13 numbers is faster than five.
        [
            triangles.corners.reshape(num_faces, 6),
            depth_bits,
            triangles.origin,
            triangles.columns[:, None],
            starts[:, None],
        ],
        axis=1,
    )
    return index, record[index]


def _cover_patches(triangles, first, chunk, height, width, patch):
    """Draws one chunk of patches.

    Returns:
        Triangle, flat pixel (height * width where not covered) and inverse depth, each
        (chunk, patch, patch).
    """
    index, row = _patch_rows(triangles, first, chunk)
    number = first + jnp.arange(chunk, dtype=jnp.int32)
    live = number < triangles.ends[-1]
    corners = row[:, :6].reshape(chunk, 3, 2)
    inverse = lax.bitcast_convert_type(row[:, 6:9], jnp.float32)
    columns, local = row[:, 11], number - row[:, 12]
    x0 = row[:, 9] + local % columns * patch
    y0 = row[:, 10] + local // columns * patch

    start = corners[:, jnp.array([1, 2, 0])]
    edge = corners[:, jnp.array([2, 0, 1])] - start
    owns_edge = (edge[..., 1] < 0) | ((edge[..., 1] == 0) & (edge[..., 0] > 0))
    offset_x = (x0 * _ONE + _HALF)[:, None] - start[..., 0]
    offset_y = (y0 * _ONE + _HALF)[:, None] - start[..., 1]
    high, low = _dot2(edge[..., 0], offset_y, -edge[..., 1], offset_x)
    step_x, step_y = -edge[..., 1] * _ONE, edge[..., 0] * _ONE

    k = jnp.arange(patch, dtype=jnp.int32)
    side = (
        _saturate(high, low)[..., None, None]
        + step_x[..., None, None] * k
        + step_y[..., None, None] * k[:, None]
    )
    inside = jnp.all((side > 0) | ((side == 0) & owns_edge[..., None, None]), axis=1)

    at_origin = jnp.sum(_to_float(high, low) * inverse, axis=1)
    per_x = jnp.sum(step_x.astype(jnp.float32) * inverse, axis=1)
    per_y = jnp.sum(step_y.astype(jnp.float32) * inverse, axis=1)
    k_float = k.astype(jnp.float32)
    value = (
        at_origin[:, None, None]
        + per_x[:, None, None] * k_float
        + per_y[:, None, None] * k_float[:, None]
    )
    x, y = x0[:, None, None] + k, y0[:, None, None] + k[:, None]
    inside &= live[:, None, None] & (x < width) & (y < height)
    pixel = jnp.where(inside, y * width + x, height * width)
    value = jnp.maximum(value, jnp.finfo(jnp.float32).tiny)
    return jnp.broadcast_to(index[:, None, None], pixel.shape), pixel, value

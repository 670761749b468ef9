"""Draws triangles patch by patch into a depth and an index buffer."""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.rendering.fixed_point import HALF, ONE, Triangles, dot2, saturate, to_float


class DrawOptions(NamedTuple):
    """What is fixed at compile time."""

    height: int
    width: int
    patch: int  # Side of a patch in pixels.
    mode: Literal["scatter", "sort"]
    chunk: int  # Patches drawn at once.


class Buffers(NamedTuple):
    """The image so far, with a margin for patches that reach out of it."""

    inverse_depth: jax.Array  # Flat float32, 0 at background; see `crop`.
    face: jax.Array  # Flat int32, `num_faces` at background.


class _Plan(NamedTuple):
    """N patches before their pixels are looked at; everything (N,)."""

    face: jax.Array
    x: jax.Array  # First column.
    y: jax.Array  # First row.
    sides: tuple[jax.Array, ...]  # Of three edges at the first pixel; positive is inside.
    steps_x: tuple[jax.Array, ...]  # How they change from column to column,
    steps_y: tuple[jax.Array, ...]  # and from row to row.
    inverse_depth: tuple[jax.Array, ...]  # At the first pixel, per column, per row.


class _Patches(NamedTuple):
    """N drawn patches."""

    face: jax.Array  # (N,) int32.
    x: jax.Array  # (N,) int32, first column.
    y: jax.Array  # (N,) int32, first row.
    inverse_depth: jax.Array  # (K, K, N) float32, 0 where a pixel is not covered.


def empty_buffers(num_faces: int, options: DrawOptions) -> Buffers:
    """Buffers that show nothing."""
    size = (options.height + options.patch) * _buffer_width(options)
    return Buffers(jnp.zeros(size, jnp.float32), jnp.full(size, num_faces, jnp.int32))


def crop(buffer: jax.Array, options: DrawOptions) -> jax.Array:
    """The image (H, W) that a buffer holds."""
    return buffer.reshape(-1, _buffer_width(options))[: options.height, : options.width]


def _buffer_width(options):
    return options.width + options.patch


def draw_triangles(
    triangles: Triangles,
    buffers: Buffers,
    num_faces: int,
    options: DrawOptions,
    *,
    ordered: bool,
) -> Buffers:
    """Draws all patches of the triangles, a chunk at a time.

    Args:
        triangles: What to draw; `triangles.face` is below `num_faces`.
        buffers: The image so far.
        num_faces: Stands for background.
        options: See `DrawOptions`.
        ordered: Whether `triangles.face` descends and is below everything drawn before,
            which is faster.
    """
    chunk = min(options.chunk, options.height * options.width)
    resolve = _resolve_by_sorting if options.mode == "sort" else _resolve_by_scattering

    def draw_chunk(state):
        """Draws the patches at hand and fetches the next ones."""
        first, patches, buffers = state
        buffers = resolve(patches, buffers, num_faces, ordered, options)
        # A branch is also where XLA stores results; it would else repeat the integer
        # products of a patch for each of its pixels.
        plan = lax.cond(
            first < triangles.ends[-1],
            lambda: _plan_patches(triangles, first, chunk, options),
            lambda: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), plan_type),
        )
        return first + chunk, _cover_patches(plan, options.patch), buffers

    plan_type = jax.eval_shape(lambda: _plan_patches(triangles, jnp.int32(0), chunk, options))
    # Patches travel in the loop's state because that stores them, too: the depth must not be
    # computed inside of two scatters, where it may round differently, else pixels find no
    # winner. An optimization_barrier does not prevent that on the CPU.
    nothing = jnp.zeros(chunk, jnp.int32)
    no_depth = jnp.zeros((options.patch, options.patch, chunk), jnp.float32)
    num_steps = (triangles.ends[-1] + chunk - 1) // chunk + 1
    _, _, buffers = lax.while_loop(
        lambda state: state[0] < num_steps * chunk,
        draw_chunk,
        (jnp.int32(0), _Patches(nothing, nothing, nothing, no_depth), buffers),
    )
    return buffers


def _resolve_by_scattering(patches, buffers, num_faces, ordered, options):
    """Puts a chunk into the buffers by scatters, whose order does not matter.

    Whole rows of patches are scattered: on a CPU five times as fast as pixels. If `ordered`,
    what comes nearer, or as near, also has the lower index, so that one minimum does. It
    needs no look at the depth as it was before, for which XLA would copy the buffer.
    """
    starts = _row_starts(patches, options)
    value = patches.inverse_depth.transpose(2, 0, 1)
    get = functools.partial(
        lax.gather,
        start_indices=starts,
        dimension_numbers=lax.GatherDimensionNumbers((2,), (), (0,)),
        slice_sizes=(options.patch,),
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    )
    put = functools.partial(
        _put_rows,
        scatter_indices=starts,
        dimension_numbers=lax.ScatterDimensionNumbers((2,), (), (0,)),
        mode=lax.GatherScatterMode.PROMISE_IN_BOUNDS,
    )
    depth = put(lax.scatter_max, buffers.inverse_depth, updates=value)
    nearest = (value > 0) & (value == get(depth))
    winner = buffers.face
    if not ordered:  # What was nearest before is forgotten.
        nearer = nearest & (value > get(buffers.inverse_depth))
        winner = put(lax.scatter_max, winner, updates=jnp.where(nearer, num_faces, 0))
    face = jnp.where(nearest, patches.face[:, None, None], num_faces)
    return Buffers(depth, put(lax.scatter_min, winner, updates=face))


def _put_rows(scatter, operand, updates, **options):
    return scatter(operand, updates=updates, **options)


def _row_starts(patches, options):
    """Where in the buffers each row of each patch begins: (N, K, 1)."""
    y = patches.y[:, None] + jnp.arange(options.patch, dtype=jnp.int32)
    return (y * _buffer_width(options) + patches.x[:, None])[..., None]


def _resolve_by_sorting(patches, buffers, num_faces, ordered, options):
    """The same without scatters: sorts by pixel, depth and face, and finds each pixel's first."""
    k = jnp.arange(options.patch, dtype=jnp.int32)
    pixel = (_row_starts(patches, options) + k).transpose(1, 2, 0)
    value = patches.inverse_depth
    pixel = jnp.where(value > 0, pixel, buffers.face.size)
    # Positive floats are ordered as their bits are.
    order = ~lax.bitcast_convert_type(value, jnp.int32)
    face = jnp.broadcast_to(patches.face, pixel.shape)
    keys = (pixel.reshape(-1), order.reshape(-1), face.reshape(-1))
    del ordered  # A look at the old depth costs nothing here.
    pixel, order, face = lax.sort(keys, num_keys=3)
    pixels = jnp.arange(buffers.face.size, dtype=jnp.int32)
    first = jnp.minimum(jnp.searchsorted(pixel, pixels), pixel.size - 1)
    hit = pixel[first] == pixels
    value = jnp.where(hit, lax.bitcast_convert_type(~order[first], jnp.float32), 0.0)
    old = jnp.where(buffers.inverse_depth >= value, buffers.face, num_faces)
    new = jnp.where(hit & (value >= buffers.inverse_depth), face[first], num_faces)
    return Buffers(jnp.maximum(buffers.inverse_depth, value), jnp.minimum(old, new))


def _plan_patches(triangles, first, chunk, options) -> _Plan:
    """Evaluates the edges of patches `first` to `first + chunk` of the list."""
    size = options.patch
    row = _patch_rows(triangles, first, chunk)
    # Patches run along the last axis everywhere, which is the one that XLA vectorises.
    columns = [column[:, 0] for column in jnp.split(row, row.shape[1], axis=1)]
    corner_x, corner_y = columns[0:6:2], columns[1:6:2]
    inverse = [lax.bitcast_convert_type(column, jnp.float32) for column in columns[6:9]]
    left, top, per_row, start, face = columns[9:]
    number = first + jnp.arange(chunk, dtype=jnp.int32)
    live = number < triangles.ends[-1]
    # Places that do no harm beyond the end of the list, and not all the same one: a GPU's
    # atomics would queue up there.
    idle_x, idle_y = number % options.width, number // options.width % options.height
    x = jnp.where(live, left + (number - start) % per_row * size, idle_x)
    y = jnp.where(live, top + (number - start) // per_row * size, idle_y)

    sides, steps_x, steps_y = [], [], []
    depth = [jnp.zeros(chunk)] * 3
    for i in range(3):
        from_x, from_y = corner_x[(i + 1) % 3], corner_y[(i + 1) % 3]
        edge_x, edge_y = corner_x[(i + 2) % 3] - from_x, corner_y[(i + 2) % 3] - from_y
        high, low = dot2(edge_x, y * ONE + HALF - from_y, -edge_y, x * ONE + HALF - from_x)
        step_x, step_y = -edge_y * ONE, edge_x * ONE
        # Pixels on an edge that belongs to this triangle lie one step inside of it.
        owned = (edge_y < 0) | ((edge_y == 0) & (edge_x > 0))
        sides.append(jnp.where(live, saturate(high, low) + owned, -(1 << 30)))
        steps_x.append(step_x)
        steps_y.append(step_y)
        terms = to_float(high, low), step_x.astype(jnp.float32), step_y.astype(jnp.float32)
        depth = [total + term * inverse[i] for total, term in zip(depth, terms, strict=True)]
    return _Plan(face, x, y, tuple(sides), tuple(steps_x), tuple(steps_y), tuple(depth))


def _cover_patches(plan, size) -> _Patches:
    """Finds the pixels that planned patches cover, and their inverse depth."""
    k = jnp.arange(size, dtype=jnp.int32)
    column, row = k[None, :, None], k[:, None, None]
    inside = True
    for side, step_x, step_y in zip(plan.sides, plan.steps_x, plan.steps_y, strict=True):
        inside &= side + step_x * column + step_y * row > 0
    at_origin, per_x, per_y = plan.inverse_depth
    value = at_origin + per_x * column.astype(jnp.float32) + per_y * row.astype(jnp.float32)
    value = jnp.where(inside, jnp.maximum(value, jnp.finfo(jnp.float32).tiny), 0.0)
    return _Patches(plan.face, plan.x, plan.y, value)


def _patch_rows(triangles, first, chunk):
    """Record (chunk, 14) of the triangle of each of the patches `first` to `first + chunk`."""
    ends = triangles.ends
    num = ends.shape[0]
    starts = jnp.concatenate([jnp.zeros(1, ends.dtype), ends[:-1]])
    # The triangle of patch i is the number of triangles that end at or before i.
    ended = jnp.zeros(chunk, jnp.int32).at[jnp.maximum(ends - first, 0)].add(1, mode="drop")
    index = jnp.minimum(jnp.cumsum(ended), num - 1)
    record = jnp.concatenate(  # One gather of 14 numbers is faster than six.
        [
            triangles.corners,
            lax.bitcast_convert_type(triangles.scaled_inverse_depth, jnp.int32),
            triangles.origin,
            triangles.columns[:, None],
            starts[:, None],
            triangles.face[:, None],
        ],
        axis=1,
    )
    return record[index]

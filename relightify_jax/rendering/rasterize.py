"""Visibility: which triangle is seen at each pixel centre. Integers, no gradient.

The design: every triangle's bounding box is cut into patches of K x K pixels, and the list
of patches is drawn in chunks of a static length: largest 1/z first, then lowest triangle
index among those that reach it. Coverage is decided in exact fixed-point integers with the
top-left rule, so neighbouring triangles never both own a pixel and never leave a hole; max
and min do not depend on order, so the result is the same on every device. Everything
differentiable is recomputed by `interpolate`.

Pixel centres lie at +0.5, row 0 is the top. Vertices are snapped to 1/64 pixel.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.rendering.clip import PIECES, clip_triangles
from relightify_jax.rendering.fixed_point import (
    GUARD_PIXELS,
    set_up_triangles,
    within_guard,
)
from relightify_jax.rendering.patches import DrawOptions, crop, draw_triangles, empty_buffers

Cull = Literal["none", "back", "front"]
Mode = Literal["auto", "scatter", "sort"]

_CLIP_BATCH = 256
# Patches drawn at once: what a core's cache holds; elsewhere those of an ordinary picture,
# as every further chunk costs a launch.
_MIN_CPU_CHUNK, _MAX_CPU_CHUNK = 1 << 12, 1 << 13
_MAX_DEVICE_CHUNK = 1 << 17


class Visibility(NamedTuple):
    """The visible triangle of each pixel."""

    face: jax.Array  # (H, W) int32, -1 where there is none.
    overflow: jax.Array  # () bool: triangles were left out because of `max_patches`.


class _Options(NamedTuple):
    """What is fixed at compile time."""

    max_patches: int | None
    cull: Cull
    clip: bool
    draw: DrawOptions


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
    clip: bool = True,
    mode: Mode = "auto",
) -> Visibility:
    """Finds the nearest triangle at every pixel centre.

    A triangle is left out if it has no area, a vertex that is not finite or an index that
    no vertex has. Equally near triangles: the lowest index wins. Composes with `jit`,
    `vmap` and `lax.map`; on a CPU `lax.map` is the faster way to draw a batch.

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
        clip: Whether triangles that reach behind `near`, or more than `GUARD_PIXELS` from
            the image's centre, are cut; else they are left out, which compiles faster. Cut
            triangles need the pixels of vertices behind the camera as
            `camera.project` gives them.
        mode: How pixels are resolved: "scatter", or "sort" for devices where scatters are
            slow, with identical result; "auto" sorts on a TPU.

    Returns:
        `Visibility`; `overflow` is always False unless `max_patches` is given (or a scene
        has more than 2^30 patches).

    Raises:
        ValueError: If shapes do not fit, an option is not allowed, or (for NumPy arrays,
            whose values are known) an index is out of range.
    """
    check_triangles(xy, depth, faces)
    options = _check_options(faces.shape[0], height, width, patch, max_patches, cull, clip, mode)
    buffers, overflow = _draw(xy, depth, faces, near, options)
    face = crop(buffers.face, options.draw)
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
    clip: bool = True,
    mode: Mode = "auto",
) -> jax.Array:
    """Inverse depth (H, W) of the nearest triangle, 0 where there is none; see `rasterize`."""
    check_triangles(xy, depth, faces)
    options = _check_options(faces.shape[0], height, width, patch, None, cull, clip, mode)
    return crop(_draw(xy, depth, faces, near, options)[0].inverse_depth, options.draw)


def check_triangles(xy: jax.Array, depth: jax.Array, faces: jax.Array) -> None:
    """Raises ValueError where triangles and vertices do not fit, as far as it is known."""
    if xy.ndim != 2 or xy.shape[1] != 2 or depth.shape != xy.shape[:1]:
        raise ValueError(f"Expected xy (V, 2) and depth (V,), got {xy.shape} and {depth.shape}.")
    check_faces(faces, xy.shape[0])


def check_faces(faces: jax.Array, num_vertices: int) -> None:
    """Raises ValueError unless `faces` are triangles and, where it is known, of vertices."""
    if faces.ndim != 2 or faces.shape[1] != 3 or not jnp.issubdtype(faces.dtype, jnp.integer):
        raise ValueError(f"Expected integer faces (F, 3), got {faces.dtype} {faces.shape}.")
    if isinstance(faces, np.ndarray) and faces.size:
        low, high = int(faces.min()), int(faces.max())
        if low < 0 or high >= num_vertices:
            raise ValueError(f"Faces name vertices {low} to {high}, but there are {num_vertices}.")


def _check_options(num_faces, height, width, patch, max_patches, cull, clip, mode) -> _Options:
    if not (0 < height <= GUARD_PIXELS and 0 < width <= GUARD_PIXELS):
        raise ValueError(f"Images of 1 to {GUARD_PIXELS} pixels a side, got {height} x {width}.")
    if not 1 <= patch <= 8:  # Edge increments inside a larger patch overflow int32.
        raise ValueError(f"patch must be 1 to 8, got {patch}.")
    if cull not in ("none", "back", "front"):
        raise ValueError(f"cull must be 'none', 'back' or 'front', got {cull!r}.")
    backend = jax.default_backend()
    if mode == "auto":
        mode = "sort" if backend == "tpu" else "scatter"
    elif mode not in ("scatter", "sort"):
        raise ValueError(f"mode must be 'auto', 'scatter' or 'sort', got {mode!r}.")
    chunk = min(2 * height * width // patch**2 + num_faces // 2, _MAX_DEVICE_CHUNK)
    if backend == "cpu":
        chunk = min(max(height * width // 32, _MIN_CPU_CHUNK), _MAX_CPU_CHUNK)
    return _Options(max_patches, cull, clip, DrawOptions(height, width, patch, mode, chunk))


@functools.partial(jax.jit, static_argnames="options")
def _draw(xy, depth, faces, near, options):
    """Returns `Buffers` and whether there was an overflow, ()."""
    xy, depth = lax.stop_gradient((xy, depth))
    height, width = options.draw.height, options.draw.width
    num_faces = faces.shape[0]
    buffers = empty_buffers(num_faces, options.draw)
    if num_faces == 0:
        return buffers, jnp.zeros((), bool)

    exists = jnp.all((faces >= 0) & (faces < xy.shape[0]), axis=-1)
    in_front = depth > near
    whole = in_front & jnp.isfinite(depth) & within_guard(xy, height, width)
    whole = exists & jnp.all(whole[faces], axis=-1)
    # From the last to the first: whatever is drawn later has the lower index.
    faces, whole, exists = faces[::-1], whole[::-1], exists[::-1]
    numbers = jnp.arange(num_faces, dtype=jnp.int32)
    triangles, overflow = _set_up(xy[faces], depth[faces], whole, numbers[::-1], options)
    buffers = draw_triangles(triangles, buffers, num_faces, options.draw, ordered=True)
    if not options.clip:
        return buffers, overflow

    finite = jnp.isfinite(depth) & jnp.all(jnp.isfinite(xy), axis=-1)
    cut = exists & ~whole & jnp.all(finite[faces], axis=-1) & jnp.any(in_front[faces], axis=-1)
    rank = jnp.cumsum(cut) - 1

    def draw_cut_ones(state):
        """Cuts and draws the next `_CLIP_BATCH` triangles that need it."""
        first, buffers, overflow = state
        slot = jnp.where(cut & (rank >= first), rank - first, _CLIP_BATCH)
        batch = jnp.full(_CLIP_BATCH, num_faces, jnp.int32).at[slot].set(numbers, mode="drop")
        rows = faces[jnp.minimum(batch, num_faces - 1)]
        corners, depths, is_piece = clip_triangles(
            xy[rows], depth[rows], near, height=height, width=width
        )
        is_piece &= (batch < num_faces)[:, None]
        pieces, too_many = _set_up(
            corners.reshape(-1, 3, 2),
            depths.reshape(-1, 3),
            is_piece.reshape(-1),
            jnp.repeat(num_faces - 1 - batch, PIECES),
            options,
        )
        buffers = draw_triangles(pieces, buffers, num_faces, options.draw, ordered=False)
        return first + _CLIP_BATCH, buffers, overflow | too_many

    _, buffers, overflow = lax.while_loop(
        lambda state: state[0] <= rank[-1], draw_cut_ones, (jnp.int32(0), buffers, overflow)
    )
    return buffers, overflow


def _set_up(corners, depth, usable, face, options):
    draw = options.draw
    return set_up_triangles(
        corners,
        depth,
        usable,
        face,
        height=draw.height,
        width=draw.width,
        patch=draw.patch,
        max_patches=options.max_patches,
        cull=options.cull,
    )

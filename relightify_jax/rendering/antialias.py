"""Antialiasing of silhouettes, which is where the gradient of visibility comes from.

Outline edges of the mesh (all drawn triangles at the edge lie on one side of it on screen)
are cut with the lines through the pixel centres: steep edges with rows, flat ones with
columns, those between with both. Where a cut falls between two neighbouring pixel centres it
tells how far the nearer surface reaches, and that much of its colour goes over to the other
pixel, or the other way round. What moves with the vertices is the place of the cut: its
derivative is the motion of the silhouette, and the two colours are what it is worth.

Blending pairs of pixels by the place of the cut follows Laine et al., "Modular primitives
for high-performance differentiable rendering", 2020, section 3.5. There the edge is sought
among those of the triangle seen at the pixel. Here edges look for their pixels, because a
triangle at the silhouette that is narrower than a pixel is mostly seen at none.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.geometry.topology import MeshTopology
from relightify_jax.rendering.fixed_point import ONE, within_guard
from relightify_jax.rendering.interpolate import Fragments
from relightify_jax.rendering.rasterize import Cull

# A pair's outermost cut is found by one integer maximum: 8 bits of place, 23 of edge.
_PLACES = 255
_EDGE_BITS = 23
# Relative difference of inverse depth above rounding: an edge this far in front is in front.
_DEPTH_MARGIN = 1e-5
# Up to this many cuts per row and column of the image take the fast way.
_CUTS_PER_SIDE = 16


class _Cuts(NamedTuple):
    """Cuts of the outline edges with rows (entries 0 to E) and with columns (E to 2 E)."""

    first: jax.Array  # (2 E,) int32: first row or column.
    ends: jax.Array  # (2 E,) int32: number of cuts of this and all earlier entries.
    positive: jax.Array  # (E,) bool: the surface lies where cross(b - a, p - a) > 0.


@functools.partial(jax.jit, static_argnames=("cull", "clip"))
def antialias(
    image: jax.Array,
    fragments: Fragments,
    xy: jax.Array,
    depth: jax.Array,
    topology: MeshTopology,
    *,
    cull: Cull = "none",
    near: float | jax.Array = 1e-3,
    clip: bool = True,
) -> jax.Array:
    """Blends colours across silhouettes, differentiable in where these lie.

    Every pixel becomes a convex combination of itself and its four neighbours. Gradients
    (forward and reverse mode, first order) flow to `image` and `xy`; which edges are
    silhouettes, what they hide, depths, and how an edge's share is split between rows and
    columns are constants. An edge inside a surface gets no gradient.

    Nothing has a capacity: a scene with more than 16 (H + W) cuts, hidden ones included
    (a head has 5 to 7), is only slower. `vmap` always does the work of the slow way, so that
    on a CPU `lax.map` is faster.

    Limits. Colours are only mixed, never made: what is seen at no pixel centre, such as a
    hair between two of them, stays unseen. Surfaces that pass through each other are not
    smoothed where they meet, as there is no edge. Where two silhouettes lie between the same
    two pixels the outer one counts. Half a pixel at the image's border is not smoothed, nor
    is an edge with an end behind `near` or outside of the guard band. The gradient
    samples an outline once per row or column: its sum over a head at 128 pixels is within
    1.5 % of the truth, weighted by waves of 16 pixels within 5 %, less in larger images.
    Slits narrower than a pixel, such as closed lips drawn one-sided, stay jagged.

    Args:
        image: (H, W, C) floating point, linear colours or any other values at pixels.
        fragments: From `compute_fragments` for the same `xy` and `depth`.
        xy: (V, 2) pixels, as given to `rasterize`.
        depth: (V,), likewise.
        topology: From `build_topology` of the faces that were rasterized, with `points` if
            vertices are split at seams.
        cull: As given to `rasterize`.
        near: As given to `rasterize`.
        clip: As given to `rasterize`.

    Returns:
        (H, W, C).

    Raises:
        ValueError: If `image` and `fragments` differ in size, `cull` is not allowed, or the
            mesh has 2^23 edges or more.
    """
    height, width = fragments.inverse_depth.shape
    num_edges = topology.edges.shape[0]
    if image.ndim != 3 or image.shape[:2] != (height, width):
        raise ValueError(f"image must be ({height}, {width}, C), got {image.shape}.")
    if cull not in ("none", "back", "front"):
        raise ValueError(f"cull must be 'none', 'back' or 'front', got {cull!r}.")
    if num_edges >= 1 << _EDGE_BITS:
        raise ValueError(f"Fewer than {1 << _EDGE_BITS} edges, got {num_edges}.")
    if num_edges == 0:
        return image
    constants = lax.stop_gradient((fragments.inverse_depth, depth, near))
    return _smooth(image, xy, *constants, topology, cull, clip)


def _smooth(image, xy, inverse_depth, depth, near, topology, cull, clip):
    """Finds the pairs of pixels with a silhouette between them and blends them."""
    height, width = inverse_depth.shape
    num_pairs = 2 * height * width
    vertices = jnp.concatenate([lax.stop_gradient(xy), depth[:, None]], axis=-1)
    usable = jnp.isfinite(depth) & (depth > near) & within_guard(xy, height, width)
    # Before any arithmetic, so that junk cannot reach a gradient as 0 * NaN.
    xy = jnp.where(usable[:, None], xy, 0.0)
    inverse = 1.0 / jnp.where(usable, depth, 1.0)
    # The rasterizer's grid: which pixel has the surface is decided for snapped vertices.
    snapped = jnp.round(lax.stop_gradient(xy) * ONE) / ONE
    corners = jnp.concatenate([snapped, inverse[:, None]], axis=-1)
    outline = _find_outline(vertices, usable, topology, cull, clip)
    cuts = _count_cuts(corners, topology.edges, *outline, (height, width))
    chunk = min(_CUTS_PER_SIDE * (height + width), num_pairs)
    find = functools.partial(_find_pairs, cuts, corners, topology.edges, inverse_depth, chunk)

    def keep_outermost(best, pair, key):
        return best.at[pair].max(key, mode="drop")

    pair, key = find(jnp.int32(0))
    best = keep_outermost(jnp.full(num_pairs, -1, jnp.int32), pair, key)
    _, best = lax.while_loop(
        lambda state: state[0] < cuts.ends[-1],
        lambda state: (state[0] + chunk, keep_outermost(state[1], *find(state[0]))),
        (jnp.int32(chunk), best),
    )

    def blend(image, xy, pair, key):
        ends = xy[topology.edges[key & ((1 << _EDGE_BITS) - 1)]]
        return _blend(image, _cross_edge(ends, pair, (height, width)), pair)

    # What a branch would save for the gradient is larger than the image.
    @jax.checkpoint
    def blend_few(image, xy):
        wins = (key >= 0) & (best.at[pair].get(mode="fill", fill_value=-1) == key)
        return blend(image, xy, jnp.where(wins, pair, num_pairs), key)

    @jax.checkpoint
    def blend_all(image, xy):
        everywhere = jnp.arange(num_pairs, dtype=jnp.int32)
        return blend(image, xy, jnp.where(best >= 0, everywhere, num_pairs), best)

    return lax.cond(cuts.ends[-1] <= chunk, blend_few, blend_all, image, xy)


def _row_share(x, y):
    """Which part of an edge of extent |x|, |y| counts where rows cut it; columns: (y, x).

    All for edges steeper than 2, none below 1/2. A sharp limit between rows and columns
    would leave a gap or count twice wherever an outline crosses it, at every zigzag.
    """
    return jnp.clip((2 * y - x) / jnp.maximum(x + y, 1e-12), 0.0, 1.0)


def _find_outline(vertices, usable, topology, cull, clip):
    """Edges whose drawn triangles lie on one side, and whether that is the positive one.

    Args:
        vertices: (V, 3) pixels x, y and depth.
        usable: (V,) bool, vertices in front of the camera and near the image.
        topology: Of the mesh.
        cull: As given to `rasterize`.
        clip: As given to `rasterize`.

    Returns:
        Two bools (E,).
    """
    edges, opposite = topology.edges, topology.opposite
    off = jnp.maximum(opposite, 0)
    a, b, c = vertices[edges[:, 0]], vertices[edges[:, 1]], vertices[off]
    along, to = (b - a)[:, None], c - a[:, None]
    # The image of a vertex behind the camera is upside down: what is drawn of its triangle
    # lies on the other side. NaN, of vertices that are not finite, is on neither.
    side = (along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]) * jnp.sign(c[..., 2])
    drawn = (opposite >= 0) & (usable[edges[:, 0]] & usable[edges[:, 1]])[:, None]
    drawn &= jnp.isfinite(side) if clip else usable[off]
    if cull != "none":
        # Clockwise on screen is back-facing, and a positive cross product as y runs down.
        drawn &= (side * topology.winding > 0) == (cull == "front")
    positive = jnp.any(drawn & (side > 0), axis=-1)
    return positive != jnp.any(drawn & (side < 0), axis=-1), positive


def _count_cuts(corners, edges, outline, positive, shape):
    """The rows and columns of pixel centres that cut the outline."""
    a, b = corners[edges[:, 0], :2], corners[edges[:, 1], :2]
    low, high, (x, y) = jnp.minimum(a, b), jnp.maximum(a, b), jnp.abs(b - a).T
    # A line through the end of one edge and the start of the next cuts one of the two.
    limit = jnp.array(shape[::-1], jnp.int32)
    first = jnp.clip(jnp.ceil(low - 0.5).astype(jnp.int32), 0, limit)
    count = jnp.clip(jnp.ceil(high - 0.5).astype(jnp.int32), 0, limit) - first
    rows = jnp.where(outline & (2 * y > x), count[:, 1], 0)
    columns = jnp.where(outline & (2 * x > y), count[:, 0], 0)
    ends = jnp.cumsum(jnp.concatenate([rows, columns]), dtype=jnp.int32)
    return _Cuts(jnp.concatenate([first[:, 1], first[:, 0]]), ends, positive)


def _find_pairs(cuts, corners, edges, inverse_depth, chunk, begin):
    """Pairs of pixels separated by cuts `begin` to `begin + chunk`.

    Returns:
        Flat index of the pair (chunk,): of its left pixel, or plus H W of its upper one; out
        of range where there is none. Key (chunk,): the place, larger further out, above the
        edge; -1 where there is none.
    """
    height, width = inverse_depth.shape
    num_edges = edges.shape[0]
    number = begin + jnp.arange(chunk, dtype=jnp.int32)
    entry = jnp.searchsorted(cuts.ends, number, side="right").astype(jnp.int32)
    live = entry < 2 * num_edges
    entry = jnp.where(live, entry, 0)
    line = cuts.first[entry] + number - jnp.where(entry > 0, cuts.ends[entry - 1], 0)
    in_column = entry >= num_edges
    edge = entry - jnp.where(in_column, num_edges, 0)
    a, b = corners[edges[edge, 0]], corners[edges[edge, 1]]
    start = jnp.where(in_column, a[:, 0], a[:, 1])
    length = jnp.where(in_column, b[:, 0], b[:, 1]) - start
    t = (line + 0.5 - start) / jnp.where(length == 0, 1.0, length)
    x, y, edge_inverse = jnp.unstack(a + t[:, None] * (b - a), axis=-1)
    place = jnp.where(in_column, y, x)
    # A centre exactly on the edge belongs to what is right of it or below.
    lower = jnp.ceil(place - 0.5).astype(jnp.int32) - 1
    live &= (lower >= 0) & (lower + 1 < jnp.where(in_column, height, width))
    pixel = jnp.where(in_column, lower * width + line, line * width + lower)
    pixel = jnp.where(live, pixel, 0)
    beside = jnp.where(live, pixel + jnp.where(in_column, width, 1), 0)

    # cross(b - a, p - a) grows along y with the edge's x and along x against its y.
    inside_above = (length > 0) == (cuts.positive[edge] == in_column)
    values = inverse_depth.reshape(-1)
    one, other = values[pixel], values[beside]
    inside, outside = jnp.where(inside_above, other, one), jnp.where(inside_above, one, other)
    # The edge hides what is outside, and what is inside is its own surface or in front.
    live &= edge_inverse > outside * (1 + _DEPTH_MARGIN)
    live &= 2 * inside > edge_inverse + outside
    reach = place - (lower + 0.5)
    reach = jnp.clip(jnp.where(inside_above, 1 - reach, reach), 0, 1)
    key = (reach * _PLACES).astype(jnp.int32) << _EDGE_BITS | edge
    pair = jnp.where(in_column, height * width, 0) + pixel
    return jnp.where(live, pair, 2 * height * width), jnp.where(live, key, -1)


def _cross_edge(ends, pair, shape):
    """Place of the cut between two pixel centres, relative to the middle, times its share.

    Args:
        ends: (N, 2, 2) the edge's end points a and b, x and y in pixels.
        pair: (N,) int32 flat index of the pair.
        shape: Height and width.

    Returns:
        (N,) pixels, in about [-0.5, 0.5], positive on the side of the right or lower pixel.
    """
    height, width = shape
    in_column, pixel = pair >= height * width, pair % (height * width)
    center = jnp.stack([pixel % width, pixel // width], axis=-1) + 0.5
    relative = ends - center.astype(ends.dtype)[:, None]
    relative = jnp.where(in_column[:, None, None], relative[..., ::-1], relative)
    # The derivative of the cut by an end's motion along and across the line is the end's
    # weight times (1, -slope). With both constant and bounded, the gradient of an edge that
    # only snapping brought to the line stays small, too.
    a, b = jnp.unstack(lax.stop_gradient(relative), axis=1)
    x, y = jnp.unstack(b - a, axis=-1)
    length = jnp.where(y == 0, 1.0, y)
    t = jnp.clip(-a[:, 1] / length, 0.0, 1.0)
    slope = jnp.clip(x / length, -2.0, 2.0)
    weight = jnp.stack([1 - t, t], axis=-1)
    along, away = jnp.unstack(jnp.sum(relative * weight[..., None], axis=1), axis=-1)
    return (along - slope * away - 0.5) * _row_share(jnp.abs(x), jnp.abs(y))


def _blend(image, offset, pair):
    """Moves colour from pixel to pixel across the silhouettes.

    Args:
        image: (H, W, C).
        offset: (N,) from `_cross_edge`.
        pair: (N,) int32, out of range where there is none.

    Returns:
        (H, W, C); a pixel takes over at most all of its colour from its neighbours.
    """
    height, width, channels = image.shape
    num_pixels = height * width
    beside = jnp.where(pair >= num_pixels, width, 1)
    live, pixel = pair < 2 * num_pixels, pair % num_pixels
    grows = offset >= 0
    source = pixel + jnp.where(grows, 0, beside)
    target = jnp.where(live, pixel + jnp.where(grows, beside, 0), num_pixels)
    weight = jnp.where(grows, offset, -offset).astype(image.dtype)
    total = jnp.zeros(num_pixels, image.dtype).at[target].add(weight, mode="drop")
    taken = total[target]
    weight /= jnp.where(taken > 1, taken, 1.0)  # No gradient of half a maximum at 1.
    colors = image.reshape(num_pixels, channels)
    here, there = jnp.unstack(colors[jnp.stack([target, source])])
    change = weight[:, None] * (there - here)
    return colors.at[target].add(change, mode="drop").reshape(image.shape)

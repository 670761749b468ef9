"""Surface values at pixels, differentiable in the vertices, for a fixed visibility.

Everything here works on images (H, W) of fragments and on lists (M,) of them alike; a list
of the foreground alone, from `list_pixels`, makes shading and its gradient as cheap as the
head is small in the picture.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.rendering.rasterize import Visibility, check_triangles


class Fragments(NamedTuple):
    """Where on which triangle each pixel centre lies."""

    bary: jax.Array  # (..., 3) float32, perspective-correct, sums to 1; 0 at background.
    inverse_depth: jax.Array  # (...,) float32, 1/metres; 0 at background.
    mask: jax.Array  # (...,) bool, True on the surface.
    face: jax.Array  # (...,) int32, -1 at background.


class Pixels(NamedTuple):
    """The foreground of an image as a list, in order of rows."""

    position: jax.Array  # (M,) int32, row W + column; H W where the list has ended.
    face: jax.Array  # (M,) int32, -1 where the list has ended.
    center: jax.Array  # (M, 2) float32, pixels.
    overflow: jax.Array  # () bool: the foreground did not fit.


def list_pixels(visibility: Visibility, max_pixels: int) -> Pixels:
    """Lists the pixels (H, W) that show a triangle.

    Args:
        visibility: From `rasterize`.
        max_pixels: Length M of the list; what does not fit is missing, see `overflow`.
    """
    height, width = visibility.face.shape
    shown = visibility.face >= 0
    in_row = jnp.cumsum(shown.astype(jnp.int32), axis=1)
    row_ends = jnp.cumsum(in_row[:, -1])
    slot = in_row + (row_ends - in_row[:, -1])[:, None] - 1
    slot = jnp.where(shown, slot, max_pixels).reshape(-1)
    numbers = jnp.arange(height * width, dtype=jnp.int32)
    position = jnp.full(max_pixels, height * width, jnp.int32).at[slot].set(numbers, mode="drop")
    pixels = Pixels(
        position=position,
        face=visibility.face.reshape(-1).at[position].get(mode="fill", fill_value=-1),
        center=jnp.stack([position % width, position // width], axis=-1) + 0.5,
        overflow=row_ends[-1] > max_pixels,
    )
    return _store(pixels, shown[0, 0])


def place_pixels(
    values: jax.Array, pixels: Pixels, height: int, width: int, background: float = 0.0
) -> jax.Array:
    """Puts values (M, C) of listed pixels into an image (H, W, C)."""
    image = jnp.full((height * width, values.shape[-1]), background, values.dtype)
    return image.at[pixels.position].set(values, mode="drop").reshape(height, width, -1)


def compute_fragments(
    xy: jax.Array, depth: jax.Array, faces: jax.Array, visible: Visibility | Pixels
) -> Fragments:
    """Perspective-correct barycentrics of the visible triangles.

    They are homogeneous (Olano and Greer 1997), hence right on triangles that reach behind
    the camera, too. Gradients flow to `xy` and `depth` through plain autodiff; visibility
    is constant.

    Args:
        xy: (V, 2) pixels, as given to `rasterize`.
        depth: (V,), likewise.
        faces: (F, 3) int32.
        visible: From `rasterize` or `list_pixels`.

    Returns:
        Fragments (H, W) or (M,).

    Raises:
        ValueError: As `rasterize`.
    """
    check_triangles(xy, depth, faces)
    return _fragments_at(xy, depth, faces, visible.face, *_centers(visible))


def _centers(visible):
    """x and y of the pixel centres, of shapes that broadcast to that of the fragments."""
    if isinstance(visible, Pixels):
        return visible.center[:, 0], visible.center[:, 1]
    height, width = visible.face.shape
    return jnp.arange(width) + 0.5, jnp.arange(height)[:, None] + 0.5


def _fragments_at(xy, depth, faces, face, pixel_x, pixel_y) -> Fragments:
    mask = face >= 0
    table = jnp.concatenate([xy, depth[:, None]], axis=-1)[faces].reshape(-1, 9)
    column = [entry[..., 0] for entry in _split(_look_up(table, face), 9)]
    z = column[2::3]
    x = [(column[3 * i] - pixel_x) * z[i] for i in range(3)]
    y = [(column[3 * i + 1] - pixel_y) * z[i] for i in range(3)]
    volume = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]]
    total = volume[0] + volume[1] + volume[2]
    scale = jnp.where(mask, 1.0 / jnp.where(jnp.abs(total) < 1e-12, 1e-12, total), 0.0)
    # Coverage was decided for snapped vertices; on a sliver the exact ones can put the
    # pixel far outside. Half a triangle is more than snapping can do to a sound one.
    bary = [jnp.clip(part * scale, -0.5, 1.5) for part in volume]
    total = jnp.where(mask, bary[0] + bary[1] + bary[2], 1.0)
    bary = [part / total for part in bary]
    at_pixel = bary[0] * z[0] + bary[1] * z[1] + bary[2] * z[2]
    return Fragments(
        bary=jnp.stack(bary, axis=-1),
        inverse_depth=jnp.where(mask, 1.0 / jnp.where(mask, at_pixel, 1.0), 0.0),
        mask=mask,
        face=face,
    )


def interpolate(attributes: jax.Array, faces: jax.Array, fragments: Fragments) -> jax.Array:
    """Interpolates vertex attributes to pixels.

    Args:
        attributes: (V, C).
        faces: (F, 3) int32 into `attributes`; may be other indices than those rasterized,
            e.g. `uv_faces` with texture coordinates.
        fragments: From `compute_fragments`, (H, W) or (M,).

    Returns:
        (H, W, C) or (M, C); 0 at background.
    """
    table = jnp.asarray(attributes)[faces].reshape(faces.shape[0], -1)
    corners = _split(_look_up(table, fragments.face), 3)
    weights = _split(fragments.bary, 3)
    return sum(corner * weight for corner, weight in zip(corners, weights, strict=True))


def differentiate_attributes(
    attributes: jax.Array,
    attribute_faces: jax.Array,
    xy: jax.Array,
    depth: jax.Array,
    faces: jax.Array,
    visible: Visibility | Pixels,
) -> jax.Array:
    """How interpolated attributes change from pixel to pixel, within the visible triangle.

    Of texture coordinates it is the footprint that `texture.mip_level` needs.

    Args:
        attributes: (V', C).
        attribute_faces: (F, 3) int32 into `attributes`.
        xy: (V, 2), as given to `rasterize`.
        depth: (V,), likewise.
        faces: (F, 3), likewise.
        visible: From `rasterize` or `list_pixels`.

    Returns:
        (H, W, C, 2) or (M, C, 2), per pixel in x and in y; 0 at background.
    """
    x, y = _centers(visible)

    def draw(x, y):
        fragments = _fragments_at(xy, depth, faces, visible.face, x, y)
        return interpolate(attributes, attribute_faces, fragments)

    zero_x, zero_y = jnp.zeros_like(x), jnp.zeros_like(y)
    along_x = jax.jvp(draw, (x, y), (jnp.ones_like(x), zero_y))[1]
    along_y = jax.jvp(draw, (x, y), (zero_x, jnp.ones_like(y)))[1]
    return jnp.stack([along_x, along_y], axis=-1)


def _store(tree, unknown):
    """The same, computed once.

    XLA for the CPU computes the list again inside of each of the loops that read it, which
    doubles the time of the gradient. It does not do so through a branch, whatever
    `unknown`, a () bool that it cannot know, says.
    """
    if jax.default_backend() != "cpu":
        return tree
    return lax.cond(unknown, lambda x: x, lambda x: jax.tree.map(jnp.copy, x), tree)


def _look_up(table, face):
    """Rows (..., C) of a table (F, C); 0 and no gradient for face -1.

    Nothing is read at background, so that junk in a triangle that nobody sees cannot reach
    a gradient as 0 * NaN.
    """
    index = jnp.where(face >= 0, face, table.shape[0])
    return table.at[index].get(mode="fill", fill_value=0)


def _split(rows, num):
    """Equal parts of the last axis. The transpose of lax.split is one concatenation; that of
    slices a sum of as many padded arrays, which would take most of the gradient's time."""
    return lax.split(rows, (rows.shape[-1] // num,) * num, axis=rows.ndim - 1)

"""Surface values at pixels, differentiable in the vertices, for a fixed visibility."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.rendering.rasterize import Visibility


class Fragments(NamedTuple):
    """Where on which triangle each pixel centre lies."""

    bary: jax.Array  # (H, W, 3) float32, perspective-correct, sums to 1; 0 at background.
    inverse_depth: jax.Array  # (H, W) float32, 1/metres; 0 at background.
    mask: jax.Array  # (H, W) bool, True on the surface.
    face: jax.Array  # (H, W) int32, -1 at background.


def compute_fragments(
    xy: jax.Array, depth: jax.Array, faces: jax.Array, visibility: Visibility
) -> Fragments:
    """Perspective-correct barycentrics of the visible triangles.

    Gradients flow to `xy` and `depth` through plain autodiff; visibility is constant.

    Args:
        xy: (V, 2) pixels, as given to `rasterize`.
        depth: (V,), likewise.
        faces: (F, 3) int32.
        visibility: From `rasterize`.

    Returns:
        Fragments of the image.
    """
    face = visibility.face
    mask = face >= 0
    height, width = face.shape
    table = jnp.concatenate([xy, depth[:, None]], axis=-1)[faces].reshape(-1, 9)
    corners = table[jnp.maximum(face, 0)].reshape(height, width, 3, 3)
    # Background takes a harmless triangle *before* any arithmetic, so that junk in
    # triangle 0 cannot reach a gradient as 0 * NaN.
    harmless = jnp.array([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    corners = jnp.where(mask[..., None, None], corners, harmless)
    pixel_x = jnp.where(mask, jnp.arange(width) + 0.5, 0.25)
    pixel_y = jnp.where(mask, jnp.arange(height)[:, None] + 0.5, 0.25)

    x, y = corners[..., 0] - pixel_x[..., None], corners[..., 1] - pixel_y[..., None]
    (xa, xb, xc), (ya, yb, yc) = jnp.unstack(x, axis=-1), jnp.unstack(y, axis=-1)
    weight = jnp.stack([xb * yc - xc * yb, xc * ya - xa * yc, xa * yb - xb * ya], axis=-1)
    area = jnp.sum(weight, axis=-1, keepdims=True)
    on_screen = weight / jnp.where(jnp.abs(area) < 1e-8, 1e-8, area)
    # Coverage was decided for snapped vertices; on a sliver the exact ones can put the
    # pixel far outside. Half a triangle is more than snapping can do to a sound one.
    on_screen = jnp.clip(on_screen, -0.5, 1.5)
    on_screen = on_screen / jnp.sum(on_screen, axis=-1, keepdims=True)
    scaled = on_screen / corners[..., 2]
    inverse_depth = jnp.sum(scaled, axis=-1)
    bary = scaled / inverse_depth[..., None]
    return Fragments(
        bary=jnp.where(mask[..., None], bary, 0.0),
        inverse_depth=jnp.where(mask, inverse_depth, 0.0),
        mask=mask,
        face=face,
    )


def interpolate(attributes: jax.Array, faces: jax.Array, fragments: Fragments) -> jax.Array:
    """Interpolates vertex attributes to pixels.

    Args:
        attributes: (V, C).
        faces: (F, 3) int32 into `attributes`; may be other indices than those rasterized,
            e.g. `uv_faces` with texture coordinates.
        fragments: From `compute_fragments`.

    Returns:
        (H, W, C); 0 at background.
    """
    channels = attributes.shape[-1]
    table = attributes[faces].reshape(-1, 3 * channels)
    corners = table[jnp.maximum(fragments.face, 0)]
    corners = jnp.where(fragments.mask[..., None], corners, 0.0)
    corners = corners.reshape(*fragments.face.shape, 3, channels)
    return jnp.sum(corners * fragments.bary[..., None], axis=-2)

"""What a photograph says of a head in its present pose: pixels to compare colours at."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core.numerics import normalize
from relightify_jax.fitting import objectives
from relightify_jax.fitting.appearance import SkinFields
from relightify_jax.fitting.objectives import Geometry, LandmarkData, PixelData, ShapeModel
from relightify_jax.fitting.prepared import PreparedModel
from relightify_jax.geometry.camera import camera_position, project
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.rendering.interpolate import Fragments, compute_fragments, interpolate
from relightify_jax.rendering.rasterize import rasterize

# How far, in log colour, skin may be from the median of nose and cheeks: shadows change
# its luminance much, its colour little; hair and background rarely keep to both.
_LUMINANCE_REACH, _CHROMA_REACH = 1.2, 0.35
_MIN_FACING = 0.25
_DETAIL_GAIN = 3.0  # How much likelier a pixel of a feature is drawn.


class Sight(NamedTuple):
    """A head as the camera of the crop sees it."""

    points: jax.Array  # (V, 3) model space.
    xy: jax.Array  # (V, 2) px.
    fragments: Fragments  # (S, S).
    skin: jax.Array  # (S, S) bool: the photograph has the colour of this face's skin.


def look_at_head(
    geometry: Geometry,
    prepared: PreparedModel,
    data: LandmarkData,
    image: jax.Array,
    usable: jax.Array,
) -> Sight:
    """Rasterizes the head and finds skin by its colour.

    Args:
        geometry: Current estimate.
        prepared: The model.
        data: For the camera.
        image: (S, S, 3) crop, linear RGB.
        usable: (S, S) bool: inside the photograph.
    """
    faces = prepared.shape.faces
    points = objectives.evaluate_shape(prepared.shape, geometry)
    xy, depth = project(objectives.fitted_camera(geometry, data), points)
    size = image.shape[0]
    visibility = rasterize(xy, depth, faces, height=size, width=size, clip=False)
    fragments = compute_fragments(xy, depth, faces, visibility)
    plain = interpolate(prepared.plain_skin[:, None], faces, fragments)[..., 0] > 0.5
    seen = prepared.comparable[jnp.maximum(fragments.face, 0)] & fragments.mask & usable
    return Sight(points, xy, fragments, looks_like_skin(image, seen & plain) & usable)


def draw_pixels(
    sight: Sight,
    geometry: Geometry,
    prepared: PreparedModel,
    data: LandmarkData,
    image: jax.Array,
    key: jax.Array,
    deviation: jax.Array | float,
    *,
    num_pixels: int,
) -> PixelData:
    """Draws visible, comparable pixels for the current geometry.

    Args:
        sight: From `look_at_head`.
        geometry: Current estimate.
        prepared: The model.
        data: For the camera.
        image: (S, S, 3) crop.
        key: Random key, consumed.
        deviation: () expected error of colour, of the median skin colour.
        num_pixels: How many; fewer are valid if fewer are visible.
    """
    faces, fragments = prepared.shape.faces, sight.fragments
    size = image.shape[0]
    camera = objectives.fitted_camera(geometry, data)
    to_eye = normalize(camera_position(camera) - sight.points)
    normals = vertex_normals(sight.points, faces)
    facing = jnp.sum(normals * to_eye, axis=-1, keepdims=True)
    facing = interpolate(facing, faces, fragments)[..., 0]
    face = jnp.maximum(fragments.face, 0)
    seen = fragments.mask & prepared.comparable[face] & sight.skin & (facing > _MIN_FACING)
    seen = seen.reshape(-1)
    # Borders of lips and brows say more about the shape than the cheeks between them.
    detail = interpolate(prepared.detail[:, None], faces, fragments).reshape(-1)
    noise = jax.random.gumbel(key, seen.shape) + jnp.log1p(_DETAIL_GAIN * detail)
    chosen = lax.top_k(jnp.where(seen, noise, -jnp.inf), num_pixels)[1]
    valid = seen[chosen].astype(jnp.float32)
    color = image.reshape(-1, 3)[chosen]
    median = median_where(jnp.mean(color, axis=-1), valid > 0)
    corners = faces[face.reshape(-1)[chosen]]
    bary = fragments.bary.reshape(-1, 3)[chosen]
    smooth = normalize(jnp.sum(normals[corners] * bary[..., None], axis=1))
    return PixelData(
        corners=gather_points(prepared.shape, corners.reshape(-1)),
        skin=SkinFields(*(field[corners] for field in prepared.skin)),
        normal_offset=smooth - objectives.triangle_normals(sight.points[corners]),
        xy=jnp.stack([chosen % size, chosen // size], axis=-1) + 0.5,
        color=color,
        valid=valid,
        deviation=deviation * jnp.maximum(median, 0.01),
    )


def blur_image(image: jax.Array, sigma: float) -> jax.Array:
    """Gaussian blur of image (S, S, C) by `sigma` pixels; the border is repeated."""
    reach = int(3 * sigma)
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weight = weight / weight.sum()
    for axis in (0, 1):
        margin = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
        padded = jnp.pad(image, margin, mode="edge")
        size = image.shape[axis]
        image = sum(
            w * lax.slice_in_dim(padded, i, i + size, axis=axis) for i, w in enumerate(weight)
        )
    return image


def gather_points(model: ShapeModel, index: jax.Array) -> ShapeModel:
    """The model whose vertices are those of `index` (N,), one after the other."""
    return ShapeModel(
        model.mean[index], model.identity[:, index], model.expression[:, index], model.faces[:0]
    )


def median_where(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Median () of values (...,) where mask (...,); 0 if nowhere."""
    median = jnp.nanmedian(jnp.where(mask, values, jnp.nan))
    return jnp.where(jnp.isfinite(median), median, 0.0)


def looks_like_skin(image: jax.Array, reference: jax.Array) -> jax.Array:
    """(S, S) bool: colour like the median of the pixels `reference` (S, S), not clipped."""
    brightest = jnp.max(image, axis=-1)
    in_range = (brightest < 0.97) & (brightest > 0.004)  # Clipped colour says little.
    logs = jnp.log(jnp.maximum(image, 1e-3))
    usual = jnp.stack([median_where(logs[..., c], reference & in_range) for c in range(3)])
    offset = logs - usual
    luminance = jnp.mean(offset, axis=-1, keepdims=True)
    chroma = jnp.max(jnp.abs(offset - luminance), axis=-1)
    return in_range & (jnp.abs(luminance[..., 0]) < _LUMINANCE_REACH) & (chroma < _CHROMA_REACH)

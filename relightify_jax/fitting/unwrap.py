"""From a photograph and a fitted head to a partial UV texture with its confidence.

Every texel of the atlas is carried to the photograph. It is believed if nothing of the head
lies in front of it (`visibility.py`), if it does not lie near an edge in depth, where the
fit's error of a pixel would paint the background on the cheek, and if it faces the camera.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core.numerics import normalize
from relightify_jax.fitting.crop import Crop, camera_in_crop, cut_image
from relightify_jax.fitting.visibility import (
    draw_depth,
    is_visible,
    look_up,
    tolerance,
    triangle_cosine,
)
from relightify_jax.geometry.camera import (
    Camera,
    project,
    project_camera_frame,
    rotate_to_camera,
    to_camera_frame,
)
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas
from relightify_jax.rendering.texture import build_mips, sample_image, sample_mips

_MARGIN = 1.04  # Of the window over the part's box.
_EDGE_STEP = 4e-3  # Metres in depth that make an edge between two surfaces.
_FIRST_OPENING = 2  # Index in `PARTS`: eyes and mouth show through holes of the face.
_LEVELS = 4  # Of the image pyramid.
# Levels below the one whose pixels are as large as a texel: interpolation blurs, too.
_SHARPER = 0.5
_MAX_CANVAS = 2048  # Pixels per side of the part of the photograph that is looked at.
_MAX_EROSION = 24  # z-buffer pixels, for bounded time.


class UnwrapConfig(NamedTuple):
    """Settings of `unwrap_texture`."""

    zbuffer_size: int = 1024
    # Confidence rises between these cosines of the angle between normal and view.
    facing_low: float = 0.15
    facing_high: float = 0.45
    # Distances that are not believed; the larger of photo pixels and metres counts.
    edge_pixels: float = 1.5
    edge_metres: float = 1e-3
    opening_pixels: float = 0.75  # Around eyes and mouth.
    opening_metres: float = 0.7e-3
    # Texels that cover less than this fraction of the median number of pixels fade out.
    min_density: float = 0.3
    threshold: float = 0.5  # Of confidence, for the mask.


class Observation(NamedTuple):
    """What a photograph shows of a face, R texels per side; all float32."""

    texture: jax.Array  # (R, R, 3) linear RGB, lit; 0 outside the mask's charts.
    mask: jax.Array  # (R, R, 1), 1 = observed.
    confidence: jax.Array  # (R, R, 1) in [0, 1].


def unwrap_texture(
    linear_photo: np.ndarray,
    camera: Camera,
    points: jax.Array,
    faces: jax.Array,
    atlas: UVAtlas,
    *,
    face_part: jax.Array | None = None,
    config: UnwrapConfig = UnwrapConfig(),  # noqa: B008  (immutable)
) -> Observation:
    """Samples the photograph at every texel that it shows.

    Args:
        linear_photo: (H, W, 3) linear RGB.
        camera: Of the photograph.
        points: (V, 3) fitted vertices, model space, metres.
        faces: (F, 3) int32, of *all* parts: the whole head hides.
        atlas: Of the part to unwrap, R texels per side.
        face_part: (F,) int32 into `PARTS`; if given, texels beside the eyeballs and the
            inside of the mouth are not believed, for a lid's rim would get their colour.
        config: Settings.

    Returns:
        The observation. Confidence says how well the geometry sees a texel; whether skin
        is there is for `skin_mask.keep_skin` to say.
    """
    size = atlas.face.shape[0]
    canvas_size = min(2 * size, _MAX_CANVAS)
    crop = _window(camera, points, faces, atlas, canvas_size)
    canvas, inside = cut_image(np.asarray(linear_photo), crop)
    if face_part is None:
        face_part = jnp.zeros(faces.shape[0], jnp.int32)
    return _unwrap(
        jnp.asarray(canvas),
        jnp.asarray(inside),
        camera_in_crop(camera, crop),
        jnp.float32(crop.scale),
        jnp.asarray(points),
        jnp.asarray(faces),
        jnp.asarray(face_part),
        jax.tree.map(jnp.asarray, atlas),
        config=config,
    )


def _window(camera: Camera, points, faces, atlas: UVAtlas, size: int) -> Crop:
    """The square of the photograph that holds the whole part."""
    used = np.unique(np.asarray(atlas.face))
    corners = np.unique(np.asarray(faces)[used[used >= 0]])
    projected, depth = project(camera, jnp.asarray(points)[corners])
    pixels = np.asarray(projected, np.float64)[np.asarray(depth) > 0]
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    side = max(float((high - low).max()) * _MARGIN, 1.0)
    return Crop((low + high - side) / 2, size / side, size)


@functools.partial(jax.jit, static_argnames=("config",))
def _unwrap(canvas, inside, camera, scale, points, faces, face_part, atlas, *, config):
    """Device side of `unwrap_texture`; `scale` is canvas pixels per photo pixel."""
    in_camera = to_camera_frame(camera, points)
    position = sample_atlas(atlas, faces, in_camera)
    normals = rotate_to_camera(camera, vertex_normals(points, faces))
    normal = normalize(sample_atlas(atlas, faces, normals))
    on_chart = atlas.face >= 0
    # Texels of no triangle are sent to some place in front of the camera.
    position = jnp.where(on_chart[..., None], position, jnp.array([0.0, 0.0, -1.0]))
    cosine = jnp.sum(normal * normalize(-position), axis=-1)
    pixels, depth = project_camera_frame(camera, position)

    footprint = _footprint(pixels, on_chart)
    texture = _sample_pyramid(canvas, pixels, footprint)
    in_frame = sample_image(inside[..., None].astype(jnp.float32), pixels)[..., 0] > 0.999
    limit = canvas.shape[0]
    in_frame &= jnp.all((pixels > 0) & (pixels < limit), axis=-1)

    places = position, pixels, depth
    clear = _is_clear(camera, scale, points, faces, face_part, atlas, places, limit, config)
    facing = _smoothstep((cosine - config.facing_low) / (config.facing_high - config.facing_low))
    median = jnp.nanmedian(jnp.where(clear & on_chart, footprint, jnp.nan))
    density = jnp.clip(footprint / (config.min_density * median), 0.0, 1.0)
    confidence = jnp.where(on_chart & in_frame & clear, facing * density, 0.0)[..., None]
    return Observation(
        texture=jnp.where(on_chart[..., None], texture, 0.0),
        mask=(confidence > config.threshold).astype(jnp.float32),
        confidence=confidence,
    )


def _is_clear(camera, scale, points, faces, face_part, atlas, places, limit, config):
    """(R, R) bool: the texel is seen and far enough from edges and openings."""
    position, pixels, depth = places
    buffer = draw_depth(camera, points, faces, limit, config.zbuffer_size)
    cosine = triangle_cosine(camera, points, faces, atlas, position)
    visible = is_visible(buffer, pixels, depth, cosine)
    opening = (buffer.face >= 0) & (face_part[jnp.maximum(buffer.face, 0)] >= _FIRST_OPENING)
    place = pixels * buffer.factor

    def radius_of(pixels, metres):
        """The distance in whole z-buffer pixels, () int32."""
        typical = jnp.nanmedian(jnp.where(visible, depth / buffer.focal, jnp.nan))
        radius = jnp.maximum(pixels * scale * buffer.factor, metres / typical)
        return jnp.clip(jnp.ceil(jnp.nan_to_num(radius)), 1, _MAX_EROSION).astype(jnp.int32)

    edge = radius_of(config.edge_pixels, config.edge_metres)
    # Nearest and farthest depth around: background is infinitely far.
    near = 1.0 / jnp.maximum(look_up(_dilate(buffer.inverse, edge), place), 1e-9)
    open_sky = -look_up(_dilate(-buffer.inverse, edge), place) <= 0
    behind = depth > near + _EDGE_STEP + edge * tolerance(buffer, depth, cosine)
    at_opening = _dilate(
        opening.astype(jnp.float32), radius_of(config.opening_pixels, config.opening_metres)
    )
    return visible & ~behind & ~open_sky & (look_up(at_opening, place) < 0.5)


def _dilate(image: jax.Array, radius: jax.Array) -> jax.Array:
    """Largest value of image (Z, Z) in the square of `radius` () int32 pixels around."""

    def widen(_, image):
        for window in ((3, 1), (1, 3)):
            image = lax.reduce_window(image, -jnp.inf, lax.max, window, (1, 1), "SAME")
        return image

    return lax.fori_loop(0, radius, widen, image)


def _footprint(pixels: jax.Array, on_chart: jax.Array) -> jax.Array:
    """Side (R, R) in pixels of the square that a texel covers in the image."""

    def shorter_step(axis):
        step = jnp.diff(pixels, axis=axis)
        edge = jnp.full_like(lax.slice_in_dim(step, 0, 1, axis=axis), 1e6)
        both = on_chart & jnp.roll(on_chart, -1, axis)
        forward = jnp.concatenate([step, edge], axis=axis)
        forward = jnp.where(both[..., None], forward, 1e6)
        backward = jnp.roll(forward, 1, axis)
        # Across a cut of the layout the step means nothing; one side is always whole.
        length = lambda x: jnp.sum(x * x, axis=-1, keepdims=True)  # noqa: E731
        return jnp.where(length(forward) <= length(backward), forward, backward)

    along_u, along_v = shorter_step(1), shorter_step(0)
    area = along_u[..., 0] * along_v[..., 1] - along_u[..., 1] * along_v[..., 0]
    footprint = jnp.sqrt(jnp.abs(area) + 1e-12)
    return jnp.where(footprint < 1e3, footprint, 0.0)


def _sample_pyramid(image: jax.Array, pixels: jax.Array, footprint: jax.Array) -> jax.Array:
    """Trilinear lookup: the mean colour (R, R, 3) over a texel of side `footprint` pixels."""
    level = jnp.log2(jnp.maximum(footprint, 1.0)) - _SHARPER
    uv = pixels / jnp.array(image.shape[1::-1], pixels.dtype)
    return sample_mips(build_mips(image, _LEVELS), uv, level)


def _smoothstep(t: jax.Array) -> jax.Array:
    t = jnp.clip(t, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)

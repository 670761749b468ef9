"""Where the eyes of a photograph look: the dark disc in the opening of the lids.

FaceMesh's 468 landmarks have no irises. Every pixel between the lids is carried to the fitted
eyeball, and the iris is looked for there, as a disc of known angular size, at nearly the same
direction in both eyes: lids are found to a few degrees. Shading by the lids, which varies
from top to bottom, is regressed out, so that what counts is dark against what lies beside it.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy import ndimage

from relightify_jax.core import facemesh
from relightify_jax.fitting.crop import camera_in_crop, crop_around, cut_image
from relightify_jax.geometry.camera import Camera, camera_position
from relightify_jax.geometry.embedded import EYE_IRIS_RADIUS, EYE_TILE_ANGLE
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.rotations import matrix_from_axis_angle

EYES = (("eye_left", facemesh.EYE_LEFT), ("eye_right", facemesh.EYE_RIGHT))
_CROP_SIZE, _CROP_MARGIN = 72, 1.1
CROP_PIXELS = _CROP_SIZE**2
_LID_MARGIN = 0.035  # Of the eye's width: lashes and the error at the upper lid.
# The lower lid is as bright as the sclera: below the iris it helps to see its edge.
_LOWER_LID = 0.05
_CORNERS = 0.1  # Of the eye's width, not looked at: skin.
_HIGHLIGHT = 0.13  # Of the eye's width: smaller bright spots are reflections.
_MIN_WIDTH = 12.0  # Photo pixels; smaller eyes show no iris.
_MIN_OPENING = 0.13  # Height of the opening over its width; below it an eye is closed.
_MAX_MISFIT = 0.15  # Of an eyeball's texture map against `embedded.eye_uv`, radians.
_FLOOR = 0.02  # Of linear luminance, relative to the bright of the eye.
_STEP = np.radians(3.0)
_YAW, _PITCH = _STEP * np.arange(-12, 13), _STEP * np.arange(-8, 9)
# Portraits look about straight ahead; lids follow the gaze up and down.
_YAW_DEVIATION, _PITCH_DEVIATION = np.radians(12.0), np.radians(4.0)
_SQUINT_DEVIATION = np.radians(4.0)  # Of one eye from both, what the lids are wrong by.
_MAX_SQUINT = 4  # Steps.
_SCALES = np.arange(0.85, 1.16, 0.075)
_SCALE_DEVIATION = 0.08  # Irises differ little between people.
_EVIDENCE = 25.0  # Weight of the explained share of variance against these priors.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_SOFT = 0.15  # Of the iris' radius: width of its edge.


class Eyeball(NamedTuple):
    """A fitted eyeball: a sphere and the frame of its texture, model space."""

    center: np.ndarray  # (3,) metres.
    radius: float
    axes: np.ndarray  # (3, 3): columns are the eye's own +X, +Y and its gaze at rest.
    vertices: np.ndarray  # (n,) int: the model's vertices on it and on nothing else.


class EyePixels(NamedTuple):
    """Pixels of one eye's opening, well inside the lids."""

    name: str  # One of `PARTS`.
    color: np.ndarray  # (N, 3) linear RGB.
    light: np.ndarray  # (N,) luminance without small highlights.
    inner: np.ndarray  # (N,) bool: surely no lid.
    direction: np.ndarray  # (N, 3) unit, from the eyeball's centre, in its own frame.
    normal: np.ndarray  # (N, 3) unit, model space.
    weight: float  # Photo pixels that one of these stands for.


class Gaze(NamedTuple):
    """Where an eye, or both in the mean, looks."""

    yaw: float  # Radians from the model's gaze at rest to the subject's left.
    pitch: float  # Radians upwards.
    iris_scale: float  # Radius of the iris over the model's.
    contrast: float  # Natural log of sclera over iris.
    certainty: float  # Correlation of the found disc with the picture, 0 to 1.


def find_eyeball(model: MorphableModel, points: ArrayLike, name: str) -> Eyeball | None:
    """The eyeball `name` of a head with vertices `points` (V, 3); None if it has none."""
    faces, part = np.asarray(model.faces), np.asarray(model.face_part)
    on_eye = part == PARTS.index(name)
    if not on_eye.any():
        return None
    corners, first = np.unique(faces[on_eye], return_index=True)
    uv = np.asarray(model.uv, np.float64)[np.asarray(model.uv_faces)[on_eye].ravel()[first]]
    place = np.asarray(points, np.float64)[corners]
    # |x|^2 = 2 c.x + r^2 - |c|^2 is linear in the centre c and the rest.
    origin = place.mean(axis=0)
    local = place - origin
    rows = np.concatenate([2 * local, np.ones((len(local), 1))], axis=1)
    solution = np.linalg.lstsq(rows, np.sum(local**2, axis=1), rcond=None)[0]
    radius = float(np.sqrt(max(solution[3] + solution[:3] @ solution[:3], 1e-12)))
    directions = (local - solution[:3]) / radius
    alone = corners[~np.isin(corners, faces[~on_eye])]
    return Eyeball(solution[:3] + origin, radius, _texture_axes(uv, directions), alone)


def _texture_axes(uv: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) from the frame of the eye's texture (`embedded.eye_uv`) to the model."""
    offset = (uv - 0.5) * [1, -1]
    distance = np.linalg.norm(offset, axis=1)
    front = distance < 0.3  # What lies behind is squeezed onto the tile's circle.
    half = np.arcsin(np.clip(2 * distance * np.sin(EYE_TILE_ANGLE / 2), 0, 1))
    side = np.sin(2 * half) / np.maximum(distance, 1e-9)
    rest = np.concatenate([offset * side[:, None], np.cos(2 * half)[:, None]], axis=1)
    u, _, vt = np.linalg.svd(directions[front].T @ rest[front])
    axes = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    misfit = np.median(np.linalg.norm(directions[front] - rest[front] @ axes.T, axis=1))
    return axes if misfit < _MAX_MISFIT else np.eye(3)


def eye_pixels(
    linear_photo: np.ndarray,
    landmark_points: ArrayLike,
    camera: Camera,
    eyeball: Eyeball,
    name: str,
) -> EyePixels | None:
    """Pixels between the lids as the landmarks give them; None if the eye is closed or small.

    Args:
        linear_photo: (H, W, 3) linear RGB.
        landmark_points: (468, 2 or more) pixels of the photo.
        camera: Of the photo.
        eyeball: From `find_eyeball`.
        name: "eye_left" or "eye_right".
    """
    ring = np.asarray(landmark_points, np.float64)[list(dict(EYES)[name]), :2]
    width = np.linalg.norm(ring[8] - ring[0])
    opening = np.linalg.norm(ring[3:6].mean(axis=0) - ring[11:14].mean(axis=0))
    if width < _MIN_WIDTH or opening < _MIN_OPENING * width:
        return None
    crop = crop_around(ring, _CROP_MARGIN, _CROP_SIZE)
    image, inside = cut_image(linear_photo, crop)
    y, x = np.mgrid[:_CROP_SIZE, :_CROP_SIZE] + 0.5
    pixels = np.stack([x, y], axis=-1).reshape(-1, 2)
    margin = _LID_MARGIN * width * crop.scale
    along = (ring[8] - ring[0]) / width
    down = np.array([-along[1], along[0]]) * np.sign(along[0])
    wider = ring + (np.arange(16) > 8)[:, None] * (_LOWER_LID + _LID_MARGIN) * width * down
    inner, depth = (depth_inside((r - crop.origin) * crop.scale, pixels) for r in (ring, wider))
    origin, rays = _pixel_rays(camera_in_crop(camera, crop), pixels)
    hit, normal = _meet_sphere(origin, rays, eyeball)
    use = hit & inside.ravel() & (depth > margin)
    across = (pixels / crop.scale + crop.origin - ring[0]) @ along / width
    use &= (across > _CORNERS) & (across < 1 - _CORNERS)
    if use.sum() < 30:
        return None
    spot = max(int(_HIGHLIGHT * width * crop.scale) // 2 * 2 + 1, 3)
    light = ndimage.grey_opening(image @ _LUMINANCE, footprint=_disc(spot // 2))
    return EyePixels(
        name,
        image.reshape(-1, 3)[use].astype(np.float64),
        light.ravel()[use],
        inner[use] > margin,
        normal[use] @ eyeball.axes,
        normal[use],
        1.0 / crop.scale**2,
    )


def depth_inside(ring: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Distance (N,) of pixels (N, 2) from a polygon's (n, 2) outline; negative outside."""
    start, end = ring, np.roll(ring, -1, axis=0)
    edge = end - start
    offset = pixels[:, None] - start
    along = np.sum(offset * edge, -1) / np.maximum(np.sum(edge * edge, -1), 1e-9)
    nearest = offset - np.clip(along, 0, 1)[..., None] * edge
    distance = np.linalg.norm(nearest, axis=-1).min(axis=1)
    crosses = (start[:, 1] > pixels[:, None, 1]) != (end[:, 1] > pixels[:, None, 1])
    rise = np.where(np.abs(edge[:, 1]) < 1e-9, 1e-9, edge[:, 1])
    at = start[:, 0] + (pixels[:, None, 1] - start[:, 1]) / rise * edge[:, 0]
    odd = np.sum(crosses & (pixels[:, None, 0] < at), axis=1) % 2 == 1
    return np.where(odd, distance, -distance)


def _pixel_rays(camera: Camera, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Camera centre (3,) and unit directions (N, 3) through pixels (N, 2), model space."""
    offset = (pixels - np.asarray(camera.center)) / float(camera.focal) * [1, -1]
    rays = np.concatenate([offset, -np.ones((len(pixels), 1))], axis=1)
    rays = rays @ np.asarray(matrix_from_axis_angle(jnp.asarray(camera.rotation)), np.float64)
    return (
        np.asarray(camera_position(camera), np.float64),
        rays / np.linalg.norm(rays, axis=1, keepdims=True),
    )


def _meet_sphere(origin, rays, eyeball: Eyeball) -> tuple[np.ndarray, np.ndarray]:
    """Whether rays meet the eyeball (N,) and its normals (N, 3) there."""
    offset = origin - eyeball.center
    along = rays @ offset
    square = along**2 - offset @ offset + eyeball.radius**2
    distance = -along - np.sqrt(np.maximum(square, 0))
    return square > 0, (offset + distance[:, None] * rays) / eyeball.radius


def find_gaze(eyes: list[EyePixels]) -> tuple[Gaze, dict[str, Gaze]]:
    """The direction and size of the iris that explain the eyes best.

    A disc's indicator and the log luminance are correlated after what is linear and
    quadratic in height is taken out of both; priors on gaze, squint and size break ties.

    Args:
        eyes: One or two of `eye_pixels`.

    Returns:
        The common gaze, and that of each eye by its name.
    """
    yaw, pitch = np.meshgrid(_YAW, _PITCH, indexing="ij")
    prior = -0.5 * ((yaw / _YAW_DEVIATION) ** 2 + (pitch / _PITCH_DEVIATION) ** 2)
    best = -np.inf
    chosen: tuple[float, dict[str, int]] = (1.0, {})
    for scale in _SCALES:
        gains = [_explained(eye, yaw.ravel(), pitch.ravel(), scale)[0] for eye in eyes]
        gains = [_EVIDENCE * gain.reshape(yaw.shape) for gain in gains]
        squinting = [_near_maximum(gain) for gain in gains]
        score = sum(top for top, _ in squinting) / len(eyes) + prior
        score = score - 0.5 * ((scale - 1.0) / _SCALE_DEVIATION) ** 2
        place = np.unravel_index(np.argmax(score), score.shape)
        if score[place] > best:
            own = {eye.name: shift[place] for eye, (_, shift) in zip(eyes, squinting, strict=True)}
            best, chosen = score[place], (scale, own)
    scale, own = chosen
    single = {
        eye.name: _refine(eye, yaw.ravel()[own[eye.name]], pitch.ravel()[own[eye.name]], scale)
        for eye in eyes
    }
    return Gaze(*np.mean(list(single.values()), axis=0).tolist()), single


def _near_maximum(gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each gaze the best of its neighbours less the price of squinting, and which it is."""
    index = np.arange(gain.size).reshape(gain.shape)
    best, where = np.full(gain.shape, -np.inf), index.copy()
    padded = np.pad(gain, _MAX_SQUINT, constant_values=-np.inf)
    index = np.pad(index, _MAX_SQUINT)
    for i, j in np.ndindex(2 * _MAX_SQUINT + 1, 2 * _MAX_SQUINT + 1):
        squared = ((i - _MAX_SQUINT) ** 2 + (j - _MAX_SQUINT) ** 2) * _STEP**2
        window = np.s_[i : i + gain.shape[0], j : j + gain.shape[1]]
        value = padded[window] - 0.5 * squared / _SQUINT_DEVIATION**2
        where = np.where(value > best, index[window], where)
        best = np.maximum(best, value)
    return best, where


def _refine(eye: EyePixels, yaw: float, pitch: float, scale: float) -> Gaze:
    """The best direction within a step of the grid."""
    step = np.linspace(-0.5 * _STEP, 0.5 * _STEP, 7)
    yaws, pitches = (grid.ravel() for grid in np.meshgrid(yaw + step, pitch + step))
    gain, contrast = _explained(eye, yaws, pitches, scale)
    top = int(np.argmax(gain))
    certainty = float(np.sqrt(max(gain[top], 0.0)))
    return Gaze(yaws[top], pitches[top], float(scale), float(contrast[top]), certainty)


def iris_distance(direction: np.ndarray, gaze: Gaze) -> np.ndarray:
    """Angle (N,) of directions (N, 3) in the eye's frame from the gaze, 1 at the limbus."""
    axis = gaze_axis(np.array([gaze.yaw]), np.array([gaze.pitch]))[0]
    return np.arccos(np.clip(direction @ axis, -1, 1)) / (iris_angle() * gaze.iris_scale)


def gaze_axis(yaw: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) in the eye's frame, in which (0, 0, 1) is straight ahead."""
    return np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], -1)


def iris_angle() -> float:
    """Radians from the gaze to the limbus of the model's eye."""
    return float(2 * np.arcsin(2 * EYE_IRIS_RADIUS * np.sin(EYE_TILE_ANGLE / 2)))


def _explained(eye: EyePixels, yaw, pitch, scale) -> tuple[np.ndarray, np.ndarray]:
    """For each gaze (G,): the share of variance that the disc explains, and its contrast."""
    axes = gaze_axis(yaw, pitch)
    bright = max(float(np.percentile(eye.light, 85)), 1e-6)
    value = np.log(np.clip(eye.light / bright, _FLOOR, 1.0) + _FLOOR)
    height = eye.direction[:, 1] - eye.direction[:, 1].mean()
    basis = np.linalg.qr(np.stack([np.ones_like(height), height, height**2], -1))[0]
    angle = np.arccos(np.clip(eye.direction @ axes.T, -1, 1)) / (iris_angle() * scale)
    disc = np.clip((1.0 - angle) / _SOFT + 0.5, 0.0, 1.0)
    disc = disc - basis @ (basis.T @ disc)
    value = value - basis @ (basis.T @ value)
    power = np.sum(disc * disc, axis=0)
    slope = -(value @ disc) / np.maximum(power, 1e-6)  # Positive: darker inside.
    # A disc of which hardly anything shows explains nothing.
    shown = np.clip(power / len(value) / 0.05, 0, 1)
    gain = np.sign(slope) * slope**2 * power / max(float(value @ value), 1e-9)
    return gain * shown, slope


def _disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius + 1

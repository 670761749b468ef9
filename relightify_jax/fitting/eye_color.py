"""The colours of iris and sclera in a photograph, and the gaze, for eyes that are painted.

An iris covers a hundred pixels of a portrait, with a pupil, a highlight and a lid's shadow in
them: too few for a texture, enough for a colour. The light is divided out twice: by the
fitted light, which knows little of the shadow that brow and lids cast, and by the white of
the eye, whose albedo is nearly the same in everyone.
"""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from relightify_jax.core.part_looks import RGB, SCLERA, EyeLook
from relightify_jax.fitting.eye_gaze import (
    CROP_PIXELS,
    EYES,
    Eyeball,
    EyePixels,
    Gaze,
    eye_pixels,
    find_eyeball,
    find_gaze,
    gaze_axis,
    iris_distance,
)
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.rendering.lighting import shade_sh

_MIN_CERTAINTY = 0.45  # Of the disc found in the eyes; behind glare there is none.
_MIN_CONTRAST = 0.35  # Natural log of sclera over iris.
_MIN_PIXELS = 12.0  # Photo pixels of iris and of sclera.
# That the sclera's usual albedo, not the fitted light, sets brightness and tint.
_TRUST_IN_WHITE, _TRUST_IN_TINT = 0.7, 0.4
# Of the light: what cornea and tears mirror, half hidden by the brow; and at most this share.
_REFLECTED, _MAX_REFLECTED = 0.012, 0.35
_IRIS_DARKEST, _IRIS_LIGHTEST = np.array([0.022, 0.012, 0.008]), 0.30  # Of albedo.
_HIGHLIGHT = 0.6  # Of the sclera: no iris is as bright.
_MAX_RED_OVER_GREEN = 2.4  # The brownest irises; what is redder is a lid's colour.
_SCLERA_RANGE = (0.30, 0.75)
_CLEARLY_DIFFERENT = 0.7  # Natural log between two eyes; one of them is in shadow or hidden.
_MAX_GAZE = np.radians(25.0)


def read_eyes(
    linear_photo: np.ndarray,
    landmark_points: ArrayLike,
    camera: Camera,
    points: ArrayLike,
    model: MorphableModel,
    sh: ArrayLike,
) -> EyeLook:
    """Measures iris, sclera and gaze.

    Args:
        linear_photo: (H, W, 3) linear RGB.
        landmark_points: (468, 2 or more) FaceMesh landmarks, pixels of the photo.
        camera: Of the photo.
        points: (V, 3) fitted vertices, model space, metres.
        model: The morphable model, with or without eyeballs.
        sh: (9, 3) fitted light, model space.

    Returns:
        The look; neutral, with `measured` False, where the eyes are closed, too small,
        hidden or absent from the model.
    """
    eyes = []
    for name, _ in EYES:
        eyeball = find_eyeball(model, points, name)
        if eyeball is not None:
            seen = eye_pixels(linear_photo, landmark_points, camera, eyeball, name)
            eyes += [] if seen is None else [seen]
    if not eyes:
        return EyeLook()
    common, single = find_gaze(eyes)
    readings = [_read_colors(eye, single[eye.name], sh) for eye in eyes]
    usable = [reading for reading in readings if reading is not None]
    if not usable:
        return EyeLook()
    iris, sclera = _join(usable)
    gaze = np.clip([common.yaw, common.pitch], -_MAX_GAZE, _MAX_GAZE)
    return EyeLook(
        _rgb(iris), _rgb(sclera), common.iris_scale, (float(gaze[0]), float(gaze[1])), True
    )


def _read_colors(eye: EyePixels, gaze: Gaze, sh: ArrayLike):
    """Albedo of iris and sclera (3,) each and the certainty of one eye; None if unseen."""
    if gaze.certainty < _MIN_CERTAINTY or gaze.contrast < _MIN_CONTRAST:
        return None
    distance = iris_distance(eye.direction, gaze)
    shading = _shade(eye.normal, sh)
    floor = 0.3 * np.maximum(np.median(shading, axis=0), 1e-3)
    relative = eye.color / np.maximum(shading, floor)
    luminance = eye.color.mean(axis=1)
    bright = _HIGHLIGHT * np.percentile(eye.light, 85)
    no_highlight = luminance < np.maximum(1.25 * eye.light, bright)
    # The pupil is the dark part of the disc; its edge and the limbus are blurred into it.
    iris = _of_brightness(relative, (distance < 0.85) & no_highlight, 45, 80)
    sclera = _of_brightness(relative, (distance > 1.15) & (distance < 2.3) & eye.inner, 50, 90)
    if min(len(iris), len(sclera)) * eye.weight < 0.3 * _MIN_PIXELS:
        return None
    white = np.maximum(np.median(sclera, axis=0), 1e-3)
    excess = np.log(np.array(SCLERA) / white)
    tint = excess - excess.mean()
    gain = np.exp(_TRUST_IN_WHITE * excess.mean() + _TRUST_IN_TINT * tint)
    measured = np.median(iris, axis=0) * gain
    measured = measured - np.minimum(_REFLECTED, _MAX_REFLECTED * measured.mean())
    measured[1] = max(measured[1], measured[0] / _MAX_RED_OVER_GREEN)
    return (
        np.clip(measured, _IRIS_DARKEST, _IRIS_LIGHTEST),
        np.clip(white * np.exp(_TRUST_IN_WHITE * excess), *_SCLERA_RANGE),
        gaze.certainty,
    )


def _shade(normal: np.ndarray, sh: ArrayLike) -> np.ndarray:
    """The light (N, 3) on normals (N, 3); always the same shape for the compiler."""
    padded = np.zeros((CROP_PIXELS, 3), np.float32)
    padded[: len(normal)] = normal
    return np.asarray(shade_sh(jnp.asarray(padded), jnp.asarray(sh)))[: len(normal)]


def _of_brightness(color: np.ndarray, where: np.ndarray, low: float, high: float) -> np.ndarray:
    """The colours (n, 3) of `where` between two percentiles of brightness."""
    chosen = color[where]
    if not len(chosen):
        return chosen
    light = chosen.mean(axis=1)
    a, b = np.percentile(light, [low, high])
    return chosen[(light >= a) & (light <= b)]


def _join(readings) -> tuple[np.ndarray, np.ndarray]:
    """Means of two eyes in the logarithm; the more certain one if they contradict."""
    logs = np.log([[iris, sclera] for iris, sclera, _ in readings])
    weight = np.array([certainty for *_, certainty in readings])
    if len(logs) > 1 and np.abs(logs[0] - logs[1]).mean(axis=-1).max() > _CLEARLY_DIFFERENT:
        weight = (weight == weight.max()).astype(float)
    joined = np.exp(np.average(logs, axis=0, weights=weight))
    return joined[0], joined[1]


def turn_eyes(model: MorphableModel, points: ArrayLike, gaze: tuple[float, float]) -> np.ndarray:
    """Turns the eyeballs of a head.

    Args:
        model: The morphable model.
        points: (V, 3) vertices.
        gaze: Radians to the subject's left and upwards, see `EyeLook`.

    Returns:
        (V, 3); the vertices of each eyeball turned about its centre.
    """
    turned = np.array(points)
    for name, _ in EYES:
        eyeball = find_eyeball(model, points, name)
        if eyeball is not None:
            rotation = _turn(eyeball, gaze)
            offset = turned[eyeball.vertices] - eyeball.center
            turned[eyeball.vertices] = offset @ rotation.T + eyeball.center
    return turned


def _turn(eyeball: Eyeball, gaze: tuple[float, float]) -> np.ndarray:
    """The rotation (3, 3), model space, that takes the gaze at rest to `gaze`."""
    ahead = gaze_axis(np.array(gaze[0]), np.array(gaze[1]))
    side = np.cross([0.0, 1.0, 0.0], ahead)
    side /= np.linalg.norm(side)
    return eyeball.axes @ np.stack([side, np.cross(ahead, side), ahead], axis=1) @ eyeball.axes.T


def _rgb(color: np.ndarray) -> RGB:
    return float(color[0]), float(color[1]), float(color[2])

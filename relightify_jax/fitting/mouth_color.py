"""The colour of teeth in a photograph with an open mouth."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from relightify_jax.core import facemesh
from relightify_jax.core.part_looks import TEETH, MouthLook
from relightify_jax.fitting.crop import crop_around, cut_image
from relightify_jax.fitting.eye_gaze import depth_inside
from relightify_jax.rendering.lighting import shade_sh

_CROP_SIZE = 96
_MIN_WIDTH = 16.0  # Photo pixels between the corners of the mouth.
_MIN_OPENING = 0.07  # Height of the opening over its width.
_LIP_MARGIN = 0.015  # Of the width.
_MIN_SHARE = 0.12  # Of the opening's pixels that must look like teeth.
# Teeth are the least red of what is seen: this much redder than the least of all, and never
# beyond the second; natural log of red over green under white light.
_REDNESS_STEP, _MAX_REDNESS = 0.15, 0.4
_TRUST_IN_USUAL = 0.6  # That teeth have their usual albedo, rather than what the light says.
_DARKEST = 0.12  # Of albedo in the light of an open place; below it nothing can be told.
_RANGE = (0.2, 0.8)


def read_mouth(linear_photo: np.ndarray, landmark_points: ArrayLike, sh: ArrayLike) -> MouthLook:
    """Measures the teeth.

    Args:
        linear_photo: (H, W, 3) linear RGB.
        landmark_points: (468, 2 or more) FaceMesh landmarks, pixels of the photo.
        sh: (9, 3) fitted light, model space.

    Returns:
        The look; the usual one, with `measured` False, where no teeth are seen. Tongue and
        flesh, which one hardly ever sees, are always the usual ones.
    """
    ring = np.asarray(landmark_points, np.float64)[list(facemesh.LIPS_INNER), :2]
    width = np.linalg.norm(ring[10] - ring[0])
    opening = np.linalg.norm(ring[5] - ring[15])
    if width < _MIN_WIDTH or opening < _MIN_OPENING * width:
        return MouthLook()
    crop = crop_around(ring, 1.1, _CROP_SIZE)
    image, inside = cut_image(linear_photo, crop)
    y, x = np.mgrid[:_CROP_SIZE, :_CROP_SIZE] + 0.5
    depth = depth_inside((ring - crop.origin) * crop.scale, np.stack([x, y], -1).reshape(-1, 2))
    use = inside.ravel() & (depth > _LIP_MARGIN * width * crop.scale)
    if use.sum() < 20:
        return MouthLook()
    ahead = jnp.array([[0.0, 0.0, 1.0]], jnp.float32)
    light = np.maximum(np.asarray(shade_sh(ahead, jnp.asarray(sh)))[0], 1e-3)
    color = image.reshape(-1, 3)[use] / light
    redness = np.log(np.maximum(color[:, 0], 1e-3) / np.maximum(color[:, 1], 1e-3))
    bright = color.mean(axis=1)
    lit = np.percentile(bright, 85)
    limit = min(float(np.percentile(redness[bright > lit / 2], 10)) + _REDNESS_STEP, _MAX_REDNESS)
    toothlike = (redness < limit) & (bright > lit / 2)
    if toothlike.mean() < _MIN_SHARE or lit < _DARKEST:
        return MouthLook()
    teeth = color[toothlike]
    upper = teeth[teeth.mean(axis=1) > np.median(teeth.mean(axis=1))]
    measured = np.maximum(np.median(upper, axis=0), 1e-3)
    albedo = measured ** (1 - _TRUST_IN_USUAL) * np.array(TEETH) ** _TRUST_IN_USUAL
    albedo = np.clip(albedo, *_RANGE)
    return MouthLook((float(albedo[0]), float(albedo[1]), float(albedo[2])), measured=True)

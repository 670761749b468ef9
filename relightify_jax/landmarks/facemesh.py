"""The 468 points of one face: the face mesh network on a turned square around it.

Kartynnik et al. 2019, arXiv:1907.06724. The topology is in landmarks.topology.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from relightify_jax.core.facemesh import EYE_OUTER, NUM_LANDMARKS
from relightify_jax.landmarks.network import Network, run_network
from relightify_jax.landmarks.squares import cut_square

INPUT_SIZE = 192
# The upright square that is cut on the host holds the turned one at any angle (side times
# sqrt 2) at slightly more than the network's resolution.
CUT_SIZE = 288
SQUARE_PER_FACE = 1.5  # Side of the network's square over the longer side of the face.


class FaceLandmarks(NamedTuple):
    """The landmarks of one face, in pixels of the photo, pixel centres at +0.5."""

    points: np.ndarray  # (468, 3) float32: x, y, and z relative to the head's middle, z > 0 away.
    score: float  # The network's belief that this is a face, in [0, 1].
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 of the points.


@jax.jit
def predict(
    mesh: Network, picture: jax.Array, center: jax.Array, side: jax.Array, angle: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Runs the network on a turned square of a picture, sampled bilinearly.

    Args:
        mesh: The network.
        picture: (288, 288, 3) uint8, sRGB.
        center: (2,) x, y of the square's centre, pixels of `picture`.
        side: () its side, pixels.
        angle: () its clockwise rotation as seen, radians.

    Returns:
        Points (468, 3) in pixels of `picture` (z in the same unit) and the score ()
        in [0, 1].
    """
    cosine, sine = jnp.cos(angle), jnp.sin(angle)

    def to_picture(points):
        """Fractions (..., 2) of the square to pixels."""
        x, y = (points[..., 0] - 0.5) * side, (points[..., 1] - 0.5) * side
        turned = jnp.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)
        return center + turned

    ticks = (jnp.arange(INPUT_SIZE) + 0.5) / INPUT_SIZE
    grid = to_picture(jnp.stack(jnp.meshgrid(ticks, ticks), axis=-1)) - 0.5
    rows_columns = [grid[..., 1], grid[..., 0]]
    sample = jax.vmap(
        lambda channel: map_coordinates(channel, rows_columns, order=1, mode="nearest"),
        in_axes=-1,
        out_axes=-1,
    )
    square = sample(picture.astype(jnp.float32) / 255.0)
    raw, logit = run_network(mesh, square[None])
    raw = raw.reshape(NUM_LANDMARKS, 3) / INPUT_SIZE
    points = jnp.concatenate([to_picture(raw[:, :2]), raw[:, 2:] * side], axis=-1)
    return points, jax.nn.sigmoid(logit.reshape(()))


def landmarks_from_keypoints(
    mesh: Network, pixels: np.ndarray, box: np.ndarray, eyes: np.ndarray
) -> FaceLandmarks:
    """Landmarks of a detected face.

    Two passes: the detector's square is rough, the first pass gives a better one, as
    from one frame of a video to the next in the original.

    Args:
        mesh: The network.
        pixels: (H, W, 3) uint8, sRGB.
        box: (4,) x0, y0, x1, y1 of the detection, pixels.
        eyes: (2, 2) the detection's right and left eye, pixels.
    """
    side = SQUARE_PER_FACE * float(np.max(box[2:] - box[:2]))
    points, score = _one_pass(mesh, pixels, (box[:2] + box[2:]) / 2, side, _angle(*eyes))
    angle = _angle(*points[list(EYE_OUTER), :2])
    # The tightest square turned as the face is.
    to_upright = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    upright = points[:, :2] @ to_upright.T
    low, high = upright.min(axis=0), upright.max(axis=0)
    center = to_upright.T @ ((low + high) / 2)
    side = SQUARE_PER_FACE * float(np.max(high - low))
    points, score = _one_pass(mesh, pixels, center, side, angle)
    return face_from_points(points, score)


def face_from_points(points: np.ndarray, score: float) -> FaceLandmarks:
    """Completes points (468, 3) by their box."""
    x0, y0 = points[:, :2].min(axis=0).tolist()
    x1, y1 = points[:, :2].max(axis=0).tolist()
    return FaceLandmarks(points.astype(np.float32), score, (x0, y0, x1, y1))


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.arctan2(*(second - first)[::-1]))


def _one_pass(
    mesh: Network, pixels: np.ndarray, center: np.ndarray, side: float, angle: float
) -> tuple[np.ndarray, float]:
    """Points (468, 3) in photo pixels, and the score."""
    outer = int(np.ceil(side * np.sqrt(2))) + 2
    left, top = np.rint(center - outer / 2).astype(int).tolist()
    corner = np.array([left, top])
    picture = cut_square(pixels, left, top, outer, CUT_SIZE, repeat_border=True)
    scale = np.float32(CUT_SIZE / outer)
    points, score = predict(
        mesh,
        picture,
        ((center - corner) * scale).astype(np.float32),
        np.float32(side) * scale,
        np.float32(angle),
    )
    points = np.asarray(points) / scale
    points[:, :2] += corner
    return points, float(score)

"""The 468 points of one face: the face mesh network on a turned square around it.

Kartynnik et al. 2019, arXiv:1907.06724. The topology is in landmarks.topology.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates

from relightify_jax.core.facemesh import EYE_OUTER, MIRROR, NUM_LANDMARKS
from relightify_jax.landmarks.network import Network, run_network
from relightify_jax.landmarks.squares import cut_square

INPUT_SIZE = 192
# The upright square that is cut on the host holds the turned one at any angle (side times
# sqrt 2), and its neighbours, at slightly more than the network's resolution.
CUT_SIZE = 320
SQUARE_PER_FACE = 1.5  # Side of the network's square over the longer side of the face.


class FaceLandmarks(NamedTuple):
    """The landmarks of one face, in pixels of the photo, pixel centres at +0.5."""

    points: np.ndarray  # (468, 3) float32: x, y, and z relative to the head's middle, z > 0 away.
    score: float  # The network's belief that this is a face, in [0, 1].
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 of the points.
    # (468,) float32 standard error of x and of y, pixels; None if nothing is known about it.
    deviation: np.ndarray | None = None


class Squares(NamedTuple):
    """Turned squares of a picture, V of them; lengths in its pixels."""

    center: np.ndarray  # (V, 2) float32, x y.
    side: np.ndarray  # (V,) float32.
    angle: np.ndarray  # (V,) float32 clockwise rotation as seen, radians.
    mirrored: np.ndarray  # (V,) bool: shown to the network with left and right exchanged.


@jax.jit
def predict(mesh: Network, picture: jax.Array, squares: Squares) -> tuple[jax.Array, jax.Array]:
    """Runs the network on turned squares of a picture, sampled bilinearly.

    Args:
        mesh: The network.
        picture: (S, S, 3) uint8, sRGB.
        squares: V squares of it.

    Returns:
        Points (V, 468, 3) in pixels of `picture` (z in the same unit), of the face itself
        where the square was mirrored, and scores (V,) in [0, 1].
    """
    inputs = jax.vmap(_sample_square, in_axes=(None, 0))(picture, squares)
    raw, logits = run_network(mesh, inputs)
    raw = raw.reshape(-1, NUM_LANDMARKS, 3) / INPUT_SIZE
    points = jax.vmap(_to_picture)(squares, raw[..., :2])
    points = jnp.concatenate([points, raw[..., 2:] * squares.side[:, None, None]], axis=-1)
    exchanged = points[:, jnp.array(MIRROR)]
    points = jnp.where(squares.mirrored[:, None, None], exchanged, points)
    return points, jax.nn.sigmoid(logits.reshape(-1))


def _to_picture(square: Squares, fractions: jax.Array) -> jax.Array:
    """Fractions (..., 2) of one square to pixels."""
    x, y = ((fractions - 0.5) * square.side)[..., 0], ((fractions - 0.5) * square.side)[..., 1]
    x = jnp.where(square.mirrored, -x, x)
    cosine, sine = jnp.cos(square.angle), jnp.sin(square.angle)
    return jnp.asarray(square.center) + jnp.stack(
        [cosine * x - sine * y, sine * x + cosine * y], axis=-1
    )


def _sample_square(picture: jax.Array, square: Squares) -> jax.Array:
    """The network's input (192, 192, 3) in [0, 1]."""
    ticks = (jnp.arange(INPUT_SIZE) + 0.5) / INPUT_SIZE
    grid = _to_picture(square, jnp.stack(jnp.meshgrid(ticks, ticks), axis=-1)) - 0.5
    sample = jax.vmap(
        lambda channel: map_coordinates(channel, [grid[..., 1], grid[..., 0]], 1, mode="nearest"),
        in_axes=-1,
        out_axes=-1,
    )
    return sample(picture.astype(jnp.float32) / 255.0)


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
    rough = make_squares((box[:2] + box[2:]) / 2, side, _angle(*eyes))
    points, _ = find_in_squares(mesh, pixels, rough)
    points, scores = find_in_squares(mesh, pixels, square_around(points[0]))
    return face_from_points(points[0], float(scores[0]))


def face_from_points(
    points: np.ndarray, score: float, deviation: np.ndarray | None = None
) -> FaceLandmarks:
    """Completes points (468, 3) by their box."""
    x0, y0 = points[:, :2].min(axis=0).tolist()
    x1, y1 = points[:, :2].max(axis=0).tolist()
    return FaceLandmarks(points.astype(np.float32), score, (x0, y0, x1, y1), deviation)


def make_squares(center: np.ndarray, side: float, angle: float) -> Squares:
    """One upright square of a photo as `Squares`."""
    return Squares(
        np.asarray(center, np.float32)[None],
        np.array([side], np.float32),
        np.array([angle], np.float32),
        np.zeros(1, bool),
    )


def square_around(points: np.ndarray) -> Squares:
    """The network's square for a face with landmarks `points` (468, >= 2), turned as it is."""
    angle = _angle(*points[list(EYE_OUTER), :2])
    to_upright = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    upright = points[:, :2] @ to_upright.T
    low, high = upright.min(axis=0), upright.max(axis=0)
    side = SQUARE_PER_FACE * float(np.max(high - low))
    return make_squares(to_upright.T @ ((low + high) / 2), side, angle)


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.arctan2(*(second - first)[::-1]))


def find_in_squares(
    mesh: Network, pixels: np.ndarray, squares: Squares
) -> tuple[np.ndarray, np.ndarray]:
    """Runs the network on V neighbouring squares of a photo (H, W, 3) uint8.

    Returns:
        Points (V, 468, 3) in photo pixels, and the scores (V,).
    """
    reach = np.sqrt(0.5) * squares.side[:, None]
    low = (squares.center - reach).min(axis=0) - 1
    high = (squares.center + reach).max(axis=0) + 1
    outer = int(np.ceil(np.max(high - low)))
    left, top = np.rint((low + high - outer) / 2).astype(int).tolist()
    corner = np.array([left, top])
    picture = cut_square(pixels, left, top, outer, CUT_SIZE, repeat_border=True)
    scale = np.float32(CUT_SIZE / outer)
    in_picture = squares._replace(
        center=((squares.center - corner) * scale).astype(np.float32), side=squares.side * scale
    )
    points, scores = predict(mesh, picture, in_picture)
    points = np.asarray(points) / scale
    points[..., :2] += corner
    return points, np.asarray(scores)

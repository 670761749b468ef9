"""Where faces are: the short-range BlazeFace detector on the whole photo, turned, and on tiles.

Bazarevsky et al. 2019, arXiv:1907.05047. The network sees a 128 x 128 picture and is
sure of upright faces from about a sixth of it. Further rounds look for what it misses.
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.landmarks.network import Network, run_network
from relightify_jax.landmarks.squares import cut_square

INPUT_SIZE = 128
MIN_SCORE = 0.5  # MediaPipe's default.
# Upside-down faces were seen to score up to 0.62, faces at right angles up to 0.84.
SURE_SCORE = 0.85
SURE_SIZE = 0.15  # Of the photo's longer side: in a portrait, nothing else matters.
MAX_OVERLAP = 0.3  # Intersection over union above which two detections are one face.
MIN_TILE = 256  # Pixels; smaller tiles would find faces too small to be of use.
NUM_KEYPOINTS = 6


class Detection(NamedTuple):
    """One face, in pixels of the photo."""

    score: float  # In [0, 1].
    box: np.ndarray  # (4,) x0, y0, x1, y1: about from brow to chin.
    keypoints: np.ndarray  # (6, 2): right eye, left eye, nose, mouth, right ear, left ear.
    plain: bool  # Seen in the whole, upright photo; other views mislead more often.


class Square(NamedTuple):
    """A square part of the photo, in pixels, which may leave it."""

    left: int
    top: int
    side: int


def anchor_centers() -> np.ndarray:
    """Centres (896, 2) of the network's predictions, as fractions of its picture.

    Two per cell of a 16 x 16 grid and six per cell of an 8 x 8 grid, row by row.
    """
    centers = []
    for cells, repeats in ((16, 2), (8, 6)):
        ticks = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
        centers.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(centers).astype(np.float32)


@jax.jit
def predict(detector: Network, pictures: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Runs the network.

    Args:
        detector: The network.
        pictures: (N, 128, 128, 3) uint8, sRGB.

    Returns:
        Scores (N, 896) in [0, 1], and corners and key points (N, 896, 8, 2) as
        fractions of the picture: upper left, lower right, `NUM_KEYPOINTS` points.
    """
    raw, logits = run_network(detector, pictures.astype(jnp.float32) / 127.5 - 1.0)
    raw = raw.reshape(*raw.shape[:2], -1, 2) / INPUT_SIZE
    center, size, keypoints = raw[:, :, :1], raw[:, :, 1:2], raw[:, :, 2:]
    points = jnp.concatenate([center - size / 2, center + size / 2, keypoints], axis=2)
    points += anchor_centers()[:, None]
    return jax.nn.sigmoid(logits[..., 0]), points


def merge_detections(scores: np.ndarray, points: np.ndarray, plain: bool) -> list[Detection]:
    """Joins overlapping predictions to their score-weighted mean, best first.

    The "blending" of section 4 of the paper, instead of non-maximum suppression: it
    halves the jitter.

    Args:
        scores: (N,).
        points: (N, 8, 2): upper left and lower right corner, then the key points, pixels.
        plain: As in `Detection`.
    """
    order = np.argsort(-scores)
    scores, points = scores[order], points[order]
    detections = []
    while len(scores):
        overlap = box_overlap(points[0, :2].ravel(), points[:, :2].reshape(-1, 4))
        same = overlap > MAX_OVERLAP
        same[0] = True  # Even if its box is empty.
        mean = np.average(points[same], axis=0, weights=scores[same])
        detections.append(Detection(float(scores[0]), mean[:2].ravel(), mean[2:], plain))
        scores, points = scores[~same], points[~same]
    return detections


def box_overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union (N,) of `box` (4,) with each of `boxes` (N, 4), x0 y0 x1 y1."""
    corner = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.prod(np.maximum(corner, 0), axis=-1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    union = areas + np.prod(box[2:] - box[:2]) - common
    return common / np.maximum(union, 1e-9)


def detection_rounds(detector: Network, pixels: np.ndarray) -> Iterator[list[Detection]]:
    """Looks for faces, the likeliest way first; stop at the first round that has some.

    The whole photo, if that shows a large upright face for sure; the whole photo in its
    four quarter turns and overlapping tiles of half its longer side; smaller and smaller
    tiles; the half tiles, turned. A face may occur several times in a round.

    Args:
        detector: The network.
        pixels: (H, W, 3) uint8, sRGB.

    Yields:
        The finds of one round, in photo pixels and the photo's own orientation.
    """
    height, width = pixels.shape[:2]
    sides = [max(height, width)]
    while (smaller := -(-sides[-1] // 2)) >= MIN_TILE:
        sides.append(smaller)

    def find(side: int, turn: int = 0) -> list[Detection]:
        found = _detect(detector, pixels, _tiles(height, width, side), turn)
        return merge_detections(*found, plain=side == sides[0] and turn == 0)

    upright = find(sides[0])
    if any(_is_sure(detection, sides[0]) for detection in upright):
        yield upright
    turned = [detection for turn in (1, 2, 3) for detection in find(sides[0], turn)]
    yield upright + turned + (find(sides[1]) if len(sides) > 1 else [])
    for side in sides[2:]:
        yield find(side)
    if len(sides) > 1:
        yield [detection for turn in (1, 2, 3) for detection in find(sides[1], turn)]


def _is_sure(detection: Detection, longer_side: int) -> bool:
    size = np.max(detection.box[2:] - detection.box[:2])
    return detection.score > SURE_SCORE and size > SURE_SIZE * longer_side


def _tiles(height: int, width: int, side: int) -> list[Square]:
    """Squares that overlap by half or more and cover the photo."""

    def starts(extent: int) -> np.ndarray:
        if extent <= side:
            return np.array([(extent - side) // 2])  # Centred, with black margins.
        count = -(-2 * (extent - side) // side) + 1
        return np.rint(np.linspace(0, extent - side, count)).astype(int)

    return [Square(int(x), int(y), side) for y in starts(height) for x in starts(width)]


def _detect(
    detector: Network, pixels: np.ndarray, squares: list[Square], turn: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n,) and points (n, 8, 2) in photo pixels, from all squares turned alike."""
    scores, points = [np.zeros(0)], [np.zeros((0, 2 + NUM_KEYPOINTS, 2))]
    for square in squares:
        picture = cut_square(pixels, *square, INPUT_SIZE, repeat_border=False)
        view_scores, view_points = (
            np.asarray(values[0]) for values in predict(detector, np.rot90(picture, turn)[None])
        )
        sure = view_scores > MIN_SCORE
        in_square = _turn_back(view_points[sure], turn)
        scores.append(view_scores[sure])
        points.append(in_square * square.side + np.array([square.left, square.top]))
    return np.concatenate(scores), np.concatenate(points)


def _turn_back(points: np.ndarray, turn: int) -> np.ndarray:
    """Undoes `turn` counter-clockwise quarter turns of the unit square on points (n, 8, 2)."""
    for _ in range(turn):
        points = np.stack([1 - points[..., 1], points[..., 0]], axis=-1)
    corners = np.stack([points[:, :2].min(axis=1), points[:, :2].max(axis=1)], axis=1)
    return np.concatenate([corners, points[:, 2:]], axis=1)

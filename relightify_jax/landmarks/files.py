"""Landmarks as a JSON file: to look at, to correct by hand, or to bring one's own."""

import json
import os
import pathlib

import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.facemesh import NUM_LANDMARKS
from relightify_jax.core.files import atomic_path
from relightify_jax.landmarks.facemesh import FaceLandmarks, face_from_points


def write_landmarks_file(
    path: str | os.PathLike[str], face: FaceLandmarks, shape: tuple[int, ...]
) -> None:
    """Writes {"image_size": [W, H], "score", "points": [[x, y, z], ...]} in photo pixels.

    Args:
        path: The .json file.
        face: The landmarks.
        shape: Shape (H, W, ...) of the photo they belong to.
    """
    content = {
        "image_size": [int(shape[1]), int(shape[0])],
        "score": round(float(face.score), 4),
        "points": np.round(np.asarray(face.points, np.float64), 3).tolist(),
    }
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_landmarks_file(path: str | os.PathLike[str], shape: tuple[int, ...]) -> FaceLandmarks:
    """Reads landmarks of a photo.

    Args:
        path: JSON: what `write_landmarks_file` writes, or a plain list of points. A
            point is [x, y] or [x, y, z] in pixels, in the order of MediaPipe's 468
            point face mesh.
        shape: Shape (H, W, ...) of the photo. If the file's "image_size" has the same
            proportions but another size, the points are scaled.

    Returns:
        The landmarks; z is 0 and the score 1 where the file has none.

    Raises:
        InputError: If the file cannot be read, or does not hold 468 finite points of
            which most lie in the photo.
    """
    content = _read_json(path)
    size = content.get("image_size") if isinstance(content, dict) else None
    points = _checked_points(path, content)
    height, width = shape[:2]
    inside = np.all((points[:, :2] >= 0) & (points[:, :2] <= 1), axis=1)
    if inside.all() and max(height, width) > 1:
        raise InputError(
            f"{path} holds fractions of the photo; multiply x by its width and y by its height."
        )
    if size is not None:
        points = points * _scale_to(path, size, width, height)
    inside = np.all((points[:, :2] >= 0) & (points[:, :2] <= (width, height)), axis=1)
    if inside.sum() < NUM_LANDMARKS / 2:
        raise InputError(
            f"{path}: only {inside.sum()} of {NUM_LANDMARKS} points lie in the photo of "
            f"{width}x{height} pixels; give the landmarks of this photo, in its pixels."
        )
    score = content.get("score") if isinstance(content, dict) else None
    return face_from_points(points, float(score) if isinstance(score, int | float) else 1.0)


def _read_json(path):
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give a landmarks file (.json).") from None
    except (OSError, ValueError) as error:  # Not text and not JSON are ValueErrors.
        raise InputError(f"{path} cannot be read as JSON ({error}).") from None


def _checked_points(path, content) -> np.ndarray:
    """(468, 3) float64."""
    points = content.get("points") if isinstance(content, dict) else content
    try:
        points = np.asarray(points, np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise InputError(f'{path} has no list "points" of [x, y] or [x, y, z].')
    if len(points) != NUM_LANDMARKS:
        raise InputError(
            f"{path} holds {len(points)} points; it needs the {NUM_LANDMARKS} of MediaPipe's "
            "face mesh, without irises."
        )
    if not np.isfinite(points).all():
        bad = int(np.argmin(np.isfinite(points).all(axis=1)))
        raise InputError(f"{path}: point {bad} is not a finite number; correct or remove it.")
    return np.concatenate([points, np.zeros((NUM_LANDMARKS, 3 - points.shape[1]))], axis=1)


def _scale_to(path, size, width: int, height: int) -> float:
    try:
        from_width, from_height = (float(value) for value in size)
        valid = from_width > 0 and from_height > 0
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise InputError(f'{path}: "image_size" must be [width, height] in pixels.')
    scale = width / from_width
    # Rounding to whole pixels changes the proportions of a scaled photo a little.
    if abs(from_height * scale - height) > max(2.0, 2.0 * scale):
        raise InputError(
            f"{path} belongs to a photo of {from_width:.0f}x{from_height:.0f} pixels, this one has "
            f"{width}x{height}; give the landmarks of this photo."
        )
    return scale

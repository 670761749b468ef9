"""How good a fit is, in numbers for programs and in sentences for people."""

from typing import Any, NamedTuple

import jax
import numpy as np

from relightify_jax.fitting import stages
from relightify_jax.fitting.crop import Crop, to_crop
from relightify_jax.fitting.objectives import Geometry, LandmarkData
from relightify_jax.fitting.prepared import WELL_LOCALISED, PreparedModel
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.geometry.morphable_model import MorphableModel, landmarks
from relightify_jax.geometry.rotations import matrix_from_axis_angle

POOR_REPROJECTION = 0.02  # Of the outer-eye distance.
POOR_PHOTOMETRIC = 0.25  # Of the median skin colour.
LARGE_YAW = 60.0  # Degrees.
SMALL_FACE = 100.0  # Pixels of the landmarks' box.


class LandmarkErrors(NamedTuple):
    """Reprojection errors as fractions of the outer-eye distance."""

    median: float  # Of the well-localised landmarks.
    mean: float
    worst_tenth: float  # 90th percentile.


def landmark_errors(distance: np.ndarray, prepared: PreparedModel) -> LandmarkErrors:
    """Summary of distances (468,), over the landmarks that are well localised."""
    error = distance[np.asarray(prepared.landmark_spread) < WELL_LOCALISED]
    return LandmarkErrors(
        float(np.median(error)), float(error.mean()), float(np.percentile(error, 90))
    )


def head_angles(camera: Camera) -> tuple[float, float, float]:
    """Yaw, pitch and roll of the head in degrees.

    Yaw > 0: the nose points to the right of the image; pitch > 0: up; roll > 0: the
    head is turned clockwise in the image.
    """
    rotation = np.asarray(matrix_from_axis_angle(camera.rotation))
    nose, up = rotation[:, 2], rotation[:, 1]
    yaw = np.arctan2(nose[0], nose[2])
    pitch = np.arcsin(np.clip(nose[1], -1.0, 1.0))
    # The camera's up, as far as it is at right angles to the nose.
    level = np.array([0.0, 1.0, 0.0]) - nose[1] * nose
    side = np.cross(level, nose)
    roll = np.arctan2(np.dot(up, side), np.dot(up, level))
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def diagnose(
    geometry: Geometry,
    camera: Camera,
    points: jax.Array,
    model: MorphableModel,
    prepared: PreparedModel,
    data: LandmarkData,
    crop: Crop,
    measured: dict[str, Any],
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Collects the numbers of a fit and says in plain words what looks wrong.

    Args:
        geometry: The fit.
        camera: Of the photograph.
        points: (V, 3) the fitted head, displacement included.
        model: The morphable model.
        prepared: The same, prepared.
        data: Landmarks of the crop.
        crop: The crop.
        measured: What the stages measured themselves; copied.

    Returns:
        Numbers by name (angles in degrees, lengths in metres, errors as fractions of the
        outer-eye distance) and sentences, none if all is well. "model_" is before the
        displacement.
    """
    by_model = landmark_errors(np.asarray(stages.landmark_distances(geometry, data)), prepared)
    pixels = to_crop(crop, np.asarray(project(camera, landmarks(model, points))[0]))
    distance = np.linalg.norm(pixels - np.asarray(data.pixels), axis=-1)
    errors = landmark_errors(distance / float(stages.eye_distance(data.pixels)), prepared)
    yaw, pitch, roll = head_angles(camera)
    box = np.ptp(np.asarray(data.pixels), axis=0).max()
    numbers = {
        "reprojection_median": errors.median,
        "reprojection_mean": errors.mean,
        "reprojection_p90": errors.worst_tenth,
        "model_reprojection_median": by_model.median,
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "focal": float(camera.focal),
        "distance": float(np.exp(geometry.pose[6] - geometry.pose[5])),
        "pixels_per_metre": float(np.exp(geometry.pose[5])) / crop.scale,
        "face_pixels": float(box) / crop.scale,
        **measured,
    }
    return numbers, tuple(_complaints(numbers))


def _complaints(numbers: dict[str, Any]) -> list[str]:
    notes = []
    if not numbers["model_reprojection_median"] < POOR_REPROJECTION:
        notes.append(
            "The head model misses the landmarks by "
            f"{numbers['model_reprojection_median']:.1%} of the eye distance; the shape is "
            "uncertain, try a sharper or less covered face."
        )
    if not numbers["photometric_residual"] < POOR_PHOTOMETRIC:
        notes.append(
            "Skin colour and light could not be explained well (hard shadows, make-up or "
            "something in front of the face); colours of the result are less certain."
        )
    if abs(numbers["yaw"]) > LARGE_YAW:
        notes.append(
            f"The head is turned by {abs(numbers['yaw']):.0f} degrees; the hidden half of the "
            "face is invented, a more frontal photo gives a better result."
        )
    if numbers["face_pixels"] < SMALL_FACE:
        notes.append(
            f"The face is only {numbers['face_pixels']:.0f} pixels large; a larger photo gives "
            "more detail."
        )
    return notes

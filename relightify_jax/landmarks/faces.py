"""All faces of a photo, and the one to work on."""

import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.photo import srgb_bytes_from_linear
from relightify_jax.landmarks.detector import Detection, detection_rounds
from relightify_jax.landmarks.ensemble import refine_landmarks
from relightify_jax.landmarks.facemesh import FaceLandmarks, landmarks_from_keypoints
from relightify_jax.landmarks.network import LandmarkNetworks, Network

MIN_SCORE = 0.5  # Of the face mesh network, in the whole upright photo (MediaPipe's default).
# In tiles and turned views. There, 0.93 was seen on a headlamp, 0.995 and more on faces.
MIN_SCORE_ELSEWHERE = 0.97
MAX_OVERLAP = 0.5  # Of the smaller one of two boxes; above, they are one face.
MAX_CANDIDATES = 100
Box = np.ndarray | tuple[float, float, float, float]  # x0, y0, x1, y1.
MIN_FACE = 64  # Pixels of a face's longer side that the fit needs.


def find_faces(networks: LandmarkNetworks, linear_photo: np.ndarray) -> list[FaceLandmarks]:
    """Finds the faces of a photo and their landmarks.

    Far smaller faces than the largest one may be left out: small tiles are searched
    only when the larger views show no face. Every network is compiled once, whatever
    the photo's size.

    Args:
        networks: From `load_networks`.
        linear_photo: (H, W, 3) linear RGB in [0, 1].

    Returns:
        The faces, largest first; empty if there is none.
    """
    pixels = srgb_bytes_from_linear(np.asarray(linear_photo))
    for detections in detection_rounds(networks.detector, pixels):
        if faces := _confirm(networks.mesh, pixels, detections):
            faces = [refine_landmarks(networks.mesh, pixels, face) for face in faces]
            return sorted(faces, key=lambda face: -_area(face.box))
    return []


def _confirm(mesh: Network, pixels: np.ndarray, detections: list[Detection]) -> list[FaceLandmarks]:
    """Landmarks of the detections that the face mesh network believes, each face once.

    Upside-down faces have plausible landmarks, too, so that of several views the one
    with the highest product of both networks' scores is taken.
    """
    faces: list[tuple[float, FaceLandmarks]] = []
    detections = sorted(detections, key=lambda detection: -detection.score)
    for detection in detections[:MAX_CANDIDATES]:
        # No product exceeds the detector's score: nothing to gain here.
        if any(
            belief >= detection.score and _same_face(face.box, detection.box)
            for belief, face in faces
        ):
            continue
        face = landmarks_from_keypoints(mesh, pixels, detection.box, detection.keypoints[:2])
        if face.score >= (MIN_SCORE if detection.plain else MIN_SCORE_ELSEWHERE):
            faces.append((detection.score * face.score, face))
    kept: list[FaceLandmarks] = []
    for _, face in sorted(faces, key=lambda entry: -entry[0]):
        if not any(_same_face(face.box, other.box) for other in kept):
            kept.append(face)
    return kept


def _same_face(a: Box, b: Box) -> bool:
    """Whether two boxes x0, y0, x1, y1 share more than `MAX_OVERLAP` of the smaller one."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) > MAX_OVERLAP * min(_area(a), _area(b))


def _area(box: Box) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def select_face(
    faces: list[FaceLandmarks], index: int | None, shape: tuple[int, ...]
) -> FaceLandmarks:
    """Chooses one face of a photo.

    Args:
        faces: From `find_faces`.
        index: Which one, 0 being the largest; None takes the largest.
        shape: Shape (H, W, ...) of the photo.

    Raises:
        InputError: If there is no face, none of that index, or it is smaller than
            `MIN_FACE` pixels.
    """
    if not faces:
        raise InputError(
            f"No face was found in the photo of {shape[1]}x{shape[0]} pixels; use one where a "
            "face is sharp, well lit and turned less than about 60 degrees to the side, or give "
            "the landmarks in a file."
        )
    number = 0 if index is None else index
    if not 0 <= number < len(faces):
        have = (
            "there is one face, number 0"
            if len(faces) == 1
            else (f"there are {len(faces)} faces, numbered 0 to {len(faces) - 1} from the largest")
        )
        raise InputError(f"There is no face number {number}: {have}.")
    face = faces[number]
    width, height = face.box[2] - face.box[0], face.box[3] - face.box[1]
    if max(width, height) < MIN_FACE:
        raise InputError(
            f"The face measures {width:.0f}x{height:.0f} pixels; it needs at least {MIN_FACE} "
            "from forehead to chin: use a closer shot or the photo at its full size."
        )
    return face


def choice_notes(faces: list[FaceLandmarks], index: int | None) -> tuple[str, ...]:
    """What to tell the user about the choice of `select_face`; empty if there was none."""
    if len(faces) < 2:
        return ()
    if index is None:
        return (f"{len(faces)} faces found; using the largest, --face=INDEX picks another",)
    return (f"{len(faces)} faces found; using number {index} (0 is the largest)",)

"""The pieces of a head mesh, told apart by their shape: skin, eyeballs, inside of the mouth.

Laboratories name their vertex groups differently or not at all. What hangs together is
found here; the largest piece is the skin, what is as round and as large as an eyeball is
one, and small pieces are teeth, tongue, gums and the like.
"""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from relightify_jax.geometry.embedded import eye_uv
from relightify_jax.geometry.morphable_model import PARTS

SKIN = -1  # Of `find_pieces`: face, head, and what of the sockets hangs on them.
_EYE_SIZE = (0.016, 0.040)  # Metres, least and greatest diameter of an eyeball's box.
_EYE_ROUNDNESS = 0.6  # Least over greatest side of the box; an eyeball may be open at its back.
_EYE_DISTANCE = (0.015, 0.05)  # Metres from the midplane.
_HEAD_PIECE = 0.09  # Metres; a larger piece is no part of the mouth.
# The gaze is a little below +Z, as in the embedded model.
_GAZE_PITCH = np.deg2rad(-3.0)


def label_pieces(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Numbers the connected pieces of a mesh; vertices at one place hang together.

    Args:
        points: (V, 3).
        triangles: (F, 3) integers.

    Returns:
        (F,) int.
    """
    _, same = np.unique(points, axis=0, return_inverse=True)
    corners = same.reshape(-1)[triangles]
    pairs = np.concatenate([corners[:, :2], corners[:, 1:]])
    graph = sp.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(points),) * 2)
    return connected_components(graph, directed=False)[1][corners[:, 0]]


def find_pieces(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Sorts the triangles of a head.

    Args:
        points: (V, 3) metres, +Y up, the face along +Z, x = 0 its midplane.
        triangles: (F, 3) integers.

    Returns:
        (F,) index into `PARTS`, or `SKIN`.
    """
    piece = label_pieces(points, triangles)
    corners = points[triangles]
    sides = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.bincount(piece, np.linalg.norm(sides, axis=1))
    middle = points[triangles[piece == area.argmax()]].reshape(-1, 3)
    midplane = (middle[:, 0].max() + middle[:, 0].min()) / 2
    part = np.full(len(triangles), PARTS.index("mouth"))
    for number in range(len(area)):
        own = piece == number
        box = corners[own].reshape(-1, 3)
        side, centre = np.ptp(box, axis=0), (box.max(0) + box.min(0)) / 2 - [midplane, 0, 0]
        if number == area.argmax() or side.max() > _HEAD_PIECE:
            part[own] = SKIN
        elif _is_eyeball(side, abs(centre[0])):
            part[own] = PARTS.index("eye_left" if centre[0] > 0 else "eye_right")
    return part


def _is_eyeball(side: np.ndarray, distance: float) -> bool:
    return bool(
        _EYE_SIZE[0] < side.max() < _EYE_SIZE[1]
        and side.min() > _EYE_ROUNDNESS * side.max()
        and _EYE_DISTANCE[0] < distance < _EYE_DISTANCE[1]
    )


def has_eyes(part: np.ndarray) -> bool:
    """Whether both eyeballs are pieces of their own; `part` (F,) from `find_pieces`."""
    return all(np.any(part == PARTS.index(name)) for name in ("eye_left", "eye_right"))


def eye_centres(points: np.ndarray, triangles: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Centres (2, 3) of the left and the right eyeball; NaN where there is none.

    Those of the spheres nearest to the vertices in least squares: an eyeball may be open at
    its back.
    """
    centres = np.full((2, 3), np.nan)
    for row, name in enumerate(("eye_left", "eye_right")):
        ball = points[np.unique(triangles[part == PARTS.index(name)])]
        if len(ball):
            middle = ball.mean(0)
            local = ball - middle
            system = np.concatenate([2 * local, np.ones((len(ball), 1))], axis=1)
            centres[row] = middle + np.linalg.lstsq(system, (local**2).sum(1))[0][:3]
    return centres


def eye_directions(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Offsets (N, 3) from an eyeball's centre, turned so that its gaze is +Z."""
    cosine, sine = np.cos(_GAZE_PITCH), np.sin(_GAZE_PITCH)
    to_gaze = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return (points - centre) @ to_gaze.T


def map_eye(points: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Texture coordinates (N, 2) of points of an eyeball, see `embedded.eye_uv`."""
    return eye_uv(eye_directions(points, centre))

"""Head pose: its parameters, its closed-form start, and the camera that it stands for.

Seven numbers: axis-angle of camera_from_model (3), image position of the head's
anchor (2, px), log image scale (px per metre at the anchor), log focal length (px).
Depth is focal / scale, so moving the focal length alone is a dolly zoom: it changes
the perspective and neither the place nor the size of the head in the image.
"""

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import matmul
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.rotations import matrix_from_axis_angle

POSE_SIZE = 7


def camera_from_pose(pose: jax.Array, center: jax.Array, anchor: jax.Array) -> Camera:
    """Builds the camera.

    Args:
        pose: (7,), see the module docstring.
        center: (2,) principal point in pixels.
        anchor: (3,) model-space point whose image `pose` places, metres.
    """
    focal, scale = jnp.exp(pose[6]), jnp.exp(pose[5])
    depth = focal / scale
    offset = (pose[3:5] - center) / scale
    at_anchor = jnp.stack([offset[0], -offset[1], -depth])
    rotated = matmul(matrix_from_axis_angle(pose[:3]), anchor)
    return Camera(focal, center, pose[:3], at_anchor - rotated)


def initial_pose(
    points: np.ndarray, pixels: np.ndarray, weights: np.ndarray, focal: float
) -> np.ndarray:
    """Weak-perspective pose in closed form, for any rotation.

    The affine camera that maps `points` to `pixels` in the weighted least-squares
    sense, and the scaled rotation nearest to it.

    Args:
        points: (L, 3) model-space landmarks, metres.
        pixels: (L, 2) their images, px.
        weights: (L,) >= 0.
        focal: Focal length in pixels to start from.

    Returns:
        (7,) float32 pose whose anchor is the weighted mean of `points`.
    """
    weights = weights / weights.sum()
    centred = points - weights @ points
    offsets = (pixels - weights @ pixels) * [1.0, -1.0]  # Image y points down.
    covariance = (centred * weights[:, None]).T @ centred
    affine = np.linalg.solve(covariance, (centred * weights[:, None]).T @ offsets).T
    left, singular, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    rotation = np.vstack([rows, np.cross(rows[0], rows[1])])
    scale = singular.mean()
    return np.concatenate(
        [
            axis_angle_from_matrix(rotation),
            weights @ pixels,
            [np.log(scale), np.log(focal)],
        ]
    ).astype(np.float32)


def axis_angle_from_matrix(rotation: np.ndarray) -> np.ndarray:
    """Axis-angle (3,) of a rotation matrix (3, 3), stable at every angle.

    Through the unit quaternion as the leading eigenvector of Bar-Itzhack's symmetric
    4 x 4 matrix (2000, "New method for extracting the quaternion").
    """
    r = rotation
    matrix = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]],
        ]
    )
    quaternion = np.linalg.eigh(matrix)[1][:, -1]  # x, y, z, w.
    if quaternion[3] < 0:
        quaternion = -quaternion
    sine = np.linalg.norm(quaternion[:3])
    if sine < 1e-9:
        return np.zeros(3)
    return quaternion[:3] / sine * (2.0 * np.arctan2(sine, quaternion[3]))

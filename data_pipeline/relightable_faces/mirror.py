"""The mirror image of a head, as a linear map of its identity coefficients."""

import numpy as np
from scipy.spatial import cKDTree

from relightify_jax.geometry.morphable_model import MorphableModel

_LARGEST_RESIDUAL = 0.1  # Of the modes' energy, as a ratio of amplitudes.


def identity_mirror(model: MorphableModel) -> np.ndarray:
    """Matrix (K, K) that takes identity coefficients to those of the mirrored head.

    Modes are rarely symmetric one by one, but together they span their own mirror images
    where the model was built from heads and their mirror images; for the embedded model all
    but 1 % of them. Where they do not, the matrix is zero and a mirrored head is the mean one.

    Args:
        model: Any model whose mean head is about symmetric in x.
    """
    mean = np.asarray(model.mean, np.float64)
    modes = np.asarray(model.identity, np.float64)
    flip = np.array([-1.0, 1.0, 1.0])
    _, partner = cKDTree(mean).query(mean * flip)
    mirrored = (modes[:, partner] * flip).reshape(len(modes), -1)
    flat = modes.reshape(len(modes), -1)
    matrix = np.linalg.lstsq(flat @ flat.T, flat @ mirrored.T, rcond=None)[0]
    residual = np.linalg.norm(mirrored - matrix.T @ flat) / np.linalg.norm(mirrored)
    return matrix if residual < _LARGEST_RESIDUAL else np.zeros_like(matrix)

"""Round eyeballs in place of hm08's coarse ones, moved by identity like them."""

from typing import NamedTuple

import numpy as np

from relightify_jax.geometry.embedded import EYE_TILE_ANGLE
from relightify_jax.geometry.subdivision import apply, subdivide_catmull_clark


class Eyeball(NamedTuple):
    """A sphere, open at the back, with V vertices."""

    mean: np.ndarray  # (V, 3).
    identity: np.ndarray  # (K, V, 3).
    expression: np.ndarray  # (E, V, 3).
    quads: np.ndarray  # (Q, 4) into its own vertices.
    centre: np.ndarray  # (3,), of the mean.


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Least-squares sphere through points (N, 3); returns centre (3,) and radius."""
    design = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(design, (points**2).sum(1), rcond=None)[0]
    return solution[:3], float(np.sqrt(solution[3] + (solution[:3] ** 2).sum()))


def make_eyeball(
    mean: np.ndarray, identity: np.ndarray, expression: np.ndarray, quads: np.ndarray
) -> Eyeball:
    """Refines an eyeball once and makes it a sphere.

    Identity moves it by the translation and uniform scale nearest to the data, so that it
    stays a sphere; expressions (the gaze) keep the data's motion, a linearised rotation.

    Args:
        mean: (n, 3), the eyeball's control points.
        identity: (K, n, 3).
        expression: (E, n, 3).
        quads: (q, 4), closed.
    """
    centre, radius = fit_sphere(mean)
    step = subdivide_catmull_clark(quads, len(mean))
    fine = apply(step.weights, mean)
    direction = (fine - centre) / np.linalg.norm(fine - centre, axis=1, keepdims=True)
    angle = np.arccos(direction[step.quads].mean(1)[:, 2])
    kept = step.quads[angle < EYE_TILE_ANGLE - np.deg2rad(8)]
    used, local = np.unique(kept, return_inverse=True)
    local = local.reshape(-1, 4)
    direction = direction[used]
    # Subdivision at load pulls a control sphere inwards; start larger to end at `radius`.
    shrunk = apply(subdivide_catmull_clark(local, len(used)).weights, direction)
    in_front = shrunk[:, 2] > 0
    radius /= np.linalg.norm(shrunk[in_front], axis=1).mean()
    offset = mean - centre
    scale = np.einsum("nc,knc->k", offset, identity) / (offset**2).sum()
    shift = identity.mean(1)
    ball = radius * direction
    motion = apply(step.weights, expression)[:, used]
    return Eyeball(
        mean=centre + ball,
        identity=shift[:, None] + scale[:, None, None] * ball,
        expression=motion,
        quads=local,
        centre=centre,
    )

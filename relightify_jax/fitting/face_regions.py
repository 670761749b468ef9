"""Named groups of the 468 FaceMesh landmarks, and smooth fields around them on any mesh.

Indices are those of MediaPipe's canonical face mesh; "left" is the subject's left.
"""

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.core import facemesh

OUTER_EYES = facemesh.EYE_OUTER
LIPS = facemesh.LIPS_OUTER + facemesh.LIPS_INNER
EYES = facemesh.EYE_LEFT + facemesh.EYE_RIGHT
BROWS = facemesh.BROW_LEFT + facemesh.BROW_RIGHT
DETAIL = (*EYES, *BROWS, *LIPS, *facemesh.NOSE_WINGS)
OVAL = facemesh.FACE_OVAL
CHEEKS = (50, 280, 205, 425, 117, 346, 101, 330)
NOSE = (1, 4, 5, 45, 275, 48, 278)
FOREHEAD = (9, 151, 10, 67, 297, 109, 338, 69, 299)
CHIN = (152, 175, 199, 200, 148, 377, 176, 400, 149, 378, 150, 379, 136, 365, 172, 397)
MOUSTACHE = (164, 167, 393, 165, 391, 92, 322)


@jax.jit
def distance_to(points: jax.Array, targets: jax.Array) -> jax.Array:
    """Distance (...,) of points (..., 3) to the nearest of targets (n, 3)."""

    def nearer(best, target):
        return jnp.minimum(best, jnp.sum((points - target) ** 2, axis=-1)), None

    # One target at a time: all pairs at once would be gigabytes for the texels of an atlas.
    best, _ = lax.scan(nearer, jnp.full(points.shape[:-1], jnp.inf), targets)
    return jnp.sqrt(best)


def field_around(points: jax.Array, targets: jax.Array, width: float) -> jax.Array:
    """Gaussian of `distance_to`, 1 at the targets: (...,)."""
    return jnp.exp(-0.5 * (distance_to(points, targets) / width) ** 2)

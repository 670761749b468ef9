"""Named groups of the 468 FaceMesh landmarks, and smooth fields around them on any mesh.

Indices are those of MediaPipe's canonical face mesh; "left" is the subject's left.
"""

import jax
import jax.numpy as jnp

OUTER_EYES = (33, 263)  # Outer corners, right and left: their distance is our ruler.

LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
EYES = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398,
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173,
)  # fmt: skip
BROWS = (
    276, 283, 282, 295, 285, 300, 293, 334, 296, 336,
    46, 53, 52, 65, 55, 70, 63, 105, 66, 107,
)  # fmt: skip
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
CHEEKS = (50, 280, 205, 425, 117, 346, 101, 330)
NOSE = (1, 4, 5, 45, 275, 48, 278)
FOREHEAD = (9, 151, 10, 67, 297, 109, 338, 69, 299)
CHIN = (152, 175, 199, 200, 148, 377, 176, 400, 149, 378, 150, 379, 136, 365, 172, 397)
MOUSTACHE = (164, 167, 393, 165, 391, 92, 322)


def distance_to(points: jax.Array, targets: jax.Array) -> jax.Array:
    """Distance (...,) of points (..., 3) to the nearest of targets (n, 3)."""
    squared = jnp.sum((points[..., None, :] - targets) ** 2, axis=-1)
    return jnp.sqrt(jnp.min(squared, axis=-1))


def field_around(points: jax.Array, targets: jax.Array, width: float) -> jax.Array:
    """Gaussian of `distance_to`, 1 at the targets: (...,)."""
    return jnp.exp(-0.5 * (distance_to(points, targets) / width) ** 2)

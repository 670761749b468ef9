"""Normals of the fitted mesh with the fine relief that the prior inferred."""

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import normalize
from relightify_jax.prior import fill

# Of the map's side. Wider structure is the shape's, and the fit measured it on this very
# person: an inferred slope that disagrees with the mesh would light the head from a
# direction that its silhouette contradicts.
_RELIEF_SIGMA = 1 / 48


def merge_normals(geometric: jax.Array, inferred: jax.Array) -> jax.Array:
    """Adds the high frequencies of inferred normals to those of the mesh.

    Args:
        geometric: (R, R, 3) unit, object space of the rest pose, from the mesh.
        inferred: (R, R, 3) of the same space, from the prior; any length but 0.

    Returns:
        (R, R, 3) unit.
    """
    inferred = normalize(inferred)
    sigma = _RELIEF_SIGMA * geometric.shape[0]
    relief = inferred - fill.blur(inferred, sigma)
    # Only tangential parts turn a normal; the rest would change its length.
    relief = relief - geometric * jnp.sum(relief * geometric, axis=-1, keepdims=True)
    return normalize(geometric + relief)

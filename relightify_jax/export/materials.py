"""What the parts of a head look like: material type, and normal maps in tangent space."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.geometry.mesh import tangent_from_object
from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas

# A tangent-space normal may not point below the surface; noise in a map sometimes does.
_MIN_NORMAL_Z = 0.05


class Material(NamedTuple):
    """The look of one part. Images are float, linear, row 0 at v = 0."""

    name: str
    base_color: np.ndarray  # (H, W, 3) diffuse albedo in [0, 1].
    specular: np.ndarray | float = 0.35  # S in [0, 1]: (H, W, 1) or one number.
    roughness: float = 0.45  # Perceptual; GGX alpha is its square.
    normals: np.ndarray | None = None  # (H, W, 3) unit, tangent space, +Y up.
    occlusion: np.ndarray | None = None  # (H, W, 1) share of the sky that is seen, [0, 1].


def tangent_normals(
    object_normals: jax.Array,
    atlas: UVAtlas,
    faces: jax.Array,
    normals: jax.Array,
    tangents: jax.Array,
) -> jax.Array:
    """Turns a normal map from object space (rest pose) into tangent space. Pure; jit it.

    The frame comes from the mesh *in the rest pose*, in which the map was made. On the
    posed mesh the result bends with the skin.

    Args:
        object_normals: (R, R, 3) unit, object space of the rest pose.
        atlas: Texel to triangle, of side R.
        faces: (f, 3) int32 into the vertices below, indexed by `atlas.face`.
        normals: (N, 3) unit vertex normals of the rest pose.
        tangents: (N, 4) vertex tangents of the rest pose.

    Returns:
        (R, R, 3) unit, +X along u, +Y up in the texture, +Z outward; (0, 0, 1) outside
        of the charts and their gutter.
    """
    frame = sample_atlas(atlas, faces, jnp.concatenate([normals, tangents], axis=-1))
    local = tangent_from_object(object_normals, frame[..., :3], frame[..., 3:])
    local = local.at[..., 2].set(jnp.maximum(local[..., 2], _MIN_NORMAL_Z))
    local = local / jnp.linalg.norm(local, axis=-1, keepdims=True)
    return jnp.where((atlas.face >= 0)[..., None], local, jnp.array([0.0, 0.0, 1.0]))

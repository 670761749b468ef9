"""What skin, lips and brows look like on average, for any face model in the canonical layout.

The shipped statistics are mean and modes of the logarithm of the diffuse albedo of our own
synthetic faces; `data_pipeline.build_skin_albedo` makes them. Sharper than any smooth
field around landmarks, they draw the borders of lips and brows onto those of the photograph.
"""

import functools
import importlib.resources

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from relightify_jax.core.files import read_npz
from relightify_jax.geometry.canonical import face_vertex_uv
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.rendering.texture import sample_texture


@functools.lru_cache(maxsize=1)
def load_skin_maps() -> tuple[np.ndarray, np.ndarray]:
    """Mean (R, R, 3) and modes (R, R, M, 3) of log albedo, float32; modes are ~N(0, 1).

    Texels outside the layout have the values of the nearest ones inside.
    """
    resource = importlib.resources.files("relightify_jax") / "assets" / "skin_albedo.npz"
    with importlib.resources.as_file(resource) as path:
        arrays = read_npz(path, "the statistics of skin")
    inside = arrays["inside"]
    modes = arrays["modes"].astype(np.float32) * arrays["scale"][:, None, None]
    inner = np.concatenate([arrays["mean"].astype(np.float32)[None], modes])  # (1 + M, N, 3).
    maps = np.zeros((*inside.shape, *inner.shape[::2]), np.float32)
    maps[inside] = np.moveaxis(inner, 0, 1)
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    maps = maps[tuple(nearest)]
    return maps[..., 0, :], maps[..., 1:, :]


def skin_at_vertices(model: MorphableModel) -> tuple[jax.Array, jax.Array]:
    """The statistics at the vertices of a face model.

    Returns:
        Mean (V, 3) and modes (V, M, 3) of log albedo; off the face part the mean's median.
    """
    mean, modes = load_skin_maps()
    num_modes = modes.shape[2]
    maps = np.concatenate([mean[..., None, :], modes], axis=2).reshape(*mean.shape[:2], -1)
    uv = face_vertex_uv(model)
    is_face = np.isfinite(uv[:, 0])
    values = sample_texture(jnp.asarray(maps), jnp.asarray(uv[is_face], jnp.float32))
    values = values.reshape(-1, 1 + num_modes, 3)
    result = jnp.zeros((model.mean.shape[0], 1 + num_modes, 3))
    result = result.at[:, 0].set(jnp.median(values[:, 0], axis=0))
    result = result.at[np.flatnonzero(is_face)].set(values)
    return result[:, 0], result[:, 1:]

"""Faces lit on the device, inside the training step: every visit to a face is a new photograph.

Only reflectance is stored and sent to the device. The texture channel is rendered there
under a light drawn from the step's key, so that a network never sees a face twice in the
same light and a resumed run sees what an uninterrupted one would have seen.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.light_stage.stage import Reflectance, Stage, light_faces
from relightify_jax.prior import encoding
from relightify_jax.prior.encoding import MapStatistics

_GRID = 8  # Texels between places where crops may begin: those of the latent grid.


class Faces(Protocol):
    """A decoded batch of records: linear maps (B, R, R, C) and coefficients (B, K)."""

    diffuse_albedo: Any
    normals: Any
    specular_albedo: Any
    roughness: Any
    identity: Any


class RelitData(NamedTuple):
    """What a step that lights faces needs besides its batch."""

    stage: Stage
    statistics: MapStatistics


def relit_maps(key: jax.Array, stage: Stage, faces: Faces, *, sharded: bool = False) -> jax.Array:
    """Photographs every face of a batch under a light of its own.

    Args:
        key: Random key, consumed.
        stage: From `light_stage.build_stage`, of the size of the maps.
        faces: A decoded batch.
        sharded: Whether the batch is spread over devices, which must then work at once;
            otherwise a CPU lights one face after the other.

    Returns:
        (B, R, R, 10) linear maps in the order of `core.uv_layout`.
    """
    reflectance = Reflectance(
        faces.diffuse_albedo, faces.normals, faces.specular_albedo, faces.roughness
    )
    count = len(faces.identity) if sharded else None
    lit = light_faces(key, stage, reflectance, faces.identity, batch_size=count)
    maps = lit.texture, faces.diffuse_albedo, faces.normals, faces.specular_albedo
    return jnp.concatenate(maps, axis=-1)


def relit_crops(
    key: jax.Array,
    data: RelitData,
    faces: Faces,
    *,
    crops_per_face: int,
    crop_size: int,
    sharded: bool = False,
) -> jax.Array:
    """Lights a batch and cuts crops from it, standardised.

    Several crops of one face share its light, which is cheaper than lighting as many faces.

    Returns:
        (B * crops_per_face, crop_size, crop_size, 10).
    """
    key_light, key_crop = jax.random.split(key)
    maps = relit_maps(key_light, data.stage, faces, sharded=sharded)
    perceptual = encoding.perceptual_from_maps(maps)
    residual = encoding.standardize_maps(data.statistics, perceptual)
    return random_crops(key_crop, residual, crops_per_face, crop_size)


def random_crops(key: jax.Array, maps: jax.Array, num: int, size: int) -> jax.Array:
    """Cuts `num` crops (B * num, size, size, C) from each of (B, H, W, C).

    Raises:
        ValueError: If the crops are larger than the maps.
    """
    if size > min(maps.shape[1:3]):
        raise ValueError(f"Crops of {size} texels from maps of {maps.shape[1:3]}.")
    places = (maps.shape[1] - size) // _GRID + 1
    corners = _GRID * jax.random.randint(key, (maps.shape[0], num, 2), 0, places)

    def cut(image: jax.Array, corner: jax.Array) -> jax.Array:
        start = corner[0], corner[1], jnp.zeros_like(corner[0])
        return lax.dynamic_slice(image, start, (size, size, image.shape[-1]))

    crops = jax.vmap(jax.vmap(cut, in_axes=(None, 0)))(maps, corners)
    return crops.reshape(-1, *crops.shape[2:])

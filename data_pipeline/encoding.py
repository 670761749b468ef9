"""A face's reflectance as whole numbers on disk, float32 in memory.

Diffuse albedo is stored as sRGB, which spends the codes where the eye does; normals as
(n + 1) / 2; specular albedo, roughness and the valid mask as they are. Nothing here uses
JAX by itself, so that threads and worker processes of a loader stay clear of it; pass
`jax.numpy` as `xp` to code or decode on a device.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

Array = Any  # A NumPy or a JAX array.


class FaceRecord(NamedTuple):
    """Reflectance of a face in the canonical UV layout, or of a batch of faces.

    Coded records hold uint8 or uint16 maps; `identity` is float32 in both.
    """

    diffuse_albedo: Array  # (..., R, R, 3) linear RGB in [0, 1].
    normals: Array  # (..., R, R, 3) unit, object space of the rest pose.
    specular_albedo: Array  # (..., R, R, 1) in [0, 1], see `core.uv_layout`.
    roughness: Array  # (..., R, R, 1) in [0, 1].
    valid: Array  # (..., R, R, 1) in [0, 1], 1 where the other maps are known.
    identity: Array  # (..., K) coefficients of the face model; zeros are its mean head.


CHANNELS = {
    "diffuse_albedo": 3,
    "normals": 3,
    "specular_albedo": 1,
    "roughness": 1,
    "valid": 1,
}
"""Channels of every map of a record, in the order of `FaceRecord`."""

DTYPES = {8: np.uint8, 16: np.uint16}
"""Type of the codes for a number of bits."""


def check_record(record: FaceRecord) -> None:
    """Raises ValueError, naming the map, if a record has wrong shapes or is not finite."""
    size = np.shape(record.diffuse_albedo)[-2]
    for name, channels in CHANNELS.items():
        shape = np.shape(getattr(record, name))
        if shape[-3:] != (size, size, channels):
            wanted = (size, size, channels)
            raise ValueError(f"{name} has shape {shape}; expected (..., {str(wanted)[1:]}.")
    for name, array in record._asdict().items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite.")


def encode_record(record: FaceRecord, bits: int = 8, xp: Any = np) -> FaceRecord:
    """Rounds the maps of a record to codes of `bits` bits; values are clipped to [0, 1].

    Pure array code; see `check_record` for what may come in.

    Args:
        record: Linear float maps.
        bits: 8 or 16.
        xp: `numpy`, or `jax.numpy` inside a jitted function.

    Raises:
        ValueError: If `bits` is another number.
    """
    if bits not in DTYPES:
        raise ValueError(f"bits must be 8 or 16, not {bits}.")
    largest = 2**bits - 1

    def code(x: Array) -> Array:
        return xp.floor(xp.clip(x, 0.0, 1.0) * largest + 0.5).astype(DTYPES[bits])

    return FaceRecord(
        diffuse_albedo=code(_srgb_from_linear(record.diffuse_albedo, xp)),
        normals=code((record.normals + 1) / 2),
        specular_albedo=code(record.specular_albedo),
        roughness=code(record.roughness),
        valid=code(record.valid),
        identity=xp.asarray(record.identity, xp.float32),
    )


def decode_record(coded: FaceRecord, xp: Any = np) -> FaceRecord:
    """Inverse of `encode_record`, to linear float32 maps with unit normals."""
    largest = np.float32(np.iinfo(coded.normals.dtype).max)

    def plain(x: Array) -> Array:
        return x.astype(xp.float32) / largest

    if xp is np:
        diffuse_albedo = _linear_table(coded.diffuse_albedo.dtype.type)[coded.diffuse_albedo]
    else:
        diffuse_albedo = _linear_from_srgb(plain(coded.diffuse_albedo), xp)
    normals = 2 * plain(coded.normals) - 1
    length = xp.sqrt(xp.sum(normals * normals, axis=-1, keepdims=True))
    return FaceRecord(
        diffuse_albedo=diffuse_albedo,
        normals=normals / xp.maximum(length, np.float32(1e-6)),
        specular_albedo=plain(coded.specular_albedo),
        roughness=plain(coded.roughness),
        valid=plain(coded.valid),
        identity=coded.identity,
    )


def decode_batch(batch: Mapping[str, Array], xp: Any) -> FaceRecord:
    """Decodes a batch of `loaders.make_loader(..., decode=False)` on the device.

    Args:
        batch: Its arrays, by the names of `FaceRecord`; others are ignored.
        xp: `jax.numpy`.
    """
    return decode_record(FaceRecord(**{name: batch[name] for name in FaceRecord._fields}), xp)


def mirror_record(record: FaceRecord, mirror_modes: Array) -> FaceRecord:
    """The mirror image of a record, coded or not: u, normals' x and identity change sides.

    Args:
        record: Maps (..., R, R, C) and identity (..., K).
        mirror_modes: (K, K) matrix that takes the identity coefficients of a head to those
            of its mirror image, see `identity_mirror`.
    """
    maps = {name: getattr(record, name)[..., ::-1, :] for name in CHANNELS}
    normals = maps["normals"].copy()
    if normals.dtype.kind == "u":  # (n + 1) / 2 in codes.
        normals[..., 0] = np.iinfo(normals.dtype).max - normals[..., 0]
    else:
        normals[..., 0] *= -1
    maps["normals"] = normals
    return FaceRecord(**maps, identity=np.asarray(record.identity @ mirror_modes.T, np.float32))


def _srgb_from_linear(x: Array, xp: Any) -> Array:
    """IEC 61966-2-1, as in `core.color`, for NumPy as well."""
    x = xp.clip(x, 0.0, 1.0)
    power = 1.055 * xp.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055
    return xp.where(x <= 0.0031308, 12.92 * x, power)


def _linear_from_srgb(x: Array, xp: Any) -> Array:
    return xp.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


@functools.cache
def _linear_table(dtype: type) -> np.ndarray:
    """Linear value (codes,) float32 of every sRGB code."""
    largest = np.iinfo(dtype).max
    return _linear_from_srgb(np.arange(largest + 1) / largest, np).astype(np.float32)

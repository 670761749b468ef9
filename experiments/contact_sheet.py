"""Grids of UV maps as PNG, to look at while training."""

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from relightify_jax.core.color import srgb_from_linear
from relightify_jax.core.files import atomic_path
from relightify_jax.core.uv_layout import UVMaps


def rows_from_maps(maps: UVMaps) -> np.ndarray:
    """Lays texture, albedo, normals and specular of maps (B, H, W, .) side by side.

    Returns:
        (B H, 4 W, 3) float32 in [0, 1], ready to be written as sRGB.
    """
    colors = [np.asarray(srgb_from_linear(x)) for x in (maps.texture, maps.diffuse_albedo)]
    normals = np.asarray(maps.normals) * 0.5 + 0.5
    specular = np.repeat(np.asarray(maps.specular_albedo), 3, axis=-1)
    rows = np.concatenate([*colors, normals, specular], axis=2)
    return np.clip(rows.reshape(-1, *rows.shape[2:]), 0.0, 1.0)


def write_sheet(path: str | os.PathLike[str], columns: Sequence[np.ndarray]) -> None:
    """Writes images (H, W, 3) in [0, 1] side by side."""
    sheet = np.concatenate(columns, axis=1)
    with atomic_path(path) as partial:
        Image.fromarray((sheet * 255 + 0.5).astype(np.uint8)).save(partial)

"""The UV maps of a face as 8-bit PNG files, each in its proper encoding."""

import os
import pathlib
from collections.abc import Mapping

import numpy as np

from relightify_jax.core.photo import save_image

# How the numbers of each map become bytes: colours as sRGB, measures as they are, unit
# vectors as (n + 1) / 2.
_ENCODINGS = {
    "diffuse_albedo": "srgb",
    "texture": "srgb",
    "texture_observed": "srgb",
    "specular_albedo": "raw",
    "mask": "raw",
    "confidence": "raw",
    "occlusion": "raw",
    "normals": "vector",
    "normals_object": "vector",
}


def write_maps(
    folder: str | os.PathLike[str], maps: Mapping[str, np.ndarray]
) -> dict[str, pathlib.Path]:
    """Writes `<folder>/<name>.png` for every map.

    Args:
        folder: Created if missing.
        maps: Linear (H, W, 3) RGB for diffuse_albedo, texture and texture_observed;
            (H, W, 1) in [0, 1] for specular_albedo (F0 is 0.08 of it), mask, confidence
            and occlusion; (H, W, 3) unit vectors for normals (tangent space, +Y up) and
            normals_object (object space of the rest pose).

    Returns:
        The paths by name.

    Raises:
        ValueError: If a name is unknown.
    """
    unknown = sorted(set(maps) - set(_ENCODINGS))
    if unknown:
        raise ValueError(f"Unknown maps {unknown}; have {sorted(_ENCODINGS)}.")
    paths = {}
    for name, values in maps.items():
        encoding = _ENCODINGS[name]
        values = np.asarray(values)
        values = values * 0.5 + 0.5 if encoding == "vector" else values
        paths[name] = pathlib.Path(folder) / f"{name}.png"
        save_image(paths[name], values, srgb=encoding == "srgb")
    return paths

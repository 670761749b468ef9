"""The picture files of a capture as they are: numbers in [0, 1], no colour conversion."""

import io
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_pipeline.captures.png16 import decode_png16, is_png16
from relightify_jax.core.errors import InputError
from relightify_jax.core.photo import MAX_PIXELS

# Of several files with one name the one of the most bits is read.
SUFFIXES = (".exr", ".png", ".jpg", ".jpeg")
_CHANNELS = {"diffuse_albedo": 3, "normals": 3}  # All others are grey.
# A grey map saved as RGB; light stages colour the specular albedo a little.
_MAX_COLOUR = {"specular_albedo": 0.25}
_GREY = 0.02


class Picture(NamedTuple):
    """A map as it was stored."""

    values: np.ndarray  # (H, W, C) float32; in [0, 1] but for float files.
    opaque: np.ndarray | None  # (H, W) float32 in [0, 1], of the alpha channel.
    bits: int  # Per channel: 8, 16 or 32 (float).


def find_picture(folder: pathlib.Path, stem: str) -> pathlib.Path | None:
    """The file `stem` with one of `SUFFIXES` in a folder, or None."""
    paths = (folder / f"{stem}{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def read_picture(kind: str, path: pathlib.Path) -> Picture:
    """Reads a map with the number of channels that its kind has.

    Args:
        kind: "diffuse_albedo" or "normals" (three channels); others are grey.
        path: .png of 8 or 16 bits, .jpg, or .exr with the package OpenEXR.

    Raises:
        InputError: If the file cannot be read, has other channels, or holds NaN.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); make it readable or leave the capture out."
        ) from None
    try:
        values, bits = _decode(path, data)
    except InputError:
        raise
    except Exception as error:  # Every decoder raises its own kinds.
        raise InputError(
            f"{path} is damaged or no picture ({error}); export it again as PNG."
        ) from None
    if not np.isfinite(values).all():
        bad = np.mean(~np.isfinite(values).all(-1))
        raise InputError(
            f"{path} holds NaN or infinity in {bad:.1%} of its pixels; write numbers "
            "there and mark the pixels in a mask."
        )
    values, opaque = _split_alpha(values)
    return Picture(_select(kind, path, values), opaque, bits)


def _decode(path: pathlib.Path, data: bytes) -> tuple[np.ndarray, int]:
    """Numbers (H, W, C) and bits per channel of a file's bytes."""
    if path.suffix.lower() == ".exr":
        return _read_exr(path), 32
    if is_png16(data):
        return decode_png16(data).astype(np.float32) / 65535, 16
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels")
        plain: Image.Image = image
        if image.mode in ("1", "P"):
            plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
        if plain.mode not in ("L", "LA", "RGB", "RGBA"):
            raise ValueError(f"pixels of the kind {plain.mode}")
        values = np.asarray(plain, np.float32) / 255
    return values.reshape(*values.shape[:2], -1), 8


def _read_exr(path: pathlib.Path) -> np.ndarray:
    try:
        import OpenEXR  # Optional, for float maps.
    except ImportError:
        raise InputError(
            f"Reading {path} takes the package OpenEXR; run `pip install openexr` or save the "
            "map as PNG of 16 bits."
        ) from None
    with OpenEXR.File(str(path)) as file:
        channels = {name: np.asarray(c.pixels, np.float32) for name, c in file.channels().items()}
    for names in ("RGBA", "RGB"):
        if names in channels:
            return channels[names]
        if set(names) <= set(channels):
            return np.stack([channels[name] for name in names], axis=-1)
    if len(channels) == 1:
        values = next(iter(channels.values()))
        return values.reshape(*values.shape[:2], -1)
    raise ValueError(f"channels {', '.join(channels)} instead of R, G, B or one")


def _split_alpha(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    if values.shape[-1] not in (2, 4):
        return values, None
    return values[..., :-1], np.clip(values[..., -1], 0.0, 1.0)


def _select(kind: str, path: pathlib.Path, values: np.ndarray) -> np.ndarray:
    """The channels that a map of this kind has."""
    wanted, found = _CHANNELS.get(kind, 1), values.shape[-1]
    if found == wanted:
        return values
    if found == 3:
        colour = float(np.mean(np.ptp(values, axis=-1)))
        if colour <= _MAX_COLOUR.get(kind, _GREY):
            return values.mean(axis=-1, keepdims=True)
        raise InputError(
            f"{path} has three channels that differ by {colour:.2f}, but {kind} is "
            "grey; give a picture of one channel."
        )
    raise InputError(
        f"{path} has {found} channel{'s' if found > 1 else ''}, but {kind} has "
        f"{wanted}; export it as RGB."
    )

"""Image files at the edge: any photograph in, linear RGB inside, 8-bit pictures out.

Host code (Pillow and NumPy). Whatever can be wrong with a user's file is found here and
said in one sentence.
"""

import functools
import hashlib
import io
import os
import pathlib
import threading
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageCms, ImageOps

from relightify_jax.core.color import linear_from_srgb, srgb_from_linear
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path

MAX_PIXELS = 200_000_000  # The largest phone sensors; more is a mistake or an attack.

# Formats that photographs come in. Others that Pillow knows have weak signatures (TGA) or
# start other programs (EPS).
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP", "GIF", "JPEG2000", "MPO", "PPM")
_READABLE = "JPEG, PNG, WebP, TIFF, AVIF, BMP or GIF"
_WRITERS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
}
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
# Pillow's own size guard is one number per process; it is replaced under this lock.
_OPEN_LOCK = threading.Lock()


class Photo(NamedTuple):
    """A photograph ready for use."""

    linear: np.ndarray  # (H, W, 3) float32, linear RGB (Rec. 709) in [0, 1], upright.
    notes: tuple[str, ...]  # What was done to it, for the user to read.
    path: str
    sha256: str  # Of the file's bytes.


def load_photo(path: str | os.PathLike[str], max_side: int = 2048) -> Photo:
    """Reads a photograph of any common kind.

    The EXIF rotation is applied, the colour profile converted to sRGB, transparency
    filled with white, grey copied to three channels, the first picture of an animation
    taken, and a longer side than `max_side` reduced (in linear light).

    Args:
        path: JPEG, PNG, WebP, TIFF, AVIF, BMP, GIF, JPEG 2000 or PPM; HEIC if the
            package pillow-heif is installed.
        max_side: Longest side in pixels of the result.

    Returns:
        The photo; its notes tell what was changed.

    Raises:
        InputError: If there is no such file, it is no image, it is damaged, or it has
            more than `MAX_PIXELS` pixels.
    """
    data = _read_bytes(path)
    notes: list[str] = []
    image = _open(path, data)
    full_size = image.size
    try:
        image = _decode(image, max_side, notes)
        linear = _linear_from_image(image, max_side, notes)
    except Exception as error:  # Every decoder raises its own kinds.
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{path} is damaged or cut off ({reason}); save or download it again."
        ) from None
    height, width = linear.shape[:2]
    if (width > height) != (full_size[0] > full_size[1]) and width != height:
        full_size = full_size[::-1]  # Turned by EXIF.
    if (width, height) != full_size:
        notes.append("downscaled from {}x{} to {}x{} pixels".format(*full_size, width, height))
    # Between JPEG's chroma rounding and any real colour.
    if np.max(np.ptp(linear, axis=-1)) < 0.01:
        notes.append("grey image: its colours cannot be recovered")
    return Photo(linear, tuple(notes), os.fspath(path), hashlib.sha256(data).hexdigest())


def save_image(path: str | os.PathLike[str], image: np.ndarray, *, srgb: bool) -> None:
    """Writes an 8-bit picture, whole or not at all.

    Args:
        path: Ends in .png, .webp (both lossless), .jpg or .jpeg (quality 95).
        image: (H, W) or (H, W, C), C = 1, 3 or 4 (with alpha; not for JPEG), values
            in [0, 1], clipped.
        srgb: True if `image` holds linear colours, which are written sRGB-encoded
            (alpha is not); False writes the numbers as they are.

    Raises:
        ValueError: If the suffix, the shape or a value that is not finite cannot be
            written.
    """
    suffix = pathlib.Path(path).suffix.lower()
    options = _WRITERS.get(suffix)
    image = np.asarray(image, np.float32)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    channels = 1 if image.ndim == 2 else image.shape[-1]
    if options is None:
        raise ValueError(f"Cannot write {path}: the suffix is none of {', '.join(_WRITERS)}.")
    if image.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"Cannot write {path}: shape {image.shape} is no picture.")
    if channels == 4 and options["format"] == "JPEG":
        raise ValueError(f"Cannot write {path}: JPEG has no alpha channel.")
    if not np.isfinite(image).all():
        raise ValueError(f"Cannot write {path}: the picture holds NaN or infinity.")
    if channels == 4:
        alpha = _round_to_bytes(image[..., 3:])
        color = image[..., :3]
        coded = srgb_bytes_from_linear(color) if srgb else _round_to_bytes(color)
        coded = np.concatenate([coded, alpha], axis=-1)
    else:
        coded = srgb_bytes_from_linear(image) if srgb else _round_to_bytes(image)
    with atomic_path(path) as partial:
        Image.fromarray(coded).save(partial, **options)


def srgb_bytes_from_linear(linear: np.ndarray) -> np.ndarray:
    """Encodes linear values (any shape) as 8-bit sRGB on the host; clips to [0, 1].

    By table, exact to the nearest of the 256 steps for every value that came from an
    8-bit sRGB file.
    """
    steps = np.clip(np.asarray(linear, np.float32), 0.0, 1.0) * np.float32(65535)
    return _encode_table()[np.rint(steps).astype(np.uint16)]


@functools.cache
def _encode_table() -> np.ndarray:
    linear = jnp.arange(65536, dtype=jnp.float32) / 65535
    return _round_to_bytes(np.asarray(srgb_from_linear(linear)))


@functools.cache
def _decode_table() -> np.ndarray:
    return np.asarray(linear_from_srgb(jnp.arange(256, dtype=jnp.float32) / 255))


def _round_to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    path = pathlib.Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the path of one photo.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give the path of a photo.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason}); give a readable photo.") from None
    if not data:
        raise InputError(f"{path} is empty (0 bytes); save or download it again.")
    return data


@functools.cache
def _known_formats() -> tuple[str, ...]:
    try:
        import pillow_heif  # Optional, for iPhone photos.

        pillow_heif.register_heif_opener()
    except ImportError:
        pass
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _open(path: str | os.PathLike[str], data: bytes) -> Image.Image:
    """Reads the header only and checks the size."""
    formats = _known_formats()
    try:
        with _OPEN_LOCK:
            guard, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(io.BytesIO(data), formats=formats)
            finally:
                Image.MAX_IMAGE_PIXELS = guard
    except Exception as error:  # Headers can be broken in as many ways as bodies.
        if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
            raise InputError(
                f"{path} is a HEIC photo; run `pip install pillow-heif` or save it as JPEG."
            ) from None
        if not isinstance(error, Image.UnidentifiedImageError):
            raise InputError(f"{path} is a damaged image ({error}); save it again.") from None
        raise InputError(
            f"{path} is not an image that can be read; give a photo as {_READABLE}."
        ) from None
    width, height = image.size
    if width < 1 or height < 1:
        raise InputError(f"{path} has no pixels ({width}x{height}); give another photo.")
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path} has {width}x{height} = {width * height / 1e6:.0f} million pixels; "
            f"scale it down below {MAX_PIXELS / 1e6:.0f} million."
        )
    return image


def _decode(image: Image.Image, max_side: int, notes: list[str]) -> Image.Image:
    """Decodes the first picture, upright, at twice `max_side` if it is far larger."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO: a phone's photo with its depth map.
        notes.append(f"first of {frames} pictures in the file")
    ratio = 2 * max_side / max(image.size)
    if ratio < 1:  # JPEG decodes at 1/2, 1/4 or 1/8 directly; no-op for other formats.
        width, height = image.size
        image.draft(None, (max(1, int(width * ratio)), max(1, int(height * ratio))))
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Broken metadata of a good picture.
        notes.append("EXIF data cannot be read: the photo is not rotated")
        return image


def _linear_from_image(image: Image.Image, max_side: int, notes: list[str]) -> np.ndarray:
    """(H, W, 3) linear float32, the longer side at most `max_side`."""
    if image.mode.startswith("I") or image.mode == "F":
        planes = [_linear_from_deep_grey(image)]
    else:
        coded = np.asarray(_srgb_image(image, max_side, notes))
        coded = coded[..., None] if coded.ndim == 2 else coded
        planes = [_decode_table()[coded[..., channel]] for channel in range(coded.shape[-1])]
    height, width = planes[0].shape
    scale = max_side / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        # Hamming: antialiased, and no ringing that would leave [0, 1].
        planes = [
            np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.HAMMING))
            for plane in planes
        ]
    linear = np.stack(planes * (3 // len(planes)), axis=-1)
    return np.clip(linear, 0.0, 1.0).astype(np.float32)


def _linear_from_deep_grey(image: Image.Image) -> np.ndarray:
    """Grey of 16 or 32 bits per pixel to linear (H, W)."""
    values = np.asarray(image).astype(np.float32)
    if image.mode == "F":  # Float files hold light, not sRGB steps.
        if not np.isfinite(values).all():
            raise ValueError("it holds NaN or infinity")
        return values
    # Pillow reads 16-bit files of some kinds as 32-bit integers.
    white = 65535 if values.max() <= 65535 else 2**31 - 1
    return np.asarray(linear_from_srgb(jnp.asarray(np.clip(values / white, 0.0, 1.0))))


def _srgb_image(image: Image.Image, max_side: int, notes: list[str]) -> Image.Image:
    """Any 8-bit image as opaque sRGB, mode L or RGB."""
    profile = image.info.get("icc_profile")
    if image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK") or "transparency" in image.info:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    factor = max(image.size) // (2 * max_side)
    if factor > 1:  # What exceeds twice the size goes by plain averages, to save memory.
        image = image.reduce(factor)
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    if alpha is not None:
        image = image.convert(image.mode[:-1])
    if profile:
        image = _apply_profile(image, profile, notes)
    elif image.mode == "CMYK":
        notes.append("CMYK without a colour profile: colours are approximate")
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    if alpha is not None and np.min(np.asarray(alpha)) < 255:
        notes.append("transparent parts filled with white")
        image = Image.composite(image, Image.new(image.mode, image.size, "white"), alpha)
    return image


def _apply_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Converts to sRGB by the embedded ICC profile, or says that it cannot."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source).strip() or "unnamed"
        space = source.profile.xcolor_space.strip()
        if "sRGB" in name and space == "RGB":
            return image  # Nothing to convert, and no rounding error.
        if space == "GRAY" and image.mode == "RGB":
            image = image.convert("L")
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append("the colour profile cannot be used: taken as sRGB")
        return image
    notes.append(f"colours converted from the profile {name!r} to sRGB")
    return image if converted is None else converted

"""Animations and picture strips that show a result at a glance."""

import os
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from relightify_jax.core.color import linear_from_srgb
from relightify_jax.core.files import atomic_path
from relightify_jax.export.encoding import quantize

_GAP = 6  # Pixels between pictures.
_GROUND = (17, 18, 20)
_INK = (235, 234, 230)


def write_animation(
    path: str | os.PathLike[str], frames: np.ndarray, fps: float = 24.0, quality: int = 85
) -> None:
    """Writes an endless animation as WebP, which browsers and image viewers play.

    Args:
        path: Ends in .webp.
        frames: (N, H, W, 3) linear RGB in [0, 1], N >= 1.
        fps: Frames per second.
        quality: 0 to 100, lossy.

    Raises:
        ValueError: If the suffix or the shape is wrong.
    """
    if not os.fspath(path).lower().endswith(".webp"):
        raise ValueError(f"Cannot write {path}: animations are .webp files.")
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(f"Cannot write {path}: frames of shape {frames.shape}, not (N, H, W, 3).")
    pictures = [Image.fromarray(quantize(frame, srgb=True)) for frame in frames]
    # Whole milliseconds that add up to the exact time: 24 fps is 42, 41, 42, ...
    ends = np.rint(np.arange(len(frames) + 1) * 1000.0 / fps).astype(int)
    with atomic_path(path) as partial:
        pictures[0].save(
            partial,
            format="WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=np.diff(ends).tolist(),
            loop=0,
            quality=quality,
        )


def contact_strip(pictures: Mapping[str, np.ndarray], columns: int | None = None) -> np.ndarray:
    """Puts pictures of one size side by side, each with its name below.

    Args:
        pictures: (H, W, 3) linear RGB by name; "" gives a picture without a name.
        columns: Pictures per row, all by default.

    Returns:
        (rows, columns, 3) float32 linear RGB.

    Raises:
        ValueError: If there is no picture or their sizes differ.
    """
    images = list(pictures.values())
    if not images or len({np.shape(image) for image in images}) != 1:
        raise ValueError("A strip needs at least one picture, and all of one size.")
    height, width = images[0].shape[:2]
    columns = min(columns or len(images), len(images))
    rows = -(-len(images) // columns)
    size = int(np.clip(width / 16, 11, 28))
    font = ImageFont.load_default(size)
    band = 2 * size if any(pictures) else 0
    step_x, step_y = width + _GAP, height + band + _GAP
    sheet = Image.new("RGB", (columns * step_x - _GAP, rows * step_y - _GAP), _GROUND)
    draw = ImageDraw.Draw(sheet)
    for index, (name, image) in enumerate(pictures.items()):
        x, y = index % columns * step_x, index // columns * step_y
        sheet.paste(Image.fromarray(quantize(image, srgb=True)), (x, y))
        place = x + width / 2, y + height + band / 2
        draw.text(place, name, _INK, font=font, anchor="mm")
    return np.asarray(linear_from_srgb(jnp.asarray(sheet, jnp.float32) / 255))


def side_by_side(*pictures: np.ndarray) -> np.ndarray:
    """Pictures (H, W, 3), linear RGB, in one row (H, columns, 3), e.g. photo and re-render."""
    ground = np.asarray(linear_from_srgb(jnp.array(_GROUND) / 255))
    gap = np.broadcast_to(ground, (len(pictures[0]), _GAP, 3))
    row = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(row[1:], axis=1, dtype=np.float32)

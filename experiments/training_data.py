"""Batches for the training programs: cached crops of maps and cached latents.

A batch is a function of the step, so that a resumed run sees what an uninterrupted
one would have seen.
"""

import itertools
import pathlib
from collections.abc import Iterator

import numpy as np

from data_pipeline.encoding import mirror_maps
from data_pipeline.loaders import make_loader
from data_pipeline.uv_faces.uv_faces_dataset_builder import open_split
from relightify_jax.core.errors import InputError
from relightify_jax.prior import encoding
from relightify_jax.prior.encoding import MapStatistics

_CHUNK = 16  # Faces decoded at a time.


def one_epoch(data_dir: str, split: str) -> Iterator[np.ndarray]:
    """Yields every record of a split once, in order, in chunks (b, H, W, 10) linear."""
    count = len(open_split(data_dir, split))
    if count == 0:
        raise InputError(f"{data_dir} has no records in split {split!r}; build the data again.")
    size = _CHUNK
    while count % size:  # A whole number of batches makes the epoch exact.
        size -= 1
    # Every process reads everything: statistics and latents must agree.
    loader = make_loader(
        data_dir, split, size, seed=0, shuffle=False, process_index=0, process_count=1
    )
    for batch in itertools.islice(loader, count // size):
        yield np.asarray(batch["maps"])


def load_perceptual(data_dir: str, split: str, limit: int | None = None) -> np.ndarray:
    """Decodes a split into memory: (N, H, W, 10) float16, sRGB colours."""
    chunks, num = [], 0
    for chunk in one_epoch(data_dir, split):
        chunks.append(np.asarray(encoding.perceptual_from_maps(chunk), np.float16))
        num += len(chunk)
        if limit is not None and num >= limit:
            break
    return np.concatenate(chunks)[:limit]


def map_statistics(maps: np.ndarray) -> MapStatistics:
    """Statistics of perceptual maps (N, H, W, 10) and their mirror images."""
    mean = np.zeros(maps.shape[1:], np.float64)
    square = np.zeros(maps.shape[1:], np.float64)
    for start in range(0, len(maps), _CHUNK):
        part = maps[start : start + _CHUNK].astype(np.float32)
        mean += part.sum(0)
        square += (part * part).sum(0)
    mean, square = mean / len(maps), square / len(maps)
    mean = 0.5 * (mean + mirror_maps(mean))
    square = 0.5 * (square + np.abs(mirror_maps(square)))
    return encoding.statistics_from_moments(mean, square)


def standardize_in_place(maps: np.ndarray, statistics: MapStatistics) -> None:
    """Turns perceptual maps into standardised residuals without a second copy."""
    mean, scale = np.asarray(statistics.mean), np.asarray(statistics.scale)
    for start in range(0, len(maps), _CHUNK):
        part = maps[start : start + _CHUNK].astype(np.float32)
        maps[start : start + _CHUNK] = (part - mean) / scale


def crops(
    maps: np.ndarray, batch_size: int, crop_size: int, seed: int, first_step: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields random crops {"maps": (B, c, c, 10)}, aligned to the latent grid.

    Half of them are mirrored: the layout is symmetric and so is the mean face.

    Args:
        maps: (N, H, W, 10).
        batch_size: B.
        crop_size: c, divisible by 8.
        seed: Seed of the order and the places.
        first_step: Step of the first batch.
    """
    places = (maps.shape[1] - crop_size) // 8 + 1
    for step in itertools.count(first_step):
        random = np.random.default_rng((seed, step))
        faces = random.integers(len(maps), size=batch_size)
        corners = 8 * random.integers(places, size=(batch_size, 2))
        parts = [
            maps[face, y : y + crop_size, x : x + crop_size]
            for face, (y, x) in zip(faces, corners, strict=True)
        ]
        flip = random.random(batch_size) < 0.5
        parts = [mirror_maps(p) if f else p for p, f in zip(parts, flip, strict=True)]
        yield {"maps": np.stack(parts)}


def shuffled(
    latents: np.ndarray, batch_size: int, seed: int, first_step: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields {"latents": (B, h, w, Z)}, every face once per epoch in a new order."""
    batch_size = min(batch_size, len(latents))
    per_epoch = len(latents) // batch_size
    for step in itertools.count(first_step):
        epoch, place = divmod(step, per_epoch)
        # Drawn anew each step: cheap, and no state to save.
        order = np.random.default_rng((seed, epoch)).permutation(len(latents))
        yield {"latents": latents[order[place * batch_size : (place + 1) * batch_size]]}


def find_codec(path: str) -> pathlib.Path:
    """The codec file in a training folder, or the file itself.

    Raises:
        InputError: If there is none.
    """
    file = pathlib.Path(path)
    if file.is_dir():
        file = file / "autoencoder.npz"
    if not file.exists():
        raise InputError(f"{file} does not exist; give the workdir of train_autoencoder.")
    return file

"""What the training programs read: coded records, lit on the device, and cached latents.

A batch is a function of the step, so that a resumed run sees what an uninterrupted
one would have seen.
"""

import functools
import itertools
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from data_pipeline.encoding import FaceRecord, decode_batch
from data_pipeline.loaders import make_loader, open_split, read_facts
from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import UV_CHANNELS
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.light_stage.stage import Stage, build_stage
from relightify_jax.prior import encoding
from relightify_jax.prior.encoding import MapStatistics
from relightify_jax.rendering.environment import read_environment
from relightify_jax.train import relit

_CHUNK = 16  # Faces lit at a time.
_STATISTICS_FACES = 1024  # Whose mean and spread standardise all maps.


def uv_size(data_dir: str) -> int:
    """Texels per side of a data set's maps."""
    return int(read_facts(data_dir)["uv_size"])


def load_stage(data_dir: str, environments_dir: str = "") -> Stage:
    """The light stage of a data set's size and face model.

    Args:
        data_dir: Folder of the data set.
        environments_dir: Folder of environment maps (.hdr, .exr) to light half of the
            pictures with, or "".

    Raises:
        InputError: If a folder is missing or holds nothing usable.
    """
    facts = read_facts(data_dir)
    environments = None
    if environments_dir:
        folder = pathlib.Path(environments_dir)
        paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".hdr", ".exr"))
        if not paths:
            raise InputError(f"{folder} holds no .hdr or .exr; give a folder of environment maps.")
        environments = [read_environment(path) for path in paths]
    return build_stage(load_face_model(facts["face_model"]), facts["uv_size"], environments)


def faces(
    data_dir: str, batch_size: int, seed: int, first_step: int
) -> Iterator[dict[str, np.ndarray]]:
    """Endless batches of this process's coded training records, half of them mirrored.

    Args:
        data_dir: Folder of the data set.
        batch_size: Faces per step over all processes.
        seed: Seed of the order and of the mirroring.
        first_step: Step of the first batch.
    """
    loader = make_loader(data_dir, "train", batch_size, seed, first_step, mirror=True, decode=False)
    for batch in loader:
        yield {name: batch[name] for name in FaceRecord._fields}


def one_epoch(data_dir: str, split: str, limit: int | None = None) -> Iterator[dict]:
    """Yields coded records of a split once, in order, in equal chunks of at most 16."""
    count = len(open_split(data_dir, split))
    if count == 0:
        raise InputError(f"{data_dir} has no records in split {split!r}; build the data again.")
    count = min(count, limit or count)
    size = min(_CHUNK, count)
    while count % size:  # A whole number of batches makes the epoch exact.
        size -= 1
    # Every process reads everything: statistics and latents must agree.
    loader = make_loader(
        data_dir, split, size, seed=0, shuffle=False, decode=False,
        process_index=0, process_count=1,
    )  # fmt: skip
    yield from tqdm(itertools.islice(loader, count // size), total=count // size, desc=split)


@functools.partial(jax.jit, static_argnames="sharded")
def light_batch(key: jax.Array, stage: Stage, batch: dict, *, sharded: bool = False) -> jax.Array:
    """Coded records to perceptual maps (B, R, R, 10), each under a light of its own."""
    faces = decode_batch(batch, jnp)
    maps = relit.relit_maps(key, stage, faces, sharded=sharded)
    return encoding.perceptual_from_maps(maps)


def load_perceptual(
    data_dir: str, split: str, stage: Stage, limit: int | None = None, seed: int = 0
) -> np.ndarray:
    """Lights a split, one picture a face: (N, H, W, 10) float16 in memory, sRGB colours."""
    key = jax.random.key(seed)
    chunks = [
        np.asarray(light_batch(jax.random.fold_in(key, i), stage, chunk), np.float16)
        for i, chunk in enumerate(one_epoch(data_dir, split, limit))
    ]
    return np.concatenate(chunks)


def mirror_maps(stack: np.ndarray) -> np.ndarray:
    """The mirror image of maps (..., R, R, 10): u and the normals' x change sides."""
    mirrored = stack[..., ::-1, :].copy()
    mirrored[..., UV_CHANNELS["normals"].start] *= -1
    return mirrored


def map_statistics(data_dir: str, stage: Stage) -> MapStatistics:
    """Statistics of the lit maps of a training set and of their mirror images."""
    mean = square = 0.0
    count = 0
    for index, chunk in enumerate(one_epoch(data_dir, "train", _STATISTICS_FACES)):
        part = np.asarray(light_batch(jax.random.key(index), stage, chunk), np.float64)
        mean, square = mean + part.sum(0), square + (part * part).sum(0)
        count += len(part)
    mean, square = mean / count, square / count
    mean = 0.5 * (mean + mirror_maps(mean))
    square = 0.5 * (square + np.abs(mirror_maps(square)))
    return encoding.statistics_from_moments(mean, square)


def standardize_in_place(maps: np.ndarray, statistics: MapStatistics) -> None:
    """Turns perceptual maps into standardised residuals without a second copy."""
    mean, scale = np.asarray(statistics.mean), np.asarray(statistics.scale)
    for start in range(0, len(maps), _CHUNK):
        part = maps[start : start + _CHUNK].astype(np.float32)
        maps[start : start + _CHUNK] = (part - mean) / scale


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

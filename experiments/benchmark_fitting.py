"""The benchmark "fitting": what a fit costs, alone and in batches."""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import skimage.data
from ml_collections import ConfigDict
from tqdm import tqdm

from relightify_jax.core.color import linear_from_srgb
from relightify_jax.evaluation.tables import Column
from relightify_jax.evaluation.timing import time_calls
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.fit import fit_batch, fit_image, fit_landmarks_batch
from relightify_jax.fitting.prepared import prepare_model
from relightify_jax.landmarks.faces import find_faces, select_face
from relightify_jax.landmarks.network import load_networks

COLUMNS = (
    Column("what", "what"),
    Column("count", "photos"),
    Column("milliseconds", "ms a photo", ".1f"),
    Column("seconds", "s in all", ".2f"),
    Column("setup_seconds", "first call s", ".1f"),
)
NOTES = (
    "Fastest of the repeats, from landmarks and a photo of 512 x 512 pixels on the host to "
    "vertices on the device; landmarks alone: without the photo. The first call compiles.",
)


def measure_fitting(config: ConfigDict) -> list[dict[str, Any]]:
    """Times the stages on a public-domain portrait whose landmarks are jittered.

    Args:
        config: See configs/benchmark.py:fitting.

    Returns:
        One row per program.
    """
    photo = np.asarray(linear_from_srgb(skimage.data.astronaut() / 255.0), np.float32)
    found = find_faces(load_networks(), photo)
    points = np.asarray(select_face(found, None, photo.shape).points)[:, :2]
    model, settings = load_face_model(config.face_model), FitConfig()
    prepared = prepare_model(model, settings)
    generator = np.random.default_rng(0)

    def people(count: int) -> list[np.ndarray]:
        return [points + generator.normal(size=2) for _ in range(count)]

    def landmarks(count: int) -> Callable[[], Any]:
        shapes = [photo.shape] * count
        return functools.partial(fit_landmarks_batch, people(count), shapes, prepared, settings)

    def batch(count: int) -> Callable[[], Any]:
        photos = [photo] * count
        return functools.partial(
            fit_batch, model, photos, people(count), settings, prepared=prepared
        )

    def alone() -> Any:
        return fit_image(model, photo, points, settings, prepared=prepared)

    programs: list[tuple[str, int, Callable[[], Any]]] = [("one photo", 1, alone)]
    if config.num_landmarks:
        programs.append(("landmarks alone", config.num_landmarks, landmarks(config.num_landmarks)))
    if config.num_photos:
        programs.append(("batch of photos", config.num_photos, batch(config.num_photos)))
    return [_time(*program, config) for program in tqdm(programs, "programs")]


def _time(what: str, count: int, call: Callable[[], Any], config: ConfigDict) -> dict[str, Any]:
    start = time.perf_counter()
    jax.block_until_ready(jax.tree.leaves(call()))
    setup = time.perf_counter() - start
    seconds = min(
        time_calls(
            lambda: jax.tree.leaves(call()), config.num_repeats, max_seconds=config.max_seconds
        )
    )
    return {
        "what": what,
        "count": count,
        "milliseconds": 1000 * seconds / count,
        "seconds": seconds,
        "setup_seconds": setup,
    }

"""One photograph in, a relightable 3D head out.

    python -m experiments.sample --demo --out=out
    python -m experiments.sample --image=me.jpg --out=out
    python -m experiments.sample --image=group.jpg --face=1 --out=out
    python -m experiments.sample --image=me.jpg --landmarks=me.json --out=out
    python -m experiments.sample --image=me.jpg --out=out --face_model=ict:PATH
    python -m experiments.sample --image=me.jpg --out=out --config.uv_size=256

Writes head.glb, maps/, renders/, index.html and run.json to --out; open index.html and
drag the light. Nothing is downloaded and the photo never leaves the machine.
"""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from absl import flags, logging
from ml_collections import config_flags

from experiments import cli, results
from relightify_jax import pipeline
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import staged_folder
from relightify_jax.core.photo import Photo, load_photo, save_image

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    str(pathlib.Path(__file__).parent.parent / "configs" / "sample.py"),
    "Settings, e.g. --config=configs/sample.py:draft or --config.num_seeds=4.",
    lock_config=True,
)
_IMAGE = flags.DEFINE_string("image", None, "The photo: JPEG, PNG, WebP, TIFF, AVIF ...")
_DEMO = flags.DEFINE_bool("demo", False, "Use a public-domain portrait instead of --image.")
_OUT = flags.DEFINE_string("out", "out", "Folder for the results.")
_FACE = flags.DEFINE_integer("face", None, "Which face, 0 = largest, if there are several.")
_LANDMARKS = flags.DEFINE_string("landmarks", None, "JSON with 468 points, instead of detection.")
_FACE_MODEL = flags.DEFINE_string("face_model", "embedded", "embedded, ict:PATH or PATH.npz.")
_PRIOR = flags.DEFINE_string("prior", None, "A prior of your own (.npz).")
_SEED = flags.DEFINE_integer("seed", None, "Seed of the completion; overrides config.seed.")


class Stages:
    """Says which stage runs and remembers how long each took."""

    def __init__(self) -> None:
        """Starts with no stage."""
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Runs a stage: a line when it begins, its seconds when it has ended."""
        print(f"  {stage:<11}", end="", flush=True)
        start = time.perf_counter()
        try:
            yield
        except BaseException:
            print("failed", flush=True)
            raise
        self.seconds[stage] = round(time.perf_counter() - start, 2)
        print(f"{self.seconds[stage]:6.1f} s", flush=True)


def main(argv: Sequence[str]) -> None:
    """Runs the corridor and writes its results."""
    del argv
    config = _CONFIG.value
    seed = config.seed if _SEED.value is None else _SEED.value
    stages = Stages()
    with staged_folder(_OUT.value) as folder:
        first_run = _use_compile_cache()
        photo = _load(stages)
        with stages("load"):
            resources = pipeline.load_resources(_FACE_MODEL.value, _PRIOR.value, config.uv_size)
        face = pipeline.reconstruct_face(
            resources,
            photo.linear,
            jax.random.key(seed),
            landmarks=_given_landmarks(photo),
            face=_FACE.value,
            options=pipeline.InpaintOptions(**config.inpaint),
            progress=stages,
        )
        for note in (*photo.notes, *face.notes):
            print(f"  note: {note}", flush=True)
        run = cli.describe_run(config, {"seed": seed, "first_run": first_run})
        results.write_results(folder, photo, resources, face, config.render, run, stages)
    total = sum(stages.seconds.values())
    print(f"Done in {total:.0f} s. Open {pathlib.Path(_OUT.value, 'index.html')} and drag the light.")

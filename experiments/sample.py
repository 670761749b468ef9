"""One photograph in, a relightable 3D head out.

    python -m experiments.sample --demo --out=out
    python -m experiments.sample --image=me.jpg --out=out
    python -m experiments.sample --image=group.jpg --face=1 --out=out
    python -m experiments.sample --image=front.jpg --image=left.jpg --image=right.jpg --out=out
    python -m experiments.sample --image=me.jpg --landmarks=me.json --out=out
    python -m experiments.sample --image=me.jpg --out=out --face_model=ict:PATH
    python -m experiments.sample --image=me.jpg --out=out --config.uv_size=256

Writes head.glb, maps/, renders/, index.html and run.json to --out; open index.html and
drag the light. Nothing is downloaded and the photo never leaves the machine.
"""

import contextlib
import pathlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import skimage.data
from absl import flags
from ml_collections import config_flags

from experiments import cli, results
from relightify_jax import pipeline
from relightify_jax.core.files import staged_folder
from relightify_jax.core.photo import Photo, load_photo, save_image
from relightify_jax.landmarks.facemesh import FaceLandmarks
from relightify_jax.landmarks.files import read_landmarks_file

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    str(pathlib.Path(__file__).parent.parent / "configs" / "sample.py"),
    "Settings, e.g. --config=configs/sample.py:draft or --config.num_seeds=4.",
    lock_config=True,
)
_IMAGE = flags.DEFINE_multi_string(
    "image",
    None,
    "The photo: JPEG, PNG, WebP, TIFF, AVIF ... Further --image=FILE of the same person fill in "
    "what the first does not show.",
)
_DEMO = flags.DEFINE_bool("demo", False, "Use a public-domain portrait instead of --image.")
_OUT = flags.DEFINE_string("out", "out", "Folder for the results.")
_FACE = flags.DEFINE_integer("face", None, "Which face, 0 = largest, if there are several.")
_LANDMARKS = flags.DEFINE_string("landmarks", None, "JSON with 468 points, instead of detection.")
_FACE_MODEL = flags.DEFINE_string(
    "face_model",
    "embedded",
    "embedded, ict:PATH, gnm:PATH, flame:PATH, bfm2009:PATH, bfm2017:PATH, bfm2019:PATH or "
    "PATH.npz; see docs/FACE_MODELS.md.",
)
_PRIOR = flags.DEFINE_string("prior", None, "A prior of your own (.npz).")
_SEED = flags.DEFINE_integer("seed", None, "Seed of the completion; overrides config.seed.")

# Spent in the compiler itself; a program read from the cache does not count.
_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
_NOTABLE_SECONDS = 10.0


class Stages:
    """Says which stage runs and remembers how long each took, and compiling in all."""

    def __init__(self) -> None:
        """Starts with no stage."""
        self.seconds: dict[str, float] = {}
        self.compile_seconds = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._count_compiling)

    def _count_compiling(self, event: str, seconds: float, **_: Any) -> None:
        if event == _COMPILE_EVENT:
            self.compile_seconds += seconds

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
    stage = Stages()
    if cli.use_compile_cache():
        print("First run: compiling takes a few minutes more; later runs reuse it.")
    photo, *more = _load_photos()
    notes = tuple(note for each in (photo, *more) for note in each.notes)
    with staged_folder(_OUT.value) as folder:
        with stage("load"):
            resources = pipeline.load_resources(_FACE_MODEL.value, _PRIOR.value, config.uv_size)
        face = pipeline.reconstruct_face(
            resources,
            photo.linear,
            jax.random.key(seed),
            landmarks=_given_landmarks(photo),
            face=_FACE.value,
            more_photos=[each.linear for each in more],
            options=pipeline.InpaintOptions(**config.inpaint),
            progress=stage,
        )
        notes += face.notes
        facts = _facts(photo, resources, face, seed, notes)
        results.write_results(folder, photo, resources, face, config.render, facts, stage)
        timing = {"seconds": stage.seconds, "compile_seconds": round(stage.compile_seconds, 1)}
        cli.record_run(folder, config, facts | timing)
    for note in notes:
        print(f"Note: {note}")
    page = pathlib.Path(_OUT.value, "index.html")
    compiling = ""
    if stage.compile_seconds > _NOTABLE_SECONDS:
        compiling = f", {stage.compile_seconds:.0f} s of it compiling, which the next run skips"
    total = sum(stage.seconds.values())
    print(f"Done in {total:.0f} s{compiling}. Open {page} and drag the light.")


def _load_photos() -> list[Photo]:
    """The photos of the flags; the first is the one that counts."""
    if _DEMO.value:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "astronaut.png"
            # Eileen Collins, NASA (public domain), from the scikit-image package.
            save_image(path, skimage.data.astronaut() / 255.0, srgb=False)
            return [load_photo(path)]
    paths = cli.require(_IMAGE.value, "image", "the path of a photo, or --demo")
    return [load_photo(path) for path in paths]


def _given_landmarks(photo: Photo) -> FaceLandmarks | None:
    if _LANDMARKS.value is None:
        return None
    return read_landmarks_file(_LANDMARKS.value, photo.linear.shape)


def _facts(
    photo: Photo,
    resources: pipeline.Resources,
    face: pipeline.RelightableFace,
    seed: int,
    notes: tuple[str, ...],
) -> dict[str, Any]:
    """What the results came from, for run.json and the page."""
    height, width = photo.linear.shape[:2]
    return {
        "photo": pathlib.Path(photo.path).name,
        "more_photos": [pathlib.Path(path).name for path in (_IMAGE.value or ())[1:]],
        "photo_sha256": photo.sha256,
        "photo_size": f"{width} x {height}",
        "seed": seed,
        "notes": list(notes),
        "fit": {key: float(value) for key, value in face.fit.diagnostics.items()},
        "licences": {
            "face model": f"{resources.model.name}: {resources.model.licence}",
            "landmark networks": "MediaPipe, Apache-2.0",
            "prior": _PRIOR.value or "shipped, trained on synthetic faces, Apache-2.0",
        },
    }


if __name__ == "__main__":
    cli.run(main)

"""Writes a data set of synthetic faces.

python -m data_pipeline.build_synthetic --config=configs/synthetic.py:default --out=DIR
"""

import pathlib
import sys
from collections.abc import Callable

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags
from tqdm import tqdm

from data_pipeline.synthetic.record import sample_record
from data_pipeline.synthetic.scene import Scene, build_scene, compute_visibility
from data_pipeline.uv_faces.uv_faces_dataset_builder import write_faces
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path
from relightify_jax.face_models.registry import load_face_model


def make_sampler(scene: Scene, seed: int, progress: tqdm) -> Callable[[int], np.ndarray]:
    """Returns record number -> maps (R, R, 10); the number alone decides the record."""
    key = jax.random.key(seed)
    pending: dict[int, jax.Array] = {}

    def start(index: int) -> jax.Array:
        return sample_record(jax.random.fold_in(key, index), scene)

    def sample(index: int) -> np.ndarray:
        maps = pending.pop(index) if index in pending else start(index)
        # Computed while this record is compressed and written.
        pending[index + 1] = start(index + 1)
        progress.update()
        return np.asarray(maps)

    return sample


def build(config, out: str) -> pathlib.Path:
    """Builds the data set that `config` (see configs/synthetic.py) describes.

    Returns:
        The folder of the data set.

    Raises:
        InputError: If the configuration cannot be built.
    """
    if config.num_train < 1 or config.num_validation < 1:
        raise InputError("num_train and num_validation must both be at least 1.")
    model = load_face_model(config.face_model)
    visibility, directions = compute_visibility(model, config.num_directions)
    scene = build_scene(model, visibility, directions, config.uv_size, config.skins_dir or None)
    counts = (config.num_train, config.num_validation)
    with tqdm(total=sum(counts), unit="face", smoothing=0.05) as progress:
        sample = make_sampler(scene, config.seed, progress)
        folder = write_faces(
            out, f"synthetic_{config.uv_size}", config.uv_size, counts, sample, config.num_shards
        )
    with atomic_path(folder / "config.json") as path:
        path.write_text(config.to_json_best_effort(indent=2))
    return folder


def main(argv: list[str]) -> None:
    """Entry point."""
    try:
        if len(argv) > 1:
            raise InputError(f"Unexpected argument {argv[1]!r}; everything is given by flags.")
        print(build(flags.FLAGS.config, flags.FLAGS.out))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(InputError.EXIT_CODE)


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    config_flags.DEFINE_config_file(
        "config", "configs/synthetic.py:default", "FILE.py:VARIANT", lock_config=True
    )
    flags.DEFINE_string("out", None, "Folder to write to.", required=True)


if __name__ == "__main__":
    define_flags()
    app.run(main)

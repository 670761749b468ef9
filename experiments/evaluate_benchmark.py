"""The protocols "now" and "realy": predictions for public benchmarks, in their formats."""

import json
import pathlib

from ml_collections import ConfigDict
from tqdm import tqdm

from relightify_jax.core.files import atomic_path
from relightify_jax.core.photo import load_photo
from relightify_jax.evaluation import submissions
from relightify_jax.evaluation.fitting_metrics import Outcome
from relightify_jax.evaluation.fitting_protocol import as_outcome
from relightify_jax.evaluation.tables import Column
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.fit import fit_image
from relightify_jax.landmarks.faces import find_faces, select_face
from relightify_jax.landmarks.network import load_networks

COLUMNS = (
    Column("photo", "photo"),
    Column("state", "state"),
    Column("seconds", "s", ".1f"),
    Column("error", "error"),
)


def predict_benchmark(config: ConfigDict, folder: pathlib.Path) -> list[submissions.Row]:
    """Fits every photo of a benchmark; what an earlier run wrote into `folder` is kept.

    Args:
        config: See configs/evaluate.py:now.
        folder: Of the submission; gets `submission/` and a line a photo in rows.jsonl.

    Raises:
        InputError: If there are no photos or the face model cannot be had.
    """
    photos = submissions.find_photos(config.data_dir, config.listing)
    model = load_face_model(config.fit_model)
    networks = load_networks()
    settings = FitConfig()

    def predict(path: pathlib.Path) -> Outcome:
        photo = load_photo(path).linear
        found = select_face(find_faces(networks, photo), None, photo.shape)
        return as_outcome(fit_image(model, photo, found.points, settings))

    work = submissions.predict_folder(
        submissions.BENCHMARKS[config.protocol],
        pathlib.Path(config.data_dir),
        photos,
        folder / "submission",
        predict,
        model,
    )
    rows = list(tqdm(work, "photos", len(photos)))
    with atomic_path(folder / "rows.jsonl") as path:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows

"""What the NoW and REALY benchmarks want to be sent, from predictions of a whole folder.

NoW (Sanyal et al., "Learning to regress 3D face shape and expression from an image without 3D
supervision", CVPR 2019; github.com/soubhiksanyal/now_evaluation): for SUBJECT/CHALLENGE/NAME.jpg
the mesh at rest SUBJECT/CHALLENGE/NAME.obj in metres and its seven landmarks NAME.npy.

REALY (Chai et al., "REALY: rethinking the evaluation of 3D face reconstruction", ECCV 2022;
github.com/czh-98/REALY): for NAME.jpg the mesh NAME.obj, every one of the same topology, and
once a template of that topology with 85 keypoints on it, TEMPLATE.obj and TEMPLATE.txt.
"""

import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path
from relightify_jax.evaluation.fitting_metrics import SEVEN, Outcome
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel, landmarks

Row = dict[str, Any]

_PHOTOS = (".jpg", ".jpeg", ".png")
# FaceMesh points nearest to the 68 of iBUG (Sagonas et al. 2013), in their order.
_OUTLINE = (127, 234, 93, 132, 58, 172, 136, 150, 152, 379, 365, 397, 288, 361, 323, 454, 356)
_BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
_NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
_LIPS_INNER = (78, 82, 13, 312, 308, 317, 14, 87)
IBUG = (*_OUTLINE, *_BROWS, *_NOSE, *_EYES, *_LIPS, *_LIPS_INNER)
# Of REALY's 17 points beyond those, its evaluation uses the wings of the nose (70, 71) and
# the cheeks (76, 77); the places of all others are filled with the tip of the nose.
_NOSE_TIP = 1
_BEYOND = {70: 64, 71: 294, 76: 50, 77: 280}
NUM_REALY = 85


class Benchmark(NamedTuple):
    """How to write for one benchmark."""

    files_of: Callable[[pathlib.Path, pathlib.Path], tuple[pathlib.Path, ...]]
    write: Callable[[pathlib.Path, pathlib.Path, Outcome, MorphableModel], None]
    prepare: Callable[[pathlib.Path, MorphableModel], None]


def find_photos(folder: str | os.PathLike[str], listing: str = "") -> list[pathlib.Path]:
    """Photos of a benchmark, relative to its folder, in order.

    Args:
        folder: Searched at any depth.
        listing: Text file with a path a line, as NoW has; of these only the last three parts
            (subject, challenge, photo) count. Empty for all photos.

    Raises:
        InputError: If there is no such folder or file, or nothing in it.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the benchmark's photos (config.data_dir).")
    if listing:
        if not pathlib.Path(listing).is_file():
            raise InputError(f"{listing} does not exist; give a text file with a path a line.")
        lines = pathlib.Path(listing).read_text(encoding="utf-8").split("\n")
        found = [pathlib.Path(*pathlib.PurePosixPath(line.strip()).parts[-3:])
                 for line in lines if line.strip()]  # fmt: skip
    else:
        paths = (path for path in folder.rglob("*") if path.suffix.lower() in _PHOTOS)
        found = sorted(path.relative_to(folder) for path in paths)
    if not found:
        raise InputError(f"{listing or folder} holds no photos ({', '.join(_PHOTOS)}).")
    return found


def predict_folder(
    benchmark: Benchmark,
    folder: pathlib.Path,
    photos: Sequence[pathlib.Path],
    out: pathlib.Path,
    predict: Callable[[pathlib.Path], Outcome],
    model: MorphableModel,
) -> Iterator[Row]:
    """Writes the prediction for each photo that has none yet, and yields a row about each.

    A photo that fails gives a row with the error, and the next one follows.

    Args:
        benchmark: Of `BENCHMARKS`.
        folder: That `photos` are relative to.
        photos: From `find_photos`.
        out: Folder of the submission.
        predict: Photo's path to outcome; raises `InputError` where it cannot.
        model: That outcomes are vertices of.
    """
    benchmark.prepare(out, model)
    for photo in photos:
        row: Row = {"photo": photo.as_posix()}
        if all(path.is_file() for path in benchmark.files_of(out, photo)):
            yield row | {"state": "kept"}
            continue
        start = time.perf_counter()
        try:
            benchmark.write(out, photo, predict(folder / photo), model)
            row["state"] = "done"
        except (InputError, ValueError, OSError, np.linalg.LinAlgError) as error:
            row |= {"state": "failed", "error": str(error)}
        yield row | {"seconds": round(time.perf_counter() - start, 2)}


def write_mesh(path: pathlib.Path, points: np.ndarray, faces: np.ndarray) -> None:
    """Writes an OBJ file of vertices (V, 3) and triangles (F, 3), nothing else, in their order."""
    lines = ["v {:.7f} {:.7f} {:.7f}\n".format(*point) for point in np.asarray(points, float)]
    lines += ["f {} {} {}\n".format(*triangle) for triangle in np.asarray(faces) + 1]
    with atomic_path(path) as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def seven_landmarks(points: np.ndarray, model: MorphableModel) -> np.ndarray:
    """(7, 3): corners of the eyes from the right one inwards, base of the nose, mouth."""
    return np.asarray(landmarks(model, jnp.asarray(points)))[list(SEVEN)]


def realy_keypoints(model: MorphableModel, faces: np.ndarray) -> list[list[float]]:
    """REALY's 85 keypoints: triangle of `faces` (F, 3), weights of its first two corners.

    Raises:
        ValueError: If a landmark lies on a triangle that `faces` lacks.
    """
    indices = [*IBUG, *(_BEYOND.get(i, _NOSE_TIP) for i in range(len(IBUG), NUM_REALY))]
    corners = np.asarray(model.landmark_vertices)[indices]
    weights = np.asarray(model.landmark_bary, np.float64)[indices]
    place_of = {tuple(sorted(map(int, face))): i for i, face in enumerate(faces)}
    keypoints = []
    for corner, weight in zip(corners, weights, strict=True):
        triangle = place_of.get(tuple(sorted(map(int, corner))))
        if triangle is None:
            raise ValueError(f"No triangle has the corners {corner.tolist()} of a landmark.")
        by_vertex = dict(zip(corner.tolist(), weight.tolist(), strict=True))
        first, second, _ = (by_vertex[int(vertex)] for vertex in faces[triangle])
        keypoints.append([triangle, first, second])
    return keypoints


def shown_faces(model: MorphableModel) -> np.ndarray:
    """Triangles (F, 3) of what a scan sees: all but the inside of the mouth."""
    return np.asarray(model.faces)[np.asarray(model.face_part) != PARTS.index("mouth")]


def _now_files(out: pathlib.Path, photo: pathlib.Path) -> tuple[pathlib.Path, ...]:
    place = out / photo
    return place.with_suffix(".obj"), place.with_suffix(".npy")


def _write_now(out: pathlib.Path, photo: pathlib.Path, outcome: Outcome, model) -> None:
    mesh, marks = _now_files(out, photo)
    points = outcome.points if outcome.neutral_points is None else outcome.neutral_points
    write_mesh(mesh, points, shown_faces(model))
    with atomic_path(marks) as partial, partial.open("wb") as file:
        np.save(file, seven_landmarks(points, model).astype(np.float32))


def _realy_files(out: pathlib.Path, photo: pathlib.Path) -> tuple[pathlib.Path, ...]:
    return (out / "meshes" / f"{photo.stem}.obj",)


def _write_realy(out: pathlib.Path, photo: pathlib.Path, outcome: Outcome, model) -> None:
    write_mesh(_realy_files(out, photo)[0], outcome.points, shown_faces(model))


def _write_template(out: pathlib.Path, model: MorphableModel) -> None:
    faces = shown_faces(model)
    write_mesh(out / "template.obj", np.asarray(model.mean), faces)
    with atomic_path(out / "template.txt") as partial:
        partial.write_text(json.dumps(realy_keypoints(model, faces)), encoding="utf-8")


BENCHMARKS = {
    "now": Benchmark(_now_files, _write_now, lambda out, model: None),
    "realy": Benchmark(_realy_files, _write_realy, _write_template),
}

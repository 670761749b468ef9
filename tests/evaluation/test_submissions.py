"""Files of the NoW and REALY benchmarks, written from a tiny folder of photos."""

import json

import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.evaluation import submissions
from relightify_jax.evaluation.fitting_metrics import Outcome
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.morphable_model import landmarks

NAMES = (
    "FaMoS_1/multiview_neutral/IMG_1.jpg",
    "FaMoS_1/selfie/IMG_2.jpg",
    "FaMoS_2/selfie/IMG_3.png",
)


@pytest.fixture(scope="module")
def model():
    return load_embedded_model(0)


@pytest.fixture
def tree(tmp_path):
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "photos" / "readme.txt").write_text("no photo")
    return tmp_path / "photos"


def predict_all(benchmark, tree, out, model, predict):
    photos = submissions.find_photos(tree)
    benchmark = submissions.BENCHMARKS[benchmark]
    return list(submissions.predict_folder(benchmark, tree, photos, out, predict, model))


def outcome_of(model, smile=1.0):
    neutral = np.asarray(model.mean)
    return Outcome(neutral + smile * np.asarray(model.expression[0]), neutral)


def read_obj(path):
    lines = [line.split() for line in path.read_text().splitlines()]
    assert {line[0] for line in lines} == {"v", "f"} and {len(line) for line in lines} == {4}
    points = np.array([line[1:] for line in lines if line[0] == "v"], float)
    return points, np.array([line[1:] for line in lines if line[0] == "f"], int) - 1


def test_now_gets_the_face_at_rest_and_seven_landmarks_beside_each_photo(tree, tmp_path, model):
    rows = predict_all("now", tree, tmp_path / "out", model, lambda path: outcome_of(model))
    assert [row["state"] for row in rows] == ["done"] * 3
    for name in NAMES:
        place = tmp_path / "out" / name
        points, faces = read_obj(place.with_suffix(".obj"))
        np.testing.assert_allclose(points, model.mean, atol=1e-6)
        assert faces.min() >= 0 and faces.max() < len(points)
        seven = np.load(place.with_suffix(".npy"))
        assert seven.shape == (7, 3)
    # Right eye outer, inner, left eye inner, outer, base of the nose, mouth right, left.
    assert seven[0, 0] < seven[1, 0] < 0 < seven[2, 0] < seven[3, 0]
    assert seven[5, 0] < seven[4, 0] < seven[6, 0] and (
        seven[:4, 1].min() > seven[4, 1] > seven[5, 1]
    )
    gap = np.linalg.norm(points[None] - seven[:, None], axis=-1).min(axis=1)
    assert gap.max() < 6e-3


def test_a_bad_photo_is_reported_and_a_second_run_does_only_that_one(tree, tmp_path, model):
    asked = []

    def predict(path):
        asked.append(path.name)
        if path.name == "IMG_2.jpg" and len(asked) < 4:
            raise InputError("no face found")
        return outcome_of(model)

    first = predict_all("now", tree, tmp_path / "out", model, predict)
    assert [row["state"] for row in first] == ["done", "failed", "done"]
    assert first[1]["error"] == "no face found" and asked == ["IMG_1.jpg", "IMG_2.jpg", "IMG_3.png"]
    second = predict_all("now", tree, tmp_path / "out", model, predict)
    assert [row["state"] for row in second] == ["kept", "done", "kept"] and asked[3:] == [
        "IMG_2.jpg"
    ]


def test_realy_gets_one_topology_and_85_keypoints_on_it(tree, tmp_path, model):
    smiles = iter((0.0, 0.5, 1.0))
    predict_all(
        "realy", tree, tmp_path / "out", model, lambda path: outcome_of(model, next(smiles))
    )
    template, faces = read_obj(tmp_path / "out" / "template.obj")
    meshes = [read_obj(tmp_path / "out" / "meshes" / f"IMG_{i}.obj") for i in (1, 2, 3)]
    for points, triangles in meshes:
        np.testing.assert_array_equal(triangles, faces)
        assert points.shape == template.shape
    assert np.abs(meshes[2][0] - template).max() > 1e-3  # With the expression.
    keypoints = np.array(json.loads((tmp_path / "out" / "template.txt").read_text()))
    assert keypoints.shape == (85, 3)
    weights = np.column_stack([keypoints[:, 1:], 1 - keypoints[:, 1:].sum(axis=1)])
    assert weights.min() > -1e-6
    places = (template[faces[keypoints[:, 0].astype(int)]] * weights[..., None]).sum(axis=1)
    expected = np.asarray(landmarks(model, model.mean))[list(submissions.IBUG)]
    np.testing.assert_allclose(places[:68], expected, atol=1e-5)


def test_the_68_points_are_where_ibug_has_them(model):
    assert len(submissions.IBUG) == 68
    marks = np.asarray(landmarks(model, model.mean))[list(submissions.IBUG)]
    mirrored = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
                45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48,
                59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]  # fmt: skip
    np.testing.assert_allclose(marks[mirrored] * [-1, 1, 1], marks, atol=2e-3)
    x, y = marks[:, 0], marks[:, 1]
    assert np.argmin(y) == 8 and (np.diff(x[:17]) > -2e-3).all() and (np.diff(x[17:27]) > 0).all()
    assert (np.diff(y[27:31]) < 0).all() and (np.diff(x[31:36]) > 0).all()


def test_a_listing_names_photos_by_their_last_three_parts(tree, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text(f"/somewhere/else/{NAMES[2]}\n{NAMES[0]}\n\n")
    found = submissions.find_photos(tree, listing)
    assert [path.as_posix() for path in found] == [NAMES[2], NAMES[0]]


def test_folders_without_photos_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no photos"):
        submissions.find_photos(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        submissions.find_photos(tmp_path / "missing")
    with pytest.raises(InputError, match="path a line"):
        submissions.find_photos(tmp_path, str(tmp_path / "missing.txt"))

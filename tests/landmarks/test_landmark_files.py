import json

import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.landmarks.facemesh import face_from_points
from relightify_jax.landmarks.files import read_landmarks_file, write_landmarks_file

SHAPE = (300, 400, 3)
POINTS = np.random.default_rng(0).uniform(50, 250, (468, 3))


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_written_landmarks_read_back(tmp_path):
    face = face_from_points(POINTS, 0.875)
    write_landmarks_file(tmp_path / "a.json", face, SHAPE)
    read = read_landmarks_file(tmp_path / "a.json", SHAPE)
    np.testing.assert_allclose(read.points, face.points, atol=1e-3)
    np.testing.assert_allclose(read.box, face.box, atol=1e-3)
    assert read.score == 0.875
    assert read.points.dtype == np.float32


def test_landmarks_follow_a_photo_of_another_size(tmp_path):
    write_landmarks_file(tmp_path / "a.json", face_from_points(POINTS, 1.0), SHAPE)
    read = read_landmarks_file(tmp_path / "a.json", (150, 200, 3))
    np.testing.assert_allclose(read.points, POINTS / 2, atol=1e-3)
    with pytest.raises(InputError, match="belongs to a photo of 400x300 pixels"):
        read_landmarks_file(tmp_path / "a.json", (400, 300, 3))


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("plain", [True, False])
def test_a_list_of_points_is_enough(tmp_path, columns, plain):
    points = POINTS[:, :columns].tolist()
    path = write(tmp_path / "a.json", points if plain else {"points": points})
    read = read_landmarks_file(path, SHAPE)
    np.testing.assert_allclose(read.points[:, :columns], POINTS[:, :columns], rtol=1e-6)
    assert columns == 3 or not read.points[:, 2].any()
    assert read.score == 1.0


def test_a_few_points_may_lie_outside(tmp_path):
    points = POINTS.copy()
    points[:100, 1] = 320  # A chin below the photo's edge.
    read = read_landmarks_file(write(tmp_path / "a.json", points.tolist()), SHAPE)
    assert read.box[3] == 320


def broken(change):
    points = POINTS.copy()
    return change(points).tolist()


def one_not_a_number(points):
    points[17, 0] = np.nan
    return points


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (broken(lambda points: points[:68]), "holds 68 points; it needs the 468"),
        (broken(lambda points: np.tile(points, (2, 1))[:478]), "holds 478 points"),
        (broken(one_not_a_number), "point 17 is not a finite number"),
        (broken(lambda points: points + 1000), "only 0 of 468 points lie in the photo of 400x300"),
        (broken(lambda points: points / 400), "fractions of the photo"),
        (broken(lambda points: points[:, :1]), r'no list "points" of \[x, y\]'),
        ({"landmarks": []}, r'no list "points"'),
        ({"points": "none"}, r'no list "points"'),
        ([[1, 2], [3]], r'no list "points"'),
        (7, r'no list "points"'),
        ({"points": POINTS.tolist(), "image_size": [0, 5]}, '"image_size" must be'),
        ({"points": POINTS.tolist(), "image_size": "big"}, '"image_size" must be'),
    ],
)
def test_wrong_landmarks_are_refused_in_one_sentence(tmp_path, content, message):
    path = write(tmp_path / "a.json", content)
    with pytest.raises(InputError, match=message) as caught:
        read_landmarks_file(path, SHAPE)
    text = str(caught.value)
    assert str(path) in text and text.endswith(".") and "\n" not in text


def test_files_that_are_no_json_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_landmarks_file(tmp_path / "missing.json", SHAPE)
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_landmarks_file(tmp_path, SHAPE)
    for data in (b"{", b"\x89PNG\r\n\xff", b""):
        (tmp_path / "a.json").write_bytes(data)
        with pytest.raises(InputError, match="cannot be read as JSON"):
            read_landmarks_file(tmp_path / "a.json", SHAPE)

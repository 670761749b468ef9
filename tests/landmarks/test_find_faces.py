import json
import pathlib
import time

import jax
import numpy as np
import pytest
from PIL import Image

from relightify_jax.core import facemesh as topology
from relightify_jax.core.errors import InputError
from relightify_jax.core.photo import load_photo, srgb_bytes_from_linear
from relightify_jax.landmarks import facemesh, faces
from relightify_jax.landmarks.detector import detection_rounds
from relightify_jax.landmarks.faces import choice_notes, find_faces, select_face

RNG = np.random.default_rng(0)


def deviation(points, expected):
    """Distances (468,) in the image over the distance of the outer eye corners."""
    right, left = (np.asarray(expected)[i, :2] for i in topology.EYE_OUTER)
    offset = np.linalg.norm(np.asarray(points)[:, :2] - np.asarray(expected)[:, :2], axis=1)
    return offset / np.linalg.norm(right - left)


def test_landmarks_agree_with_the_original_runtime(networks, astronaut, astronaut_face):
    file = pathlib.Path(__file__).with_name("astronaut_mediapipe.json")
    original = np.array(json.loads(file.read_text())["points"])
    pixels = srgb_bytes_from_linear(astronaut)
    found = next(detection_rounds(networks.detector, pixels))[0]
    face = facemesh.landmarks_from_keypoints(
        networks.mesh, pixels, found.box, found.keypoints[:2]
    )  # The original looks at one view only.
    error = deviation(face.points, original)
    assert error.mean() < 0.01
    assert error.max() < 0.02
    depth_error = np.abs(face.points[:, 2] - original[:, 2])
    assert depth_error.mean() < 0.02 * np.linalg.norm(original[33] - original[263])
    assert face.score > 0.99
    error = deviation(astronaut_face.points, original)
    assert error.mean() < 0.02 and error.max() < 0.04


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_photo_stored_turned_gives_the_same_landmarks(
    tmp_path, networks, astronaut_path, astronaut_face, orientation
):
    # EXIF 6 says: turn the stored rows clockwise to see them upright.
    turns = {3: 2, 6: 1, 8: -1}[orientation]
    stored = np.rot90(np.asarray(Image.open(astronaut_path).convert("RGB")), turns)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif)
    (face,) = find_faces(networks, load_photo(tmp_path / "turned.png").linear)
    np.testing.assert_allclose(face.points, astronaut_face.points, atol=1e-3)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_photo_lying_on_its_side_gives_turned_landmarks(networks, astronaut, astronaut_face, turns):
    (face,) = find_faces(networks, np.rot90(astronaut, turns))
    expected = astronaut_face.points[:, :2]
    for _ in range(turns):  # Counter-clockwise: the right edge becomes the top.
        expected = np.stack([expected[:, 1], 512 - expected[:, 0]], axis=-1)
    assert deviation(face.points, expected).mean() < 0.01


def test_any_angle_gives_turned_landmarks(networks, astronaut_path, astronaut_face):
    picture = Image.open(astronaut_path).convert("RGB")
    for angle in (40, 165):
        turned = np.asarray(picture.rotate(angle, Image.Resampling.BICUBIC), np.float32) / 255
        (face,) = find_faces(networks, turned**2.2)
        cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        rotation = np.array([[cosine, sine], [-sine, cosine]])
        expected = (astronaut_face.points[:, :2] - 256) @ rotation.T + 256
        assert deviation(face.points, expected).mean() < 0.02


def test_mirrored_photo_gives_mirrored_landmarks(networks, astronaut, astronaut_face):
    (face,) = find_faces(networks, astronaut[:, ::-1])
    mirrored = face.points.copy()
    mirrored[:, 0] = 512 - mirrored[:, 0]
    for side, other in (("LEFT", "RIGHT"), ("RIGHT", "LEFT")):
        for part in ("EYE", "BROW"):
            here = list(getattr(topology, f"{part}_{side}"))
            there = list(getattr(topology, f"{part}_{other}"))
            offset = mirrored[here, :2] - astronaut_face.points[there, :2]
            # One view differs from its mirror image by 1.6 percent, the mean by 0.2.
            assert np.linalg.norm(offset, axis=1).mean() < 0.006 * 63


def test_moving_the_face_moves_its_landmarks(networks, astronaut, astronaut_face):
    moved = np.pad(astronaut, ((37, 0), (0, 91), (0, 0)), mode="edge")
    (face,) = find_faces(networks, moved)
    expected = astronaut_face.points[:, :2] + [0, 37]
    assert deviation(face.points, expected).mean() < 0.01


def test_landmarks_do_not_depend_on_brightness(networks, astronaut, astronaut_face):
    for gain in (0.1, 2.0):
        (face,) = find_faces(networks, np.clip(astronaut * gain, 0, 1))
        assert deviation(face.points, astronaut_face.points).mean() < 0.02


def test_small_face_in_a_large_photo_is_found(networks, astronaut, astronaut_face):
    small = np.asarray(astronaut).reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    photo = np.full((1000, 1400, 3), 0.2, np.float32)
    photo[600:856, 1100:1356] = small
    (face,) = find_faces(networks, photo)
    expected = astronaut_face.points[:, :2] / 2 + [1100, 600]
    assert deviation(face.points, expected).mean() < 0.02
    with pytest.raises(InputError, match=r"measures 4\dx5\d pixels; it needs at least 64"):
        select_face([face], None, photo.shape)


def test_two_faces_come_largest_first(networks, astronaut, astronaut_face):
    photo = np.full((512, 1024, 3), 0.2, np.float32)
    photo[:, 512:] = astronaut
    photo[100:484, 50:434] = np.asarray(
        jax.image.resize(astronaut, (384, 384, 3), "linear", antialias=True)
    )
    found = find_faces(networks, photo)
    assert len(found) == 2
    assert deviation(found[0].points, astronaut_face.points + [512, 0, 0]).mean() < 0.02
    expected = astronaut_face.points[:, :2] * 0.75 + [50, 100]
    assert deviation(found[1].points, expected).mean() < 0.02
    assert select_face(found, None, photo.shape) is found[0]
    assert select_face(found, 1, photo.shape) is found[1]
    assert choice_notes(found, None) == (
        "2 faces found; using the largest, --face=INDEX picks another",
    )
    assert "number 1" in choice_notes(found, 1)[0]
    assert choice_notes(found[:1], None) == ()
    for index in (2, -1):
        with pytest.raises(InputError, match=f"no face number {index}: there are 2 faces"):
            select_face(found, index, photo.shape)


@pytest.mark.parametrize("shape", [(40, 60), (300, 500)])
def test_noise_and_flat_pictures_have_no_face(networks, shape):
    noise = RNG.uniform(size=(*shape, 3)).astype(np.float32)
    assert find_faces(networks, noise) == []
    assert find_faces(networks, np.full((*shape, 3), 0.5, np.float32)) == []
    with pytest.raises(
        InputError, match=f"No face was found in the photo of {shape[1]}x{shape[0]}"
    ):
        select_face([], None, shape)


def test_things_that_look_a_little_like_faces_are_no_faces(networks):
    data = pathlib.Path(pytest.importorskip("skimage").__file__).parent / "data"
    for name in ("motorcycle_left.png", "coffee.png", "rocket.jpg"):
        if (data / name).is_file():  # Wheels of scikit-image differ in what they bring.
            assert find_faces(networks, load_photo(data / name).linear) == [], name


def test_result_has_the_documented_form(astronaut_face):
    points, score, box, spread = astronaut_face
    assert spread.shape == (468,) and spread.dtype == np.float32
    assert points.shape == (468, 3) and points.dtype == np.float32
    assert 0 <= score <= 1
    np.testing.assert_allclose(box[:2], points[:, :2].min(axis=0))
    np.testing.assert_allclose(box[2:], points[:, :2].max(axis=0))
    # The nose is nearer to the camera than the sides of the face.
    assert points[4, 2] < points[234, 2] and points[4, 2] < points[454, 2]


def test_every_size_of_photo_uses_the_same_compiled_networks(networks, astronaut):
    find_faces(networks, astronaut)
    compiled = facemesh.predict._cache_size()
    for cut in (astronaut[:400], astronaut[20:300, 100:350]):
        assert len(find_faces(networks, cut)) == 1
    assert facemesh.predict._cache_size() == compiled


def test_a_second_photo_takes_little_time(networks, astronaut, astronaut_face):
    start = time.process_time()
    find_faces(networks, astronaut)
    assert time.process_time() - start < 1.0  # 0.1 seconds of processor time is usual.


def test_portraits_of_other_people(shared_assets, networks):
    for path in sorted((shared_assets / "photos").glob("nasa_*")):
        linear = load_photo(path).linear
        found = find_faces(networks, linear)
        assert len(found) == 1, path.name
        face = select_face(found, None, linear.shape)
        assert face.score > 0.99
        right, left = (face.points[i, :2] for i in topology.EYE_OUTER)
        # Outer eye corners are about 70 % of the face's width apart.
        assert 0.5 < np.linalg.norm(left - right) / (face.box[2] - face.box[0]) < 0.85


def test_the_same_face_in_two_views_is_kept_once():
    assert faces._same_face((0, 0, 10, 10), (1, 1, 9, 9))
    assert faces._same_face((0, 0, 10, 10), (2, 2, 5, 5))
    assert not faces._same_face((0, 0, 10, 10), (8, 8, 18, 18))

"""Coordinates of the expression lines, found from the landmarks of the shipped model."""

import numpy as np
import pytest

from relightify_jax.core.facemesh import MIRROR
from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.skin.noise import MILLIMETRES_PER_UV
from relightify_jax.skin.wrinkle_lines import FAMILIES, build_wrinkle_lines

_SIZE = 128


@pytest.fixture(scope="module")
def landmarks(embedded_model):
    return landmark_uv(embedded_model)


@pytest.fixture(scope="module")
def lines(landmarks):
    return build_wrinkle_lines(landmarks, _SIZE)


def _at(image, uv, offset=(0.0, 0.0)):
    place = np.asarray(uv) + np.asarray(offset) / MILLIMETRES_PER_UV
    column, row = (place * _SIZE).astype(int)
    return float(image[row, column])


def test_families_lie_where_skin_folds(landmarks, lines):
    places = {
        "forehead": (151, (0, 0)),
        "crow_right": (33, (-13, 2)),
        "crow_left": (263, (13, 2)),
        "lower_lip": (17, (0, -4)),
        "neck": (152, (0, 40)),
        "glabella": (8, (0, -3)),
        "lower_lid_right": (145, (0, 7)),
        "cheek_left": (436, (22, 0)),
    }
    for name, (landmark, offset) in places.items():
        family = FAMILIES[name]
        share, along = (getattr(lines, f"{x}_{family.layer}") for x in ("share", "along"))
        assert _at(share, landmarks[landmark], offset) > 0.4, name
        assert family.begin <= _at(along, landmarks[landmark], offset) < family.end, name
    assert _at(lines.share_0, landmarks[4]) < 0.02, "The tip of the nose does not fold."
    assert _at(lines.share_1, landmarks[4]) < 0.02


def test_pitch_is_the_distance_of_neighbouring_lines(lines):
    texel = MILLIMETRES_PER_UV / _SIZE
    for layer in (0, 1):
        row, along, pitch, share = (
            np.asarray(getattr(lines, f"{x}_{layer}")) for x in ("row", "along", "pitch", "share")
        )
        rows_per_mm = np.hypot(*np.gradient(row, texel))
        for name, family in FAMILIES.items():
            if family.layer != layer:
                continue
            here = (share > 0.3) & (along >= family.begin) & (along < family.end)
            assert here.sum() > 8, name
            assert np.median((rows_per_mm * pitch)[here]) == pytest.approx(1, abs=0.12), name


def test_lines_do_not_depend_on_the_size_of_the_map(landmarks, lines):
    fine = build_wrinkle_lines(landmarks, 2 * _SIZE)
    for name, image in lines._asdict().items():
        halves = np.asarray(getattr(fine, name)).reshape(_SIZE, 2, _SIZE, 2).mean((1, 3))
        assert np.median(np.abs(halves - image)) < 0.02, name


def test_sides_of_folds_are_signed_distances(landmarks, lines):
    assert _at(lines.nasolabial_side, landmarks[50]) > 5
    assert _at(lines.nasolabial_side, landmarks[0]) < -5
    assert _at(lines.chin_side, landmarks[152]) > 5 > -5 > _at(lines.chin_side, landmarks[17])
    assert _at(lines.bag_side, landmarks[117]) > 5 > -3 > _at(lines.bag_side, landmarks[145])
    assert _at(lines.lid_side, landmarks[105]) > 5 > -3 > _at(lines.lid_side, landmarks[159])
    for name in ("nasolabial", "marionette", "chin", "bag", "lid"):
        side = np.asarray(getattr(lines, f"{name}_side"))
        along = np.asarray(getattr(lines, f"{name}_along"))
        near = (np.abs(side) < 6) & (along > 0.2) & (along < 0.8)
        slope = np.hypot(*np.gradient(side, MILLIMETRES_PER_UV / _SIZE))
        assert np.median(slope[near]) == pytest.approx(1, abs=0.05), name


def test_mirrored_landmarks_mirror_the_lines(landmarks, lines):
    mirrored = landmarks[list(MIRROR)] * [-1, 1] + [1, 0]
    other = build_wrinkle_lines(mirrored, _SIZE)
    for name in ("share_0", "share_1", "pitch_0", "nasolabial_side", "lid_side", "drawn_x"):
        image, twin = np.asarray(getattr(lines, name)), np.asarray(getattr(other, name))
        assert np.median(np.abs(image - twin[:, ::-1])) < 1e-3, name
    np.testing.assert_allclose(lines.drawn_x**2 + lines.drawn_y**2, 1, atol=2e-3)


def test_everything_is_finite_and_shares_stay_in_range(lines):
    for name, image in lines._asdict().items():
        assert image.shape == (_SIZE, _SIZE) and np.isfinite(image).all(), name
    for share in (lines.share_0, lines.share_1):
        assert share.min() >= 0 and share.max() <= 1


def test_wrong_number_of_landmarks_is_refused():
    with pytest.raises(ValueError, match="468"):
        build_wrinkle_lines(np.zeros((68, 2)), 8)

"""Regions of the face, found from the landmarks of the shipped model."""

import numpy as np
import pytest

from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.skin.regions import build_regions

_SIZE = 64


@pytest.fixture(scope="module")
def landmarks():
    return landmark_uv(load_embedded_model())


@pytest.fixture(scope="module")
def regions(landmarks):
    return build_regions(landmarks, _SIZE)


def _at(image, uv):
    column, row = (np.asarray(uv) * _SIZE).astype(int)
    return image[row, column]


def test_landmarks_lie_inside_their_regions(landmarks, regions):
    nose_tip, forehead, chin, cheek = (landmarks[i] for i in (4, 151, 199, 50))
    assert _at(regions.nose, nose_tip) > 0.9
    assert _at(regions.forehead, forehead) > 0.8
    assert _at(regions.chin, chin) > 0.8
    assert _at(regions.cheeks, cheek) > 0.8
    assert _at(regions.lip_distance, nose_tip) < -10
    assert _at(regions.neck, nose_tip) < 0.05
    assert _at(regions.beard_distance, chin) > 5
    assert _at(regions.scalp_distance, forehead) < 0
    assert _at(regions.scalp_distance, (0.5, 0.01)) > 0


def test_signed_distances_have_unit_slope_away_from_corners(regions):
    millimetres = 295.0 / _SIZE
    slope = np.hypot(*np.gradient(regions.lip_distance, millimetres))
    assert np.median(slope) == pytest.approx(1.0, abs=0.02)


def test_regions_are_nearly_symmetric(regions):
    for name in ("lip_distance", "eye_distance", "beard_distance"):
        image = getattr(regions, name)
        near = np.abs(image) < 15
        assert np.median(np.abs(image - image[:, ::-1])[near]) < 3.0, name


def test_everything_is_finite_and_masks_stay_in_range(regions):
    for name, image in regions._asdict().items():
        assert np.isfinite(image).all(), name
    masks = "cheeks nose forehead periorbital ears neck nostrils temples perioral nose_wings chin"
    for name in masks.split():
        image = getattr(regions, name)
        assert image.min() >= 0 and image.max() <= 1, name


def test_wrong_number_of_landmarks_is_refused():
    with pytest.raises(ValueError, match="468"):
        build_regions(np.zeros((68, 2)), 8)


def test_a_larger_map_shows_the_same_regions(landmarks):
    small, large = build_regions(landmarks, 256), build_regions(landmarks, 512)
    for name, image in small._asdict().items():
        if name in ("corner_angle", "brow_along", "brow_across"):
            continue  # They jump at the midline.
        shrunk = np.asarray(getattr(large, name)).reshape(256, 2, 256, 2).mean((1, 3))
        assert np.percentile(np.abs(shrunk - image), 99) < 0.1, name


def test_distances_are_exact_near_their_curves_on_large_maps(landmarks):
    regions = build_regions(landmarks, 512)
    millimetres = 295.0 / 512
    for name in ("lip_distance", "eye_distance"):
        image = np.asarray(getattr(regions, name))
        slope = np.hypot(*np.gradient(image, millimetres))[np.abs(image) < 3]
        assert np.percentile(np.abs(slope - 1), 80) < 0.02, name
    assert np.asarray(regions.upper_lid).min() < 0.05


def test_coordinates_have_their_zero_and_sign(landmarks, regions):
    assert abs(_at(regions.across, landmarks[4])) < 6
    assert _at(regions.across, landmarks[280]) > 30
    assert _at(regions.above_mouth, landmarks[0]) > 0 > _at(regions.above_mouth, landmarks[17])
    assert _at(regions.temples, landmarks[139]) > 0.5
    assert _at(regions.perioral, landmarks[164]) > 0.4

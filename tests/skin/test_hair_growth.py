"""Growth of hair, found from the landmarks of the shipped model."""

import numpy as np
import pytest

from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.skin.hair_growth import build_hair_growth

_SIZE = 128


@pytest.fixture(scope="module")
def landmarks(embedded_model):
    return landmark_uv(embedded_model)


@pytest.fixture(scope="module")
def growth(landmarks):
    return build_hair_growth(landmarks, _SIZE)


def _at(image, uv):
    column, row = (np.asarray(uv) * _SIZE).astype(int)
    return float(np.asarray(image)[row, column])


def test_borders_run_where_they_should(landmarks, growth):
    nose_tip, forehead, chin, philtrum, jaw = (landmarks[i] for i in (4, 151, 199, 164, 136))
    cheek = landmarks[50]
    assert _at(growth.hairline, forehead) < -5
    assert _at(growth.hairline, (0.5, 0.01)) > 0
    assert _at(growth.hairline, (0.06, 0.2)) > 0
    assert _at(growth.moustache, philtrum) > 2
    assert _at(growth.goatee, chin) > 3
    assert _at(growth.moustache, chin) < 0 and _at(growth.goatee, nose_tip) < 0
    for place, inside in ((chin, True), (jaw, True), (nose_tip, False), (cheek, False)):
        assert (_at(growth.cheek_line, place) > 0) == inside
    assert _at(growth.neck_line, chin) > 0 > _at(growth.neck_line, (0.5, 0.95))


def test_hair_grows_away_from_where_it_should(landmarks, growth):
    right_tail, left_tail = landmarks[46], landmarks[276]
    assert _at(growth.brow_u, right_tail) < -0.8 and _at(growth.brow_u, left_tail) > 0.8
    assert _at(growth.scalp_v, (0.5, 0.03)) < -0.9
    assert _at(growth.beard_v, landmarks[152]) > 0.8
    above, below = landmarks[159] - [0, 0.02], landmarks[145] + [0, 0.02]
    assert _at(growth.lash_v, above) < -0.3 and _at(growth.lash_v, below) > 0.3
    # A moustache parts in the middle.
    lip = landmarks[164]
    assert _at(growth.beard_u, lip - [0.05, 0]) < -0.3 < 0.3 < _at(growth.beard_u, lip + [0.05, 0])


def test_growth_is_symmetric(growth):
    for name in ("hairline", "cheek_line", "moustache", "goatee", "bare_patch"):
        image = np.asarray(getattr(growth, name))
        np.testing.assert_allclose(image, image[:, ::-1], atol=0.6, err_msg=name)


def test_larger_maps_only_add_detail(landmarks, growth):
    large = build_hair_growth(landmarks, 4 * _SIZE)
    for name, image in growth._asdict().items():
        fine = np.asarray(getattr(large, name))
        pooled = fine.reshape(_SIZE, 4, _SIZE, 4).mean((1, 3))
        scale = np.ptp(pooled)
        # Signed components jump at the middle of the face.
        assert np.median(np.abs(pooled - np.asarray(image))) < 0.002 * scale, name


def test_fields_are_finite_and_bumps_in_range(growth):
    for name, image in growth._asdict().items():
        assert image.shape == (_SIZE, _SIZE) and image.dtype == np.float32, name
        assert np.isfinite(image).all(), name
    for name in ("widows_peak", "temples", "soul_patch"):
        image = np.asarray(getattr(growth, name))
        assert image.min() >= 0 and 0.9 < image.max() <= 1.01, name


def test_wrong_number_of_landmarks_is_refused():
    with pytest.raises(ValueError, match="468"):
        build_hair_growth(np.zeros((68, 2)), 8)

"""Gloss: regional means, and one surface with the relief."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.skin.fields import sample_fields
from relightify_jax.skin.gloss import sample_gloss
from relightify_jax.skin.population import sample_person
from relightify_jax.skin.regions import build_regions
from relightify_jax.skin.relief import sample_relief
from relightify_jax.skin.wrinkle_lines import build_wrinkle_lines

_SIZE = 64
_NUM_PEOPLE = 16


@pytest.fixture(scope="module")
def face(embedded_model):
    landmarks = landmark_uv(embedded_model)
    return build_regions(landmarks, _SIZE), build_wrinkle_lines(landmarks, _SIZE)


def _draw(key, regions, lines, covered, dent):
    person = sample_person(jax.random.fold_in(key, 0))
    fields = sample_fields(jax.random.fold_in(key, 1), _SIZE)
    relief = sample_relief(jax.random.fold_in(key, 2), person, regions, lines, fields)
    relief = relief._replace(height=relief.height + dent)
    return sample_gloss(jax.random.fold_in(key, 3), person, regions, fields, relief, covered)


_ZERO = jnp.zeros((_SIZE, _SIZE))


@pytest.fixture(scope="module")
def draw_people(quick_jit):
    return quick_jit(jax.vmap(_draw, (0, None, None, None, None)))


@pytest.fixture(scope="module")
def people(face, draw_people):
    return draw_people(_keys(), *face, _ZERO, _ZERO)


def _keys():
    return jax.random.split(jax.random.key(0), _NUM_PEOPLE)


def _mean(maps, mask):
    mask = np.asarray(mask)
    return float((np.asarray(maps)[..., 0] * mask).sum((1, 2)).mean() / mask.sum())


def test_regions_shine_as_measured(face, people):
    r = face[0]
    masks = {
        "nose": r.nose > 0.9,
        "cheeks": r.cheeks > 0.7,
        "forehead": (r.forehead_height > 0.3) & (r.forehead_height < 0.6) & (r.forehead > 0.9),
        "lips": (r.lip_distance > 2) & (r.mouth_distance < -3),
        "eyes": (r.periorbital > 0.6) & (r.eye_distance < -2),
    }
    shine = {name: _mean(people.specular, mask) for name, mask in masks.items()}
    rough = {name: _mean(people.roughness, mask) for name, mask in masks.items()}
    assert shine["cheeks"] == pytest.approx(SKIN_SPECULAR_ALBEDO, rel=0.2)
    for name in ("nose", "lips"):
        assert 1.1 < shine[name] / shine["cheeks"] < 1.5, name
    assert 1.05 < shine["forehead"] / shine["cheeks"] < 1.45
    assert 0.65 < shine["eyes"] / shine["cheeks"] < 0.95
    assert 0.50 < rough["cheeks"] < 0.60
    assert 0.38 < rough["nose"] < 0.50
    assert rough["nose"] < rough["forehead"] < rough["cheeks"]


def test_people_differ_and_everything_stays_in_range(people):
    for image in people:
        assert image.shape == (_NUM_PEOPLE, _SIZE, _SIZE, 1)
        assert float(image.min()) > 0 and float(image.max()) <= 1
        assert np.asarray(image).mean((1, 2, 3)).std() > 0.005


def test_hollows_and_hair_shine_less(face, people, draw_people):
    dent = _ZERO.at[32, 20].set(-3.0)
    covered = _ZERO.at[40:44, 40:44].set(1.0)
    changed = draw_people(_keys(), *face, covered, dent)
    specular = np.asarray(changed.specular / people.specular)[..., 0]
    roughness = np.asarray(changed.roughness - people.roughness)[..., 0]
    assert specular[:, 32, 20].max() < 0.8
    assert specular[:, 42, 42].max() < 0.9
    assert roughness[:, 42, 42].min() > 0.02
    np.testing.assert_allclose(specular[:, 8, 8], 1, atol=0.02)

"""Make-up: who wears it and what it covers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.skin import makeup
from relightify_jax.skin.fields import sample_fields
from relightify_jax.skin.population import Person, sample_person
from relightify_jax.skin.regions import build_regions

_SIZE = 48


@pytest.fixture(scope="module")
def faces(quick_jit):
    regions = build_regions(landmark_uv(load_embedded_model()), _SIZE)
    skin = jnp.broadcast_to(jnp.array([0.4, 0.25, 0.18]), (_SIZE, _SIZE, 3))

    @quick_jit
    def make_up(key, male):
        person: Person = sample_person(key)._replace(male=male)
        fields = sample_fields(key, _SIZE)
        return makeup.apply_makeup(key, person, regions, fields, skin)

    def all_of(male):
        return [make_up(jax.random.key(i), jnp.float32(male)) for i in range(30)]

    return regions, np.asarray(skin), {male: all_of(male) for male in (0.0, 1.0)}


def _worn(made, skin):
    return [float(np.max(np.abs(m.albedo - skin))) > 0.02 for m in made]


def test_a_minority_of_women_and_hardly_any_men(faces):
    _, skin, made = faces
    assert 0.15 < np.mean(_worn(made[0.0], skin)) < 0.65
    assert np.mean(_worn(made[1.0], skin)) < 0.15


def test_who_wears_none_is_unchanged(faces):
    _, skin, made = faces
    bare = [m for m, worn in zip(made[0.0], _worn(made[0.0], skin), strict=True) if not worn]
    assert bare
    for face in bare:
        np.testing.assert_allclose(face.albedo, skin, atol=1e-5)
        np.testing.assert_allclose(face.specular, 1.0, atol=1e-5)
        np.testing.assert_allclose(face.roughness, 0.0, atol=1e-5)


def test_neck_ears_and_scalp_stay_bare_and_values_in_range(faces):
    regions, skin, made = faces
    away = np.asarray((regions.neck > 0.99) | (regions.ears > 0.9) | (regions.scalp_distance > 20))
    for face in made[0.0]:
        assert np.max(np.abs(face.albedo - skin)[away]) < 0.03
        assert np.all(face.albedo > 0) and np.all(face.albedo < 1)
        assert np.all(face.specular > 0.4) and np.all(face.specular < 2)
        assert np.all(np.abs(face.roughness) < 0.4)


def test_lipstick_is_on_the_lips(faces):
    regions, skin, made = faces
    change = np.mean([np.abs(m.albedo - skin).sum(-1) for m in made[0.0]], axis=0)
    lips = np.asarray((regions.lip_distance > 2) & (regions.mouth_distance < -2))
    beside = np.asarray((regions.lip_distance < -4) & (regions.lip_distance > -9))
    assert change[lips].mean() > 1.5 * change[beside].mean()

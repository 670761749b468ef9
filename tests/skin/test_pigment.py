"""The colour of bare skin: what is measured, what people have by age and skin type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.skin import marks, optics, pigment, population
from relightify_jax.skin.fields import sample_fields
from relightify_jax.skin.regions import build_regions

_SIZE = 64


@pytest.fixture(scope="module")
def landmarks():
    return landmark_uv(load_embedded_model())


@pytest.fixture(scope="module")
def regions(landmarks):
    return build_regions(landmarks, _SIZE)


@jax.jit
def _paint(key, person, regions):
    size = regions.cheeks.shape[0]
    fields = sample_fields(key, size)
    return pigment.paint_skin(key, person, regions, fields, jnp.zeros((size, size, 2)))


def _person(**values):
    person = population.Person(
        log_melanin=-2.9, log_blood=-3.6, scatter=1.5, oxygenation=0.7, age=30.0, male=0.0,
        eumelanin=0.74, forehead_melanin=0.1, forehead_blood=-0.1,
    )  # fmt: skip
    return jax.tree.map(jnp.float32, person._replace(**values))


def _mean(weight, image):
    return jnp.sum(weight[..., None] * image, (0, 1)) / jnp.sum(weight)


def test_albedo_is_a_colour_and_skin_is_redder_than_blue(regions):
    for melanin in (-4.5, -2.5, -1.2):
        painted = _paint(jax.random.key(3), _person(log_melanin=melanin), regions)
        assert painted.albedo.shape == (_SIZE, _SIZE, 3)
        assert np.all(np.isfinite(painted.albedo)) and np.all(painted.height < 3)
        assert 0 < np.min(painted.albedo) and np.max(painted.albedo) < 0.9
        cheek = _mean(regions.cheeks, painted.albedo)
        assert cheek[0] > cheek[1] > cheek[2]


@pytest.mark.parametrize("melanin", [-3.0, -1.7])
def test_cheek_and_forehead_have_the_persons_pigments(regions, melanin):
    person = _person(log_melanin=melanin, forehead_melanin=0.3, age=19.0, oxygenation=0.95)
    painted = [_paint(jax.random.key(i), person, regions) for i in range(8)]
    cheek = jnp.mean(jnp.stack([_mean(regions.cheeks**2, p.albedo) for p in painted]), 0)
    bare = regions.forehead**2 * (regions.scalp_distance < -10)
    forehead = jnp.mean(jnp.stack([_mean(bare, p.albedo) for p in painted]), 0)

    def colour(melanin, blood):
        return optics.albedo_from_chromophores(
            jnp.exp(melanin), jnp.exp(blood), person.oxygenation, person.scatter
        )

    np.testing.assert_allclose(cheek, colour(melanin, -3.6), atol=0.015)
    np.testing.assert_allclose(forehead, colour(melanin + 0.3, -3.7), atol=0.015)


def test_lips_are_redder_than_the_skin_around(regions):
    for melanin in (-3.5, -2.2):
        albedo = _paint(jax.random.key(0), _person(log_melanin=melanin), regions).albedo
        lips = ((regions.lip_distance > 2) & (regions.mouth_distance < -1)).astype(jnp.float32)
        inside, cheek = _mean(lips, albedo), _mean(regions.cheeks, albedo)
        assert inside[0] / inside[1] > 1.05 * cheek[0] / cheek[1]


@pytest.mark.slow
def test_the_same_face_at_two_sizes(landmarks, regions):
    twice = build_regions(landmarks, 2 * _SIZE)
    person = _person(age=60.0)
    small = _paint(jax.random.key(5), person, regions).albedo
    large = _paint(jax.random.key(5), person, twice).albedo
    shrunk = large.reshape(_SIZE, 2, _SIZE, 2, 3).mean((1, 3))
    away = np.asarray(regions.lip_distance < -6) & np.asarray(regions.eye_distance < -6)
    assert np.median(np.abs(shrunk - small)[away]) < 0.01
    detail = np.asarray(small - _mean(jnp.ones((_SIZE, _SIZE)), small))[away].ravel()
    same = np.asarray(shrunk - _mean(jnp.ones((_SIZE, _SIZE)), shrunk))[away].ravel()
    assert np.corrcoef(detail, same)[0, 1] > 0.9


@pytest.fixture(scope="module")
def mean_marks(regions):
    """Mean amounts of marks of 24 people who differ in one thing."""

    @jax.jit
    def draw(key, person):
        drawn = marks.draw_marks(key, person, regions, sample_fields(key, _SIZE))
        amounts = drawn.log_melanin, drawn.log_blood, drawn.height
        return jnp.stack([jnp.mean(jnp.abs(x)) for x in amounts])

    def mean(**values):
        keys = [jax.random.key(i) for i in range(24)]
        return np.mean([draw(key, _person(**values)) for key in keys], axis=0)

    return mean


def test_light_skin_is_freckled_and_old_skin_spotted(mean_marks):
    young = mean_marks(log_melanin=-3.4, age=20.0)
    assert young[0] > 1.5 * mean_marks(log_melanin=-1.8, age=20.0)[0]
    old = mean_marks(log_melanin=-2.9, age=78.0)
    assert old[0] > 1.2 * mean_marks(log_melanin=-2.9, age=35.0)[0]


def test_acne_is_of_the_young(mean_marks):
    assert mean_marks(age=19.0)[1] > 2 * mean_marks(age=60.0)[1]


def test_vitiligo_is_rare_and_white(regions, monkeypatch):
    fields = jax.jit(sample_fields, static_argnums=1)(jax.random.key(0), _SIZE)
    rare = jax.jit(marks._vitiligo)
    shares = [float(jnp.max(rare(jax.random.key(i), regions, fields))) for i in range(40)]
    assert np.mean(np.array(shares) > 0) < 0.15
    monkeypatch.setattr(marks, "_VITILIGO_SHARE", 1.0)
    always = jax.jit(lambda *given: marks._vitiligo(*given))  # Traced with the new share.
    bleached = always(jax.random.key(1), regions, fields)
    assert 0.005 < float(jnp.mean(bleached)) < 0.5

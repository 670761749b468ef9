"""Hair of whole faces: who has which, and that it stays put when the map grows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.skin import beard, brows, hair, scalp
from relightify_jax.skin.fields import sample_fields
from relightify_jax.skin.hair_growth import build_hair_growth
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import build_regions

_SIZE = 128


def _person(**changes):
    values = dict.fromkeys(Person._fields, 0.0)
    values |= {"log_melanin": -2.8, "log_blood": -3.6, "scatter": 1.0, "oxygenation": 0.7}
    values |= {"age": 35.0, "eumelanin": 0.74} | changes
    return Person(**{name: jnp.float32(value) for name, value in values.items()})


def _keys(count):
    return jax.random.split(jax.random.key(7), count)


@pytest.fixture(scope="module")
def draw(embedded_model, quick_jit):
    """Hair of a person on grey skin at a size of the map."""
    landmarks = landmark_uv(embedded_model)
    add, noise = quick_jit(hair.add_hair), quick_jit(sample_fields, static_argnums=1)

    @functools.cache
    def scene(size):
        regions, growth = build_regions(landmarks, size), build_hair_growth(landmarks, size)
        return regions, growth, jnp.full((size, size, 3), 0.4)

    def run(seed, size=_SIZE, **changes):
        regions, growth, skin = scene(size)
        key = jax.random.key(seed)
        fields = noise(jax.random.fold_in(key, 1), size)
        drawn = add(key, _person(**changes), regions, growth, fields, skin)
        return jax.tree.map(np.asarray, drawn), regions

    return run


def test_maps_are_in_range(draw):
    for seed in range(3):
        drawn, _ = draw(seed, male=1.0, age=60.0)
        assert drawn.albedo.shape == (_SIZE, _SIZE, 3)
        assert 0 < drawn.albedo.min() and drawn.albedo.max() < 0.6
        assert drawn.covered.min() >= 0 and drawn.covered.max() <= 1
        assert drawn.height.min() >= 0 and drawn.height.max() < 0.4


def test_cheeks_and_forehead_are_bare_and_brows_are_not(draw):
    for seed in range(4):
        drawn, regions = draw(seed, male=float(seed % 2))
        brow = np.abs(np.asarray(regions.brow_across)) < 2
        along = np.asarray(regions.brow_along)
        brow &= (along > 0.25) & (along < 0.75)
        assert drawn.covered[brow].mean() > 0.05
        nose = np.asarray(regions.nose) > 0.9
        assert drawn.covered[nose].max() < 0.05
        np.testing.assert_allclose(drawn.albedo[nose].mean(), 0.4, atol=0.01)


@pytest.mark.slow  # A second size to compile; test_strands covers where follicles lie.
def test_the_same_seed_gives_the_same_face_at_every_size(draw):
    for seed in (3, 4):
        small, large = (draw(seed, size, male=1.0)[0] for size in (_SIZE, 2 * _SIZE))
        pooled = large.covered.reshape(_SIZE, 2, _SIZE, 2).mean((1, 3))
        assert np.corrcoef(pooled.ravel(), small.covered.ravel())[0, 1] > 0.97
        assert pooled.mean() == pytest.approx(small.covered.mean(), rel=0.12)
    other = draw(5, male=1.0)[0]
    assert np.corrcoef(other.covered.ravel(), small.covered.ravel())[0, 1] < 0.97


def test_faces_are_deterministic_and_differ_between_keys(draw):
    first, again, other = draw(0)[0], draw(0)[0], draw(1)[0]
    np.testing.assert_array_equal(first.albedo, again.albedo)
    assert np.abs(first.albedo - other.albedo).max() > 0.1


@pytest.fixture(scope="module")
def colours():
    """Colours of 200 people of a kind."""
    sample = jax.jit(jax.vmap(hair.sample_hair_colour, (0, None)))

    def run(**changes):
        return jax.tree.map(np.asarray, sample(_keys(200), _person(**changes)))

    return run


def test_dark_skin_goes_with_dark_hair_and_light_skin_with_all(colours):
    dark, light = colours(log_melanin=-1.5).head.mean(-1), colours(log_melanin=-3.2).head.mean(-1)
    assert dark.max() < 0.03
    assert light.min() < 0.015 and light.max() > 0.1


def test_reddish_melanin_makes_red_hair(colours):
    def redness(eumelanin):
        head = colours(log_melanin=-3.2, eumelanin=eumelanin).head
        return np.mean(head[:, 0] > 2.4 * head[:, 1])

    assert redness(0.64) > 0.5 > 0.1 > redness(0.74)


def test_hair_greys_with_age(colours):
    young, middle, old = (colours(age=age, male=1.0).grey_head for age in (20.0, 50.0, 78.0))
    assert young.max() == 0.0
    assert 0.05 < middle.mean() < 0.4
    assert old.mean() > 0.5


def test_brows_vary_between_people_and_women_wear_them_thinner():
    sample = jax.jit(jax.vmap(brows.sample_brow_shape, (0, None, None)))
    women, men = (sample(_keys(300), _person(male=male), jnp.float32(0.2)) for male in (0.0, 1.0))
    assert float(men.thick.mean()) > 1.25 * float(women.thick.mean())
    assert float(men.strays.mean()) > 3 * float(women.strays.mean())
    for name, least in (("thick", 1.0), ("arch", 1.0), ("rise", 1.0), ("tilt", 1.5)):
        assert float(getattr(men, name).std()) > least, name
    assert all(bool((value >= 0).all()) for value in (men.density, men.thick, men.wide, men.long))


def test_beards_are_for_men_and_their_styles_occur_as_stated():
    sample = jax.jit(jax.vmap(beard.sample_beard_style, (0, None, None)))
    men, women = (sample(_keys(300), _person(male=male), jnp.float32(0.0)) for male in (1.0, 0.0))
    shaven = float(jnp.mean(men.length < 0.5))
    assert shaven == pytest.approx(0.46, abs=0.08)
    assert float(jnp.mean(men.length > 4)) > 0.15
    assert float(women.sides.max()) == 0.0 and float(women.width.max()) < 0.05
    young = sample(_keys(300), _person(male=1.0, age=18.0), jnp.float32(0.0))
    assert float(young.cheek_growth.mean()) < float(men.cheek_growth.mean()) - 0.1


def test_mens_hairlines_recede_with_age():
    sample = jax.jit(jax.vmap(scalp.sample_scalp_style, (0, None)))
    young, old = (sample(_keys(300), _person(male=1.0, age=age)) for age in (20.0, 75.0))
    women = sample(_keys(300), _person(age=75.0))
    assert float(old.recess.mean()) > float(young.recess.mean()) + 8
    assert float(women.recess.mean()) < float(young.recess.mean())


def test_hair_grows_on_lip_and_chin_of_bearded_men_only(draw, embedded_model):
    u, v = (landmark_uv(embedded_model)[199] * _SIZE).astype(int)
    chin = slice(v - 4, v + 5), slice(u - 4, u + 5)
    men, women = (
        [draw(seed, male=male)[0].covered[chin].mean() for seed in range(count)]
        for male, count in ((1.0, 24), (0.0, 6))
    )
    assert max(men) > 0.3 and min(men) < 0.12
    assert max(women) < 0.02

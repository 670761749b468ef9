"""The people: measured statistics per group, and balance over skin tones."""

import jax
import numpy as np
import pytest

from relightify_jax.skin import optics, population

# Means and standard deviations between the people of ISSA: albedo in linear sRGB x 1000, a
# surface reflection of 0.03 taken off (data_pipeline/fit_skin_statistics.py computes them).
_MEASURED = {
    "caucasian": {"cheek": (423, 233, 173, 54, 46, 40), "forehead": (417, 232, 167, 63, 51, 44)},
    "chinese": {"cheek": (405, 228, 162, 52, 44, 36), "forehead": (370, 200, 127, 47, 40, 31)},
    "japanese": {"cheek": (465, 266, 194, 44, 47, 43), "forehead": (415, 235, 157, 57, 50, 44)},
    "thai": {"cheek": (371, 212, 127, 57, 48, 41), "forehead": (321, 168, 97, 62, 44, 35)},
    "iraqi": {"cheek": (368, 201, 136, 60, 45, 38), "forehead": (339, 183, 118, 58, 42, 36)},
    "arabian": {"cheek": (420, 215, 142, 74, 55, 45), "forehead": (381, 201, 123, 77, 53, 44)},
    "pakistani": {"cheek": (308, 174, 102, 84, 58, 43), "forehead": (304, 157, 91, 65, 47, 35)},
    "african": {"cheek": (158, 70, 34, 67, 35, 16), "forehead": (154, 67, 34, 69, 35, 17)},
}


@pytest.fixture(scope="module")
def groups():
    """2,000 people of each group, and their albedo by site."""

    def draw(keys, index):
        people = jax.vmap(population.sample_group, (0, None))(keys, index)
        return people, [population.site_albedo(people, site) for site in ("cheek", "forehead")]

    keys, index = jax.random.split(jax.random.key(0), 2000), np.arange(len(population.GROUPS))
    people, albedo = jax.jit(jax.vmap(draw, (None, 0)))(keys, index)
    return jax.tree.map(np.asarray, people), dict(zip(("cheek", "forehead"), albedo, strict=True))


@pytest.fixture(scope="module")
def people():
    """4,000 people of the balanced population."""
    keys = jax.random.split(jax.random.key(1), 4000)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(population.sample_person))(keys))


@pytest.mark.parametrize("site", ["cheek", "forehead"])
@pytest.mark.parametrize("name", _MEASURED)
def test_albedo_of_a_group_is_the_measured_one(groups, name, site):
    albedo = np.asarray(groups[1][site][list(population.GROUPS).index(name)])
    found = np.concatenate([albedo.mean(0), albedo.std(0)])
    np.testing.assert_allclose(found, np.array(_MEASURED[name][site]) / 1000, atol=0.015)


def test_men_and_the_old_have_more_melanin_in_every_group(groups):
    for index in range(len(population.GROUPS)):
        drawn = jax.tree.map(lambda x, index=index: x[index], groups[0])
        design = np.stack([drawn.male, drawn.age, np.ones_like(drawn.age)], -1)
        (male, age, _), *_ = np.linalg.lstsq(design, drawn.log_melanin, rcond=None)
        assert 0.1 < male < 0.25
        assert 0.15 < 50 * age < 0.5  # Over fifty years.


def typology(people):
    return np.asarray(optics.typology_angle(population.site_albedo(people)))


def test_population_is_balanced_from_very_light_to_very_dark(people):
    counts, _ = np.histogram(typology(people), np.linspace(-60, 60, 7))
    share = counts / len(people.age)
    assert share.min() > 0.12 and share.max() < 0.19
    assert share.sum() > 0.9


def test_sexes_and_ages_are_balanced(people):
    assert 0.46 < np.mean(people.male) < 0.54
    assert 18 <= people.age.min() and people.age.max() <= 80
    assert np.mean(people.age > 60) > 0.1 and np.mean(people.age < 30) > 0.25


def test_every_tone_has_the_lightness_and_the_hue_of_skin(people):
    albedo = np.asarray(population.site_albedo(people))
    assert np.all(albedo[:, 0] > albedo[:, 1]) and np.all(albedo[:, 1] > 0.9 * albedo[:, 2])
    assert albedo.min() > 0.005 and albedo.max() < 0.75
    assert all(np.all(np.isfinite(x)) for x in people)


def test_only_light_people_have_the_pigment_of_red_hair(people):
    red = people.eumelanin < 0.69
    assert 0.005 < np.mean(red) < 0.1
    assert typology(people)[red].min() > 5  # Sex and age come on top of the tone.
    assert np.abs(people.eumelanin[~red] - optics.EUMELANIN_SHARE).max() < 0.04


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="no group 'martian'; have caucasian"):
        population.sample_group(jax.random.key(0), "martian")
    person = population.Person(*np.zeros(9))
    with pytest.raises(ValueError, match="'palm'"):
        population.site_albedo(person, "palm")


def test_name_and_number_of_a_group_draw_the_same_person():
    key = jax.random.key(7)
    named = jax.jit(lambda key: population.sample_group(key, "thai"))(key)
    numbered = jax.jit(population.sample_group)(key, 3)
    for one, other in zip(named, numbered, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)

"""Skin colour: the layer model, its table and what the population looks like."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.skin import optics, population

# Mean measured cheek albedo of ISSA, linear sRGB, surface reflection of 0.03 taken off.
_MEASURED = {
    "caucasian": (0.430, 0.237, 0.177),
    "chinese": (0.408, 0.233, 0.164),
    "japanese": (0.466, 0.266, 0.193),
    "thai": (0.371, 0.211, 0.126),
    "iraqi": (0.369, 0.201, 0.135),
    "arabian": (0.420, 0.215, 0.142),
    "pakistani": (0.323, 0.182, 0.108),
    "african": (0.161, 0.071, 0.034),
}


@pytest.mark.parametrize("name", _MEASURED)
def test_group_means_match_the_measured_cheek(name):
    group = population.GROUPS[name]
    n = np.random.default_rng(0).normal(size=(3, 3000))
    rho = group.correlation
    melanin = np.exp(group.log_melanin + group.log_melanin_sd * n[0])
    mixed = rho * n[0] + np.sqrt(1 - rho**2) * n[1]
    blood = np.exp(group.log_blood + group.log_blood_sd * mixed)
    scatter = np.exp(group.log_scatter + group.log_scatter_sd * n[2])
    albedo = optics.albedo_from_chromophores(melanin, blood, group.oxygenation, scatter)
    np.testing.assert_allclose(np.mean(albedo, 0), _MEASURED[name], atol=0.015)


def test_more_melanin_is_darker_and_lowers_the_typology_angle_as_published():
    melanin = jnp.array([0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3])
    albedo = optics.albedo_from_chromophores(melanin, 0.015)
    angle = np.asarray(optics.typology_angle(albedo))
    assert np.all(np.diff(angle) < 0)
    assert np.all(np.diff(np.asarray(albedo), axis=0) < 0)
    # Monte-Carlo simulation gives these; the closed form is within a few degrees.
    np.testing.assert_allclose(angle, [60, 34, 7, -17, -36, -48, -62], atol=25)
    assert angle[0] > 50 and angle[-1] < -50


def test_more_blood_is_redder():
    albedo = np.asarray(optics.albedo_from_chromophores(0.05, jnp.array([0.005, 0.02, 0.08])))
    assert np.all(np.diff(albedo[:, 0] / albedo[:, 1]) > 0)


def test_strong_scattering_without_pigment_approaches_white():
    albedo = optics.albedo_from_chromophores(jnp.zeros(2), 0.0, 0.7, jnp.array([1e2, 1e4]))
    assert np.all(np.asarray(albedo[1]) > 0.95) and np.all(np.asarray(albedo) <= 1)
    assert np.all(np.asarray(albedo[1]) > np.asarray(albedo[0]))


def test_table_equals_the_formula():
    key = jax.random.key(0)
    melanin = 0.5 * jax.random.uniform(key, (500,)) ** 3
    blood = 0.3 * jax.random.uniform(jax.random.fold_in(key, 1), (500,)) ** 4
    table = optics.build_albedo_table(0.6, 1.3, 0.008)
    found = optics.look_up_albedo(table, melanin, blood)
    expected = optics.albedo_from_chromophores(melanin, blood, 0.6, 1.3, 0.008)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_table_clamps_beyond_its_range():
    table = optics.build_albedo_table()
    found = optics.look_up_albedo(table, jnp.array([0.9]), jnp.array([0.9]))
    np.testing.assert_allclose(found, table.rgb[-1, -1][None], atol=1e-6)


def test_population_is_balanced_from_very_light_to_very_dark():
    people = jax.jit(jax.vmap(population.sample_person))(jax.random.split(jax.random.key(0), 800))
    albedo = optics.albedo_from_chromophores(
        jnp.exp(people.log_melanin), jnp.exp(people.log_blood), people.oxygenation, people.scatter
    )
    angle = np.asarray(optics.typology_angle(albedo))
    counts, _ = np.histogram(angle, [-90, -45, -15, 10, 28, 41, 90])
    assert counts.min() > 0.06 * counts.sum()
    assert 0.4 < np.mean(people.male) < 0.6
    assert 18 <= np.min(people.age) and np.max(people.age) <= 80

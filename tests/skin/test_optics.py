"""Skin colour: the layer model and its table."""

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.skin import optics


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


def test_pheomelanin_is_redder_and_the_default_share_is_the_fitted_one():
    melanin, blood = jnp.full(2, 0.1), jnp.full(2, 0.02)
    share = jnp.array([0.74, 0.6])
    albedo = np.asarray(optics.albedo_from_chromophores(melanin, blood, eumelanin=share))
    np.testing.assert_allclose(albedo[0], optics.albedo_from_chromophores(0.1, 0.02), rtol=1e-5)
    assert albedo[1, 0] / albedo[1, 2] > 1.01 * albedo[0, 0] / albedo[0, 2]


def test_spectrum_shows_the_bands_of_oxygenated_blood():
    spectrum = np.asarray(optics.reflectance_spectrum(0.02, 0.02, 1.0))
    at = dict(zip(range(400, 701, 20), spectrum, strict=True))
    assert at[540] < at[560] and at[580] < at[560] < at[600]
    # Without oxygen there is one band instead of the two.
    single = np.asarray(optics.reflectance_spectrum(0.02, 0.02, 0.0))
    assert single[8] < single[7] and single[8] < single[9]


def test_grey_spectrum_is_grey():
    # White itself would be clipped.
    np.testing.assert_allclose(optics.rgb_from_spectrum(jnp.full(16, 0.5)), 0.5, atol=1e-3)


def draw_scalars(key):
    """Oxygenation, scatter, thickness and eumelanin share of 24 people, in wide ranges."""
    low, high = np.array([0.1, 0.45, 0.003, 0.55]), np.array([1.0, 5.0, 0.025, 0.85])
    return (low + (high - low) * jax.random.uniform(key, (24, 4))).T


def test_table_and_its_gradient_equal_the_formula():
    def compare(scalars, points):
        table = optics.build_albedo_table(*scalars)

        # The roots that the table is even in; both go from 0 to 1.
        def looked_up(x):
            return optics.look_up_albedo(table, 0.5 * x[0] ** 3, 0.3 * x[1] ** 4)

        def computed(x):
            return optics.albedo_from_chromophores(0.5 * x[0] ** 3, 0.3 * x[1] ** 4, *scalars)

        values = [jax.vmap(f)(points) for f in (looked_up, computed)]
        slopes = [jax.vmap(jax.jacfwd(f))(points) for f in (looked_up, computed)]
        return values, slopes

    points = jax.random.uniform(jax.random.key(0), (400, 2), minval=0.02, maxval=0.99)
    scalars = jnp.stack(draw_scalars(jax.random.key(1)), -1)
    values, slopes = jax.jit(jax.vmap(compare, (0, None)))(scalars, points)
    np.testing.assert_allclose(values[0], values[1], atol=1e-3)
    error, scale = np.asarray(slopes[0] - slopes[1]), np.asarray(slopes[1])
    assert np.abs(error).max() < 0.1 and np.abs(scale).max() > 1
    assert np.sqrt(np.mean(error**2)) < 0.03 * np.sqrt(np.mean(scale**2))


def test_gradients_are_finite_without_any_pigment():
    def total(pigments):
        table = optics.build_albedo_table()
        exact = optics.albedo_from_chromophores(*pigments)
        return jnp.sum(optics.look_up_albedo(table, *pigments) + exact)

    assert np.all(np.isfinite(jax.jit(jax.grad(total))(jnp.zeros(2))))


def test_table_clamps_beyond_its_range():
    table = optics.build_albedo_table()
    found = optics.look_up_albedo(table, jnp.array([0.9]), jnp.array([0.9]))
    np.testing.assert_allclose(found, table.rgb[-1, -1][None], atol=1e-6)

"""Colours of lamps, the painted scenes and how they are turned, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.color import luminance
from relightify_jax.light_stage import families, illuminants, illumination
from relightify_jax.rendering.lighting import latlong_directions, shade_sh


def test_known_illuminants_have_their_colours():
    np.testing.assert_allclose(illuminants.rgb_of_temperature(6504.0), 1.0, atol=2e-3)
    # CIE illuminant A, XYZ 1.0985 1 0.3558, through the matrix of sRGB. Sixteen samples up to
    # 700 nm lack some of its red.
    light_bulb = illuminants.rgb_of_temperature(2856.0)
    np.testing.assert_allclose(light_bulb, [1.845, 0.826, 0.233], rtol=0.015)


def test_light_turns_from_red_to_blue_and_keeps_its_luminance():
    rgb = illuminants.rgb_of_temperature(np.geomspace(1800, 20000, 60))
    np.testing.assert_allclose(luminance(rgb), 1.0, rtol=1e-5)
    assert np.all(np.diff(rgb[:, 0]) < 0) and np.all(np.diff(rgb[:, 2]) >= 0)
    assert np.min(rgb) > 0


@pytest.mark.parametrize("name", families.FAMILIES)
def test_scenes_are_light(name):
    paint, share = families.FAMILIES[name]
    for seed in range(8):
        scene = paint(np.random.default_rng(seed))
        assert scene.radiance.shape == (16, 32, 3) and np.all(np.isfinite(scene.radiance))
        assert np.min(scene.radiance) >= 0 and len(scene.lamps) <= families.NUM_LAMPS
        lit = np.sum(scene.radiance) + sum(np.sum(lamp.radiance) for lamp in scene.lamps)
        assert lit > 0.1
        for lamp in scene.lamps:
            np.testing.assert_allclose(np.linalg.norm(lamp.direction), 1, rtol=1e-5)
            assert np.min(lamp.radiance) >= 0 and lamp.distance > 0.35
    assert 0 < share < 1


def test_a_wide_light_has_the_irradiance_that_it_says():
    direction = np.array([0.6, 0.0, 0.8])
    grid, area = latlong_directions(16, 32)
    for half_angle in (0.3, 0.6):
        scene = families._wide_light(direction, half_angle, np.array([1.0, 2.0, 3.0]))
        facing = np.maximum(grid @ direction, 0) * area
        np.testing.assert_allclose(np.sum(scene * facing[..., None], (0, 1)) / np.pi, [1, 2, 3])


def sunny_map():
    """Sky of radiance 1 with a sun towards (0.6, 0.0, -0.8), behind the head."""
    grid, _ = latlong_directions(32, 64)
    sun = grid @ np.array([0.6, 0.0, -0.8], np.float32) > np.cos(0.08)
    return np.where(sun[..., None], [900.0, 800.0, 600.0], [0.5, 0.6, 1.0]).astype(np.float32)


def test_a_measured_sun_becomes_a_lamp_in_front():
    bank = illumination.build_bank([sunny_map()])
    np.testing.assert_allclose(jnp.sum(jnp.exp(bank.log_weight)), 1, rtol=1e-4)
    np.testing.assert_allclose(jnp.exp(bank.log_weight[-1]), 0.5, rtol=1e-4)
    np.testing.assert_allclose(bank.direction[-1, 0], [0, 0, 1], atol=0.05)
    np.testing.assert_allclose(
        bank.radiance[-1, 0] / bank.radiance[-1, 0, 0], [1, 0.889, 0.667], atol=0.01
    )
    # Next to the sun the sky is faint, and blue.
    sky = shade_sh(jnp.array([0.0, 0.0, 1.0]), bank.sh[-1])
    assert sky[2] > 1.5 * sky[0] and sky[0] < bank.radiance[-1, 0, 0]


def test_mirrored_harmonics_are_those_of_the_mirrored_light():
    signs = illumination._mirror_signs()
    assert np.all(np.abs(signs) == 1) and np.sum(signs < 0) == 10
    sh = jax.random.normal(jax.random.key(0), (25, 3))
    normal = jnp.array([0.48, 0.6, 0.64])
    mirrored = shade_sh(normal * jnp.array([-1.0, 1.0, 1.0]), sh * signs[:, None])
    np.testing.assert_allclose(mirrored, shade_sh(normal, sh), atol=1e-5)


def test_illumination_keeps_the_irradiance_of_lamps_at_any_distance():
    bank = illumination.build_bank()
    center = jnp.array([0.0, 0.02, 0.05])
    draw = jax.jit(jax.vmap(lambda key: illumination.draw_illumination(key, bank, center)))
    drawn = draw(jax.random.split(jax.random.key(1), 64))
    away = drawn.lamps.position - center
    distance = jnp.linalg.norm(away, axis=-1)
    assert np.min(distance) > 0.34
    arriving = luminance(drawn.lamps.intensity) / (np.pi * distance**2)
    # A face that looks into the light is about 1 bright in the bank.
    assert np.max(arriving) < 8 and 0.1 < np.mean(jnp.max(arriving, axis=1)) < 2
    on = np.mean(arriving > 0.02)
    assert 0.3 < on < 0.9
    # All around, but mostly in front.
    front = np.asarray(away[..., 2] > 0)[np.asarray(arriving) > 0.3]
    assert 0.55 < front.mean() < 0.98

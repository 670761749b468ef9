"""Spherical harmonics against numeric integration over the sphere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from relightify_jax.rendering import lighting

rotate_light = jax.jit(lighting.rotate_light)
DIRECTIONS, SOLID_ANGLE = lighting.latlong_directions(64, 128)


def integrate(values):
    """Integral over the sphere of values (64, 128, ...)."""
    weight = np.broadcast_to(SOLID_ANGLE, DIRECTIONS.shape[:2])
    return np.tensordot(weight, np.asarray(values), axes=((0, 1), (0, 1)))


def random_normals(num=20):
    normals = np.random.default_rng(0).normal(size=(num, 3))
    return (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)


def test_basis_is_orthonormal_and_lower_orders_are_its_beginning():
    directions, solid_angle = lighting.latlong_directions(128, 256)
    basis = np.asarray(lighting.sh_basis(directions, 4))
    gram = np.einsum("hwk,hwl,hw->kl", basis, basis, np.broadcast_to(solid_angle, (128, 256)))
    np.testing.assert_allclose(gram, np.eye(25), atol=2e-3)
    for order in range(4):
        np.testing.assert_array_equal(
            lighting.sh_basis(directions[:4], order), basis[:4, :, : (order + 1) ** 2]
        )
    np.testing.assert_allclose(SOLID_ANGLE.sum() * 128, 4 * np.pi, rtol=1e-5)


def test_basis_equals_scipys():
    """Real combinations of the complex ones, without the Condon-Shortley sign."""
    directions = random_normals()
    theta = np.arccos(directions[:, 2])
    phi = np.arctan2(directions[:, 1], directions[:, 0])
    expected = []
    for band in range(5):
        for m in range(-band, band + 1):
            value = sph_harm_y(band, abs(m), theta, phi) * (-1.0) ** m * np.sqrt(2)
            part = value.imag if m < 0 else value.real
            expected.append(part / np.sqrt(2) if m == 0 else part)
    basis = lighting.sh_basis(directions, 4)
    np.testing.assert_allclose(basis, np.stack(expected, axis=-1), atol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_irradiance_equals_quadrature_for_band_limited_light(order):
    sh = jax.random.normal(jax.random.key(0), ((order + 1) ** 2, 3))
    radiance = np.asarray(lighting.radiance_sh(DIRECTIONS, sh))
    normals = random_normals()
    cosine = np.maximum(np.einsum("hwc,nc->hwn", DIRECTIONS, normals), 0)
    expected = integrate(cosine[..., None] * radiance[:, :, None, :]) / np.pi
    np.testing.assert_allclose(lighting.shade_sh(normals, sh), expected, atol=5e-3)


def test_a_number_of_coefficients_that_is_no_order_is_named():
    with pytest.raises(ValueError, match="10 coefficients"):
        lighting.shade_sh(random_normals(), jnp.zeros((10, 3)))
    with pytest.raises(ValueError, match="order 5"):
        lighting.sh_basis(random_normals(), 5)


def test_environment_round_trip_and_axes():
    sh = jax.random.normal(jax.random.key(1), (25, 3))
    environment = lighting.radiance_sh(jnp.asarray(DIRECTIONS), sh)
    np.testing.assert_allclose(lighting.environment_to_sh(environment, 4), sh, atol=1e-2)
    np.testing.assert_allclose(lighting.environment_to_sh(environment), sh[:9], atol=1e-2)
    np.testing.assert_allclose(DIRECTIONS[0, 0], [0, 1, 0], atol=0.05)  # Top row: up.
    np.testing.assert_allclose(DIRECTIONS[32, 64], [0, 0, -1], atol=0.06)  # Middle: -Z.
    assert DIRECTIONS[32, 96, 0] > 0.99  # Right of the middle: +X.


def test_uniform_light_shades_and_looks_uniform():
    sh = lighting.uniform_sh([0.2, 0.3, 0.4], order=4)
    for values in (lighting.shade_sh(random_normals(), sh), lighting.radiance_sh(DIRECTIONS, sh)):
        np.testing.assert_allclose(
            values, np.broadcast_to([0.2, 0.3, 0.4], values.shape), rtol=1e-5
        )


@pytest.mark.parametrize("half_angle", [0.9, 1.2, np.pi / 2])
def test_disc_equals_the_projection_of_a_disc(half_angle):
    direction = np.array([0.48, 0.6, 0.64])
    disc = (DIRECTIONS @ direction > np.cos(half_angle)) / np.sin(half_angle) ** 2
    expected = lighting.environment_to_sh(jnp.asarray(disc[..., None] * [1.0, 0.5, 0.2]))
    sh = lighting.disc_sh(5 * direction, half_angle, [1.0, 0.5, 0.2])
    np.testing.assert_allclose(sh, expected, atol=0.06)
    finer = lighting.disc_sh(direction, half_angle, [1.0, 0.5, 0.2], order=4)
    np.testing.assert_allclose(finer[:9], sh, atol=1e-6)
    expected = lighting.environment_to_sh(jnp.asarray(disc[..., None] * [1.0, 0.5, 0.2]), 4)
    np.testing.assert_allclose(finer, expected, atol=0.06)
    assert abs(float(lighting.shade_sh(jnp.array(direction), sh)[0]) - 1) < 0.1


def test_blur_keeps_the_mean_and_removes_detail():
    sh = jax.random.normal(jax.random.key(2), (9, 3))
    sharp = np.asarray(lighting.radiance_sh(DIRECTIONS, sh, 0.0))
    blurred = np.asarray(lighting.radiance_sh(DIRECTIONS, sh, 0.7))
    flat = np.asarray(lighting.radiance_sh(DIRECTIONS, sh, 10.0))
    np.testing.assert_allclose(integrate(sharp), integrate(blurred), atol=1e-2)
    assert blurred.std() < 0.8 * sharp.std()
    assert flat.std(axis=(0, 1)).max() < 1e-4


def test_windowing_tames_the_ringing_beside_a_lamp_and_keeps_the_mean():
    lamp = lighting.disc_sh([0.0, 0.0, 1.0], 0.1, [1.0, 1.0, 1.0], order=4)
    dips = [
        float(jnp.min(lighting.radiance_sh(DIRECTIONS, lighting.window_sh(lamp, strength))))
        for strength in (0.0, 0.002, 0.01)
    ]
    assert dips[0] < -0.8 and dips[1] > 0.55 * dips[0] and dips[2] > 0.15 * dips[0]
    np.testing.assert_allclose(lighting.window_sh(lamp, 0.02)[0], lamp[0])


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_rotated_light_equals_light_seen_from_turned_directions(order, seed):
    keys = jax.random.split(jax.random.key(seed), 2)
    light = lighting.Light(
        jax.random.normal(keys[0], ((order + 1) ** 2, 3)),
        jnp.asarray(random_normals(3)),
        jax.random.uniform(keys[1], (3, 3)),
    )
    rotation = jnp.asarray(Rotation.random(rng=seed).as_matrix(), jnp.float32)
    turned = rotate_light(light, rotation)
    normals = random_normals()
    for look in (lighting.shade_sh, lighting.radiance_sh):
        np.testing.assert_allclose(
            look(normals @ rotation.T, turned.sh), look(normals, light.sh), atol=1e-4
        )
    np.testing.assert_allclose(turned.directions, light.directions @ rotation.T, atol=1e-6)


def test_rotation_about_y_turns_front_to_the_subjects_left():
    rotation = lighting.rotation_about_y(np.pi / 2)
    np.testing.assert_allclose(rotation @ jnp.array([0.0, 0.0, 1.0]), [1, 0, 0], atol=1e-6)


def test_presets_are_distinct_well_formed_and_expose_skin():
    lights = lighting.named_lights()
    assert len(lights) >= 8
    front = random_normals(400)
    front = front[front[:, 2] > 0.4]
    brightness = {}
    for name, light in lights.items():
        assert jax.tree.map(jnp.shape, light) == ((9, 3), (3, 3), (3, 3)), name
        np.testing.assert_allclose(np.linalg.norm(light.directions, axis=-1), 1.0, atol=1e-5)
        assert (light.radiance >= 0).all()
        cosine = np.maximum(front @ np.asarray(light.directions).T, 0)
        value = np.maximum(lighting.shade_sh(front, light.sh), 0) + cosine @ np.asarray(
            light.radiance
        )
        brightness[name] = 0.4 * value @ [0.2126, 0.7152, 0.0722]
        # The lit side of a middling skin is neither lost nor burnt out.
        assert 0.15 < np.percentile(brightness[name], 90) < 0.7, name
    assert len({round(float(b.mean()), 4) for b in brightness.values()}) == len(lights)


def test_scaled_light_is_linear():
    light = lighting.named_lights()["studio"]
    brighter = lighting.scale_light(light, 2.0)
    np.testing.assert_allclose(brighter.sh, 2 * light.sh)
    np.testing.assert_allclose(brighter.radiance, 2 * light.radiance)
    np.testing.assert_array_equal(brighter.directions, light.directions)

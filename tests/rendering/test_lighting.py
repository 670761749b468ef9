"""Spherical harmonics against numeric integration over the sphere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from relightify_jax.rendering import lighting

DIRECTIONS, SOLID_ANGLE = lighting.latlong_directions(64, 128)


def integrate(values):
    """Integral over the sphere of values (64, 128, ...)."""
    weight = np.broadcast_to(SOLID_ANGLE, DIRECTIONS.shape[:2])
    return np.tensordot(weight, np.asarray(values), axes=((0, 1), (0, 1)))


def random_normals(num=20):
    normals = np.random.default_rng(0).normal(size=(num, 3))
    return (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)


def test_basis_is_orthonormal():
    basis = np.asarray(lighting.sh_basis(DIRECTIONS))
    gram = integrate(basis[..., :, None] * basis[..., None, :])
    np.testing.assert_allclose(gram, np.eye(9), atol=2e-3)
    np.testing.assert_allclose(SOLID_ANGLE.sum() * 128, 4 * np.pi, rtol=1e-5)


def test_irradiance_equals_quadrature_for_band_limited_light():
    sh = jax.random.normal(jax.random.key(0), (9, 3))
    radiance = np.asarray(lighting.radiance_sh(DIRECTIONS, sh))
    normals = random_normals()
    cosine = np.maximum(np.einsum("hwc,nc->hwn", DIRECTIONS, normals), 0)
    expected = integrate(cosine[..., None] * radiance[:, :, None, :]) / np.pi
    np.testing.assert_allclose(lighting.shade_sh(normals, sh), expected, atol=5e-3)


def test_environment_round_trip_and_axes():
    sh = jax.random.normal(jax.random.key(1), (9, 3))
    environment = lighting.radiance_sh(jnp.asarray(DIRECTIONS), sh)
    np.testing.assert_allclose(lighting.environment_to_sh(environment), sh, atol=5e-3)
    np.testing.assert_allclose(DIRECTIONS[0, 0], [0, 1, 0], atol=0.05)  # Top row: up.
    np.testing.assert_allclose(DIRECTIONS[32, 64], [0, 0, -1], atol=0.06)  # Middle: -Z.
    assert DIRECTIONS[32, 96, 0] > 0.99  # Right of the middle: +X.


def test_uniform_light_shades_and_looks_uniform():
    sh = lighting.uniform_sh([0.2, 0.3, 0.4])
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
    assert abs(float(lighting.shade_sh(jnp.array(direction), sh)[0]) - 1) < 0.1


def test_blur_keeps_the_mean_and_removes_detail():
    sh = jax.random.normal(jax.random.key(2), (9, 3))
    sharp = np.asarray(lighting.radiance_sh(DIRECTIONS, sh, 0.0))
    blurred = np.asarray(lighting.radiance_sh(DIRECTIONS, sh, 0.7))
    flat = np.asarray(lighting.radiance_sh(DIRECTIONS, sh, 10.0))
    np.testing.assert_allclose(integrate(sharp), integrate(blurred), atol=1e-2)
    assert blurred.std() < 0.8 * sharp.std()
    assert flat.std(axis=(0, 1)).max() < 1e-4


def test_rotated_light_equals_light_seen_from_turned_normals():
    keys = jax.random.split(jax.random.key(3), 2)
    light = lighting.Light(
        jax.random.normal(keys[0], (9, 3)),
        jnp.asarray(random_normals(3)),
        jax.random.uniform(keys[1], (3, 3)),
    )
    rotation = jnp.asarray(Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix(), jnp.float32)
    turned = jax.jit(lighting.rotate_light)(light, rotation)
    normals = random_normals()
    np.testing.assert_allclose(
        lighting.shade_sh(normals @ rotation.T, turned.sh),
        lighting.shade_sh(normals, light.sh),
        atol=1e-4,
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

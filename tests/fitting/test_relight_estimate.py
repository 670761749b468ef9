"""Light from known skin: what was rendered is recovered."""

import jax
import jax.numpy as jnp
import pytest

from relightify_jax.core.numerics import normalize
from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.fitting.relight_estimate import estimate_light
from relightify_jax.rendering.lighting import Light, disc_sh, shade_sh, uniform_sh
from relightify_jax.rendering.shading import shade

SIZE = 64
VIEW = jnp.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def skin():
    """A bumpy front half of a ball with varied skin: normals and albedo."""
    key_normal, key_albedo = jax.random.split(jax.random.key(3))
    axis = jnp.linspace(-0.95, 0.95, SIZE)
    x, y = jnp.meshgrid(axis, axis)
    z = jnp.sqrt(jnp.maximum(1.1 - x**2 - y**2, 0.05))
    bumps = 0.1 * jax.random.normal(key_normal, (SIZE, SIZE, 3))
    normals = normalize(jnp.stack([x, y, z], axis=-1) + bumps)
    shift = 0.05 * jax.random.normal(key_albedo, (SIZE, SIZE, 1))
    albedo = jnp.clip(jnp.array([0.45, 0.28, 0.2]) + shift, 0.05, 1.0)
    return normals, albedo


def lit(skin, sh):
    normals, albedo = skin
    gloss = jnp.full((SIZE, SIZE, 1), SKIN_SPECULAR_ALBEDO)
    light = Light(sh, VIEW[None], jnp.zeros((1, 3)))
    return shade(albedo, gloss, normals, jnp.broadcast_to(VIEW, normals.shape), light)


def toward(normals):
    return jnp.broadcast_to(VIEW, normals.shape)


LIGHTS = {
    "even": uniform_sh([0.8, 0.8, 0.8]),
    "warm from the side": uniform_sh([0.2, 0.2, 0.2])
    + disc_sh([1.0, 0.3, 0.6], 1.2, [0.7, 0.6, 0.5]),
}


@pytest.mark.parametrize("name", LIGHTS)
def test_rerender_under_the_estimate_equals_the_photo(skin, name):
    photo = lit(skin, LIGHTS[name])
    normals, albedo = skin
    sh = estimate_light(photo, jnp.ones((SIZE, SIZE, 1)), albedo, normals, toward(normals))
    again = lit(skin, sh)
    assert float(jnp.mean(jnp.abs(again - photo)) / jnp.mean(photo)) < 0.06


def test_a_patch_of_something_else_hardly_changes_the_light(skin):
    normals, albedo = skin
    photo = lit(skin, LIGHTS["even"])
    seen = jnp.ones((SIZE, SIZE, 1))
    clean = estimate_light(photo, seen, albedo, normals, toward(normals))
    spoiled = photo.at[:16, :24].set(jnp.array([0.0, 0.1, 0.9]))
    estimate = estimate_light(spoiled, seen, albedo, normals, toward(normals))
    change = shade_sh(normals, estimate - clean) / shade_sh(normals, clean)
    assert float(jnp.mean(jnp.abs(change))) < 0.05


def test_without_observation_the_light_is_finite_and_shines(skin):
    normals, albedo = skin
    zeros = jnp.zeros((SIZE, SIZE, 3))
    sh = estimate_light(zeros, zeros[..., :1], albedo, normals, toward(normals))
    assert float(jnp.min(shade_sh(normals, sh))) > 0

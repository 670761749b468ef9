"""Energy, reciprocity and agreement of the skin model with numeric integration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.rendering import shading
from relightify_jax.rendering.lighting import Light, latlong_directions, uniform_sh

pytestmark = pytest.mark.usefixtures("quick_compilation")

shade = jax.jit(shading.shade)
specular_brdf = jax.jit(shading.specular_brdf)

DIRECTIONS, SOLID_ANGLE = latlong_directions(128, 256)
UP = np.float32([0, 1, 0])


def view_at(cosine):
    return np.float32([np.sqrt(1 - cosine**2), cosine, 0])


def one_beam(direction, radiance=1.0):
    return Light(jnp.zeros((9, 3)), jnp.array([direction], jnp.float32), jnp.full((1, 3), radiance))


def reflected(roughness, f0, cosine):
    """Integral of the GGX lobe times the cosine over all light directions."""
    brdf = specular_brdf(
        jnp.broadcast_to(UP, DIRECTIONS.shape),
        jnp.broadcast_to(view_at(cosine), DIRECTIONS.shape),
        jnp.asarray(DIRECTIONS),
        jnp.full((*DIRECTIONS.shape[:2], 1), roughness),
        jnp.float32(f0),
    )
    return float(np.sum(np.asarray(brdf)[..., 0] * np.maximum(DIRECTIONS[..., 1], 0) * SOLID_ANGLE))


def test_white_lambert_surface_in_a_white_furnace_renders_one():
    light = Light(uniform_sh([1.0, 1.0, 1.0]), jnp.eye(3)[:1], jnp.zeros((1, 3)))
    out = shade(jnp.ones(3), jnp.zeros(1), UP, view_at(0.7), light, 1.0)
    # Specular albedo 0 still has Schlick's grazing term; together they return everything.
    assert np.all(out <= 1.0 + 1e-5) and np.all(out > 0.99)


@pytest.mark.parametrize("roughness", [0.3, 0.45, 0.8])
@pytest.mark.parametrize("cosine", [0.2, 0.6, 1.0])
def test_specular_lobe_conserves_energy_and_the_split_sum_agrees(roughness, cosine):
    total = reflected(roughness, 1.0, cosine)
    assert 0.5 < total <= 1.005
    skin = reflected(roughness, 0.028, cosine)
    fitted = shading.specular_albedo_of_lobe(jnp.array([cosine]), roughness, 0.028)
    assert abs(float(fitted[0]) - skin) < 0.02


def test_specular_lobe_is_reciprocal_and_dark_below_the_horizon():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 100, 3)).astype(np.float32)
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    normals = jnp.broadcast_to(UP, a.shape)
    roughness = jnp.full((100, 1), 0.4)
    forward = specular_brdf(normals, a, b, roughness, 0.04)
    backward = specular_brdf(normals, b, a, roughness, 0.04)
    np.testing.assert_allclose(forward, backward, rtol=1e-4, atol=1e-7)
    below = (a[:, 1] <= 0) | (b[:, 1] <= 0)
    assert below.any() and not np.asarray(forward)[below].any()


@pytest.mark.parametrize("scatter", [0.0, (0.3, 0.1, 0.05)])
def test_surface_returns_no_more_light_than_it_gets_from_one_beam(scatter):
    """White albedo, S = 1, a beam at 50 degrees: the outgoing flux stays below the incoming."""
    direction = view_at(np.cos(0.87))
    upper = DIRECTIONS[:64]
    out = shade(
        jnp.ones((*upper.shape[:2], 3)), jnp.ones((*upper.shape[:2], 1)),
        jnp.broadcast_to(UP, upper.shape), jnp.asarray(upper), one_beam(direction), 0.45,
        scatter=scatter,
    )  # fmt: skip
    flux = np.sum(np.asarray(out) * (upper[..., 1] * SOLID_ANGLE[:64])[..., None], axis=(0, 1))
    incoming = np.pi * direction[1]
    assert np.all(flux <= incoming * 1.001) and np.all(flux > 0.8 * incoming)


def test_lambert_surface_facing_a_beam_renders_with_its_radiance():
    out = shade(jnp.full(3, 0.5), jnp.zeros(1), UP, UP, one_beam(UP, 0.8), 1.0)
    np.testing.assert_allclose(out, 0.4, atol=1e-4)


def test_scatter_moves_light_past_the_terminator_and_keeps_its_sum():
    cosine = np.linspace(-1, 1, 20001)
    for wrap in (0.0, 0.1, 0.3):
        total = np.trapezoid(np.asarray(shading._wrapped_cosine(cosine, wrap)), cosine)
        np.testing.assert_allclose(total, 0.5, atol=1e-4)
    shadow = shade(
        jnp.ones(3), jnp.zeros(1), UP, UP, one_beam(view_at(-0.1)), 0.5, scatter=(0.3, 0.15, 0.0)
    )
    assert shadow[0] > shadow[1] > shadow[2] == 0


def test_occlusion_and_visibility_darken_what_they_should():
    light = Light(uniform_sh([1.0, 1.0, 1.0]), jnp.array([UP]), jnp.ones((1, 3)))
    render = lambda **options: shade(  # noqa: E731
        jnp.array([0.6, 0.3, 0.2]), jnp.array([0.35]), UP, view_at(0.8), light, **options
    )
    full, shadowed = render(), render(visibility=jnp.zeros(1))
    closed = render(occlusion=jnp.zeros(1), visibility=jnp.zeros(1))
    half = render(occlusion=jnp.array([0.5]), visibility=jnp.zeros(1))
    np.testing.assert_allclose(closed, 0.0, atol=1e-5)
    assert np.all(closed < half) and np.all(half < shadowed) and np.all(shadowed < full)
    np.testing.assert_allclose(render(occlusion=jnp.ones(1)), full, rtol=0.02)
    # Light bounces inside a crease in proportion to the albedo: red skin gets redder.
    assert half[0] / half[2] > shadowed[0] / shadowed[2]


def test_shading_broadcasts_over_pixels_and_texels():
    light = Light(uniform_sh([0.5, 0.5, 0.5]), jnp.eye(3)[:2], jnp.ones((2, 3)))
    normals = jnp.broadcast_to(UP, (4, 5, 3))
    out = shade(jnp.full((4, 5, 3), 0.3), jnp.full((4, 5, 1), 0.35), normals, normals, light)
    single = shade(jnp.full(3, 0.3), jnp.full(1, 0.35), UP, UP, light)
    np.testing.assert_allclose(out, jnp.broadcast_to(single, (4, 5, 3)), rtol=1e-5)


def test_gradients_are_finite_where_normals_vanish_and_below_the_horizon():
    """Background pixels have zero normals, and some lights shine from behind."""
    normals = jnp.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])

    def loss(albedo, specular, normals, view, light):
        return jnp.sum(shading.shade(albedo, specular, normals, view, light, scatter=0.2) ** 2)

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3, 4)))(
        jnp.full((4, 3), 0.4),
        jnp.full((4, 1), 0.35),
        normals,
        jnp.tile(UP, (4, 1)),
        Light(uniform_sh([0.3, 0.3, 0.3]), jnp.array([UP, [1, 0, 0], -UP]), jnp.ones((3, 3))),
    )
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))

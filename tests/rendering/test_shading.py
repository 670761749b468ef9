"""Sums over the light: against fine sums, furnaces, shadows, and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.rendering import brdf, shading
from relightify_jax.rendering.lighting import (
    Light,
    latlong_directions,
    named_lights,
    radiance_sh,
    rotate_light,
    uniform_sh,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

shade = jax.jit(shading.shade, static_argnames=("diffuse", "specular"))
specular_quadrature = jax.jit(shading.specular_quadrature)
diffuse_quadrature = jax.jit(shading.diffuse_quadrature)

UP = np.float32([0, 1, 0])
NO_BEAM = jnp.array([[0.0, 1, 0]]), jnp.zeros((1, 3))


def view_at(cosine):
    return np.float32([np.sqrt(1 - cosine**2), cosine, 0])


def one_beam(direction, radiance=1.0):
    return Light(jnp.zeros((9, 3)), jnp.array([direction], jnp.float32), jnp.full((1, 3), radiance))


def surfaces(num=100, seed=0):
    """Random normals and views (num, 3), at least 12 degrees off the horizon."""
    normals, view = np.random.default_rng(seed).normal(size=(2, num, 3))
    normals, view = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (normals, view))
    cosine = np.sum(normals * view, -1, keepdims=True)
    view = np.where(cosine < 0, view - 2 * cosine * normals, view)
    view = view + np.maximum(0.2 - np.abs(cosine), 0) * normals
    view /= np.linalg.norm(view, axis=-1, keepdims=True)
    return jnp.asarray(normals, jnp.float32), jnp.asarray(view, jnp.float32)


def sky(height):
    """A smooth coloured sky (height, 2 height, 3), not band-limited."""
    directions = latlong_directions(height, 2 * height)[0]
    return jnp.exp(1.5 * directions @ np.float32([[1, 0.2, -0.4], [0.5, 1, 0.3], [0.4, 0.8, 1]]))


@functools.cache
def fine_sheen(roughness):
    """The same integral by NumPy in float64 on 180 x 360 texels, (100, 3)."""
    directions, area = latlong_directions(180, 360)
    directions, area = directions.reshape(-1, 3).astype(float), np.repeat(area, 360).astype(float)
    radiance = np.asarray(sky(180), float).reshape(-1, 3) * area[:, None]
    alpha2, f0 = roughness**4, 0.028
    result = []
    for n, v in zip(*(np.asarray(x, float) for x in surfaces()), strict=True):
        upper = directions @ n > 0
        light, half = directions[upper], directions[upper] + v
        half /= np.linalg.norm(half, axis=-1, keepdims=True)
        n_l, n_v, n_h, v_h = light @ n, n @ v, half @ n, half @ v
        smith = lambda c: (np.sqrt(1 + alpha2 * (1 / c**2 - 1)) - 1) / 2  # noqa: E731
        d = alpha2 / np.pi / (n_h**2 * (alpha2 - 1) + 1) ** 2
        lobe = d / (1 + smith(n_l) + smith(n_v)) / (4 * n_v) * (f0 + (1 - f0) * (1 - v_h) ** 5)
        result.append(lobe @ radiance[upper])
    return np.array(result)


@pytest.mark.parametrize(
    ("roughness", "height", "tolerance"),
    [(0.5, 16, 0.03), (0.5, 32, 0.012), (0.5, 64, 0.01), (0.35, 64, 0.012)],
)
def test_sheen_equals_a_fine_independent_integral(roughness, height, tolerance):
    normals, view = surfaces()
    ones = jnp.ones((100, 1))
    sheen = specular_quadrature(
        normals, view, roughness * ones, 0.028 * ones, jnp.zeros((9, 3)), sky(height)
    )
    expected = fine_sheen(roughness)
    assert np.mean(np.abs(sheen - expected)) < tolerance * np.mean(expected)
    preview = shading.split_sum(normals, view, roughness * ones, 0.028 * ones, jnp.zeros((9, 3)))
    assert preview.shape == sheen.shape


def test_sheen_of_a_light_without_a_map_is_that_of_its_own_radiance():
    """To a few per cent of the sheen; split-sum is off by several times that."""
    normals, view = surfaces()
    ones = jnp.ones((100, 1))
    sh = named_lights()["window left"].sh
    fine = radiance_sh(jnp.asarray(latlong_directions(64, 128)[0]), sh)
    arguments = normals, view, 0.5 * ones, 0.028 * ones, sh
    exact = specular_quadrature(*arguments, fine)
    error = lambda x: float(jnp.mean(jnp.abs(x - exact)) / jnp.mean(exact))  # noqa: E731
    assert error(specular_quadrature(*arguments)) < 0.025
    assert error(shading.split_sum(*arguments)) > 0.05


def test_sheen_is_linear_in_the_environment_and_independent_of_the_block_sizes():
    normals, view = surfaces(37)
    ones = jnp.ones((37, 1))
    first, second = sky(6), jnp.flip(sky(6), axis=(0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shading, "_PIXEL_BLOCK", 5)
        patch.setattr(shading, "_DIRECTION_BLOCK", 7)
        run = jax.jit(
            lambda e: shading.specular_quadrature(
                normals, view, 0.5 * ones, 0.03 * ones, jnp.zeros((9, 3)), e
            )
        )
        np.testing.assert_allclose(
            run(2 * first + second), 2 * run(first) + run(second), rtol=1e-4, atol=1e-6
        )
    np.testing.assert_allclose(run(first), run_in_one(normals, view, first), rtol=1e-4)


def run_in_one(normals, view, environment):
    """The sum without blocks."""
    directions, radiance, area = shading._grid(None, environment)
    ones = jnp.ones((len(normals), 1))
    surface = normals, view, 0.5 * ones, 0.03 * ones
    kernel = shading._specular_kernel(surface, directions, lobes=brdf.ONE_LOBE)
    n_v = jnp.sum(normals * view, axis=-1, keepdims=True)
    albedo = brdf.specular_albedo_of_lobe(n_v, 0.5, 0.03)
    return albedo * (kernel @ (radiance * area)) / (kernel @ area)


@pytest.mark.parametrize("specular", ["quadrature", "split_sum"])
@pytest.mark.parametrize("roughness", [0.2, 0.5, 1.0])
def test_furnace(specular, roughness):
    """Uniform light 1: a black surface returns the albedo of its lobe, a white one 1."""
    normals, view = surfaces()
    light = Light(uniform_sh([1.0, 1.0, 1.0]), *NO_BEAM)
    black, white = (
        shade(jnp.full((100, 3), a), jnp.full((100, 1), 0.35), normals, view, light, roughness,
              specular=specular)
        for a in (0.0, 1.0)
    )  # fmt: skip
    n_v = jnp.sum(normals * view, axis=-1, keepdims=True)
    albedo = brdf.specular_albedo_of_lobe(n_v, roughness, 0.028)
    np.testing.assert_allclose(black, jnp.broadcast_to(albedo, black.shape), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(white, 1.0, atol=1e-3)


def test_diffuse_by_quadrature_equals_spherical_harmonics_of_band_limited_light():
    normals, view = surfaces()
    ones = jnp.ones((100, 1))
    light = named_lights()["window left"]
    fine = radiance_sh(jnp.asarray(latlong_directions(64, 128)[0]), light.sh)
    bands = brdf.diffuse_bands(
        jnp.sum(normals * view, -1, keepdims=True), 0.5 * ones, 0.03 * ones, 2
    )
    expected = shading.shade_sh(normals, light.sh, bands)
    summed = diffuse_quadrature(normals, view, 0.5 * ones, 0.03 * ones, light.sh, fine)
    # Order 2 misses little of the smooth kernel, and nothing of the light.
    np.testing.assert_allclose(summed, expected, atol=2e-3)


def test_order_four_is_taken_from_the_light_and_turns_with_it():
    sh = jax.random.normal(jax.random.key(0), (25, 3)) * 0.2 + uniform_sh([1.0, 1.0, 1.0], 4)
    light = Light(sh, jnp.eye(3)[:1], jnp.full((1, 3), 0.5))
    angle = 0.7
    rotation = jnp.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]],
        jnp.float32,
    )
    normals, view = surfaces()
    look = lambda n, v, light: shade(  # noqa: E731
        jnp.full((100, 3), 0.5), jnp.full((100, 1), 0.35), n, v, light, specular="split_sum"
    )
    turned = look(normals @ rotation.T, view @ rotation.T, rotate_light(light, rotation))
    np.testing.assert_allclose(turned, look(normals, view, light), atol=1e-4)


def test_surface_returns_no_more_light_than_it_gets_from_one_beam():
    """White albedo, S = 1, a beam at 50 degrees: the outgoing flux stays below the incoming."""
    directions, area = latlong_directions(128, 256)
    upper, area = directions[:64], area[:64, :, None]
    direction = view_at(np.cos(0.87))
    for scatter in (0.0, (0.3, 0.1, 0.05)):
        out = shade(
            jnp.ones((*upper.shape[:2], 3)), jnp.ones((*upper.shape[:2], 1)),
            jnp.broadcast_to(UP, upper.shape), jnp.asarray(upper), one_beam(direction), 0.45,
            scatter=jnp.asarray(scatter), specular="split_sum",
        )  # fmt: skip
        flux = np.sum(np.asarray(out) * upper[..., 1:2] * area, axis=(0, 1))
        incoming = np.pi * direction[1]
        assert np.all(flux <= incoming * 1.002) and np.all(flux > 0.8 * incoming)


def test_lambert_surface_facing_a_beam_renders_with_its_radiance():
    """But for the few per cent that the lobe takes from the base, or gives it."""
    out = shade(
        jnp.full(3, 0.5),
        jnp.zeros(1),
        UP,
        view_at(0.8),
        one_beam(UP, 0.8),
        1.0,
        specular="split_sum",
    )
    np.testing.assert_allclose(out, 0.4, rtol=0.02)


def test_irradiance_replaces_the_normal_and_carries_the_shadow():
    light = Light(uniform_sh([0.6, 0.6, 0.6]), *NO_BEAM)
    look = lambda **options: shade(  # noqa: E731
        jnp.full(3, 0.5), jnp.zeros(1), UP, UP, light, specular="split_sum", **options
    )
    np.testing.assert_allclose(look(irradiance=jnp.full(3, 0.6)), look(), rtol=0.01)
    np.testing.assert_allclose(look(irradiance=jnp.zeros(3)), 0, atol=1e-3)
    # Occlusion does not darken twice; it only says how much bounces.
    half = look(irradiance=jnp.full(3, 0.3), occlusion=jnp.array([0.5]))
    np.testing.assert_allclose(half, look(occlusion=jnp.array([0.5])), rtol=0.02)
    assert np.all(half > look(irradiance=jnp.full(3, 0.3)))


def test_occlusion_and_visibility_darken_what_they_should():
    light = Light(uniform_sh([1.0, 1.0, 1.0]), jnp.array([UP]), jnp.ones((1, 3)))
    render = lambda **options: shade(  # noqa: E731
        jnp.array([0.6, 0.3, 0.2]),
        jnp.array([0.35]),
        UP,
        view_at(0.8),
        light,
        specular="split_sum",
        **options,
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
    np.testing.assert_allclose(out, jnp.broadcast_to(single, (4, 5, 3)), rtol=1e-4)


def test_nothing_recompiles_when_only_values_change():
    surface = jnp.full(3, 0.3), jnp.full(1, 0.35), UP, UP
    arguments = dict(environment=sky(4), diffuse="quadrature")
    shade(*surface, named_lights()["studio"], 0.5, **arguments)
    before = shade._cache_size()
    shade(*surface, named_lights()["neon"], 0.3, **arguments | {"environment": 2 * sky(4)})
    assert shade._cache_size() == before


@pytest.mark.parametrize(
    "options",
    [
        dict(specular="split_sum"),
        dict(specular="quadrature", diffuse="quadrature", environment=sky(4)),
    ],
)
def test_gradients_are_finite_where_normals_vanish_and_below_the_horizon(options):
    """Background pixels have zero normals, and some lights shine from behind."""
    normals = jnp.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])

    def loss(albedo, specular, normals, view, light):
        color = shading.shade(albedo, specular, normals, view, light, scatter=0.2, **options)
        return jnp.sum(color**2)

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3, 4)))(
        jnp.full((4, 3), 0.4),
        jnp.full((4, 1), 0.35),
        normals,
        jnp.tile(UP, (4, 1)),
        Light(uniform_sh([0.3, 0.3, 0.3]), jnp.array([UP, [1, 0, 0], -UP]), jnp.ones((3, 3))),
    )
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_gradients_of_the_sheen_equal_finite_differences():
    normals, view = surfaces(6)
    ones = jnp.ones((6, 1))

    def total(environment, roughness):
        sheen = shading.specular_quadrature(
            normals, view, roughness * ones, 0.03 * ones, None, environment
        )
        return jnp.sum(sheen)

    value = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
    here, (by_map, by_roughness) = value(sky(6), 0.5)
    # Linear in the map: the gradient times the map is the value.
    np.testing.assert_allclose(jnp.sum(by_map * sky(6)), here, rtol=1e-4)
    step = (value(sky(6), 0.51)[0] - value(sky(6), 0.49)[0]) / 0.02
    np.testing.assert_allclose(by_roughness, step, rtol=0.02)

"""The whole BRDF: energy, reciprocity, and its fits against quadrature written out here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.rendering import brdf
from relightify_jax.rendering.lighting import LAMBERT_BANDS, latlong_directions

pytestmark = pytest.mark.usefixtures("quick_compilation")

UP = np.float32([0, 1, 0])
LOBES = (brdf.ONE_LOBE, brdf.TWO_LOBES)
response = jax.jit(brdf.directional_response)
lobe_albedo = jax.jit(brdf.specular_albedo_of_lobe)


def hemisphere(num=96):
    """Directions (N, 3) about +Y and weights (N,), dense opposite +X, where we look from."""
    x, weight = np.polynomial.legendre.leggauss(num)
    t, weight_t = np.polynomial.legendre.leggauss(2 * num)
    theta, phi = np.meshgrid((x + 1) * np.pi / 4, np.pi + np.pi * t**3, indexing="ij")
    area = np.sin(theta) * np.outer(weight * np.pi / 4, 3 * np.pi * t**2 * weight_t)
    directions = np.stack([np.sin(theta) * np.cos(phi), np.cos(theta), np.sin(theta) * np.sin(phi)])
    return directions.reshape(3, -1).T, area.ravel()


DIRECTIONS, WEIGHT = hemisphere()


def view_at(cosine):
    return np.array([np.sqrt(1 - cosine**2), cosine, 0])


def reference_lobe(roughness, f0, view, lobes=brdf.ONE_LOBE):
    """Independent NumPy float64: GGX, Smith by Heitz's Lambda, Schlick; for DIRECTIONS."""
    half = DIRECTIONS + view
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    n_l, n_v, n_h = DIRECTIONS[:, 1], view[1], half[:, 1]
    total = 0
    for weight, spread in zip(*lobes, strict=True):
        alpha = spread * roughness**2
        tangent2 = lambda c: 1 / c**2 - 1  # noqa: E731
        smith = lambda c: (np.sqrt(1 + alpha**2 * tangent2(c)) - 1) / 2  # noqa: E731, B023
        distribution = alpha**2 / (np.pi * n_h**4 * (alpha**2 + tangent2(n_h)) ** 2)
        total += weight * distribution / (1 + smith(n_l) + smith(n_v)) / (4 * n_l * n_v)
    return total * (f0 + (1 - f0) * (1 - np.sum(view * half, -1)) ** 5)


@pytest.mark.parametrize("lobes", LOBES)
def test_lobe_equals_an_independent_one(lobes):
    for roughness, cosine in ((0.3, 0.9), (0.5, 0.3), (0.65, 0.7)):
        view = view_at(cosine)
        ours = brdf.specular_brdf(
            jnp.broadcast_to(UP, DIRECTIONS.shape), jnp.asarray(view, jnp.float32),
            jnp.asarray(DIRECTIONS, jnp.float32), jnp.full((len(DIRECTIONS), 1), roughness),
            jnp.full((len(DIRECTIONS), 1), 0.04), lobes,
        )[:, 0]  # fmt: skip
        expected = reference_lobe(roughness, 0.04, view, lobes)
        np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("lobes", LOBES)
def test_fit_of_the_lobes_albedo(lobes):
    for roughness in (0.25, 0.4, 0.5, 0.7):
        for f0 in (0.0, 0.028, 0.08):
            cosine = np.array([0.06, 0.2, 0.4, 0.7, 1.0])
            exact = [
                np.sum(reference_lobe(roughness, f0, view_at(c), lobes) * DIRECTIONS[:, 1] * WEIGHT)
                for c in cosine
            ]
            fitted = lobe_albedo(jnp.asarray(cosine[:, None]), roughness, f0, lobes)[:, 0]
            np.testing.assert_allclose(fitted, exact, atol=5e-3)
            if f0 == 0.028 and lobes is brdf.ONE_LOBE:  # Skin: relative, seen from where one does.
                np.testing.assert_allclose(fitted[1:], exact[1:], rtol=0.025)


@pytest.mark.parametrize("scatter", [0.0, (0.3, 0.1, 0.05)])
@pytest.mark.parametrize("roughness", [0.2, 0.35, 0.5, 0.8, 1.0])
def test_white_furnace(roughness, scatter):
    """The diffuse part of a white surface and the albedo of its lobe add up to one."""
    sphere, area = latlong_directions(96, 192)
    for cosine in (0.1, 0.4, 0.8, 1.0):
        arguments = (
            jnp.broadcast_to(UP, sphere.shape), jnp.asarray(view_at(cosine), jnp.float32),
            jnp.asarray(sphere),
            jnp.float32(roughness), jnp.asarray(scatter),
        )  # fmt: skip
        shape = (*sphere.shape[:2], 1)
        full, black = (
            response(jnp.full((*shape[:2], 3), a), jnp.ones(shape), *arguments) for a in (1.0, 0.0)
        )
        diffuse = np.sum((full - black) * area[..., None], axis=(0, 1)) / np.pi
        albedo = float(lobe_albedo(jnp.full((1,), cosine), roughness, 0.08)[0])
        total = diffuse + albedo
        # A soft terminator loses a little at grazing light, and gains nothing.
        assert np.all(total < 1 + 1e-3)
        assert np.all(total > 1 - (1e-3 if scatter == 0 else 0.011))
        lobe = np.sum(reference_lobe(roughness, 0.08, view_at(cosine)) * DIRECTIONS[:, 1] * WEIGHT)
        assert np.all(diffuse + lobe <= 1 + 4e-3)


@pytest.mark.parametrize("lobes", LOBES)
def test_whole_brdf_is_reciprocal(lobes):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200, 3)).astype(np.float32)
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    a[:, 1], b[:, 1] = np.abs(a[:, 1]) + 0.02, np.abs(b[:, 1]) + 0.02
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    surface = jnp.full((200, 3), 0.5), jnp.full((200, 1), 0.5), jnp.broadcast_to(UP, a.shape)
    there = response(*surface, a, b, 0.4, 0.0, lobes) / b[:, 1:2]
    back = response(*surface, b, a, 0.4, 0.0, lobes) / a[:, 1:2]
    np.testing.assert_allclose(there, back, rtol=2e-3)
    # The diffuse part depends on both directions: it is not Lambert.
    assert np.std(np.asarray(there)[:, 0]) > 0.01


def test_nothing_specular_below_the_horizon_and_scatter_past_the_terminator():
    below = jnp.asarray(view_at(-0.1), jnp.float32)
    seen = jnp.asarray(view_at(0.9), jnp.float32)
    shadow = response(jnp.ones(3), jnp.ones(1), UP, seen, below, 0.5, jnp.array([0.3, 0.15, 0.0]))
    assert shadow[0] > shadow[1] > shadow[2] == 0
    assert not np.any(response(jnp.zeros(3), jnp.ones(1), UP, below, UP, 0.5, 0.0))


def test_bands_are_those_of_the_response():
    """Zonal projection of the response by Gauss-Legendre; without a lobe, Lambert's."""
    x, weight = np.polynomial.legendre.leggauss(60)
    x, weight = (x + 1) / 2, weight / 2
    n_v, roughness, f0 = jnp.array([0.6]), jnp.array([0.5]), jnp.array([0.05])
    values = brdf.diffuse_response(jnp.asarray(x[:, None], jnp.float32), n_v, roughness, f0)[:, 0]
    legendre = np.stack([np.polynomial.legendre.Legendre.basis(n)(x) for n in range(5)])
    bands = brdf.diffuse_bands(n_v, roughness, f0, 4)
    np.testing.assert_allclose(bands, 2 * legendre @ (weight * np.asarray(values)), atol=1e-4)
    np.testing.assert_allclose(brdf._MOMENTS[:, 0], LAMBERT_BANDS, atol=1e-6)


def test_gradients_are_finite_for_vanishing_normals_and_opposed_directions():
    normals = jnp.array([[0.0, 0, 0], [0, 1, 0], [0, -1, 0], [1, 0, 0]])

    def total(albedo, specular, normals, view, direction, roughness):
        return jnp.sum(brdf.directional_response(
            albedo, specular, normals, view, direction, roughness, 0.2, brdf.TWO_LOBES
        ))  # fmt: skip

    for direction in (UP, -UP, np.float32([1, 0, 0])):
        gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3, 4, 5)))(
            jnp.full((4, 3), 0.4), jnp.full((4, 1), 0.35), normals, jnp.tile(UP, (4, 1)),
            jnp.asarray(direction), jnp.full((4, 1), 0.5),
        )  # fmt: skip
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))

"""Relief of the skin: one face at all sizes, deeper with age, lit as it is tilted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.skin import relief
from relightify_jax.skin.fields import sample_fields
from relightify_jax.skin.noise import MILLIMETRES_PER_UV
from relightify_jax.skin.population import sample_person
from relightify_jax.skin.regions import build_regions
from relightify_jax.skin.wrinkle_lines import build_wrinkle_lines


@pytest.fixture(scope="module")
def sample(embedded_model):
    landmarks = landmark_uv(embedded_model)

    person = jax.jit(sample_person)(jax.random.key(1))
    fields = jax.jit(sample_fields, static_argnums=1)(jax.random.key(7), 256)
    draw = jax.jit(relief.sample_relief)

    def at(size, age):
        regions = build_regions(landmarks, size)
        lines = build_wrinkle_lines(landmarks, size)
        block = (size, 256 // size, size, 256 // size)
        seen = jax.tree.map(lambda image: image.reshape(block).mean((1, 3)), fields)
        aged = person._replace(age=jnp.float32(age))
        return draw(jax.random.key(3), aged, regions, lines, seen), regions

    return at


def _square_slope(height):
    texel = MILLIMETRES_PER_UV / height.shape[0]
    slopes = [(jnp.roll(height, -1, axis) - jnp.roll(height, 1, axis)) for axis in (0, 1)]
    return sum(jnp.square(s / (2 * texel)) for s in slopes)


@pytest.mark.slow
def test_the_same_face_at_every_size(sample):
    (small, _), (large, _) = sample(128, 70), sample(256, 70)
    halves = np.asarray(large.height).reshape(128, 2, 128, 2).mean((1, 3))
    assert np.corrcoef(np.asarray(small.height).ravel(), halves.ravel())[0, 1] > 0.97
    # Nothing is lost with the detail: slope goes to the variance.
    total = [float(jnp.mean(_square_slope(r.height) + r.slope_variance)) for r in (small, large)]
    assert total[0] == pytest.approx(total[1], rel=0.1)
    assert float(jnp.mean(small.slope_variance)) > float(jnp.mean(large.slope_variance))


def test_wrinkles_deepen_with_age(sample):
    deepest = []
    for age in (20, 45, 75):
        result, regions = sample(128, age)
        assert np.isfinite(result.height).all() and float(result.slope_variance.min()) >= 0
        forehead = np.asarray(regions.forehead) > 0.5
        deepest.append(-np.percentile(np.asarray(result.height)[forehead], 5))
    assert 0 < deepest[0] < 0.06, "A young forehead has faint lines."
    assert deepest[0] < deepest[1] < deepest[2] < 1.5


def test_cavity_is_open_on_flat_skin_and_closed_in_pits():
    flat = relief.cavity(jnp.full((64, 64), 0.3))
    np.testing.assert_allclose(flat, 1, atol=1e-4)
    pit = jnp.zeros((64, 64)).at[32, 32].set(-2.0)
    openness = relief.cavity(pit)
    assert float(openness[32, 32]) < 0.7 < float(openness[32, 40])
    assert float(openness.min()) > 0 and float(openness.max()) <= 1
    ridge = relief.cavity(-pit)
    assert float(ridge[32, 32]) == 1


@pytest.mark.parametrize("size", [64, 1024])
def test_normals_of_a_ramp_tilt_by_its_slope(size):
    texel = MILLIMETRES_PER_UV / size
    shape = (size, size, 1)
    along_u = jnp.tile(jnp.array([texel, 0.0, 0.0]), shape)
    along_v = jnp.tile(jnp.array([0.0, -texel, 0.0]), shape)
    height = jnp.tile(0.3 * texel * jnp.arange(float(size)), (size, 1))
    normals = jnp.tile(jnp.array([0.0, 0.0, 1.0]), shape)
    bumped = relief.bump_normals(normals, height, along_u, along_v)[:, 1:-1]
    expected = np.array([-0.3, 0.0, 1.0]) / np.hypot(0.3, 1)
    np.testing.assert_allclose(bumped, np.broadcast_to(expected, bumped.shape), atol=2e-4)


def test_softened_regions_keep_their_mean_and_lose_their_edge():
    mask = jnp.zeros((256, 256)).at[100:160, 100:160].set(1.0)
    soft = relief.soften(mask)
    assert float(soft.mean()) == pytest.approx(float(mask.mean()), rel=0.02)
    assert float(jnp.abs(jnp.diff(soft, axis=0)).max()) < 0.3

"""Spots and vessels: their amounts, places and independence of the size of the map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.skin import stamps
from relightify_jax.skin.noise import MILLIMETRES_PER_UV
from relightify_jax.skin.surface import skin_scale

_draw_spots = jax.jit(
    stamps.draw_spots, static_argnums=(1, 2), static_argnames="num_layers peaks".split()
)
_grow = jax.jit(stamps.grow_vessels, static_argnames=("steps", "branches"))
_draw_vessels = jax.jit(stamps.draw_vessels, static_argnums=(1, 2))


def _round_spot(place, radius, strength=1.0, layer=0):
    number = jnp.zeros((1, 8))
    return stamps.random_spots(
        number, jnp.array([place]), jnp.array([radius]), jnp.array([strength]), 0.0, 0.1, layer
    )


def test_a_spot_covers_its_area_of_skin_at_every_size():
    place, radius = (150.0, 150.0), 4.0
    scale = np.asarray(skin_scale(jnp.array(place)))
    for size in (64, 256):
        drawn = _draw_spots(_round_spot(place, radius), size, 12.0)[0]
        texel = MILLIMETRES_PER_UV / size
        area = float(jnp.sum(drawn)) * texel**2 * np.prod(scale)
        # A soft border adds a little: the mean of r^2 under the logistic is 1 + (pi s)^2 / 3.
        assert area == pytest.approx(np.pi * radius**2 * (1 + (0.1 * np.pi) ** 2 / 3), rel=0.06)
        rows, columns = np.indices(drawn.shape) + 0.5
        middle = [np.sum(axis * drawn) / np.sum(drawn) * texel for axis in (columns, rows)]
        np.testing.assert_allclose(middle, place, atol=0.15)


def test_spots_go_to_their_layer_and_off_the_map_nowhere():
    spots = _round_spot((-4.0, 100.0), 2.0, layer=1)
    drawn = _draw_spots(spots, 64, 12.0, num_layers=2)
    assert drawn.shape == (2, 64, 64)
    assert np.all(drawn[0] == 0)
    assert np.argmax(np.max(np.abs(drawn[1]), 0)) == 0  # Nothing wraps to the right edge.
    assert np.all(drawn[1][:, 10:] == 0)


def test_peaks_are_cones_over_minus_one():
    spots = _round_spot((150.0, 150.0), 20.0)
    cone = _draw_spots(spots, 64, 25.0, peaks=True)[0]
    assert cone[0, 0] == -1 and 0.8 < np.max(cone) <= 1
    empty = _draw_spots(spots._replace(strength=jnp.zeros(1)), 64, 25.0, peaks=True)
    np.testing.assert_array_equal(empty, -1)


def test_vessels_are_connected_and_as_long_as_asked():
    one = jnp.ones(3)
    vessels = _grow(
        jax.random.key(0), 100 * jnp.ones((3, 2)), one, 12 * one, one, 0.3 * one,
        steps=6, branches=2,
    )  # fmt: skip
    assert vessels.start.shape == (3, 18, 2)
    trunk_start, trunk_end = vessels.start[:, :6], vessels.end[:, :6]
    np.testing.assert_allclose(trunk_start[:, 1:], trunk_end[:, :-1], atol=1e-4)
    np.testing.assert_allclose(trunk_start[:, 0], 100, atol=1e-4)
    length = jnp.linalg.norm(vessels.end - vessels.start, axis=-1)
    np.testing.assert_allclose(length[:, :6], 2.0, rtol=1e-4)
    np.testing.assert_allclose(length[:, 6:], 1.0, rtol=1e-4)
    # Every branch starts on its trunk.
    for first in (6, 12):
        gap = jnp.linalg.norm(vessels.start[:, first, None] - trunk_start, axis=-1)
        np.testing.assert_allclose(jnp.min(gap, 1), 0, atol=1e-4)


def test_a_vessel_is_drawn_as_strong_at_every_size():
    line = stamps.Vessels(
        jnp.array([[[140.0, 150.0]]]), jnp.array([[[160.0, 150.0]]]), jnp.ones((1, 1)),
        jnp.ones((1, 1)),
    )  # fmt: skip
    sums = []
    for size in (64, 256):
        drawn = _draw_vessels(line, size, 16.0)
        sums.append(float(jnp.sum(drawn)) * (MILLIMETRES_PER_UV / size) ** 2)
        assert drawn.shape == (size, size)
    assert sums[1] == pytest.approx(20.0 * np.sqrt(np.pi), rel=0.12)
    assert sums[0] == pytest.approx(sums[1], rel=0.35)  # Its ends are wider at 4.6 mm a texel.

"""Pores: their slope is the same at every size of the map, seen or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.skin.noise import MILLIMETRES_PER_UV
from relightify_jax.skin.pores import dig_pores


def _dig(size, density=0.5, furrows=0.0, longer=1.5):
    full = jnp.ones((size, size))
    drawn = 0.8 * full, 0.6 * full, longer * full
    return jax.jit(dig_pores)(
        jax.random.key(0), density * full, 0.2 * full, 0.05 * full, furrows * full, drawn,
        jnp.ones((2, size, size)),
    )  # fmt: skip


def _mean_square_slope(height):
    texel = MILLIMETRES_PER_UV / height.shape[0]
    slopes = ((jnp.roll(height, -1, axis) - jnp.roll(height, 1, axis)) for axis in (0, 1))
    return float(sum(jnp.mean(jnp.square(s / (2 * texel))) for s in slopes))


def test_resolved_and_lost_slope_add_up_to_the_same_at_every_size():
    totals, shares = [], []
    for size in (128, 512, 1024):
        field = _dig(size)
        lost = float(field.slope_variance.mean())
        totals.append(_mean_square_slope(field.height) + lost)
        shares.append(lost / totals[-1])
    # n pi d^2 (a + 1 / a) / 2 of a jittered lattice of 248 x 248 cells.
    per_area = 0.5 * 248**2 / MILLIMETRES_PER_UV**2
    expected = per_area * np.pi * 0.05**2 * 0.5 * (1.5 + 1 / 1.5) * 0.8313
    np.testing.assert_allclose(totals, expected, rtol=0.12)
    assert shares[0] == 1 and shares[0] > shares[1] > shares[2] > 0.2


def test_pits_hold_the_same_volume_at_every_size():
    small, large = (float(_dig(size).height.mean()) for size in (512, 1024))
    assert small == pytest.approx(large, rel=0.03) and large < 0


def test_same_pits_at_every_size():
    small, large = (np.asarray(_dig(size).height) for size in (512, 1024))
    halves = large.reshape(512, 2, 512, 2).mean((1, 3))
    assert np.corrcoef(small.ravel(), halves.ravel())[0, 1] > 0.95


def test_no_density_no_pores_and_furrows_run_between_them():
    assert float(jnp.abs(_dig(512, density=0.0).height).max()) == 0
    furrows = _dig(512, density=0.0, furrows=0.01).height
    assert -0.011 < float(furrows.min()) < -0.002

"""Grooves against numerical averages, and lines that neither move nor jump."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.skin.strokes import TEXEL_FILTER, engrave, groove, sample_strokes

_DEPTH, _WIDTH = 0.4, 0.3
_FINE = 0.01  # mm.


def _profile(texel, positions):
    cut = groove(jnp.asarray(positions, jnp.float32), jnp.float32(_DEPTH), _WIDTH, texel)
    return np.asarray(cut.height, np.float64), np.asarray(cut.slope_variance, np.float64)


@pytest.mark.parametrize("texel", [0.29, 0.58, 1.15])
def test_a_groove_is_averaged_over_a_texel(texel):
    x = np.arange(-12, 12, _FINE)
    sharp, _ = _profile(0.0, x)
    assert sharp.min() == pytest.approx(-_DEPTH, rel=1e-3)
    kernel = np.exp(-0.5 * (x / (TEXEL_FILTER * texel)) ** 2)
    averaged = np.convolve(sharp, kernel / kernel.sum(), mode="same")
    seen, _ = _profile(texel, x)
    np.testing.assert_allclose(seen[200:-200], averaged[200:-200], atol=0.01 * _DEPTH)


@pytest.mark.parametrize("texel", [0.29, 0.58, 1.15])
def test_no_slope_is_lost_or_counted_twice(texel):
    x = np.arange(-12, 12, _FINE)
    whole = np.sum(np.gradient(_profile(0.0, x)[0], _FINE) ** 2) * _FINE
    height, variance = _profile(texel, x)
    # What `bump_normals` sees of it: the difference of the two neighbouring texels.
    left, right = (_profile(texel, x + shift)[0] for shift in (-texel, texel))
    shown = np.sum(((right - left) / (2 * texel)) ** 2) * _FINE
    assert shown < whole
    assert shown + variance.sum() * _FINE == pytest.approx(whole, rel=0.03)


def test_lines_are_broken_and_differ():
    ones = jnp.ones(200)
    strokes = sample_strokes(jax.random.key(0), 0.3 * ones, 0.3 * ones, 0.0 * ones, 20)
    depth = np.asarray(strokes.depth)
    assert depth.min() == 0 and 0.1 < depth.max() <= 0.3
    present = (depth > 0.02).mean()
    assert 0.2 < present < 0.9
    assert abs(np.corrcoef(depth)[~np.eye(20, dtype=bool)]).mean() < 0.4
    unbroken = sample_strokes(jax.random.key(0), 0.3 * ones, 0.3 * ones, 1.0 * ones, 20)
    assert (np.asarray(unbroken.depth) > 0.02).mean() > present + 0.1


def test_lines_run_near_their_rows_without_jumps():
    ones = jnp.ones(100)
    strokes = sample_strokes(jax.random.key(1), 0.3 * ones, 0.3 * ones, 2.0 * ones, 12)
    row, along = jnp.meshgrid(jnp.arange(2, 9, 0.01), jnp.arange(10, 90, 1.0), indexing="ij")
    pitch, wander = jnp.full_like(row, 6.0), jnp.zeros_like(row)
    height = np.asarray(engrave(strokes, row, along, pitch, wander, 0.3).height)
    # A step of 0.01 rows is 0.06 mm: no slope of such a groove exceeds 1.
    assert np.abs(np.diff(height, axis=0)).max() < 0.06
    for line in (4, 6):
        middle = np.asarray(strokes.offset)[line, 10:90] + line
        nearest = np.round((middle - 2) * 100).astype(int)
        deepest = np.abs(np.arange(80) * 0 + height[nearest, np.arange(80)])
        assert (deepest > 0.6 * np.asarray(strokes.depth)[line, 10:90]).mean() > 0.95

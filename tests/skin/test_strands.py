"""Strands: where follicles lie, and how much of the map hairs cover."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.skin import strands
from relightify_jax.skin.noise import MILLIMETRES_PER_UV
from relightify_jax.skin.surface import skin_scale


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _draw(hairs, size, points, per_hair):
    layers = strands.draw_strands([strands.Bundle(hairs, points, per_hair)], size)
    return jax.tree.map(lambda maps: maps[0], layers)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _pick(follicles, density, spacing, count):
    bed = strands.Bed(_BOX, spacing, count)
    return strands.pick_roots(follicles, [density], [bed])[0]


_BOX = (100.0, 100.0, 200.0, 180.0)


def _hairs(count=1, **changes):
    values = dict.fromkeys(strands.Strands._fields, 0.0)
    values |= {
        "x": 150.0,
        "y": 140.0,
        "right": 0.9,
        "down": 0.8,
        "length": 10.0,
        "width": 0.1,
        "rank": 0.5,
    } | changes
    return strands.Strands(*(jnp.full((count,), values[name]) for name in values))


@pytest.fixture(scope="module")
def follicles():
    return strands.draw_follicles(jax.random.key(0))


@pytest.mark.parametrize("size", [32, 64, 256])
def test_a_hair_covers_its_own_area_at_every_size(size):
    hair = _hairs(angle=0.7, bend=1.0, taper=0.5)
    layer = _draw(hair, size, 400, 400)
    area = jnp.sum(layer.depth) * (MILLIMETRES_PER_UV / size) ** 2
    # The mean of 1 - 0.5 t^1.5 is 0.8; a square millimetre of skin is less of the map.
    assert float(area) * 0.9 * 0.8 == pytest.approx(10.0 * 0.1 * 0.8, rel=0.01)


def test_hairs_start_at_the_root_and_follow_their_direction():
    layer = _draw(_hairs(angle=np.pi / 2), 256, 100, 100)
    rows, columns = np.nonzero(np.asarray(layer.depth) > 0)
    texel = MILLIMETRES_PER_UV / 256
    assert np.ptp(columns) <= 1
    assert rows.min() * texel == pytest.approx(140.0, abs=1.5 * texel)
    assert rows.max() * texel == pytest.approx(140.0 + 10.0 / 0.8, abs=1.5 * texel)


def test_an_arc_turns_by_its_bend():
    straight = _draw(_hairs(), 256, 200, 200).depth
    bent = _draw(_hairs(bend=np.pi), 256, 200, 200).depth
    texel = MILLIMETRES_PER_UV / 256
    # Half a circle of length 10 ends one diameter below the root.
    rows = np.nonzero(np.asarray(bent) > 0)[0]
    assert np.ptp(rows) * texel == pytest.approx(20.0 / np.pi / 0.8, abs=2 * texel)
    assert np.ptp(np.nonzero(np.asarray(straight) > 0)[0]) <= 1


def test_what_lies_on_top_is_seen():
    below = _hairs(tone=-1.0, rank=0.0)
    above = _hairs(tone=1.0, rank=1.0)
    both = jax.tree.map(lambda *x: jnp.concatenate(x), below, above)
    layer = _draw(both, 128, 80, 40)
    hit = layer.depth > 0.01
    assert float(jnp.min(jnp.where(hit, layer.tone, 1.0))) > 0.9


def test_hairs_beyond_the_map_and_without_width_leave_nothing():
    assert not _draw(_hairs(x=-50.0), 64, 50, 50).depth.any()
    assert not _draw(_hairs(width=0.0), 64, 50, 50).depth.any()


def test_hairs_that_points_do_not_suffice_for_are_left_out():
    few = _draw(_hairs(8), 64, 100, 25).depth.sum()
    all_of_them = _draw(_hairs(8), 64, 200, 25).depth.sum()
    assert float(few) == pytest.approx(0.5 * float(all_of_them), rel=1e-3)


def test_roots_follow_the_density(follicles):
    left = jnp.where(jnp.arange(64)[None, :] < 32, 0.4, 0.0) * jnp.ones((64, 1))
    roots = _pick(follicles, left, 0.8, 5000)
    place = np.asarray(roots.place)[np.asarray(roots.grows) > 0]
    assert place[:, 0].max() < 150.0  # Interpolation reaches half a texel over the edge.
    inside = np.stack(np.meshgrid(np.linspace(100, 147.5, 20), np.linspace(100, 180, 20)), -1)
    skin = float(jnp.prod(skin_scale(jnp.asarray(inside)), -1).mean()) * 47.5 * 80
    assert len(place) == pytest.approx(0.4 * skin, rel=0.06)


def test_roots_do_not_depend_on_the_size_of_the_map(follicles):
    def roots(size):
        x = (jnp.arange(size) + 0.5) / size
        return _pick(follicles, 0.5 * x[None, :] * jnp.ones((size, 1)), 1.0, 400)

    small, large = roots(32), roots(128)
    shared = {tuple(row) for row in np.round(np.asarray(small.place), 3).tolist()}
    again = {tuple(row) for row in np.round(np.asarray(large.place), 3).tolist()}
    assert len(shared & again) > 0.97 * len(shared)


def test_too_many_roots_are_thinned_evenly(follicles):
    roots = _pick(follicles, jnp.full((8, 8), 0.5), 1.0, 300)
    assert roots.grows.all()
    middle = np.asarray(roots.place).mean(0)
    np.testing.assert_allclose(middle, [150.0, 140.0], atol=6.0)


def test_a_box_larger_than_the_table_is_refused():
    with pytest.raises(ValueError, match="8000 cells, the table 10 rows"):
        strands.pick_roots(jnp.zeros((10, 11)), [jnp.ones((4, 4))], [strands.Bed(_BOX, 1.0, 5)])


def test_soft_maps_keep_their_mean():
    image = jax.random.uniform(jax.random.key(1), (512, 512))
    soft, softer = strands.soften(jnp.stack([image, image]), (1.0, 3.0))
    assert soft.shape == image.shape
    assert float(softer.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(softer.std()) < 0.5 * float(soft.std()) < 0.25 * float(image.std())


def test_bundles_do_not_mix():
    bundles = [strands.Bundle(_hairs(3), 60, 20), strands.Bundle(_hairs(2, x=120.0), 80, 30)]
    both = jax.jit(lambda: strands.draw_strands(bundles, 64))()
    first, second = _draw(_hairs(3), 64, 60, 20), _draw(_hairs(2, x=120.0), 64, 80, 30)
    for name in both._fields:
        alone = jnp.stack([getattr(first, name), getattr(second, name)])
        np.testing.assert_allclose(getattr(both, name), alone, atol=1e-6, err_msg=name)


def test_the_share_of_grey_is_kept():
    numbers = jnp.linspace(0, 1, 1001)
    for soft in (0.3, 1.0):
        seen = [float(strands.share_grey(share, numbers, soft).mean()) for share in (0, 0.5, 1)]
        np.testing.assert_allclose(seen, [0.0, 0.5, 1.0], atol=0.02)

"""Lighting inside the training step: crops, keys, and agreement with the stage itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline.encoding import FaceRecord
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.light_stage.stage import build_stage
from relightify_jax.prior import encoding
from relightify_jax.train import relit

SIZE = 32


@pytest.fixture(scope="module")
def stage():
    return build_stage(load_embedded_model(), SIZE, num_directions=16)


@pytest.fixture(scope="module")
def faces():
    normals = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (2, SIZE, SIZE, 3))
    fill = lambda value, channels: jnp.full((2, SIZE, SIZE, channels), value)  # noqa: E731
    return FaceRecord(fill(0.3, 3), normals, fill(0.35, 1), fill(0.5, 1), fill(1.0, 1),
                      jnp.zeros((2, 4)))  # fmt: skip


def test_every_visit_is_another_photograph_of_the_same_reflectance(stage, faces):
    light = jax.jit(relit.relit_maps)
    first, second = (np.asarray(light(jax.random.key(k), stage, faces)) for k in (0, 1))
    assert first.shape == (2, SIZE, SIZE, 10) and np.isfinite(first).all()
    np.testing.assert_array_equal(first[..., 3:], second[..., 3:])
    assert np.abs(first[..., :3] - second[..., :3]).mean() > 0.02
    assert np.abs(first[0, ..., :3] - first[1, ..., :3]).mean() > 0.02
    np.testing.assert_array_equal(first, np.asarray(light(jax.random.key(0), stage, faces)))


def test_crops_are_pieces_of_the_lit_maps_on_the_latent_grid():
    rows, columns = jnp.meshgrid(jnp.arange(48), jnp.arange(48), indexing="ij")
    maps = jnp.stack([rows, columns], -1)[None] + jnp.array([0, 1000])[:, None, None, None]
    crops = np.asarray(relit.random_crops(jax.random.key(2), maps, 20, 16))
    assert crops.shape == (40, 16, 16, 2)
    corners = crops[:, 0, 0] % 1000
    assert (corners % 8 == 0).all() and set(corners[:, 0]) == {0, 8, 16, 24, 32}
    inside = np.broadcast_to(crops[:1] - crops[:1, :1, :1], crops.shape)
    np.testing.assert_array_equal(crops - crops[:, :1, :1], inside)
    assert (crops[:20] < 1000).all() and (crops[20:] >= 1000).all()
    with pytest.raises(ValueError, match="64 texels from maps of"):
        relit.random_crops(jax.random.key(2), maps, 1, 64)


def test_crops_are_standardised(stage, faces):
    statistics = encoding.MapStatistics(jnp.full((SIZE, SIZE, 10), 0.25), jnp.full(10, 0.5))
    data = relit.RelitData(stage, statistics)
    crops = relit.relit_crops(jax.random.key(3), data, faces, crops_per_face=2, crop_size=16)
    assert crops.shape == (4, 16, 16, 10)
    np.testing.assert_allclose(crops[..., 9], (0.35 - 0.25) / 0.5, atol=1e-5)
    np.testing.assert_allclose(crops[..., 8], (1.0 - 0.25) / 0.5, atol=1e-5)

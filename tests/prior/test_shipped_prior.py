"""The prior that ships with the package."""

import importlib.resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.color import srgb_from_linear
from relightify_jax.prior import complete_maps, encoding, load_prior


@pytest.fixture(scope="module")
def prior():
    return load_prior()


def test_it_is_small_and_whole(prior):
    path = importlib.resources.files("relightify_jax") / "assets" / "prior.npz"
    assert path.stat().st_size < 25 * 2**20
    assert prior.codec.uv_size == 256
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(prior))


@pytest.mark.slow
def test_half_of_a_known_face_brings_back_the_other_half(prior):
    """A face drawn from the Gaussian of the prior, half hidden: error well under its spread."""
    nothing = np.zeros(prior.codec.latent_shape, np.float32)
    level = clean_levels()
    start = prior.start(jax.random.key(3), 1, level, nothing, nothing, 0.0)
    face = jax.jit(lambda p, z: p.codec.maps_from_latents(p.latents.restore(z)))(prior, start)
    confidence = jnp.zeros((256, 256, 1)).at[:, :128].set(1.0)
    maps = complete_maps(
        prior, jax.random.key(0), face.texture[0], confidence, num_seeds=1, num_steps=10
    )
    truth, found = (srgb_from_linear(x)[:, :, 144:] for x in (face.texture, maps.texture))
    mean = encoding.restore_maps(prior.codec.statistics, jnp.zeros((1, 256, 256, 10)))
    spread = jnp.sqrt(jnp.mean((truth - mean[:, :, 144:, :3]) ** 2))
    error = jnp.sqrt(jnp.mean((truth - found) ** 2))
    assert error < 0.5 * spread


def clean_levels():
    """A first level without noise, so that `Prior.start` returns clean latents."""
    from relightify_jax.diffusion.schedules import noise_levels

    return noise_levels(np.array([1e-4, 0.0]))

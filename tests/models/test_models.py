"""Shapes, locality and derivatives of the networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from relightify_jax.models import KLAutoencoder, UNet, blocks, fit_patch_code
from relightify_jax.models import autoencoder as autoencoder_module
from relightify_jax.models.autoencoder import DOWNSAMPLING, ENCODER_MARGIN

TINY = dict(encoder_features=8, decoder_features=(8, 8), num_blocks=1, full_size_features=4)


def perturb(variables):
    """Fresh networks are silent; random weights everywhere let them speak."""
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    moved = [v + 0.1 * jax.random.normal(k, v.shape) for v, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


@pytest.fixture(scope="module")
def autoencoder():
    module = KLAutoencoder(3, 2, **TINY)
    x = jax.random.normal(jax.random.key(0), (1, 64, 64, 3))
    variables = jax.jit(module.init)(jax.random.key(1), x, jax.random.key(2))
    return module, perturb(variables), x


def test_autoencoder_keeps_the_size(autoencoder):
    module, variables, x = autoencoder
    y, posterior = module.apply(variables, x, jax.random.key(3))
    assert y.shape == x.shape
    assert posterior.mean.shape == (1, 8, 8, 2)
    assert float(posterior.kl()) > 0


def test_latents_ignore_texels_beyond_the_margin(autoencoder):
    """Bit-identical for two fills of a hole, from the first cell outside its margin."""
    module, variables, x = autoencoder
    hole = np.zeros((1, 64, 64, 1), bool)
    hole[:, 20:37, 13:30] = True
    encode = jax.jit(lambda x: module.apply(variables, x, method="encode").mean)
    difference = np.asarray(encode(jnp.where(hole, 5.0, x)) != encode(x)).any(-1)[0]
    reached = np.zeros((8, 8), bool)
    for i in range(8):
        for j in range(8):
            low = [max(0, DOWNSAMPLING * k - ENCODER_MARGIN) for k in (i, j)]
            high = [DOWNSAMPLING * (k + 1) + ENCODER_MARGIN for k in (i, j)]
            reached[i, j] = hole[0, low[0] : high[0], low[1] : high[1]].any()
    assert not np.any(difference & ~reached)
    assert np.any(difference)


def test_convolution_derivatives_equal_those_of_lax():
    x = jax.random.normal(jax.random.key(0), (2, 6, 5, 3))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))

    def plain(x, k):
        return lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def grads(f):
        return jax.grad(lambda x, k: jnp.sum(jnp.sin(f(x, k))), argnums=(0, 1))(x, kernel)

    for a, b in zip(grads(plain), grads(blocks.convolve_with_forward_vjp), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_space_to_depth_and_back():
    x = jax.random.normal(jax.random.key(0), (1, 8, 12, 3))
    y = blocks.space_to_depth(x, 4)
    assert y.shape == (1, 2, 3, 48)
    np.testing.assert_array_equal(y[0, 1, 2].reshape(4, 4, 3), x[0, 4:8, 8:12])
    np.testing.assert_array_equal(blocks.depth_to_space(y, 4), x)


def test_fresh_blocks_are_the_identity():
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 8))
    y, _ = blocks.LocalResBlock().init_with_output(jax.random.key(1), x)
    np.testing.assert_array_equal(y, x)
    y, _ = blocks.ResBlock(8, groups=2).init_with_output(jax.random.key(1), x, jnp.ones((1, 4)))
    np.testing.assert_array_equal(y, x)


def test_unet_starts_silent_and_depends_on_input_and_time_after_a_change():
    module = UNet(3, features=(8, 16), num_blocks=1, attention_sizes=(4,), groups=4)
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 6))
    time = jnp.array([0.0, 1.0])
    variables = jax.jit(module.init)(jax.random.key(1), x, time)
    apply = jax.jit(module.apply)
    np.testing.assert_array_equal(apply(variables, x, time), np.zeros((2, 8, 8, 3)))
    variables = perturb(variables)
    out = apply(variables, x, time)
    assert float(jnp.abs(apply(variables, x, time + 1) - out).max()) > 1e-4
    assert float(jnp.abs(apply(variables, x + 1, time) - out).max()) > 1e-4


def test_unet_refuses_sizes_it_cannot_halve():
    module = UNet(3, features=(8, 8), groups=4)
    with pytest.raises(ValueError, match="halved"):
        module.init(jax.random.key(0), jnp.zeros((1, 5, 4, 6)), jnp.zeros(1))


def test_linear_code_reconstructs_what_it_was_fitted_to():
    """Four kinds of patches need four components, and no more."""
    random = np.random.default_rng(0)
    kinds = random.normal(size=(4, 8, 8, 3))
    weights = random.normal(size=(60, 2, 2, 4))
    maps = np.einsum("nijk,kabc->niajbc", weights, kinds).reshape(60, 16, 16, 3)
    module = KLAutoencoder(3, 4, **TINY)
    x = jnp.asarray(maps[:2], jnp.float32)
    params = jax.jit(module.init)(jax.random.key(0), x, jax.random.key(1))["params"]
    params["patches"] = fit_patch_code(maps.astype(np.float32), 4)
    latents = autoencoder_module.encode(module, params, x).mean
    np.testing.assert_allclose(autoencoder_module.decode(module, params, latents), x, atol=2e-3)

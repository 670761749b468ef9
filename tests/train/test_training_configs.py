"""Every configuration of training builds its networks."""

import importlib

import jax
import jax.numpy as jnp
import pytest

from relightify_jax.models import build_autoencoder, build_unet


@pytest.mark.parametrize("variant", ["base", "cpu", "smoke"])
def test_every_variant_builds(variant):
    config = importlib.import_module("configs.autoencoder").get_config(variant)
    assert config.uv_size % 8 == 0 and config.crop_size % 8 == 0
    modules = [build_autoencoder(config[n].to_dict()) for n in ("texture", "reflectance")]
    assert [m.num_channels for m in modules] == [3, 7]
    features = sum(m.latent_features for m in modules)
    config = importlib.import_module("configs.diffusion").get_config(variant)
    module = build_unet({"out_features": features, **config.denoiser.to_dict()})
    x = jax.ShapeDtypeStruct((1, 32, 32, 2 * features), jnp.float32)
    time = jax.ShapeDtypeStruct((1,), jnp.float32)
    out, _ = jax.eval_shape(lambda x, t: module.init_with_output(jax.random.key(0), x, t), x, time)
    assert out.shape == (1, 32, 32, features)


@pytest.mark.parametrize("name", ["autoencoder", "diffusion"])
def test_an_unknown_variant_names_the_known_ones(name):
    with pytest.raises(ValueError, match="smoke"):
        importlib.import_module(f"configs.{name}").get_config("huge")

"""The training programs from records to a prior file, at their smallest."""

import jax
import numpy as np
import pytest

from data_pipeline import build
from relightify_jax.prior import load_codec, load_prior

SIZE = 64


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Two dozen real records: the generator is the slowest thing to compile here."""
    from configs import data

    config = data.get_config("smoke")
    config.update(uv_size=SIZE, num=24, validation_every=6, shard_size=24)
    out = str(tmp_path_factory.mktemp("data"))
    folder, skipped = build.build(config, out, num_workers=1)  # One compiles less than two.
    assert not skipped
    return str(folder)


@pytest.mark.slow
def test_training_makes_a_prior_and_resumes(tmp_path, data_dir):
    from configs import autoencoder, diffusion
    from experiments import train_autoencoder, train_diffusion

    config = autoencoder.get_config("smoke")
    train_autoencoder.train(config, data_dir, tmp_path / "a", None, "both")
    codec = load_codec(tmp_path / "a" / "autoencoder.npz")
    assert codec.uv_size == SIZE
    # Lit skin is about as bright as skin, and no texel has the same texture under all lights.
    assert 0.1 < float(np.mean(codec.statistics.mean[..., :3])) < 0.8
    assert (tmp_path / "a" / "reconstructions.png").stat().st_size > 0

    config = diffusion.get_config("smoke")
    for num_steps in (4, 6):  # The second call resumes the first.
        config.train.num_steps = num_steps
        train_diffusion.train(
            config, data_dir, tmp_path / "a", tmp_path / "d", None, tmp_path / "prior.npz"
        )
    prior = load_prior(tmp_path / "prior.npz")
    assert prior.codec.latent_shape == (8, 8, 5)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(prior))
    steps = [line for line in (tmp_path / "d" / "metrics.jsonl").read_text().splitlines()]
    assert any('"step": 6' in line for line in steps)

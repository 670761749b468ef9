"""The training programs from data to a prior file, at their smallest."""

import jax
import numpy as np
import pytest

from relightify_jax.prior import load_codec, load_prior

SIZE = 64


def make_loader(data_dir, split, batch_size, seed, **options):
    random = np.random.default_rng(seed)
    while True:
        level = random.uniform(0.2, 0.8, size=(batch_size, 1, 1, 10))
        maps = level * np.ones((batch_size, SIZE, SIZE, 10))
        maps[..., 6:9] = np.array([0.0, 0.0, 1.0])
        yield {"maps": maps.astype(np.float32)}


@pytest.mark.slow
def test_training_makes_a_prior_and_resumes(tmp_path, monkeypatch):
    from configs import autoencoder, diffusion
    from experiments import train_autoencoder, train_diffusion, training_data

    monkeypatch.setattr(training_data, "open_split", lambda data, split: range(16))
    monkeypatch.setattr(training_data, "make_loader", make_loader)
    config = autoencoder.get_config("smoke")
    train_autoencoder.train(config, "data", tmp_path / "a", None, "both")
    assert load_codec(tmp_path / "a" / "autoencoder.npz").uv_size == SIZE
    assert (tmp_path / "a" / "reconstructions.png").stat().st_size > 0

    config = diffusion.get_config("smoke")
    for num_steps in (4, 6):  # The second call resumes the first.
        config.train.num_steps = num_steps
        train_diffusion.train(
            config, "data", tmp_path / "a", tmp_path / "d", None, tmp_path / "prior.npz"
        )
    prior = load_prior(tmp_path / "prior.npz")
    assert prior.codec.latent_shape == (8, 8, 5)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(prior))
    steps = [line for line in (tmp_path / "d" / "metrics.jsonl").read_text().splitlines()]
    assert any('"step": 6' in line for line in steps)

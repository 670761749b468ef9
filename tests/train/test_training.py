"""The steps and the loop on tiny networks: they learn, resume and shard."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.diffusion import gaussian
from relightify_jax.models import KLAutoencoder, UNet, fit_patch_code
from relightify_jax.train import (
    autoencoder_step,
    diffusion_step,
    loop,
    optimizers,
    sharding,
)
from relightify_jax.train.checkpoints import Checkpoints
from relightify_jax.train.state import make_state
from relightify_jax.train.writers import Writer

SHAPE = (4, 4, 2)


def make_latents():
    base = np.random.default_rng(0).normal(size=(64, 1, 1, 1))
    return (base * np.ones((1, *SHAPE))).astype(np.float32)


def batches(first):
    latents = make_latents()
    for step in itertools.count(first):
        order = np.random.default_rng(step).permutation(64)[:16]
        yield {"latents": latents[order]}


def setup_diffusion(fsdp=1):
    mesh = sharding.make_mesh(fsdp)
    module = UNet(2, features=(8, 8), num_blocks=1, attention_sizes=(), groups=4)
    optimizer = optimizers.make_optimizer()
    state, shardings = make_state(
        lambda key: diffusion_step.init_params(module, SHAPE, key), optimizer, 0, mesh
    )
    # A model that knows no correlations leaves something to learn.
    model = gaussian.GaussianModel(
        np.zeros((1, *SHAPE), np.float32), np.zeros(1, np.float32), np.ones(SHAPE, np.float32)
    )
    step_fn = diffusion_step.make_diffusion_step(
        module,
        model,
        optimizer,
        shardings,
        mesh,
        peak_rate=1e-2,
        log_mean=0.0,
        log_std=1.0,
        latent_noise=0.0,
    )
    evaluate = diffusion_step.make_diffusion_evaluation(module, model)
    return step_fn, state, shardings, mesh, evaluate


def run(tmp_path, name, num_steps, *, stop=None, fsdp=1, save=True):
    """Trains up to `num_steps` (the schedule) or `stop` steps; returns the state."""
    step_fn, state, shardings, mesh, _ = setup_diffusion(fsdp)
    writer = Writer(tmp_path / name)
    checkpoints = Checkpoints(tmp_path / name / "checkpoints", 100) if save else None

    def limited(first):
        return itertools.islice(batches(first), None if stop is None else stop - first)

    try:
        schedule = loop.Schedule(num_steps, log_every=1, evaluate_every=1000)
        if stop is None:
            return loop.train(
                step_fn, state, shardings, limited, schedule, mesh, writer, checkpoints
            )
        # Interrupted: a schedule of the same length, left after `stop` updates.
        for step, batch in enumerate(limited(0)):
            progress = jnp.float32(schedule.progress(step, 0.0))
            state, _ = step_fn(state, sharding.place_batch(batch, mesh), progress)
        checkpoints.save(stop, state, 0.0, force=True)
        return state
    finally:
        writer.close()
        if checkpoints is not None:
            checkpoints.close()


def assert_equal(a, b, **tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), **tolerance)


def test_the_denoiser_learns_and_metrics_are_written(tmp_path):
    _, state, _, _, evaluate = setup_diffusion()
    before = evaluate(jax.device_get(state.params), make_latents())
    state = run(tmp_path, "a", 60, save=False)
    after = evaluate(jax.device_get(state.params), make_latents())
    assert after["val_loss_1"] < 0.8 * before["val_loss_1"]
    lines = (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 61))
    assert {"loss", "grad_norm", "learning_rate"} <= json.loads(lines[0]).keys()


def test_a_resumed_run_equals_an_uninterrupted_one_bit_by_bit(tmp_path):
    whole = run(tmp_path, "whole", 6)
    run(tmp_path, "parts", 6, stop=3)
    resumed = run(tmp_path, "parts", 6)
    assert int(resumed.step) == 6
    assert_equal(
        jax.device_get((whole.params, whole.average, whole.opt_state)),
        jax.device_get((resumed.params, resumed.average, resumed.opt_state)),
        rtol=0,
    )


def test_a_sharded_state_trains_to_the_same_numbers(tmp_path, monkeypatch):
    if jax.device_count() < 4:
        pytest.skip("needs several devices")
    plain = run(tmp_path, "plain", 3, save=False)
    rule = sharding.fsdp_shardings
    monkeypatch.setattr(sharding, "fsdp_shardings", lambda t, m: rule(t, m, min_size=64))
    split = run(tmp_path, "split", 3, fsdp=4, save=False)
    specs = {str(x.sharding.spec) for x in jax.tree.leaves(split.params)}
    assert any("fsdp" in spec for spec in specs)
    assert_equal(jax.device_get(plain.params), jax.device_get(split.params), atol=2e-4)


@pytest.mark.parametrize("fsdp", [1, 2, 8])
def test_fsdp_splits_the_largest_divisible_axis(fsdp):
    if jax.device_count() % fsdp:
        pytest.skip("needs eight devices")
    tree = {
        "w": jax.ShapeDtypeStruct((3, 3, 16, 64), jnp.float32),
        "b": jax.ShapeDtypeStruct((64,), jnp.float32),
    }
    placed = sharding.fsdp_shardings(tree, sharding.make_mesh(fsdp), min_size=128)
    last = "fsdp" if fsdp > 1 else None
    assert placed["w"].spec == jax.sharding.PartitionSpec(None, None, None, last)
    assert placed["b"].spec == jax.sharding.PartitionSpec(None)


def test_a_batch_that_cannot_be_split_is_explained():
    mesh = sharding.make_mesh()
    if mesh.size == 1:
        pytest.skip("needs several devices")
    with pytest.raises(ValueError, match="multiple"):
        sharding.place_batch({"x": np.zeros((mesh.size + 1, 2))}, mesh)


def test_best_and_latest_checkpoints_are_kept(tmp_path):
    _, state, shardings, _, _ = setup_diffusion()
    checkpoints = Checkpoints(tmp_path, 1)
    for step, loss in enumerate([3.0, 1.0, 2.0, 2.5, 2.7], start=1):
        marked = state.replace(step=jnp.int32(step))
        checkpoints.save(step, marked, 10.0 * step, {"val_loss": loss})
    checkpoints.close()
    kept = sorted(int(p.name) for p in tmp_path.iterdir() if p.name.isdigit())
    assert kept == [2, 4, 5]
    reopened = Checkpoints(tmp_path, 1)
    restored, seconds = reopened.restore(state, shardings)
    reopened.close()
    assert int(restored.step) == 5 and seconds == 50.0


def test_the_autoencoders_learn(tmp_path):
    tiny = dict(encoder_features=8, decoder_features=(8, 8), num_blocks=1, full_size_features=4)
    modules = {"texture": KLAutoencoder(3, 4, **tiny), "reflectance": KLAutoencoder(7, 4, **tiny)}
    # Codes of the wrong thing leave everything to the networks.
    noise = np.random.default_rng(1).normal(size=(8, 16, 16, 10))
    codes = {n: fit_patch_code(noise[..., autoencoder_step.PARTS[n]], 4) for n in modules}
    mesh = sharding.make_mesh()
    optimizer = optimizers.make_optimizer()
    state, shardings = make_state(
        lambda key: autoencoder_step.init_params(modules, key, codes), optimizer, 0, mesh
    )
    step_fn = autoencoder_step.make_autoencoder_step(
        modules, optimizer, shardings, mesh, peak_rate=1e-2, kl_weight=1e-3, gradient_weight=0.5
    )
    level = np.random.default_rng(0).normal(size=(8, 1, 1, 10))
    maps = (level * np.ones((8, 16, 16, 10))).astype(np.float32)
    batch = sharding.place_batch({"maps": maps}, mesh)
    losses = []
    for step in range(40):
        state, metrics = step_fn(state, batch, jnp.float32(step / 40))
        losses.append(float(metrics["texture_loss"] + metrics["reflectance_loss"]))
    assert losses[-1] < 0.6 * losses[0]
    errors = autoencoder_step.make_autoencoder_evaluation(modules)(
        state.params, maps, np.ones(10, np.float32)
    )
    assert set(errors) == {"texture", "diffuse_albedo", "normals", "specular_albedo"}


def test_losses_are_zero_only_for_a_perfect_reconstruction():
    x = jax.random.normal(jax.random.key(0), (1, 8, 8, 7))
    assert autoencoder_step.reconstruction_loss("reflectance", x, x, 0.5) < 1e-3
    for channel in range(7):
        moved = x.at[..., channel].add(0.1)
        assert autoencoder_step.reconstruction_loss("reflectance", moved, x, 0.5) > 0.01


def test_progress_follows_whichever_of_steps_and_time_is_further():
    schedule = loop.Schedule(100, minutes=1.0)
    assert schedule.progress(10, 30.0) == 0.5
    assert schedule.progress(80, 30.0) == 0.8
    assert schedule.progress(80, 90.0) == 1.0
    assert loop.Schedule(100).progress(10, 1e9) == 0.1


def test_the_learning_rate_rises_then_falls():
    rate = [float(optimizers.learning_rate(jnp.float32(p), peak=1.0)) for p in (0, 0.02, 0.5, 1.0)]
    assert rate[0] < 0.1 and rate[1] > 0.99 and 0.4 < rate[2] < 0.6 and rate[3] < 0.02


def test_the_average_starts_at_the_newest_weights():
    assert float(optimizers.average_decay(jnp.int32(1))) == 0.0
    assert 0.9 < float(optimizers.average_decay(jnp.int32(1000))) < 1.0


def test_a_diverged_run_stops(tmp_path):
    writer = Writer(tmp_path)
    with pytest.raises(FloatingPointError, match="loss became nan"):
        loop._report(writer, 3, {"loss": jnp.float32(jnp.nan)})
    writer.close()

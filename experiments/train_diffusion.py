r"""Trains the diffusion prior on the latents of a trained codec.

python -m experiments.train_diffusion --config=configs/diffusion.py:cpu --data=DIR \
    --autoencoder=DIR --workdir=DIR [--minutes=40] [--export=FILE.npz]

Encodes the whole set once (cached in the workdir), fits the Gaussian model, trains the
network and leaves `prior.npz`, `run.json`, `metrics.jsonl`, checkpoints and pictures in
the workdir. Run the same command again to resume.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from experiments import cli, contact_sheet, training_data
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path
from relightify_jax.core.uv_layout import UVMaps
from relightify_jax.diffusion import gaussian, samplers, schedules
from relightify_jax.diffusion.schedules import NoiseLevel
from relightify_jax.light_stage.stage import Stage
from relightify_jax.models import build_unet
from relightify_jax.prior import encoding, store
from relightify_jax.prior.codec import FaceCodec
from relightify_jax.prior.face_prior import LatentStatistics, Prior, latent_statistics
from relightify_jax.train import diffusion_step, distributed, loop, optimizers, sharding
from relightify_jax.train.checkpoints import Checkpoints
from relightify_jax.train.state import TrainState, make_state
from relightify_jax.train.writers import Writer


def encode_split(
    codec: FaceCodec,
    data: str,
    split: str,
    stage: Stage,
    num_lights: int,
    cache: pathlib.Path,
) -> np.ndarray:
    """Latents (2 N L, h, w, Z) of a split under L lights and of mirror images, float32.

    Read from `cache` if it is there. Picture i is at 2 i, its mirror image at 2 i + 1.
    """
    if cache.exists():
        return np.load(cache)
    encode = jax.jit(_encode_perceptual)
    parts = []
    for index, chunk in enumerate(training_data.one_epoch(data, split)):
        for light in range(num_lights):
            key = jax.random.fold_in(jax.random.key(light), index)
            maps = np.asarray(training_data.light_batch(key, stage, chunk))
            pairs = np.stack([maps, training_data.mirror_maps(maps)], axis=1)
            parts.append(np.asarray(encode(codec, pairs.reshape(-1, *maps.shape[1:]))))
    latents = np.concatenate(parts)
    with atomic_path(cache) as partial:
        np.save(partial, latents)
    return latents


def _encode_perceptual(codec: FaceCodec, stack: jax.Array) -> jax.Array:
    return codec.encode(encoding.standardize_maps(codec.statistics, stack))


@jax.jit
def draw_faces(prior: Prior, key: jax.Array, start: jax.Array, levels: NoiseLevel) -> UVMaps:
    """Samples maps from a noisy start (B, h, w, Z)."""
    latents = samplers.sample(prior.denoise, key, start, levels)
    return prior.codec.maps_from_latents(prior.latents.restore(latents))


def write_samples(path: pathlib.Path, prior: Prior, num: int, num_steps: int) -> None:
    """Writes `num` faces that the prior invents."""
    levels = schedules.noise_levels(schedules.karras_sigmas(num_steps))
    key_start, key = jax.random.split(jax.random.key(0))
    nothing = np.zeros(prior.codec.latent_shape, np.float32)
    start = prior.start(key_start, num, levels, nothing, nothing)
    maps = draw_faces(prior, key, start, levels)
    rows = contact_sheet.rows_from_maps(maps)
    half = len(rows) // 2 if num % 2 == 0 else len(rows)
    contact_sheet.write_sheet(path, [rows[:half], rows[half:]] if half < len(rows) else [rows])


def train(
    config: ConfigDict,
    data: str,
    autoencoder: str,
    workdir: str,
    minutes: float | None,
    export: str | None,
) -> None:
    """Trains and writes `prior.npz`; see the module's docstring."""
    folder = pathlib.Path(workdir)
    codec_path = training_data.find_codec(autoencoder)
    codec = store.load_codec(codec_path)
    latents, validation, statistics = _load(config, codec, data, folder)
    model = gaussian.fit_gaussian(latents, config.num_modes)
    mesh = sharding.make_mesh(config.train.fsdp)
    optimizer = optimizers.make_optimizer(
        b2=config.train.b2,
        weight_decay=config.train.weight_decay,
        clip_norm=config.train.clip_norm,
    )
    module = build_unet({"out_features": latents.shape[-1], **config.denoiser.to_dict()})
    shape = latents.shape[1:]
    state, shardings = make_state(
        lambda key: diffusion_step.init_params(module, shape, key), optimizer, config.seed, mesh
    )
    step_fn = diffusion_step.make_diffusion_step(
        module,
        model,
        optimizer,
        shardings,
        mesh,
        peak_rate=config.train.peak_rate,
        **config.loss.to_dict(),
    )
    losses = diffusion_step.make_diffusion_evaluation(module, model)

    def assemble(state: TrainState) -> Prior:
        params = jax.device_get(state.average)
        return Prior(
            denoiser=module, codec=codec, params=params, latents=statistics, gaussian=model
        )

    def evaluate(state: TrainState, step: int) -> dict[str, float]:
        prior = assemble(state)
        write_samples(folder / "samples.png", prior, **_sampling(config))
        return losses(prior.params, validation)

    num_faces = len(latents) // (2 * config.lights_per_face)
    facts = {"data": data, "autoencoder": str(codec_path), "faces": num_faces}
    cli.record_run(folder, config, facts)
    writer = Writer(folder)
    checkpoints = Checkpoints(folder / "checkpoints", config.train.save_every)
    schedule = loop.Schedule(
        config.train.num_steps, minutes, config.train.log_every, config.train.evaluate_every
    )

    def batches(first: int) -> Iterator[Any]:
        local = config.train.batch_size // jax.process_count()
        seed = config.seed + 1000 * jax.process_index()
        return training_data.shuffled(latents, local, seed, first)

    try:
        state = loop.train(
            step_fn, state, shardings, batches, schedule, mesh, writer, checkpoints, evaluate
        )
        result = evaluate(state, int(state.step))
        writer.write_scalars(int(state.step), result)
    finally:
        checkpoints.close()
        writer.close()
    notes = {"steps": int(state.step), "faces": num_faces, **result}
    for path in filter(None, (folder / "prior.npz", export)):
        store.save_prior(path, assemble(state), notes)
        logging.info("Wrote %s: %s", path, result)


def _sampling(config: ConfigDict) -> dict[str, int]:
    return {"num": config.sample.num_faces, "num_steps": config.sample.num_steps}


def _load(
    config: ConfigDict, codec: FaceCodec, data: str, folder: pathlib.Path
) -> tuple[np.ndarray, np.ndarray, LatentStatistics]:
    """Standardised latents of both splits, float32, and their statistics."""
    stage = training_data.load_stage(data, config.environments_dir)
    latents, validation = (
        encode_split(codec, data, split, stage, num_lights, folder / f"latents_{split}.npy")
        for split, num_lights in (("train", config.lights_per_face), ("validation", 1))
    )
    if latents.shape[1:] != codec.latent_shape:
        raise InputError(
            f"{folder} holds latents of shape {latents.shape[1:]}, but the autoencoder makes "
            f"{codec.latent_shape}; use another workdir."
        )
    statistics = latent_statistics(latents)
    standardized = [np.asarray(statistics.standardize(x)) for x in (latents, validation)]
    return standardized[0], standardized[1][: config.train.evaluation_faces], statistics


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    config_flags.DEFINE_config_file(
        "config", "configs/diffusion.py", "Configuration, e.g. configs/diffusion.py:cpu."
    )
    flags.DEFINE_string("data", None, "Folder of the training records.")
    flags.DEFINE_string(
        "autoencoder", None, "Workdir of train_autoencoder, or its autoencoder.npz."
    )
    flags.DEFINE_string("workdir", None, "Folder for checkpoints and results.")
    flags.DEFINE_string("export", None, "Also writes the prior to this file.")
    flags.DEFINE_float("minutes", None, "Time limit over all sessions of this run.")
    flags.DEFINE_enum("distributed", "auto", distributed.MODES, "How processes find each other.")


def main(argv: Sequence[str]) -> None:
    """Entry point."""
    del argv
    options = flags.FLAGS
    data = cli.require(options.data, "data", "the folder that data_pipeline built")
    autoencoder = cli.require(options.autoencoder, "autoencoder", "a trained autoencoder")
    workdir = cli.require(options.workdir, "workdir", "a folder for checkpoints and results")
    distributed.initialize(options.distributed)
    train(options.config, data, autoencoder, workdir, options.minutes, options.export)


if __name__ == "__main__":
    define_flags()
    cli.run(main)

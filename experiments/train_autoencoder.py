r"""Trains the texture and the reflectance autoencoder.

python -m experiments.train_autoencoder --config=configs/autoencoder.py:cpu \
    --data=DIR --workdir=DIR [--minutes=20] [--kind=both]

Leaves `autoencoder.npz`, `run.json`, `metrics.jsonl`, checkpoints and pictures in the
workdir. Run the same command again to resume.
"""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags, logging
from jax.sharding import Mesh
from ml_collections import ConfigDict, config_flags

from data_pipeline.encoding import decode_batch
from data_pipeline.loaders import open_split
from experiments import cli, contact_sheet, training_data
from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import split_maps
from relightify_jax.light_stage.stage import Stage
from relightify_jax.models import KLAutoencoder, build_autoencoder, fit_patch_code
from relightify_jax.prior import encoding, store
from relightify_jax.prior.codec import FaceCodec
from relightify_jax.prior.encoding import MapStatistics
from relightify_jax.train import (
    autoencoder_step,
    distributed,
    loop,
    optimizers,
    relit,
    sharding,
)
from relightify_jax.train.checkpoints import Checkpoints
from relightify_jax.train.relit import RelitData
from relightify_jax.train.state import TrainState, make_state
from relightify_jax.train.writers import Writer

_CODE_FACES = 256  # Faces that give the linear codes, a thousand patches each.


def psnr(mean_square: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error on [0, 1]."""
    return float(-10 * np.log10(max(mean_square, 1e-12)))


def write_reconstructions(
    path: pathlib.Path, codec: FaceCodec, residual: np.ndarray, params: Any
) -> None:
    """Writes true maps (left) beside their reconstructions (right)."""
    codec = codec.replace(params={**codec.params, **params})

    @jax.jit
    def reconstruct(codec: FaceCodec, x: jax.Array) -> jax.Array:
        return codec.decode(codec.encode(x))

    def finish(x: jax.Array) -> np.ndarray:
        perceptual = encoding.restore_maps(codec.statistics, x)
        return contact_sheet.rows_from_maps(split_maps(encoding.maps_from_perceptual(perceptual)))

    residual = residual.astype(np.float32)
    contact_sheet.write_sheet(path, [finish(residual), finish(reconstruct(codec, residual))])


def make_evaluation(
    folder: pathlib.Path,
    modules: Mapping[str, KLAutoencoder],
    codec: FaceCodec,
    untrained: Mapping[str, Any],
    validation: np.ndarray,
) -> Callable[[TrainState, int], dict[str, float]]:
    """Returns the function that measures a state on held-out maps and draws some of them."""
    errors = autoencoder_step.make_autoencoder_evaluation(modules)

    def evaluate(state: TrainState, step: int) -> dict[str, float]:
        average = {**untrained, **jax.device_get(state.average)}
        sums: dict[str, float] = {}
        for face in validation:
            batch = face[None].astype(np.float32)
            for name, value in errors(average, batch, codec.statistics.scale).items():
                sums[name] = sums.get(name, 0.0) + float(value) / len(validation)
        write_reconstructions(folder / "reconstructions.png", codec, validation[:4], average)
        result = {f"val_{k}_psnr": psnr(v) for k, v in sums.items() if k != "normals"}
        result["val_normals_degrees"] = float(np.degrees(np.sqrt(3 * sums["normals"])))
        return {"val_loss": float(sum(np.sqrt(v) for v in sums.values())), **result}

    return evaluate


def train(config: ConfigDict, data: str, workdir: str, minutes: float | None, kind: str) -> None:
    """Trains and writes `autoencoder.npz`; see the module's docstring."""
    folder = pathlib.Path(workdir)
    names = ("texture", "reflectance") if kind == "both" else (kind,)
    modules = {n: build_autoencoder(config[n].to_dict()) for n in ("texture", "reflectance")}
    stage, examples, validation, statistics = _load(config, data)
    num_faces = len(open_split(data, "train"))
    mesh = sharding.make_mesh(config.train.fsdp)
    optimizer = optimizers.make_optimizer(
        b2=config.train.b2,
        weight_decay=config.train.weight_decay,
        clip_norm=config.train.clip_norm,
    )
    trained = {name: modules[name] for name in names}
    codes = {
        name: fit_patch_code(examples[..., channels], modules[name].latent_features)
        for name, channels in autoencoder_step.PARTS.items()
    }
    state, shardings = make_state(
        lambda key: autoencoder_step.init_params(trained, key, codes),
        optimizer,
        config.seed,
        mesh,
    )
    untrained = autoencoder_step.init_params(
        {n: m for n, m in modules.items() if n not in names},
        jax.random.key(config.seed),
        codes,
    )
    codec = FaceCodec(
        texture=modules["texture"],
        reflectance=modules["reflectance"],
        params={**untrained, **jax.device_get(state.params)},
        statistics=statistics,
    )
    step_fn = autoencoder_step.make_autoencoder_step(
        trained,
        optimizer,
        shardings,
        mesh,
        peak_rate=config.train.peak_rate,
        kl_weight=config.loss.kl_weight,
        gradient_weight=config.loss.gradient_weight,
        prepare=make_prepare(config, mesh),
        data=RelitData(stage, statistics),
    )
    evaluate = make_evaluation(folder, modules, codec, untrained, validation)

    cli.record_run(folder, config, {"data": data, "faces": num_faces, "kind": kind})
    writer = Writer(folder)
    checkpoints = Checkpoints(folder / "checkpoints", config.train.save_every)
    schedule = loop.Schedule(
        config.train.num_steps, minutes, config.train.log_every, config.train.evaluate_every
    )

    def batches(first: int) -> Iterator[Any]:
        return training_data.faces(data, config.train.batch_size, config.seed, first)

    try:
        state = loop.train(
            step_fn, state, shardings, batches, schedule, mesh, writer, checkpoints, evaluate
        )
        result = evaluate(state, int(state.step))
        writer.write_scalars(int(state.step), result)
    finally:
        checkpoints.close()
        writer.close()
    codec = codec.replace(params={**untrained, **jax.device_get(state.average)})
    notes = {"steps": int(state.step), "faces": num_faces, **result}
    store.save_codec(folder / "autoencoder.npz", codec, notes)
    logging.info("Wrote %s: %s", folder / "autoencoder.npz", result)


def make_prepare(config: ConfigDict, mesh: Mesh) -> autoencoder_step.Prepare:
    """What turns coded records into crops of lit maps, on the devices of `mesh`."""

    def prepare(data: RelitData, key: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
        return relit.relit_crops(
            key,
            data,
            decode_batch(batch, jnp),
            crops_per_face=config.train.crops_per_face,
            crop_size=config.crop_size,
            sharded=mesh.size > 1,
        )

    return prepare


def _load(config: ConfigDict, data: str) -> tuple[Stage, np.ndarray, np.ndarray, MapStatistics]:
    """The stage; lit maps for codes and validation, standardised float16; statistics."""
    size = training_data.uv_size(data)
    if size != config.uv_size or config.crop_size % 8 or config.crop_size > size:
        raise InputError(
            f"The records are {size} texels wide, but the configuration has uv_size "
            f"{config.uv_size} and crop_size {config.crop_size} (a multiple of 8); set "
            f"--config.uv_size={size} or build the data again."
        )
    stage = training_data.load_stage(data, config.environments_dir)
    statistics = training_data.map_statistics(data, stage)
    parts = [
        training_data.load_perceptual(data, split, stage, limit)
        for split, limit in (
            ("train", _CODE_FACES),
            ("validation", config.train.evaluation_faces),
        )
    ]
    for part in parts:
        training_data.standardize_in_place(part, statistics)
    return stage, *parts, statistics


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    config_flags.DEFINE_config_file(
        "config", "configs/autoencoder.py", "Configuration, e.g. configs/autoencoder.py:cpu."
    )
    flags.DEFINE_string("data", None, "Folder of the training records.")
    flags.DEFINE_string("workdir", None, "Folder for checkpoints and results.")
    flags.DEFINE_float("minutes", None, "Time limit over all sessions of this run.")
    flags.DEFINE_enum(
        "kind", "both", ["texture", "reflectance", "both"], "Which autoencoder to train."
    )
    flags.DEFINE_enum("distributed", "auto", distributed.MODES, "How processes find each other.")


def main(argv: Sequence[str]) -> None:
    """Entry point."""
    del argv
    options = flags.FLAGS
    data = cli.require(options.data, "data", "the folder that data_pipeline built")
    workdir = cli.require(options.workdir, "workdir", "a folder for checkpoints and results")
    distributed.initialize(options.distributed)
    train(options.config, data, workdir, options.minutes, options.kind)


if __name__ == "__main__":
    define_flags()
    cli.run(main)

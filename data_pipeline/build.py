r"""Writes a data set of relightable faces, synthetic or from captures.

    python -m data_pipeline.build --config=configs/data.py:synthetic --out=DIR --num=2112

Give the same command again to go on after an interruption, and a larger --num to extend a
data set of synthetic faces. The exit status is 0 only if every record is good; where some
captures were skipped the data set holds the others.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags
from tqdm import tqdm

from data_pipeline.relightable_faces import shards as sharding
from data_pipeline.relightable_faces import workers
from data_pipeline.relightable_faces.examples import Source
from data_pipeline.relightable_faces.sources import CapturedFaces, SyntheticFaces
from relightify_jax.core.errors import InputError

_SHOWN = 10  # Skipped records that are named; all are in the data set's description.


def make_source(config: ConfigDict) -> Source:
    """The source that a configuration of configs/data.py describes.

    Raises:
        InputError: If a value cannot be used.
    """
    if config.bits not in (8, 16):
        raise InputError(f"bits is {config.bits}; give --config.bits=8 or 16.")
    common = {"size": config.uv_size, "bits": config.bits}
    if config.source == "synthetic":
        return SyntheticFaces(
            **common,
            face_model=config.face_model,
            seed=config.seed,
            num=config.num,
            validation_every=config.validation_every,
            skins_dir=config.skins_dir,
            batch=config.batch,
        )
    if not pathlib.Path(config.folder or ".missing").is_dir():
        raise InputError(
            f"The folder of captures {config.folder!r} does not exist; give --config.folder=PATH."
        )
    return CapturedFaces(
        **common,
        folder=config.folder,
        layout=config.layout,
        validation_share=config.validation_share,
    )


def build(
    config: ConfigDict,
    out: str,
    *,
    num_workers: int = 0,
    beam: Sequence[str] | None = None,
) -> tuple[pathlib.Path, dict[str, str]]:
    """Builds the data set that `config` describes, or what is missing of it.

    Args:
        config: See configs/data.py.
        out: Folder; the data set becomes OUT/relightable_faces/NAME/VERSION.
        num_workers: See `workers.write_shards`.
        beam: Options of an Apache Beam pipeline to write with, or None.

    Returns:
        The folder of the data set, and the records that were skipped with the reasons.

    Raises:
        InputError: If the data set cannot be built; what is finished is kept.
    """
    source = make_source(config)
    counts = source.counts()
    shards = sharding.plan_shards(counts, config.shard_size)
    folder = sharding.open_folder(out, source, counts, config.shard_size)
    missing = [shard for shard in shards if sharding.find_report(folder, shard) is None]
    total = sum(counts.values())
    done = total - sum(shard.stop - shard.start for shard in missing)
    if beam is not None:
        workers.write_shards_on_beam(folder, source, missing, beam)
    else:
        with tqdm(total=total, initial=done, unit="face", smoothing=0.05) as progress:
            workers.write_shards(folder, source, missing, num_workers, progress.update)
    sharding.finish(folder, source, shards, settings=config.to_dict())
    return folder, sharding.skipped_records(folder, shards)


def main(argv: list[str]) -> None:
    """Entry point."""
    values = flags.FLAGS
    logging.set_verbosity(logging.WARNING)  # JAX's notes would break the progress bar.
    try:
        if len(argv) > 1:
            raise InputError(f"Unexpected argument {argv[1]!r}; everything is given by flags.")
        config = values.config
        if values.num is not None:
            if "num" not in config:
                raise InputError("--num is for synthetic faces; captures are what there is.")
            config.num = values.num
        beam = values.beam.split() if values.beam is not None else None
        folder, skipped = build(config, values.out, num_workers=values.workers, beam=beam)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(InputError.EXIT_CODE)
    print(folder)
    if skipped:
        lines = [f"  {name}: {reason}" for name, reason in list(skipped.items())[:_SHOWN]]
        more = f"\n  and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else ""
        print(
            f"error: {len(skipped)} records could not be used; the data set holds the others. "
            "Mend or remove them, delete the data set's folder and build again:\n"
            + "\n".join(lines)
            + more,
            file=sys.stderr,
        )
        sys.exit(InputError.EXIT_CODE)


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    config_flags.DEFINE_config_file(
        "config", "configs/data.py:synthetic", "FILE.py:VARIANT", lock_config=True
    )
    flags.DEFINE_string("out", None, "Folder to write to.", required=True)
    flags.DEFINE_integer("num", None, "Synthetic faces in all, overrides config.num.")
    flags.DEFINE_integer("workers", 0, "Processes, or threads of an accelerator; 0: all cores.")
    flags.DEFINE_string("beam", None, "Write with Apache Beam: options, e.g. --runner=DirectRunner")


if __name__ == "__main__":
    define_flags()
    app.run(main)

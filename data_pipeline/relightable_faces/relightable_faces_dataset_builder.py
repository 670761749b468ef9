"""TFDS builder of relightable faces: ArrayRecord files, written and read without TensorFlow.

The one file that imports TFDS. The builder says what a record is and what the data set's
description holds; `data_pipeline.build` drives `relightable_faces.shards`, which writes the
files so that an interrupted build continues. TFDS's own `download_and_prepare` works too,
in one process and from the start.
"""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.proto import tf_example_pb2

from data_pipeline.encoding import CHANNELS, DTYPES
from data_pipeline.relightable_faces.examples import FACTS, Example, Skipped, Source
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import staged_folder

NAME = "relightable_faces"
DATA_VERSION = "2.0.0"
# Without the number of shards, so that a data set can grow.
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"


class UVMap(tfds.features.Tensor):
    """An image of codes, stored as differences of rows: 40 % smaller after compression."""

    def __init__(self, *, shape: Sequence[int], dtype: Any, **unused: Any):
        """Takes the shape (R, R, C) and the type of the codes."""
        super().__init__(shape=shape, dtype=dtype, encoding="bytes")

    def encode_example(self, example_data: np.ndarray) -> bytes:
        """Differences to the row above, modulo the range of the codes."""
        rows = example_data.copy()
        rows[1:] -= example_data[:-1]
        return super().encode_example(rows)

    def decode_example_np(self, example_data: bytes) -> np.ndarray:
        """Sums the rows up again."""
        shape = self.shape
        image = np.frombuffer(bytearray(example_data), self.np_dtype).reshape(shape)
        rows = list(image.reshape(shape[0], -1))
        # One row at a time stays in the cache; `cumsum` takes seven times as long.
        for above, row in zip(rows, rows[1:], strict=False):
            np.add(row, above, out=row)
        return image


@dataclasses.dataclass(kw_only=True)
class FacesConfig(tfds.core.BuilderConfig):
    """A member of the family; `name` becomes a folder of the data set.

    Attributes:
        size: Texels per side R.
        bits: Of a code, 8 or 16.
        num_coefficients: Identity coefficients K.
        source: What to write; None where data is only read.
    """

    size: int = 256
    bits: int = 8
    num_coefficients: int = 80
    source: Source | None = None

    @classmethod
    def of(cls, source: Source) -> "FacesConfig":
        """The configuration that writes `source`."""
        return cls(
            name=source.name,
            description=source.description,
            size=source.size,
            bits=source.bits,
            num_coefficients=source.num_coefficients,
            source=source,
        )


def make_features(size: int, bits: int, num_coefficients: int) -> tfds.features.FeaturesDict:
    """What a record holds; maps as codes, see `data_pipeline.encoding`."""
    maps = {
        name: UVMap(shape=(size, size, channels), dtype=DTYPES[bits])
        for name, channels in CHANNELS.items()
    }
    return tfds.features.FeaturesDict(
        {
            "index": tfds.features.Scalar(dtype=np.int64),
            "subject": tfds.features.Text(),
            "name": tfds.features.Text(),
            **maps,
            "identity": tfds.features.Tensor(shape=(num_coefficients,), dtype=np.float32),
            "facts": {name: tfds.features.Scalar(dtype=np.float32) for name in FACTS},
        }
    )


class RelightableFaces(tfds.core.GeneratorBasedBuilder):
    """Reflectance of faces in one UV layout, from a generator or from captures."""

    VERSION = tfds.core.Version(DATA_VERSION)
    RELEASE_NOTES = {DATA_VERSION: "Reflectance without light; synthetic faces and captures."}

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return self.dataset_info_from_configs(
            description=config.description or "Relightable faces in a common UV layout.",
            license=config.source.licence if config.source else None,
            features=make_features(config.size, config.bits, config.num_coefficients),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Any]]:
        source = self.builder_config.source
        if source is None:
            raise InputError("Pass config=FacesConfig.of(source), or run data_pipeline.build.")
        return {split: self._generate_examples(split) for split in source.counts()}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        source = self.builder_config.source
        for example in source.examples(split, 0, source.counts()[split]):
            if isinstance(example, Skipped):
                logging.warning("Skipped %s: %s", example.name, example.reason)
            else:
                yield example.number, _features_of(example)


def folder_of(out: str | os.PathLike[str], source: Source) -> pathlib.Path:
    """Where the data set of `source` lies below `out`."""
    return pathlib.Path(out) / NAME / source.name / DATA_VERSION


def file_name(split: str, number: int) -> str:
    """Name of a shard's file in the data set's folder."""
    return os.path.basename(_template(split).sharded_filepath(shard_index=number, num_shards=1))


def serialize(source: Source, example: Example) -> bytes:
    """One record as it is stored, the same bytes in every process."""
    key = (source.size, source.bits, source.num_coefficients)
    features, serializer = _serializer(*key)
    record = serializer.serialize_example(features.encode_example(_features_of(example)))
    # Protocol buffers order the entries of a map differently in every process.
    return tf_example_pb2.Example.FromString(record).SerializeToString(deterministic=True)


def write_description(
    folder: pathlib.Path,
    source: Source,
    shards: Mapping[str, Sequence[tuple[int, int]]],
    metadata: Mapping[str, Any],
) -> None:
    """Writes what makes a folder of shards a data set that TFDS reads.

    Args:
        folder: Holds the shards; files are replaced only when all are written.
        source: What they were written from.
        shards: Split to (records, bytes) of each shard.
        metadata: Anything that JSON can hold; `builder.info.metadata` after reading.
    """
    with staged_folder(folder) as stage, _without_warnings():
        builder = RelightableFaces(
            config=FacesConfig.of(source), data_dir=os.fspath(stage), file_format="array_record"
        )
        splits = [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[records for records, _ in sizes],
                num_bytes=sum(num_bytes for _, num_bytes in sizes),
                filename_template=_template(split),
            )
            for split, sizes in shards.items()
        ]
        builder.info.set_splits(tfds.core.splits.SplitDict(splits))
        builder.info.metadata.update(metadata)
        builder.info.write_to_directory(stage)


def open_dataset(data_dir: str | os.PathLike[str]) -> Any:
    """Opens a finished data set.

    Args:
        data_dir: What `data_pipeline.build` printed, or a folder above that holds one.

    Returns:
        A TFDS builder; `.info.metadata` holds statistics and settings.

    Raises:
        InputError: If there is no finished data set, or several.
    """
    root = pathlib.Path(data_dir)
    found = sorted(path.parent for path in root.rglob("dataset_info.json"))
    if len(found) != 1:
        if found:
            what = f"{len(found)} data sets ({', '.join(map(str, found))}); give one of them"
        elif next(root.rglob("build.json"), None):
            what = "an unfinished data set; give its build command again to finish it"
        else:
            what = "no data set; give the folder that `python -m data_pipeline.build` printed"
        raise InputError(f"{data_dir} holds {what}.")
    try:
        builder = tfds.builder_from_directory(os.fspath(found[0]))
        written = builder.info.name
    except Exception as error:  # TFDS raises many kinds for a damaged description.
        raise InputError(
            f"The description of the data set {found[0]} cannot be read ({error}); "
            "give its build command again."
        ) from None
    if written != NAME:
        raise InputError(
            f"{found[0]} holds the data set {written!r}, not {NAME}; "
            "build one with `python -m data_pipeline.build`."
        )
    return builder


def open_split(data_dir: str | os.PathLike[str], split: str) -> Any:
    """Opens a split for random access.

    Args:
        data_dir: See `open_dataset`.
        split: "train", "validation", or a TFDS slice such as "train[:100]".

    Returns:
        A sequence of records as dictionaries: maps (R, R, C) uint8 or uint16 by the names of
        `data_pipeline.encoding.CHANNELS`, "identity" (K,) float32, "index" int64, "subject"
        and "name" bytes, "facts" a dictionary of float32, NaN where unknown.

    Raises:
        InputError: If there is no data set, there are several, no such split, or a shard
            is missing.
    """
    builder = open_dataset(data_dir)
    name = split.partition("[")[0]
    if name not in builder.info.splits:
        have = ", ".join(builder.info.splits)
        raise InputError(f"{data_dir} has no split {name!r}; it has {have}.")
    missing = [path for path in builder.info.splits[name].filepaths if not path.exists()]
    if missing:
        raise InputError(
            f"{missing[0]} is missing ({len(missing)} files in all); give the build command "
            "of the data set again to write it."
        )
    try:
        return builder.as_data_source(split=split)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"Split {split!r} of {data_dir} is empty or cannot be opened ({error})."
        ) from None


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """TFDS warns that the configuration is none of a list."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _features_of(example: Example) -> dict[str, Any]:
    return {
        "index": example.number,
        "subject": example.subject,
        "name": example.name,
        **example.record._asdict(),
        "facts": {name: np.float32(example.facts.get(name, np.nan)) for name in FACTS},
    }


@functools.cache
def _serializer(size: int, bits: int, num_coefficients: int) -> tuple[Any, Any]:
    features = make_features(size, bits, num_coefficients)
    serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())
    return features, serializer


def _template(split: str) -> tfds.core.ShardedFileTemplate:
    return tfds.core.ShardedFileTemplate(
        data_dir=".",
        template=_TEMPLATE,
        dataset_name=NAME,
        split=split,
        filetype_suffix="array_record",
    )

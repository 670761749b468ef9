"""TFDS builder of UV faces: ArrayRecord files, written and read without TensorFlow.

The one file that imports TFDS.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data_pipeline.encoding import encode_maps
from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import NUM_UV_CHANNELS

SPLITS = ("train", "validation")


@dataclasses.dataclass(kw_only=True)
class UvFacesConfig(tfds.core.BuilderConfig):
    """Where records come from; `name` becomes a folder of the data set.

    Attributes:
        size: Texels per side R.
        counts: Records of the splits "train" and "validation".
        sample: Record number -> linear maps (R, R, 10); numbers run through the splits.
    """

    size: int = 256
    counts: tuple[int, int] = (0, 0)
    sample: Callable[[int], np.ndarray] | None = None


class UvFaces(tfds.core.GeneratorBasedBuilder):
    """Faces as ten UV channels, eight bits each (see `data_pipeline.encoding`)."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Synthetic faces."}

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        features = {
            "index": tfds.features.Scalar(dtype=np.int64),
            "maps": tfds.features.Tensor(
                shape=(size, size, NUM_UV_CHANNELS), dtype=np.uint8, encoding="zlib"
            ),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Any]]:
        train, validation = self.builder_config.counts
        return {
            "train": self._generate_examples(0, train),
            "validation": self._generate_examples(train, train + validation),
        }

    def _generate_examples(self, start: int, stop: int) -> Iterator[tuple[str, dict[str, Any]]]:
        for index in range(start, stop):
            maps = encode_maps(self.builder_config.sample(index))
            yield f"{index:08d}", {"index": index, "maps": maps}


def write_faces(
    out: str | os.PathLike[str],
    name: str,
    size: int,
    counts: tuple[int, int],
    sample: Callable[[int], np.ndarray],
    num_shards: int,
) -> pathlib.Path:
    """Writes a data set; TFDS moves it into place only when it is complete.

    Returns:
        The folder that holds the ArrayRecord files, OUT/uv_faces/NAME/VERSION.
    """
    config = UvFacesConfig(name=name, size=size, counts=counts, sample=sample)
    builder = UvFaces(config=config, data_dir=os.fspath(out), file_format="array_record")
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=num_shards)
    )
    return pathlib.Path(builder.data_dir)


def open_split(data_dir: str | os.PathLike[str], split: str) -> Any:
    """Opens a split for random access.

    Args:
        data_dir: What `write_faces` returned, or a folder above that holds one data set.
        split: "train", "validation", or a TFDS slice such as "train[:100]".

    Returns:
        A sequence of {"index": int64, "maps": (R, R, 10) uint8}.

    Raises:
        InputError: If there is no data set, there are several, or no such split.
    """
    found = sorted(pathlib.Path(data_dir).rglob("dataset_info.json"))
    found = [path.parent for path in found if "incomplete" not in path.parent.name]
    if len(found) != 1:
        what = "no data set" if not found else f"{len(found)} data sets"
        raise InputError(
            f"{data_dir} holds {what}; give the folder that "
            "`python -m data_pipeline.build_synthetic` printed."
        )
    builder = tfds.builder_from_directory(os.fspath(found[0]))
    name = split.partition("[")[0]
    if name not in builder.info.splits:
        have = ", ".join(builder.info.splits)
        raise InputError(f"{data_dir} has no split {name!r}; it has {have}.")
    return builder.as_data_source(split=split)

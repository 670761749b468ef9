"""Statistics of coded records that add up over shards: histograms, tones, subjects."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from data_pipeline.encoding import CHANNELS, FaceRecord, decode_record
from relightify_jax.skin.optics import typology_angle

_CHEEK_ROWS, _CHEEK_COLUMNS = (0.41, 0.47), (0.26, 0.34)  # Of the map; and mirrored.
_ANGLE_EDGES = tuple(range(-90, 91, 10))
_STRIDE = 2  # Every other texel of a row and a column is enough for a histogram.
_MAPS = tuple(name for name in CHANNELS if name != "valid")


@dataclasses.dataclass
class Tally:
    """Counts of a set of records.

    Attributes:
        records: How many.
        subjects: Their names.
        codes: (C, 256) how many valid texels have each code (the upper 8 bits of 16), for
            the channels of diffuse albedo (sRGB), normals, specular albedo and roughness.
        angles: Records per 10 degrees of typology angle, from -90.
    """

    records: int = 0
    subjects: set[str] = dataclasses.field(default_factory=set)
    codes: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros((sum(CHANNELS[n] for n in _MAPS), 256), np.int64)
    )
    angles: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(len(_ANGLE_EDGES) - 1, np.int64)
    )

    def add(self, subject: str, record: FaceRecord, angle: float) -> None:
        """Counts one coded record."""
        self.records += 1
        self.subjects.add(subject)
        if np.isfinite(angle):
            self.angles += np.histogram([angle], _ANGLE_EDGES)[0]
        every = np.s_[::_STRIDE, ::_STRIDE]
        valid = record.valid[every][..., 0] > np.iinfo(record.valid.dtype).max // 2
        row = 0
        for name in _MAPS:
            image = getattr(record, name)
            if image.dtype == np.uint16:
                image = image >> 8
            for channel in range(image.shape[-1]):
                known = image[every][..., channel][valid]
                self.codes[row] += np.bincount(known, minlength=256)
                row += 1

    def merge(self, other: "Tally") -> None:
        """Adds the counts of `other`."""
        self.records += other.records
        self.subjects |= other.subjects
        self.codes += other.codes
        self.angles += other.angles

    def to_json(self) -> dict[str, Any]:
        """For `from_json`."""
        return {
            "records": self.records,
            "subjects": sorted(self.subjects),
            "codes": self.codes.tolist(),
            "angles": self.angles.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Tally":
        """Inverse of `to_json`."""
        return cls(
            records=int(data["records"]),
            subjects=set(data["subjects"]),
            codes=np.asarray(data["codes"], np.int64),
            angles=np.asarray(data["angles"], np.int64),
        )

    def summary(self) -> dict[str, Any]:
        """What a user reads: mean and deviation of every channel in codes / 255, tones."""
        values = np.arange(256) / 255
        total = np.maximum(self.codes.sum(1), 1)
        mean = self.codes @ values / total
        deviation = np.sqrt(np.maximum(self.codes @ values**2 / total - mean**2, 0))
        channels, row = {}, 0
        for name in _MAPS:
            part = slice(row, row + CHANNELS[name])
            row = part.stop
            channels[name] = {
                "mean": np.round(mean[part], 4).tolist(),
                "std": np.round(deviation[part], 4).tolist(),
            }
        return {
            "records": self.records,
            "subjects": len(self.subjects),
            "coded_channels": channels,
            "typology_angle_histogram": {
                str(edge): int(count)
                for edge, count in zip(_ANGLE_EDGES[:-1], self.angles, strict=True)
            },
        }


def typology_of(coded: FaceRecord) -> float:
    """Typology angle (ITA) in degrees of the cheeks of a coded record (R, R, .).

    NaN where the cheeks are not known.
    """
    size = coded.valid.shape[-2]
    rows = slice(*(round(v * size) for v in _CHEEK_ROWS))
    left, right = (round(u * size) for u in _CHEEK_COLUMNS)
    cheeks = [slice(left, right), slice(size - right, size - left)]
    boxes = [decode_record(_crop(coded, rows, columns)) for columns in cheeks]
    albedo = np.concatenate([box.diffuse_albedo.reshape(-1, 3) for box in boxes])
    valid = np.concatenate([box.valid.reshape(-1) for box in boxes]) > 0.5
    if not valid.any():
        return float("nan")
    # The median passes over moles and strands of hair.
    return float(typology_angle(jnp.asarray(np.median(albedo[valid], axis=0), jnp.float32)))


def _crop(record: FaceRecord, rows: slice, columns: slice) -> FaceRecord:
    maps = {name: getattr(record, name)[rows, columns] for name in CHANNELS}
    return FaceRecord(**maps, identity=record.identity)

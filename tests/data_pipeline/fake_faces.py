"""A source of records that costs nothing: smooth random maps, decided by the index."""

import dataclasses
import hashlib

import numpy as np

from data_pipeline.encoding import FaceRecord, encode_record
from data_pipeline.relightable_faces.examples import Example, Skipped


def fake_record(seed, size=16, coefficients=5):
    """A FaceRecord of float32 maps."""
    random = np.random.default_rng(seed)
    v, u = np.mgrid[:size, :size] / size
    waves = np.sin(random.uniform(1, 9, (9, 1, 1)) * u + random.uniform(1, 9, (9, 1, 1)) * v)
    waves = np.moveaxis(waves, 0, -1).astype(np.float32)
    normals = waves[..., 3:6] + [0, 0, 2.5]
    return FaceRecord(
        diffuse_albedo=0.4 + 0.3 * waves[..., :3],
        normals=(normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32),
        specular_albedo=0.35 + 0.2 * waves[..., 6:7],
        roughness=0.4 + 0.2 * waves[..., 7:8],
        valid=(waves[..., 8:] > -0.9).astype(np.float32),
        identity=random.normal(size=coefficients).astype(np.float32),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FakeFaces:
    """See `data_pipeline.relightable_faces.examples.Source`; `bad` indices are skipped."""

    num: int = 24
    size: int = 16
    bits: int = 8
    bad: tuple[int, ...] = ()

    name = "synthetic"
    on_device = False
    description = "Fake."
    licence = "None."
    num_coefficients = 5

    def counts(self):
        return {"train": self.num - self.num // 4, "validation": self.num // 4}

    def examples(self, split, start, stop):
        for place in range(start, stop):
            index = 4 * place if split == "validation" else place + place // 3 + 1
            if index in self.bad:
                yield Skipped(f"fake-{index}", "it is bad")
                continue
            record = encode_record(fake_record(index, self.size), self.bits)
            yield Example(index, f"person-{index}", f"fake-{index}", record, {"age": 20.0 + index})

    def settings(self):
        return {"source": "fake", "size": self.size, "bits": self.bits}

    def metadata(self):
        return {"identity_mirror": np.diag([1.0, -1, 1, -1, 1]).tolist()}


def digests(folder):
    """Name to digest of the record files of a data set."""
    files = sorted(folder.glob("*array_record*"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

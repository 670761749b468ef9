"""The data set's files: what is stored, what a kill leaves, how it grows, who is in which split."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from absl import logging
from fake_faces import FakeFaces, digests

from data_pipeline.encoding import CHANNELS
from data_pipeline.relightable_faces import relightable_faces_dataset_builder as builder
from data_pipeline.relightable_faces import shards, workers
from data_pipeline.relightable_faces.examples import Skipped
from data_pipeline.relightable_faces.sources import (
    CapturedFaces,
    SyntheticFaces,
    validation_subjects,
)
from relightify_jax.core.errors import InputError

SHARD_SIZE = 5


def write(out, source, shard_size=SHARD_SIZE, num_workers=1):
    plan = shards.plan_shards(source.counts(), shard_size)
    folder = shards.open_folder(out, source, source.counts(), shard_size)
    missing = [shard for shard in plan if shards.find_report(folder, shard) is None]
    workers.write_shards(folder, source, missing, num_workers, lambda count: None)
    shards.finish(folder, source, plan, settings={"uv_size": source.size})
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole"), FakeFaces())


@pytest.mark.parametrize("bits", [8, 16])
def test_what_is_read_is_what_was_written(tmp_path, bits):
    source = FakeFaces(bits=bits, size=17)
    folder = write(tmp_path, source)
    for split, count in source.counts().items():
        stored = builder.open_split(folder, split)
        assert len(stored) == count
        for found, wanted in zip(stored, source.examples(split, 0, count), strict=True):
            for name in (*CHANNELS, "identity"):
                image = getattr(wanted.record, name)
                assert found[name].dtype == image.dtype
                np.testing.assert_array_equal(found[name], image)
            assert int(found["index"]) == wanted.number
            assert found["subject"].decode() == wanted.subject
            assert found["facts"]["age"] == wanted.facts["age"]
            assert np.isnan(found["facts"]["male"])


def test_a_slice_is_opened_as_tfds_names_it(whole):
    assert len(builder.open_split(whole, "train[:7]")) == 7


def test_the_description_holds_statistics_and_licence(whole):
    info = builder.open_dataset(whole).info
    metadata = info.metadata
    assert metadata["splits"]["train"] == {"records": 18, "subjects": 18}
    assert metadata["licence"] == FakeFaces.licence == info.redistribution_info.license
    stored = builder.open_split(whole, "train")
    rest = builder.open_split(whole, "validation")
    codes = np.concatenate([
        record["roughness"][::2, ::2][record["valid"][::2, ::2] > 127]
        for part in (stored, rest)
        for record in part
    ])  # fmt: skip
    found = metadata["statistics"]["coded_channels"]["roughness"]
    np.testing.assert_allclose(found["mean"], [np.mean(codes / 255)], atol=1e-4)
    np.testing.assert_allclose(found["std"], [np.std(codes / 255)], atol=1e-4)


def test_worker_processes_write_the_same_files(tmp_path, whole):
    assert digests(write(tmp_path, FakeFaces(), num_workers=2)) == digests(whole)


def test_threads_of_an_accelerator_write_the_same_files(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(workers.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(FakeFaces, "on_device", True)
    plan = shards.plan_shards(FakeFaces().counts(), SHARD_SIZE)
    folder = shards.open_folder(tmp_path, FakeFaces(), FakeFaces().counts(), SHARD_SIZE)
    counts = []
    workers.write_shards(folder, FakeFaces(), plan, 3, counts.append)
    assert sum(counts) == 24
    assert digests(folder) == digests(whole)


def test_an_error_in_a_worker_is_raised_here(tmp_path, monkeypatch):
    monkeypatch.setattr(workers.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(FakeFaces, "on_device", True)
    real = shards.write_shard

    def fail(folder, source, shard, advance):
        if shard.number == 1:
            raise InputError("the disk is full")
        real(folder, source, shard, advance)

    monkeypatch.setattr(workers, "write_shard", fail)
    with pytest.raises(InputError, match="the disk is full"):
        write(tmp_path, FakeFaces(), num_workers=2)
    monkeypatch.undo()
    write(tmp_path, FakeFaces())  # Goes on.


def test_a_build_that_was_killed_goes_on(tmp_path, whole):
    """The process dies while it writes the second shard of the first split."""
    program = f"""
import os, signal, sys
sys.path[:0] = {[str(pathlib.Path(__file__).parent)]!r}
import dataclasses
import fake_faces, test_relightable_faces

class Dying(fake_faces.FakeFaces):
    def examples(self, split, start, stop):
        for number, example in enumerate(super().examples(split, start, stop), start):
            if number == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            yield example

test_relightable_faces.write({str(tmp_path)!r}, Dying())
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert result.returncode == -signal.SIGKILL, result.stderr
    with pytest.raises(InputError, match="unfinished"):
        builder.open_split(tmp_path, "train")
    source = FakeFaces()
    folder = builder.folder_of(tmp_path, source)
    first = folder / builder.file_name("train", 0)
    written = first.stat().st_mtime_ns
    assert not (folder / builder.file_name("train", 1)).exists()
    assert digests(write(tmp_path, source)) == digests(whole)
    assert first.stat().st_mtime_ns == written  # Not written again.


def test_a_larger_number_extends_a_data_set(tmp_path):
    folder = write(tmp_path, FakeFaces(num=24))
    before = digests(folder)
    write(tmp_path, FakeFaces(num=40))
    assert digests(folder) == digests(write(tmp_path / "at_once", FakeFaces(num=40)))
    assert len(builder.open_split(folder, "train")) == 30
    full = builder.file_name("train", 0)
    assert digests(folder)[full] == before[full]
    with pytest.raises(InputError, match="already holds more than 18 records of 'train'"):
        write(tmp_path, FakeFaces(num=24))


def test_a_bad_record_is_skipped_and_named(tmp_path):
    source = FakeFaces(bad=(2, 8))
    folder = write(tmp_path, source)
    plan = shards.plan_shards(source.counts(), SHARD_SIZE)
    assert shards.skipped_records(folder, plan) == {"fake-2": "it is bad", "fake-8": "it is bad"}
    assert builder.open_dataset(folder).info.metadata["skipped"].keys() == {"fake-2", "fake-8"}
    found = [
        int(r["index"]) for s in ("train", "validation") for r in builder.open_split(folder, s)
    ]
    assert sorted(found) == [i for i in range(24) if i not in (2, 8)]


def test_a_shard_without_a_good_record_is_no_hole(tmp_path):
    folder = write(tmp_path, FakeFaces(bad=(1, 2, 3, 5, 6)))
    assert [int(r["index"]) for r in builder.open_split(folder, "train")][:2] == [7, 9]


def test_a_split_without_a_good_record_is_refused(tmp_path):
    with pytest.raises(InputError, match="No record of the split 'validation'.*fake-0: it is bad"):
        write(tmp_path, FakeFaces(bad=tuple(range(0, 24, 4))))


def test_tfds_own_way_gives_the_same_records(tmp_path, whole):
    config = builder.FacesConfig.of(FakeFaces())
    logging.set_verbosity(logging.ERROR)
    made = builder.RelightableFaces(config=config, data_dir=tmp_path, file_format="array_record")
    made.download_and_prepare()
    for found, wanted in zip(
        made.as_data_source("train"), builder.open_split(whole, "train"), strict=True
    ):
        assert found["index"] == wanted["index"]
        np.testing.assert_array_equal(found["normals"], wanted["normals"])


def test_beam_writes_the_same_files(tmp_path, whole):
    pytest.importorskip("apache_beam")
    source = FakeFaces()
    plan = shards.plan_shards(source.counts(), SHARD_SIZE)
    folder = shards.open_folder(tmp_path, source, source.counts(), SHARD_SIZE)
    workers.write_shards_on_beam(folder, source, plan, ["--runner=DirectRunner"])
    shards.finish(folder, source, plan, settings={})
    assert digests(folder) == digests(whole)


def test_beam_that_is_missing_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"pip install 'relightify_jax\[beam\]'"):
        workers.write_shards_on_beam(tmp_path, FakeFaces(), [], [])


def test_another_configuration_in_the_folder_is_refused(tmp_path):
    write(tmp_path, FakeFaces())
    with pytest.raises(InputError, match="another configuration .size 16 instead of 32"):
        write(tmp_path, FakeFaces(size=32))
    with pytest.raises(InputError, match="shard_size 5 instead of 6"):
        write(tmp_path, FakeFaces(), shard_size=6)


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs /dev/full")
def test_a_full_disk_is_a_sentence_and_finished_files_stay(tmp_path, monkeypatch):
    source = FakeFaces()
    plan = shards.plan_shards(source.counts(), SHARD_SIZE)
    folder = shards.open_folder(tmp_path, source, source.counts(), SHARD_SIZE)
    shards.write_shard(folder, source, plan[0], lambda: None)
    real = shards.array_record_module.ArrayRecordWriter

    class Full:
        ArrayRecordWriter = staticmethod(lambda path, options: real("/dev/full", options))

    monkeypatch.setattr(shards, "array_record_module", Full)
    with pytest.raises(InputError, match=r"the disk is full while records 5 to 9 of 'train'"):
        shards.write_shard(folder, source, plan[1], lambda: None)
    monkeypatch.undo()
    assert list(digests(folder)) == [builder.file_name("train", 0)]
    assert shards.find_report(folder, plan[0]) and not shards.find_report(folder, plan[1])


def test_a_damaged_report_means_the_shard_again(tmp_path, whole):
    folder = write(tmp_path, FakeFaces())
    plan = shards.plan_shards(FakeFaces().counts(), SHARD_SIZE)
    next((folder / "shards").glob("train-00001*")).write_text("{")
    assert shards.find_report(folder, plan[1]) is None
    write(tmp_path, FakeFaces())
    assert digests(folder) == digests(whole)


def test_a_missing_file_is_named(tmp_path):
    folder = write(tmp_path, FakeFaces())
    (folder / builder.file_name("train", 1)).unlink()
    with pytest.raises(InputError, match="train.array_record-00001 is missing"):
        builder.open_split(folder, "train")


def test_a_wrong_folder_is_a_sentence(tmp_path, whole):
    with pytest.raises(InputError, match="no data set; give the folder"):
        builder.open_split(tmp_path, "train")
    with pytest.raises(InputError, match=r"no split 'test'; it has"):
        builder.open_split(whole, "test")
    write(tmp_path / "a", FakeFaces())
    write(tmp_path / "b", FakeFaces())
    with pytest.raises(InputError, match="2 data sets"):
        builder.open_split(tmp_path, "train")
    (tmp_path / "a" / "relightable_faces").rename(tmp_path / "a" / "x")
    info = next((tmp_path / "a").rglob("dataset_info.json"))
    info.write_text("{not json")
    with pytest.raises(InputError, match="description of the data set .* cannot be read"):
        builder.open_split(tmp_path / "a", "train")


def test_synthetic_splits_are_disjoint_and_grow():
    def indices(num):
        source = SyntheticFaces(num=num, validation_every=5)
        return {s: [source._number(s, i) for i in range(n)] for s, n in source.counts().items()}

    for num in (2, 5, 6, 23):
        found = indices(num)
        assert sorted(found["train"] + found["validation"]) == list(range(num))
    small, large = indices(11), indices(23)
    assert all(large[split][: len(small[split])] == small[split] for split in small)
    with pytest.raises(InputError, match="num is 1"):
        SyntheticFaces(num=1).counts()


def test_a_subject_is_in_one_split_whoever_else_is_there():
    subjects = [f"person-{i}" for i in range(400)]
    held_out = validation_subjects(subjects, 0.1)
    assert 20 < len(held_out) < 65
    assert validation_subjects(subjects[:200], 0.1) == held_out & set(subjects[:200])
    for share in (0.0, 1.0):
        assert len(validation_subjects(["a", "b", "c"], share)) in (1, 2)
    with pytest.raises(InputError, match="at least two"):
        validation_subjects(["a", "a"], 0.1)


class FakeCapture:
    def __init__(self, subject, name, record):
        self.subject, self.name, self.record = subject, name, record

    def load(self):
        if self.record is None:
            raise InputError(f"{self.name}: diffuse.png is missing.")
        return self.record

    def licence(self):
        return "CC0"


def test_captures_keep_subjects_together_and_skip_what_is_bad(tmp_path, monkeypatch):
    from fake_faces import fake_record

    from data_pipeline.relightable_faces import sources

    captures = [
        FakeCapture(f"p{i // 2}", f"p{i // 2}/{i}", fake_record(i, 16, 80)) for i in range(20)
    ]
    captures[3].record = None
    captures[4].record = captures[4].record._replace(normals=np.zeros((16, 16, 2), np.float32))
    captures[6].record = fake_record(6, 32, 80)
    monkeypatch.setattr(sources, "_list_captures", lambda folder, layout, size: captures)
    monkeypatch.setattr(sources, "_mirror_of", lambda face_model: np.eye(80).tolist())
    source = CapturedFaces(folder=str(tmp_path), size=16, validation_share=0.3)
    people = {
        split: {e.subject for e in source.examples(split, 0, n) if not isinstance(e, Skipped)}
        for split, n in source.counts().items()
    }
    assert not people["train"] & people["validation"]
    assert people["train"] | people["validation"] == {f"p{i}" for i in range(10)}
    folder = write(tmp_path, source)
    metadata = builder.open_dataset(folder).info.metadata
    assert set(metadata["skipped"]) == {"p1/3", "p2/4", "p3/6"}
    assert "normals has shape (16, 16, 2)" in metadata["skipped"]["p2/4"]
    assert "32 texels" in metadata["skipped"]["p3/6"]
    assert metadata["licence"] == "CC0"
    assert metadata["statistics"]["records"] == 17
    settings = json.loads((folder / "build.json").read_text())
    assert settings["layout"] == "plain" and "folder" not in settings
    captures.pop()
    with pytest.raises(InputError, match="another configuration .captures"):
        write(tmp_path, source)

"""Batches: the same whoever reads them, resumable anywhere, mirrored as a whole."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from fake_faces import FakeFaces, fake_record
from test_relightable_faces import write

from data_pipeline.encoding import FaceRecord, decode_batch, encode_record, mirror_record
from data_pipeline.loaders import make_loader, read_facts, read_identity_mirror
from relightify_jax.core.errors import InputError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write(tmp_path_factory.mktemp("faces"), FakeFaces())


def take(data_dir, batch_size, steps, **options):
    loader = make_loader(data_dir, "train", batch_size, **{"seed": 1, **options})
    return [next(loader) for _ in range(steps)]


def same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("decode", [False, True])
def test_a_batch_holds_the_fields_of_records(data_dir, decode):
    (batch,) = take(data_dir, 3, 1, decode=decode)
    assert set(batch) == {"index", *FaceRecord._fields}
    assert batch["normals"].shape == (3, 16, 16, 3)
    assert batch["normals"].dtype == (np.float32 if decode else np.uint8)
    assert batch["identity"].shape == (3, 5) and batch["identity"].dtype == np.float32
    for place, index in enumerate(batch["index"]):
        wanted = fake_record(index)
        if decode:
            np.testing.assert_allclose(batch["normals"][place], wanted.normals, atol=0.01)
        else:
            np.testing.assert_array_equal(batch["normals"][place], encode_record(wanted).normals)


def test_codes_decoded_on_the_device_are_the_decoded_batch(data_dir):
    (coded,), (decoded,) = (take(data_dir, 3, 1, decode=d) for d in (False, True))
    found = decode_batch(coded, jnp)
    for name in FaceRecord._fields:
        np.testing.assert_allclose(getattr(found, name), decoded[name], atol=2e-6)


@pytest.mark.parametrize("mirror", [False, True])
def test_resumed_at_a_step_gives_the_same_batches(data_dir, mirror):
    whole = take(data_dir, 4, 9, mirror=mirror)
    resumed = take(data_dir, 4, 3, mirror=mirror, start_step=6)
    for first, second in zip(whole[6:], resumed, strict=True):
        same(first, second)


def test_processes_share_a_batch_without_overlap(data_dir):
    def records(batches):
        return [
            {i: x.tobytes() for i, x in zip(b["index"].tolist(), b["normals"], strict=True)}
            for b in batches
        ]

    whole = records(take(data_dir, 6, 4, mirror=True))
    for count in (2, 3):
        parts = [
            records(take(data_dir, 6, 4, mirror=True, process_index=i, process_count=count))
            for i in range(count)
        ]
        for step, batch in enumerate(whole):
            shares = [part[step] for part in parts]
            assert sum(len(share) for share in shares) == 6
            assert {k: v for share in shares for k, v in share.items()} == batch


def test_threads_do_not_change_the_order(data_dir):
    for first, second in zip(
        take(data_dir, 4, 4, num_threads=1), take(data_dir, 4, 4, num_threads=8), strict=True
    ):
        same(first, second)


@pytest.mark.slow
def test_worker_processes_do_not_change_the_order(data_dir):
    loader = make_loader(data_dir, "train", 4, seed=1, mirror=True, num_workers=2)
    try:
        for wanted in take(data_dir, 4, 5, mirror=True):
            same(next(loader), wanted)
    finally:
        loader.close()


def test_every_pass_visits_every_record_once_in_an_order_of_its_own(data_dir):
    batches = take(data_dir, 6, 6)
    first, second = ([i for b in part for i in b["index"]] for part in (batches[:3], batches[3:]))
    assert len(set(first)) == len(set(second)) == 18 and first != second
    plain = [i for b in take(data_dir, 6, 3, shuffle=False) for i in b["index"]]
    assert plain == sorted(plain)


def test_half_of_the_faces_are_mirrored_as_a_whole(data_dir):
    modes = read_identity_mirror(data_dir)
    flips = []
    for batch in take(data_dir, 6, 6, mirror=True, decode=False):
        for place, index in enumerate(batch["index"].tolist()):
            plain = encode_record(fake_record(index))
            found = FaceRecord(**{n: batch[n][place] for n in FaceRecord._fields})
            flip = not np.array_equal(found.normals, plain.normals)
            wanted = mirror_record(plain, modes) if flip else plain
            for name in FaceRecord._fields:
                np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
            flips.append(flip)
    assert 0.2 < np.mean(flips) < 0.8
    assert flips[:18] != flips[18:]  # Drawn anew.


def test_facts_are_those_of_the_build(data_dir):
    facts = read_facts(data_dir)
    assert (facts["uv_size"], facts["face_model"]) == (16, "embedded")
    assert facts["statistics"]["records"] == 24


def test_user_mistakes_are_named(data_dir, tmp_path):
    with pytest.raises(InputError, match="no data set"):
        make_loader(tmp_path, "train", 2, seed=0)
    with pytest.raises(InputError, match="no split 'test'"):
        make_loader(data_dir, "test", 2, seed=0)
    with pytest.raises(InputError, match="batch_size 3 must be a positive multiple of 2"):
        make_loader(data_dir, "train", 3, seed=0, process_index=0, process_count=2)
    with pytest.raises(InputError, match="is empty"):
        make_loader(data_dir, "train[:0]", 3, seed=0)


def test_an_iterator_never_ends(data_dir):
    loader = make_loader(data_dir, "validation", 6, seed=0)
    assert len(list(itertools.islice(loader, 5))) == 5

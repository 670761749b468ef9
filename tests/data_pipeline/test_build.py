"""The build program: progress, exit status, bad options; and the real generator, slowly."""

import json

import numpy as np
import pytest
from absl import flags
from fake_faces import FakeFaces
from PIL import Image

from configs.data import get_config
from data_pipeline import build
from data_pipeline.relightable_faces.relightable_faces_dataset_builder import open_split
from data_pipeline.relightable_faces.sources import SyntheticFaces
from relightify_jax.core.errors import InputError

SKIN = (190, 140, 118)


def small(variant="smoke", **changes):
    config = get_config(variant)
    config.update(changes)
    return config


def run_main(monkeypatch, capsys, config, out, source=None, **options):
    """Exit status, standard output and error of the program."""
    values = flags.FlagValues()
    values.mark_as_parsed()
    for name, value in {"num": None, "workers": 1, "beam": None, **options}.items():
        flags.DEFINE_string(name, None, "", flag_values=values)
        values[name].value = value
    for name, value in {"config": config, "out": str(out)}.items():
        flags.DEFINE_string(name, None, "", flag_values=values)
        values[name].value = value
    monkeypatch.setattr(build.flags, "FLAGS", values)
    if source is not None:
        monkeypatch.setattr(build, "make_source", lambda config: source)
    status = 0
    try:
        build.main(["build"])
    except SystemExit as error:
        status = error.code
    return status, *capsys.readouterr()


def test_a_good_build_prints_its_folder_and_ends_with_zero(tmp_path, monkeypatch, capsys):
    status, out, err = run_main(monkeypatch, capsys, small(), tmp_path, FakeFaces())
    assert status == 0 and len(open_split(out.strip(), "train")) == 18
    assert "24/24" in err  # The progress bar.
    again, out, err = run_main(monkeypatch, capsys, small(), tmp_path, FakeFaces())
    assert again == 0 and "24/24" in err


def test_skipped_records_are_named_and_the_rest_is_usable(tmp_path, monkeypatch, capsys):
    source = FakeFaces(bad=(2,))
    for _ in range(2):  # Asked again, the answer is the same.
        status, out, err = run_main(monkeypatch, capsys, small(), tmp_path, source)
        assert status == InputError.EXIT_CODE
        assert "1 records could not be used" in err and "fake-2: it is bad" in err
        assert len(open_split(out.strip(), "train")) == 17


@pytest.mark.parametrize(
    ("config", "options", "sentence"),
    [
        (small(), {"num": 0}, "num is 0"),
        (small(), {"num": 1}, "num is 1"),
        (small(bits=12), {}, "bits is 12"),
        (small(shard_size=0), {}, "shard_size is 0"),
        (small("captures"), {}, "folder of captures '' does not exist"),
        (small("captures", folder="/nowhere"), {}, "'/nowhere' does not exist"),
        (small("captures"), {"num": 5}, "--num is for synthetic faces"),
    ],
)
def test_a_bad_option_is_one_sentence(tmp_path, monkeypatch, capsys, config, options, sentence):
    status, out, err = run_main(monkeypatch, capsys, config, tmp_path, **options)
    assert status == InputError.EXIT_CODE
    assert err.startswith("error: ") and sentence in err and not out


def test_a_place_that_cannot_be_written_to_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    status, _, err = run_main(monkeypatch, capsys, small(), tmp_path / "file", FakeFaces())
    assert status == InputError.EXIT_CODE and "Cannot use the folder" in err


def test_captures_are_built_and_a_bad_one_is_skipped(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "captures"
    random = np.random.default_rng(0)
    for person in ("anna", "bert", "carl", "dora"):
        (folder / person).mkdir(parents=True)
        for name, code in (("diffuse_albedo", SKIN), ("normals", (127, 127, 254))):
            image = np.full((32, 32, 3), code) + random.integers(0, 3, (32, 32, 1)) - 1
            Image.fromarray(image.astype(np.uint8)).save(folder / person / f"{name}.png")
        Image.fromarray(np.full((32, 32), 90, np.uint8)).save(
            folder / person / "specular_albedo.png"
        )
    (folder / "carl" / "normals.png").unlink()
    facts = {
        "licence": "CC0",
        "uv_layout": "canonical",
        "diffuse_encoding": "srgb",
        "specular_encoding": "linear",
        "normal_space": "tangent",
    }
    (folder / "capture.json").write_text(json.dumps(facts))
    config = small("captures", folder=str(folder), uv_size=16, shard_size=2)
    status, out, err = run_main(monkeypatch, capsys, config, tmp_path / "out")
    assert status == InputError.EXIT_CODE
    assert "1 records could not be used" in err and "carl" in err and "normals.png" in err
    stored = [r for s in ("train", "validation") for r in open_split(out.strip(), s)]
    assert sorted(r["subject"].decode() for r in stored) == ["anna", "bert", "dora"]
    for record in stored:
        codes = record["diffuse_albedo"][record["valid"][..., 0] == 255]
        np.testing.assert_allclose(codes.reshape(-1, 3).mean(0), SKIN, atol=2)
        assert record["identity"].shape == (80,)


def test_every_variant_describes_a_source():
    source = build.make_source(get_config("synthetic"))
    assert source.counts() == {"train": 2048, "validation": 64}
    with pytest.raises(ValueError, match="Unknown variant"):
        get_config("other")


@pytest.mark.slow
def test_synthetic_faces_depend_on_their_index_alone(tmp_path):
    folder, skipped = build.build(small(num=6), str(tmp_path), num_workers=1)
    assert not skipped
    stored = {int(r["index"]): r for s in ("train", "validation") for r in open_split(folder, s)}
    assert sorted(stored) == list(range(6))
    source = SyntheticFaces(num=9, size=32, validation_every=5)
    (third,) = source.examples("train", 2, 3)
    for name in ("diffuse_albedo", "normals", "identity"):
        np.testing.assert_array_equal(stored[third.number][name], getattr(third.record, name))
    together = SyntheticFaces(num=9, size=32, validation_every=5, batch=4)
    for example in together.examples("train", 0, 3):
        other = stored[example.number]
        assert np.abs(example.record.normals.astype(int) - other["normals"]).max() <= 2
        assert other["facts"]["age"] == np.float32(example.facts["age"])
        assert -90 < other["facts"]["typology_angle"] < 90

"""The main program, run as a user runs it."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
import trimesh
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from experiments import sample
from relightify_jax.core.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]
MAPS = (
    "texture",
    "texture_observed",
    "mask",
    "confidence",
    "diffuse_albedo",
    "specular_albedo",
    "normals",
)


def run_sample(*arguments):
    """Runs the program in a process of its own."""
    command = [sys.executable, "-m", "experiments.sample", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ)


def parsed_flags(**values):
    """Context in which the program's flags have `values`."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    return flagsaver.flagsaver(**values)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of the demo photo at draft quality."""
    out = tmp_path_factory.mktemp("demo") / "out"
    done = run_sample("--demo", f"--out={out}", "--config=configs/sample.py:draft")
    assert done.returncode == 0, done.stderr
    return out


def test_all_results_are_written(results):
    names = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
    expected = {"head.glb", "index.html", "run.json"}
    expected |= {f"maps/{name}.png" for name in MAPS}
    expected |= {f"renders/{name}" for name in ("fit_overlay.png", "rerender.png", "relit.png")} | {
        "renders/turntable.webp"
    }
    assert expected <= names
    assert not [name for name in names if ".part" in name]


def test_the_glb_holds_a_head_of_natural_size(results):
    head = trimesh.load(results / "head.glb", process=False)
    height = np.ptp(head.bounds, axis=0)[1]
    assert 0.2 < height < 0.5  # Metres, with the neck.
    assert len(head.geometry) >= 4


def test_the_run_is_recorded(results):
    run = json.loads((results / "run.json").read_text())
    assert run["facts"]["seed"] == run["config"]["seed"]
    assert run["facts"]["fit"]["reprojection_median"] < 0.013
    assert {"landmarks", "fit", "unwrap", "inpaint"} <= set(run["facts"]["seconds"])
    assert run["versions"]["jax"]


def test_maps_are_pictures_of_skin_without_holes(results):
    diffuse = np.asarray(Image.open(results / "maps" / "diffuse_albedo.png"), np.float32) / 255
    mask = np.asarray(Image.open(results / "maps" / "mask.png")) > 127
    middle = diffuse[64:192, 64:192].reshape(-1, 3)
    red, green, blue = middle.mean(axis=0)
    assert red > green > blue > 0.05
    assert 0.15 < mask.mean() < 0.9


def test_the_same_seed_gives_the_same_bytes(results, tmp_path):
    again = tmp_path / "again"
    done = run_sample("--demo", f"--out={again}", "--config=configs/sample.py:draft")
    assert done.returncode == 0, done.stderr
    assert (again / "head.glb").read_bytes() == (results / "head.glb").read_bytes()


@pytest.fixture
def photos(tmp_path):
    """Photos that cannot be used, by name."""
    astronaut = Image.fromarray(skimage.data.astronaut())
    astronaut.save(tmp_path / "good.png")
    data = (tmp_path / "good.png").read_bytes()
    (tmp_path / "truncated.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    Image.new("RGB", (256, 256), (90, 120, 60)).save(tmp_path / "no_face.png")
    astronaut.resize((160, 160)).save(tmp_path / "small_face.png")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.png", "does not exist"),
        ("truncated.png", "damaged"),
        ("text.jpg", "not an image"),
        ("no_face.png", "No face"),
        ("small_face.png", "at least 64"),
    ],
)
def test_a_photo_that_cannot_be_used_leaves_earlier_results_alone(photos, name, words):
    out = photos / "out"
    out.mkdir()
    (out / "head.glb").write_bytes(b"earlier")
    with (
        parsed_flags(image=str(photos / name), out=str(out), demo=False),
        pytest.raises(InputError, match=words),
    ):
        sample.main(["sample"])
    assert [path.name for path in out.iterdir()] == ["head.glb"]
    assert (out / "head.glb").read_bytes() == b"earlier"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"face": 3}, "no face number 3"),
        ({"face_model": "nowhere.npz"}, "nowhere.npz"),
        ({"prior": "nowhere.npz"}, "nowhere.npz"),
        ({"landmarks": "nowhere.json"}, "nowhere.json"),
    ],
)
def test_wrong_options_are_named(photos, wrong, words):
    image = str(photos / "good.png")
    with (
        parsed_flags(image=image, out=str(photos / "out"), demo=False, **wrong),
        pytest.raises(InputError, match=words),
    ):
        sample.main(["sample"])


def test_an_error_is_one_sentence_and_an_exit_code(tmp_path):
    done = run_sample("--image=missing.png", f"--out={tmp_path / 'out'}")
    assert done.returncode == InputError.EXIT_CODE
    assert "Traceback" not in done.stderr
    assert "missing.png" in done.stderr.splitlines()[-1]


def test_a_folder_that_cannot_be_written_is_named(photos):
    blocker = photos / "file"
    blocker.write_text("in the way")
    with (
        parsed_flags(image=str(photos / "good.png"), out=str(blocker / "out"), demo=False),
        pytest.raises(InputError, match="Cannot write"),
    ):
        sample.main(["sample"])

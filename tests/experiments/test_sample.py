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
from PIL import Image

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


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(results, tmp_path):
    again = tmp_path / "again"
    done = run_sample("--demo", f"--out={again}", "--config=configs/sample.py:draft")
    assert done.returncode == 0, done.stderr
    assert (again / "head.glb").read_bytes() == (results / "head.glb").read_bytes()


# Runs the program once per set of flags, in one process: importing it takes longest.
DRIVER = """
import json, sys
from absl import flags
from absl.testing import flagsaver
from experiments import sample
from relightify_jax.core.errors import InputError

flags.FLAGS(["sample"])
said = {}
for name, values in json.loads(sys.argv[1]).items():
    with flagsaver.flagsaver(**values):
        try:
            sample.main(["sample"])
            said[name] = ""
        except InputError as error:
            said[name] = str(error)
print(json.dumps(said))
"""

# Name of a case: flags, and words of the sentence that the user must read.
BAD_INPUT = {
    "missing photo": ({"image": ["missing.png"]}, "does not exist"),
    "truncated photo": ({"image": ["truncated.png"]}, "damaged"),
    "no image": ({"image": ["text.jpg"]}, "not an image"),
    "no face": ({"image": ["no_face.png"]}, "No face"),
    "small face": ({"image": ["small_face.png"]}, "at least 64"),
    "face number": ({"face": 3}, "no face number 3"),
    "face model": ({"face_model": "nowhere.npz"}, "nowhere.npz"),
    "foreign face model": ({"face_model": "foreign.npz"}, "lacks"),
    "prior": ({"prior": "nowhere.npz"}, "nowhere.npz"),
    "foreign prior": ({"prior": "foreign.npz"}, "foreign.npz"),
    "landmarks": ({"landmarks": "nowhere.json"}, "nowhere.json"),
    "folder": ({"out": "text.jpg/out"}, "Cannot write"),
}


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """What the program says to each bad input, and the folder with earlier results."""
    folder = tmp_path_factory.mktemp("bad")
    astronaut = Image.fromarray(skimage.data.astronaut())
    astronaut.save(folder / "good.png")
    data = (folder / "good.png").read_bytes()
    (folder / "truncated.png").write_bytes(data[: len(data) // 2])
    (folder / "text.jpg").write_text("no picture")
    Image.new("RGB", (256, 256), (90, 120, 60)).save(folder / "no_face.png")
    astronaut.resize((160, 160)).save(folder / "small_face.png")
    np.savez(folder / "foreign.npz", something=np.zeros(3))
    out = folder / "out"
    out.mkdir()
    (out / "head.glb").write_bytes(b"earlier")
    usual = {"image": ["good.png"], "out": "out", "demo": False}
    cases = {name: usual | values for name, (values, _) in BAD_INPUT.items()}
    command = [sys.executable, "-c", DRIVER, json.dumps(cases)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), out


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_gets_one_sentence_that_names_it(sentences, name):
    assert BAD_INPUT[name][1] in sentences[0][name]


def test_bad_input_leaves_earlier_results_alone(sentences):
    out = sentences[1]
    assert [path.name for path in out.iterdir()] == ["head.glb"]
    assert (out / "head.glb").read_bytes() == b"earlier"


def test_an_error_is_one_sentence_and_an_exit_code(tmp_path):
    done = run_sample("--image=missing.png", f"--out={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "missing.png" in done.stderr.splitlines()[-1]

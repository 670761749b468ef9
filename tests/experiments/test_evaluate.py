"""The evaluation program at its smallest."""

import json
import pathlib

import jax
import jax.numpy as jnp
import pytest
import skimage.data
from PIL import Image

from configs.evaluate import get_config
from experiments import evaluate, evaluate_fitting
from experiments.evaluate_fitting import read_rows
from relightify_jax.core.errors import InputError
from relightify_jax.evaluation.fitting_cases import plan_cases
from relightify_jax.evaluation.fitting_heads import Skin
from relightify_jax.geometry.embedded import load_embedded_model


@pytest.fixture(scope="module", autouse=True)
def fast_compiling():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def smoke():
    config = get_config("fitting_smoke")
    config.methods = ("mean",)
    config.factors = ("occlusion",)
    config.uv_size = 32
    return config


@pytest.fixture
def small(monkeypatch):
    """Tiny photos of coarse heads with plain skin."""

    def plan(*args, **options):
        return [case._replace(face_pixels=48) for case in plan_cases(*args, **options)]

    def plain(casting, size, skins_dir):
        flat = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (size, size, 3))
        skin = Skin(jnp.full((size, size, 3), 0.3), jnp.full((size, size, 1), 0.35), flat)
        return lambda seed: skin

    monkeypatch.setattr(evaluate_fitting, "load_face_model", lambda spec: load_embedded_model(0))
    monkeypatch.setattr(evaluate_fitting, "plan_cases", plan)
    monkeypatch.setattr(evaluate_fitting, "skin_sampler", plain)


def test_the_program_writes_its_tables_and_goes_on_where_it_stopped(tmp_path, small):
    text = evaluate.run(smoke(), tmp_path)
    assert text == (tmp_path / "table.md").read_text() and text.startswith("# Fitting")
    rows = read_rows(tmp_path / "rows.jsonl")
    assert [row["value"] for row in rows] == ["none", "some"]
    assert not any(row.get("error") for row in rows) and all(row["shape_mm"] > 0 for row in rows)
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert len(json.loads((tmp_path / "results.json").read_text())) == 2
    assert json.loads((tmp_path / "run.json").read_text())["config"]["protocol"] == "fitting"

    # A run that was killed while it wrote a row.
    lines = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text(lines[0] + lines[1][:40])
    assert evaluate.run(smoke(), tmp_path) == text
    again = read_rows(tmp_path / "rows.jsonl")
    assert again[0] == rows[0] and again[1]["shape_mm"] == rows[1]["shape_mm"]

    # Rows of another configuration must not be mixed in.
    other = smoke()
    other.noise_pixels = 3.0
    with pytest.raises(InputError, match="another noise_pixels"):
        evaluate.run(other, tmp_path)


def test_unknown_names_are_refused(tmp_path):
    config = smoke()
    config.protocol = "beauty"
    with pytest.raises(InputError, match="no protocol 'beauty'; choose from fitting, now, realy"):
        evaluate.run(config, tmp_path)
    for entry, value in (
        ("methods", ("magic",)),
        ("landmarks", ("guessed",)),
        ("factors", ("age",)),
    ):
        config = smoke()
        config.update({entry: value})
        with pytest.raises(InputError, match=value[0]):
            evaluate.run(config, tmp_path / entry)
    config = smoke()
    config.hdri_dir = str(tmp_path)
    with pytest.raises(InputError, match="holds no .hdr"):
        evaluate.run(config, tmp_path / "hdri")


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", ["now", "realy"])
def test_a_portrait_becomes_a_submission(tmp_path, benchmark):
    photos = tmp_path / "photos" / "S1" / "selfie"
    photos.mkdir(parents=True)
    Image.fromarray(skimage.data.astronaut()).save(photos / "IMG_1.jpg")
    Image.new("RGB", (64, 64)).save(photos / "IMG_2.jpg")
    config = get_config(benchmark)
    config.data_dir = str(tmp_path / "photos")
    text = evaluate.run(config, tmp_path / "out")
    assert "1 of 2 photos have a prediction" in text
    written = pathlib.Path("S1/selfie/IMG_1.obj" if benchmark == "now" else "meshes/IMG_1.obj")
    assert (tmp_path / "out" / "submission" / written).is_file()


@pytest.mark.slow
def test_every_method_and_source_of_landmarks_runs(tmp_path):
    pytest.importorskip("eos", reason="the peer eos-py is not installed")
    config = get_config("fitting_smoke")
    config.factors = ("occlusion",)
    config.methods = ("mean", "landmarks", "full", "eos")
    config.landmarks = ("iid", "network")
    evaluate.run(config, tmp_path)
    rows = read_rows(tmp_path / "rows.jsonl")
    assert len(rows) == 2 * 4 * 2 and not any(row.get("error") for row in rows)
    mean = {(row["method"], row["landmarks"]): row["similar_mean"] for row in rows}
    assert mean["full", "iid"] < mean["mean", "iid"]

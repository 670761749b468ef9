"""The protocol "skin" at its smallest: made-up photographs beside made-up faces."""

import json
from typing import NamedTuple

import jax
import numpy as np
import pytest
from PIL import Image

from configs.evaluate import get_config
from experiments import evaluate, evaluate_skin
from relightify_jax.core.errors import InputError
from relightify_jax.geometry.embedded import load_embedded_model

_SIZE = 64


class Record(NamedTuple):
    """The fields of `data_pipeline.encoding.FaceRecord`."""

    diffuse_albedo: np.ndarray
    normals: np.ndarray
    specular_albedo: np.ndarray
    roughness: np.ndarray
    valid: np.ndarray
    identity: np.ndarray


@pytest.fixture(scope="module", autouse=True)
def fast_compiling():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def make_records(config, model):
    """Plain noisy faces."""
    random = np.random.default_rng(config.seed)
    ahead = np.broadcast_to(np.float32([0, 0, 1]), (_SIZE, _SIZE, 3))
    one = np.ones((_SIZE, _SIZE, 1), np.float32)
    for _ in range(config.num):
        noise = np.exp(0.05 * random.normal(size=(_SIZE, _SIZE, 1)))
        albedo = (noise * [0.4, 0.25, 0.15]).astype(np.float32)
        yield Record(albedo, ahead, 0.35 * one, 0.5 * one, one, np.zeros(3, np.float32))


@pytest.fixture
def small(monkeypatch):
    """Photographs of noise on a coarse head."""

    def observe(config, model, folder):
        random = np.random.default_rng(9)
        log = 0.1 * random.normal(size=(2, _SIZE, _SIZE, 1))
        return [
            evaluate_skin.Texture(str(i), 0.3 * np.exp(x) * np.ones(3), np.ones((_SIZE,) * 2), 5.0)
            for i, x in enumerate(log)
        ]

    monkeypatch.setattr(evaluate_skin, "load_face_model", lambda spec: load_embedded_model(0))
    monkeypatch.setattr(evaluate_skin, "observe_photos_of", observe)
    monkeypatch.setattr(evaluate_skin, "_records", make_records)


@pytest.fixture
def flash(monkeypatch):
    """Light that is quick to compile: the right half is dark."""

    def faces(config, model):
        light = np.where(np.arange(_SIZE)[:, None] < _SIZE // 2, 1.0, 0.3)
        for record in make_records(config, model):
            yield record.diffuse_albedo * light, record.diffuse_albedo

    monkeypatch.setattr(evaluate_skin, "_faces", faces)


def skin_config():
    config = get_config("skin")
    config.uv_size, config.num = _SIZE, 3
    return config


def test_the_program_compares_photographs_with_generated_faces(tmp_path, small, flash):
    text = evaluate.run(skin_config(), tmp_path)
    assert text.startswith("# Skin") and "| contrast 5-16 mm " in text
    rows = {row["statistic"]: row for row in json.loads((tmp_path / "results.json").read_text())}
    row = rows["contrast 16-60 mm"]
    assert row["real_count"] == 2 and row["lit_count"] == row["albedo_count"] == 3
    assert row["albedo_low"] <= row["albedo_median"] <= row["albedo_high"]
    # Light adds to what the albedo varies.
    assert row["lit_median"] > 2 * row["albedo_median"]
    with Image.open(tmp_path / "textures.png") as image:
        assert image.size == (2 * _SIZE, 2 * _SIZE)
    assert (tmp_path / "spectra.png").is_file()


@pytest.mark.slow
def test_faces_are_lit_by_the_stage(small):
    config = skin_config()
    faces = list(evaluate_skin._faces(config, load_embedded_model(0)))
    assert len(faces) == config.num
    for (lit, albedo), record in zip(faces, make_records(config, None), strict=True):
        np.testing.assert_array_equal(albedo, record.diffuse_albedo)
        assert lit.shape == albedo.shape and 0 <= lit.min() and lit.max() <= 1
        assert lit.std() > 0.02


def test_missing_values_do_not_count():
    found = {
        "real": [{"a": 1.0, "b": float("nan")}, {"a": 3.0, "b": float("nan")}],
        "lit": [{"a": float("nan"), "b": 2.0}],
    }
    first, second = evaluate_skin.compare(found)
    assert (first["real_median"], first["real_count"], first["lit_median"]) == (2.0, 2, None)
    assert (second["real_median"], second["real_count"], second["lit_high"]) == (None, 0, 2.0)


def test_no_photos_are_told(tmp_path):
    config = skin_config()
    with pytest.raises(InputError, match="--config.photos_dir"):
        evaluate_skin.observe_photos_of(config, None, tmp_path)
    config.photos_dir = str(tmp_path)
    with pytest.raises(InputError, match="holds no photos"):
        evaluate_skin.observe_photos_of(config, None, tmp_path)


def test_photos_without_a_face_are_told(tmp_path):
    Image.new("RGB", (64, 64), "gray").save(tmp_path / "wall.png")
    config = skin_config()
    config.photos_dir = str(tmp_path)
    with pytest.raises(InputError, match=r"No photo in .* shows a usable face\. wall\.png: "):
        evaluate_skin.observe_photos_of(config, load_embedded_model(0), tmp_path / "out")

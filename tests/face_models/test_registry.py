"""Specs, errors and the cache; models of laboratories through twins of their files."""

import os

import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.face_models import cache, registry
from relightify_jax.face_models.cache import cached_model
from relightify_jax.face_models.registry import KINDS, load_face_model
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.face_files.gnm import read_gnm


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_gnm(path, raw):
    """A file with GNM's entries and the shape of a raw model; the eyes turn, the jaw does not."""
    count, num_identity = len(raw.points), raw.identity.shape[2]
    weights = np.zeros((1, count), np.float32)
    weights[0] = 1
    np.savez(
        path,
        template_vertex_positions=raw.points,
        vertex_identity_basis=np.moveaxis(raw.identity, 2, 0),
        expression_basis=np.moveaxis(raw.expression, 2, 0),
        triangles=raw.triangles,
        template_joint_positions=np.zeros((1, 3), np.float32),
        joint_identity_basis=np.zeros((num_identity, 1, 3), np.float32),
        joint_parent_indices=np.array([-1]),
        skinning_weights=weights,
        pose_correctives_regressor=np.zeros((9, 3 * count), np.float32),
        identity_names=np.array(raw.identity_names),
        expression_names=np.array([f"mode{i}" for i in range(raw.expression.shape[2])]),
        joint_names=np.array(["head"]),
    )
    return path


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_missing_file_says_what_where_and_on_what_terms(kind, tmp_path):
    origin = KINDS[kind].origin
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError) as caught:
            load_face_model(f"{kind}:{path}")
        for part in (str(path), origin.file, origin.url, origin.licence):
            assert part in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("flame", "Unknown face model 'flame'; give embedded|ict:PATH|gnm:PATH|flame:PATH"),
        ("basel:x", "Unknown face model 'basel:x'"),
        ("gnm:", "The path is missing in 'gnm:'"),
    ],
)
def test_a_spec_that_is_none_lists_those_there_are(spec, sentence):
    with pytest.raises(InputError) as caught:
        load_face_model(spec)
    assert str(caught.value).startswith(sentence)


def test_a_model_is_adapted_once_per_content(tmp_path, monkeypatch, stripped_embedded):
    raw, _ = stripped_embedded
    small = raw._replace(identity=raw.identity[..., :2], expression=raw.expression[..., :1])
    path = write_gnm(tmp_path / "gnm_head.npz", small._replace(identity_names=("a", "b")))
    calls = []

    def adapt(model, networks):
        calls.append(model)
        return load_embedded_model(0).replace(name=model.name)

    monkeypatch.setattr(registry, "adapt_model", adapt)
    first = load_face_model(f"gnm:{path}")
    again = load_face_model(f"gnm:{tmp_path}")  # The folder that holds it.
    assert len(calls) == 1 and first.name == again.name == "GNM Head"
    np.testing.assert_array_equal(first.mean, again.mean)
    assert read_gnm(path).points.shape == calls[0].points.shape
    (kept,) = cache.cache_folder().iterdir()
    assert kept.name.startswith("gnm-") and kept.name.endswith(f"-v{cache.FORMAT}.npz")

    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "expression_basis": 0.5 * arrays["expression_basis"]})
    load_face_model(f"gnm:{path}")
    assert len(calls) == 2
    kept.write_bytes(b"damaged")
    np.savez(path, **arrays)
    load_face_model(f"gnm:{path}")
    assert len(calls) == 3


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, caplog):
    file = tmp_path / "model"
    file.write_bytes(b"x")
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(blocked))
    model = cached_model("twin", [file], lambda: load_embedded_model(0))
    assert model is load_embedded_model(0)
    with pytest.raises(InputError, match="cannot be read"):
        cached_model("twin", [tmp_path / "nowhere"], lambda: model)


@pytest.mark.slow
def test_a_laboratorys_file_runs_through(tmp_path, stripped_ict):
    raw, _ = stripped_ict
    path = write_gnm(tmp_path / "gnm_head.npz", raw)
    model = load_face_model(f"gnm:{path}")
    assert model.landmark_vertices.shape == (468, 3)
    np.testing.assert_array_equal(np.asarray(model.expression_range)[-1], [-3, 3])
    again = load_face_model(f"gnm:{path}")
    np.testing.assert_array_equal(model.uv, again.uv)

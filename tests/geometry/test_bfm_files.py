"""Readers of the Basel Face Models, on twins with the same entries and shapes."""

import sys

import numpy as np
import pytest
import scipy.io

from relightify_jax.core.errors import InputError
from relightify_jax.geometry.face_files import bfm
from relightify_jax.geometry.face_files.raw import signed_volume


def mask(size=12):
    """An open bulge toward +Z, 0.2 m high: points (V, 3) metres, triangles from outside."""
    steps = np.linspace(-1, 1, size)
    x, y = (axis.ravel() for axis in np.meshgrid(steps, steps))
    points = np.stack([0.08 * x, 0.1 * y, 0.05 * (2 - x**2 - y**2)], axis=-1)
    start = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).ravel()
    quads = start[:, None] + [0, 1, size + 1, size]
    return points, quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def modes(size, count, seed):
    """Columns of unit length, and their standard deviations in mm."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.standard_normal((size, count)))
    return basis.astype(np.float32), 40.0 / (1 + np.arange(count))


def write_bfm2009(path, **changes):
    points, triangles = mask()
    basis, sigma = modes(points.size, 5, 0)
    arrays = {
        "shapeMU": points.reshape(-1, 1) * 1e6,
        "shapePC": basis,
        "shapeEV": sigma[:, None] * 1e3,
        "texMU": np.full((points.size, 1), 127.5),
        "texPC": basis,
        "texEV": sigma[:, None],
        "tl": triangles[:, ::-1] + 1,
    }
    arrays |= changes
    scipy.io.savemat(path, {key: value for key, value in arrays.items() if value is not None})
    return path


def write_bfm2017(path, changes=(), expression=True):
    h5py = pytest.importorskip("h5py")
    points, triangles = mask()
    arrays = {"shape/representer/cells": triangles.T, "shape/representer/points": points.T * 1e3}
    means = {"shape": points.ravel() * 1e3, "color": np.full(points.size, 0.5)}
    if expression:
        means["expression"] = np.full(points.size, 2.0)
    for seed, (name, mean) in enumerate(means.items()):
        basis, sigma = modes(points.size, 5 + seed, seed)
        arrays[f"{name}/model/mean"] = mean
        arrays[f"{name}/model/pcaBasis"] = basis
        arrays[f"{name}/model/pcaVariance"] = sigma**2
    with h5py.File(path, "w") as file:
        for key, value in {**arrays, **dict(changes)}.items():
            if value is not None:
                file[key] = value
    return path


@pytest.fixture
def small_bfm(monkeypatch):
    monkeypatch.setattr(bfm, "_NUM_VERTICES_2009", len(mask()[0]))


def test_bfm2009_is_turned_to_metres_unit_variance_and_linear_rgb(tmp_path, small_bfm):
    model = bfm.read_bfm2009(write_bfm2009(tmp_path / "01_MorphableModel.mat"))
    points, triangles = mask()
    basis, sigma = modes(points.size, 5, 0)
    np.testing.assert_allclose(model.points, points, atol=1e-7)
    # A unit coefficient moves by one standard deviation.
    length = np.sqrt(np.square(model.identity).sum((0, 1)))
    np.testing.assert_allclose(length, sigma * 1e-3, rtol=1e-5)
    np.testing.assert_allclose(model.identity[7, 1], basis[22] * sigma * 1e-3, rtol=1e-5)
    assert model.expression.shape == (len(points), 3, 0)
    assert signed_volume(model.points, model.triangles) == pytest.approx(
        signed_volume(points, triangles), rel=1e-5
    )
    np.testing.assert_allclose(model.colour.mean, 0.2140411, atol=1e-5)  # sRGB one half.
    # The basis is the slope of the curve: a small step in either encoding is the same.
    step = ((0.5 + 1e-3 + 0.055) / 1.055) ** 2.4 - ((0.5 - 1e-3 + 0.055) / 1.055) ** 2.4
    expected = basis.reshape(-1, 3, 5) * sigma / 255 * step / 2e-3
    np.testing.assert_allclose(model.colour.basis, expected, atol=1e-6)


def test_bfm2017_is_turned_to_metres_unit_variance_and_linear_rgb(tmp_path):
    model = bfm.read_bfm2017(write_bfm2017(tmp_path / "model2019_bfm.h5"), "2019")
    points, triangles = mask()
    _, sigma = modes(points.size, 5, 0)
    np.testing.assert_allclose(model.points, points + 2e-3, atol=1e-6)
    np.testing.assert_array_equal(model.triangles, triangles)
    length = np.sqrt(np.square(model.identity).sum((0, 1)))
    np.testing.assert_allclose(length, sigma * 1e-3, rtol=1e-5)
    assert model.expression.shape == (len(points), 3, 7)
    np.testing.assert_allclose(model.colour.mean, 0.2140411, atol=1e-5)
    assert model.name == "Basel Face Model 2019"
    plain = bfm.read_bfm2017(
        write_bfm2017(tmp_path / "b.h5", {"color/model/mean": None}.items(), expression=False)
    )
    assert plain.colour is None and plain.expression.shape[2] == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"texPC": None}, "lacks texPC; needed is 01_MorphableModel.mat"),
        ({"shapeMU": np.zeros((9, 1))}, r"shapeMU of shape \(9, 1\) instead"),
        ({"shapeEV": np.full((5, 1), np.inf)}, "NaN or infinity in shapeEV"),
        ({"tl": mask()[1] + 1}, "normals point into the head"),
        ({"tl": mask()[1] + 2}, "triangles of vertices 1 to"),
        ({"shapeMU": mask()[0].reshape(-1, 1) * 1e3}, "is not in micrometres"),
    ],
)
def test_bfm2009_that_does_not_fit_is_refused(tmp_path, small_bfm, changes, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        bfm.read_bfm2009(write_bfm2009(tmp_path / "a.mat", **changes))
    assert "unibas.ch" in str(caught.value) and "non-commercial" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shape/model/pcaVariance": None}, "lacks shape/model/pcaVariance; needed is model2017"),
        ({"color/model/pcaBasis": np.zeros((9, 6))}, "color/model/pcaBasis of shape"),
        ({"shape/representer/cells": mask()[1][:, ::-1].T}, "normals point into the head"),
        ({"shape/model/mean": mask()[0].ravel()}, "is not in millimetres"),
        ({"expression/model/mean": mask()[0].ravel() * 1e3}, "is no displacement"),
    ],
)
def test_bfm2017_that_does_not_fit_is_refused(tmp_path, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        bfm.read_bfm2017(write_bfm2017(tmp_path / "a.h5", changes.items()))


def test_bfm_files_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    with pytest.raises(InputError, match="cannot be read .No such file"):
        bfm.read_bfm2009(tmp_path / "a.mat")
    (tmp_path / "a").write_text("neither of them, but long enough to have a header " * 9)
    with pytest.raises(InputError, match="no readable MATLAB file"):
        bfm.read_bfm2009(tmp_path / "a")
    with pytest.raises(InputError, match="no readable HDF5 file"):
        bfm.read_bfm2017(tmp_path / "a")
    with pytest.raises(InputError, match="does not exist"):
        bfm.read_bfm2017(tmp_path / "b.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match="pip install h5py"):
        bfm.read_bfm2017(tmp_path / "a")

"""Readers of albedo beside a face model, on twins with the same entries and shapes."""

import numpy as np
import pytest

from relightify_jax.core.color import linear_from_srgb
from relightify_jax.core.errors import InputError
from relightify_jax.geometry.face_files import textures
from relightify_jax.geometry.face_files.raw import RawFaceModel


@pytest.fixture
def model():
    """Four vertices and two triangles."""
    return RawFaceModel(
        points=np.zeros((4, 3), np.float32),
        identity=np.zeros((4, 3, 1), np.float32),
        expression=np.zeros((4, 3, 0), np.float32),
        triangles=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        colour=None,
        joints=None,
        identity_names=("a",),
        expression_names=(),
        name="twin",
        licence="",
        source="",
    )


UV = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])  # v up.
CORNERS = np.array([[0, 1, 2], [0, 2, 3]])


def picture():
    """Colours (512, 512, 3), blue first: red grows with u, green with v, blue is 0.5."""
    v, u = np.meshgrid(
        1 - (np.arange(512) + 0.5) / 512, (np.arange(512) + 0.5) / 512, indexing="ij"
    )
    return np.stack([np.full_like(u, 0.5), v, u], axis=-1)


def test_flames_texture_is_looked_up_at_the_vertices(tmp_path, model):
    path = tmp_path / "FLAME_texture.npz"
    modes = np.repeat(picture()[..., None], 2, axis=-1) * [1.0, -2.0]
    np.savez(path, mean=255 * picture(), tex_dir=255 * modes, vt=UV, ft=CORNERS)
    colour = textures.read_flame_texture([path], model).colour
    wanted = np.stack([UV[:, 0], UV[:, 1], np.full(4, 0.5)], axis=-1)
    np.testing.assert_allclose(colour.mean, linear_from_srgb(wanted), atol=1e-5)
    assert colour.basis.shape == (4, 3, 2)
    # Linear in the mode with the slope of the curve at the mean.
    step = 1e-3
    slope = (linear_from_srgb(wanted + step) - linear_from_srgb(wanted - step)) / (2 * step)
    np.testing.assert_allclose(colour.basis[..., 0], wanted * slope, rtol=2e-3)
    np.testing.assert_allclose(colour.basis[..., 1], -2 * colour.basis[..., 0], rtol=1e-5)


@pytest.mark.parametrize("linear", [False, True])
def test_flat_texture_spaces_need_the_template(tmp_path, model, linear):
    name = "albedoModel2020_FLAME_albedoPart.npz" if linear else "FLAME_albedo_from_BFM.npz"
    path = tmp_path / name
    np.savez(path, MU=picture().ravel(), PC=np.repeat(picture().reshape(-1, 1), 3, axis=1))
    with pytest.raises(InputError, match=r"needs head_template\.obj"):
        textures.read_flame_texture([path], model)
    lines = [f"v 0 0 {i}" for i in range(4)] + [f"vt {u} {v}" for u, v in UV]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in corners) for corners in CORNERS]
    (tmp_path / "head_template.obj").write_text("\n".join(lines))
    colour = textures.read_flame_texture([path], model).colour
    wanted = np.stack([UV[:, 0], UV[:, 1], np.full(4, 0.5)], axis=-1)
    expected = wanted if linear else linear_from_srgb(wanted)
    np.testing.assert_allclose(colour.mean, expected, atol=1e-5)
    assert colour.basis.shape == (4, 3, 3)
    (tmp_path / "head_template.obj").write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match="does not fit the triangles of twin"):
        textures.read_flame_texture([path], model)


def test_a_texture_of_another_size_is_refused(tmp_path, model):
    path = tmp_path / "FLAME_texture.npz"
    np.savez(path, mean=np.zeros((7, 7, 3)), tex_dir=np.zeros((7, 7, 3, 2)))
    with pytest.raises(InputError, match="has mean of shape") as caught:
        textures.read_flame_texture([path], model)
    assert textures.ORIGIN_FLAME_TEXTURE.licence in str(caught.value)


def write_albedomm(path, num_vertices, **changes):
    h5py = pytest.importorskip("h5py")
    size = 3 * num_vertices
    arrays = {"mean": np.linspace(-0.1, 0.6, size), "pcaBasis": np.eye(size)[:, :2]}
    arrays |= {"pcaVariance": np.array([0.04, 0.01]), **changes}
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            if value is not None:
                file[f"diffuseAlbedo/model/{key}"] = value
    return path


def test_albedomm_is_linear_and_of_the_same_vertices(tmp_path, model):
    other = write_albedomm(tmp_path / "albedoModel2020_face12_albedoPart.h5", 5)
    own = write_albedomm(tmp_path / "albedoModel2020_bfm_albedoPart.h5", 4)
    colour = textures.read_albedomm([other, own], model).colour
    np.testing.assert_allclose(
        colour.mean, np.clip(np.linspace(-0.1, 0.6, 12), 0, 1).reshape(4, 3), atol=1e-6
    )
    assert colour.basis[0, 0, 0] == pytest.approx(0.2)
    assert colour.basis[0, 1, 1] == pytest.approx(0.1)
    assert textures.read_albedomm([other], model).colour is None
    with pytest.raises(InputError, match="lacks diffuseAlbedo/model/pcaVariance"):
        textures.read_albedomm([write_albedomm(own, 4, pcaVariance=None)], model)

"""Meshes of the benchmark, and the peers that draw them."""

import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.evaluation import rasterizer_peers, rasterizer_scenes
from relightify_jax.rendering.rasterize import rasterize


@pytest.mark.parametrize("level", [0, 1, 3])
def test_icosphere_is_a_closed_outward_sphere(level):
    points, faces = rasterizer_scenes.icosphere(level)
    assert faces.shape == (20 * 4**level, 3) and len(points) == 10 * 4**level + 2
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), 1, atol=1e-6)
    # Every directed side occurs once and its reverse once.
    sides = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    assert len(np.unique(sides, axis=0)) == len(sides)
    assert {tuple(side) for side in sides} == {tuple(side[::-1]) for side in sides}
    volume = np.linalg.det(points[faces].astype(float)).sum() / 6
    assert 0.6 < volume / (4 / 3 * np.pi) < 1


def test_the_head_fills_its_picture_and_looks_at_the_camera():
    mesh = rasterizer_scenes.load_mesh("head:0")
    scene = rasterizer_scenes.pose(mesh, 64, yaw=0.3)
    face = np.asarray(
        rasterize(scene.xy, scene.depth, scene.faces, height=64, width=64, cull="back").face
    )
    assert 0.2 < (face >= 0).mean() < 0.6
    assert set(np.unique(face[face >= 0])) <= set(rasterizer_peers.front_faces(scene))
    assert np.linalg.norm(scene.attributes[:, 3:], axis=-1).max() == pytest.approx(1, abs=1e-4)


def test_many_poses_contain_the_single_one():
    mesh = rasterizer_scenes.load_mesh("sphere:0")
    xy, depth = rasterizer_scenes.pose_many(mesh, 32, 3)
    scene = rasterizer_scenes.pose(mesh, 32, yaw=0.0)
    np.testing.assert_allclose(xy[1], scene.xy, atol=1e-4)
    np.testing.assert_allclose(depth[1], scene.depth, atol=1e-6)
    assert np.abs(xy[0] - xy[2]).max() > 1


@pytest.mark.parametrize("name", ["head", "head:9", "torus:1", "sphere:x", "missing.npz"])
def test_an_unknown_mesh_is_explained(name):
    with pytest.raises(InputError, match=name.split(":")[0]):
        rasterizer_scenes.load_mesh(name)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (dict(points=np.zeros((3, 3))), "needs `faces`"),
        (dict(points=np.zeros((3, 2)), faces=np.zeros((1, 3), int)), r"\(3, 2\)"),
        (dict(mean=np.zeros((3, 3)), faces=np.array([[0, 1, 3]])), "lacks"),
    ],
)
def test_a_file_without_a_mesh_is_explained(tmp_path, arrays, words):
    np.savez(tmp_path / "mesh.npz", **arrays)
    with pytest.raises(InputError, match=words):
        rasterizer_scenes.load_mesh(str(tmp_path / "mesh.npz"))


@pytest.mark.parametrize("name", rasterizer_peers.PEERS)
def test_a_peer_draws_the_same_picture(name):
    """Orientation, culling and depth order are those of ours; only snapping differs."""
    scene = rasterizer_scenes.pose(rasterizer_scenes.load_mesh("head:0"), 96, yaw=0.4)
    try:
        with rasterizer_peers.PEERS[name](scene) as peer:
            got = peer.draw()
            np.testing.assert_array_equal(peer.draw(), got)  # Nothing is left over.
    except rasterizer_peers.Unavailable as reason:
        pytest.skip(str(reason))
    expected = rasterize(scene.xy, scene.depth, scene.faces, height=96, width=96, cull="back").face
    assert got.shape == (96, 96) and got.min() == -1
    assert (got != np.asarray(expected)).mean() < 0.01


def test_a_missing_peer_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "moderngl", None)
    scene = rasterizer_scenes.pose(rasterizer_scenes.load_mesh("sphere:0"), 8, yaw=0.0)
    with pytest.raises(rasterizer_peers.Unavailable, match="moderngl is not installed"):
        with rasterizer_peers.opengl(scene):
            pass

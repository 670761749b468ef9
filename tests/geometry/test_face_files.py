"""Readers of FLAME and GNM, on twins with the same entries and shapes."""

import collections
import os
import pickle
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from relightify_jax.core.errors import InputError
from relightify_jax.geometry.face_files import flame, gnm
from relightify_jax.geometry.face_files.articulate import place_joints
from relightify_jax.geometry.face_files.raw import signed_volume
from relightify_jax.geometry.rotations import matrix_from_axis_angle

FLAME_PARENTS = (-1, 0, 1, 1, 1)


def head(rows, columns=13, opening=0.0):
    """An egg 0.3 m high, closed but for `opening` of its back: points (V, 3), triangles."""
    polar = np.linspace(0.05, np.pi - 0.05 - 2.5 * opening, rows)
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    theta, phi = np.meshgrid(polar, around, indexing="ij")
    sphere = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    points = sphere.reshape(-1, 3) * [0.08, 0.15, 0.1]
    row, column = (a.ravel() for a in np.mgrid[: rows - 1, :columns])
    a, b = row * columns + column, row * columns + (column + 1) % columns
    quads = np.stack([a, a + columns, b + columns, b], axis=-1)
    return points, quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def reaches(points):
    """Skinning weights (V, 5) of a jaw below and eyes above, as FLAME's joints."""
    weights = np.zeros((len(points), 5))
    x, y, z = points.T
    chin = np.clip(-20 * y - 0.5, 0, 1) * (z > 0)
    weights[:, 2] = chin
    weights[:, 3] = (y > 0.03) & (z > 0.05) & (x > 0.02)
    weights[:, 4] = (y > 0.03) & (z > 0.05) & (x < -0.02)
    weights[:, 1] = 1 - weights.sum(1)
    return weights


def flame_arrays(num_vertices, seed=0):
    """FLAME's entries as plain arrays."""
    rng = np.random.default_rng(seed)
    points, triangles = head(num_vertices // 13)
    extra = num_vertices - len(points)
    points = np.concatenate([points, np.zeros((extra, 3))])
    regressor = np.zeros((5, num_vertices))
    picked = rng.integers(0, len(points), (5, 4))
    np.put_along_axis(regressor, picked, 0.25, axis=1)
    regressor /= regressor.sum(1, keepdims=True)
    return {
        "v_template": points,
        "shapedirs": 5e-4 * rng.standard_normal((num_vertices, 3, 400), np.float32),
        "posedirs": 1e-3 * rng.standard_normal((num_vertices, 3, 36), np.float32),
        "J_regressor": regressor,
        "weights": reaches(points),
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "f": triangles.astype(np.uint32),
        "bs_type": "lrotmin",
    }


def write_pickle(path, arrays, monkeypatch):
    """Writes FLAME as its laboratory did: chumpy and scipy.sparse objects, old modules."""
    chumpy = {name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    container = type("Ch", (), {"__module__": "chumpy.ch"})
    select = type("Select", (), {"__module__": "chumpy.reordering"})
    chumpy["chumpy.ch"].Ch, chumpy["chumpy.reordering"].Select = container, select
    entries = dict(arrays)
    template = container()
    template.x = arrays["v_template"]
    template._dirty_vars, template._parents = {"x"}, collections.OrderedDict()
    size = arrays["shapedirs"].size
    inner, picked = container(), select()
    inner.x = arrays["shapedirs"].ravel()[::-1]
    picked.a, picked.idxs = inner, np.arange(size)[::-1]
    picked.preferred_shape = arrays["shapedirs"].shape
    entries |= {
        "v_template": template,
        "shapedirs": picked if size < 1e6 else arrays["shapedirs"],
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
    }
    with monkeypatch.context() as patch:
        for name, module in chumpy.items():
            patch.setitem(sys.modules, name, module)
        data = pickle.dumps(entries, protocol=2)
    assert b"scipy.sparse._csc" in data
    path.write_bytes(data.replace(b"scipy.sparse._csc", b"scipy.sparse.csc"))
    return path


@pytest.fixture
def small_flame(monkeypatch):
    monkeypatch.setattr(flame, "_NUM_VERTICES", 150)
    return flame_arrays(150)


def test_flame_of_the_true_size(tmp_path, monkeypatch):
    arrays = flame_arrays(5023)
    model = flame.read_flame(write_pickle(tmp_path / "flame2023.pkl", arrays, monkeypatch))
    assert "chumpy" not in sys.modules
    assert model.points.shape == (5023, 3) and model.points.dtype == np.float32
    assert model.identity.shape == (5023, 3, 300) and model.expression.shape == (5023, 3, 100)
    assert model.triangles.dtype == np.int32
    assert len(model.identity_names) == 300 and len(model.expression_names) == 100
    np.testing.assert_array_equal(model.expression, arrays["shapedirs"][..., 300:])
    assert model.joints.names[2] == "jaw" and model.joints.parents == FLAME_PARENTS
    assert not model.joints.correctives[..., :9].any()  # None of the root.
    np.testing.assert_array_equal(model.joints.correctives[..., 9:], arrays["posedirs"])
    assert "2020" in model.licence and model.source.startswith("https://flame")


def test_flame_from_chumpy_and_from_npz_is_the_same(tmp_path, small_flame, monkeypatch):
    from_pickle = flame.read_flame(write_pickle(tmp_path / "a.pkl", small_flame, monkeypatch))
    np.savez(tmp_path / "a.npz", **small_flame)
    from_npz = flame.read_flame(tmp_path / "a.npz")
    assert jax.tree.structure(from_pickle) == jax.tree.structure(from_npz)
    for one, other in zip(jax.tree.leaves(from_pickle), jax.tree.leaves(from_npz), strict=True):
        if isinstance(one, str):
            assert one == other
        else:
            np.testing.assert_allclose(one, other, atol=1e-7)
    np.testing.assert_allclose(from_npz.points, small_flame["v_template"], atol=1e-7)


def test_flame_joints_follow_the_shape(tmp_path, small_flame):
    np.savez(tmp_path / "a.npz", **small_flame)
    model = flame.read_flame(tmp_path / "a.npz")
    rng = np.random.default_rng(3)
    identity, expression = rng.standard_normal(300), rng.standard_normal(100)
    points = model.points + model.identity @ identity + model.expression @ expression
    found = place_joints(*model.joints[2:5], jnp.asarray(identity), jnp.asarray(expression))
    np.testing.assert_allclose(found, small_flame["J_regressor"] @ points, atol=1e-5)


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "function", [os.system, eval, getattr, np.load, scipy.sparse.load_npz, pickle.loads]
)
def test_a_pickle_that_runs_anything_is_refused(tmp_path, function, protocol):
    proof = tmp_path / "ran"
    payload = {"v_template": Evil(function, f"touch {proof}")}
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(payload, protocol=protocol))
    with pytest.raises(InputError, match=f"asks to run .*{function.__name__}; needed is .*http"):
        flame.read_flame(path)
    assert not proof.exists()


def test_sparse_matrices_with_indices_outside_are_refused(tmp_path, small_flame, monkeypatch):
    matrix = scipy.sparse.csc_matrix(small_flame["J_regressor"])
    matrix.indices[:] = 10_000_000
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps({**small_flame, "J_regressor": matrix}, protocol=2))
    with pytest.raises(InputError, match="has a damaged J_regressor"):
        flame.read_flame(path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"posedirs": None, "f": None}, "lacks f, posedirs; needed is generic_model.pkl"),
        ({"shapedirs": np.zeros((150, 3, 300))}, r"shapedirs of shape \(150, 3, 300\) instead"),
        ({"v_template": np.zeros((149, 3))}, r"v_template of shape \(149, 3\) instead"),
        ({"posedirs": np.full((150, 3, 36), np.nan)}, "holds NaN or infinity in posedirs"),
        ({"weights": np.ones((150, 5))}, "weights that do not sum to one"),
        ({"weights": np.full((150, 5), "a")}, "no plain array under weights"),
        ({"kintree_table": np.array([[-1, 2, 1, 1, 1], np.arange(5)])}, "are no tree"),
        ({"f": np.full((3, 3), 150)}, "triangles of vertices 150 to 150 where there are 150"),
        ({"scale": 1000.0}, "not in metres with .Y up, .* the head is 29. m high"),
        ({"spread": 1e3}, "identity modes that are not in metres"),
        ({"turn": True}, "triangles whose normals point into the head"),
    ],
)
def test_flame_that_does_not_fit_names_what_is_needed(tmp_path, small_flame, changes, sentence):
    arrays = {**small_flame, **changes}
    if "scale" in changes:
        arrays["v_template"] = arrays["v_template"] * 1000
    if "spread" in changes:
        arrays["shapedirs"] = arrays["shapedirs"] * 1000
    if "turn" in changes:
        arrays["f"] = arrays["f"][:, ::-1]
    np.savez(tmp_path / "a.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(InputError, match=sentence) as caught:
        flame.read_flame(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)
    assert "https://flame.is.tue.mpg.de" in str(caught.value) and "CC BY" in str(caught.value)


def test_a_file_that_is_no_flame_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read .No such file"):
        flame.read_flame(tmp_path / "generic_model.pkl")
    (tmp_path / "a.pkl").write_text("<html>")
    with pytest.raises(InputError, match="no readable pickle"):
        flame.read_flame(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match="holds a list instead of named arrays"):
        flame.read_flame(tmp_path / "a.pkl")


# --- GNM ---


def write_gnm(path, **changes):
    rng = np.random.default_rng(0)
    points, triangles = head(12)
    count = len(points)
    weights = reaches(points)[:, [1, 2, 3, 4]].T
    arrays = {
        "version": "3.0",
        "template_vertex_positions": points,
        "vertex_identity_basis": 3e-3 * rng.standard_normal((6, count, 3)),
        "expression_basis": 3e-3 * rng.standard_normal((4, count, 3)),
        "template_joint_positions": 0.1 * rng.standard_normal((4, 3)),
        "joint_identity_basis": 1e-3 * rng.standard_normal((6, 4, 3)),
        "joint_parent_indices": np.array([0, 0, 1, 1]),
        "skinning_weights": weights,
        "pose_correctives_regressor": 1e-3 * rng.standard_normal((36, 3 * count)),
        "triangles": triangles,
        "identity_names": [f"head_{i}" for i in range(6)],
        "expression_names": [f"tongue_{i}" for i in range(4)],
        "joint_names": ["neck", "head", "left_eye", "right_eye"],
    }
    arrays |= changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path, arrays


def test_gnm_is_read(tmp_path):
    path, arrays = write_gnm(tmp_path / "gnm_head.npz")
    model = gnm.read_gnm(path)
    assert model.joints.names == ("neck", "head", "eye_left", "eye_right")
    assert model.joints.parents == (-1, 0, 1, 1)
    assert model.expression_names == tuple(arrays["expression_names"])
    np.testing.assert_allclose(model.identity[..., 2], arrays["vertex_identity_basis"][2])
    rotations = 0.3 * np.random.default_rng(1).standard_normal((4, 3))
    feature = np.stack([np.asarray(matrix_from_axis_angle(jnp.asarray(r))) for r in rotations])
    feature = (feature - np.eye(3)).ravel()
    offsets = (feature @ arrays["pose_correctives_regressor"]).reshape(-1, 3)
    np.testing.assert_allclose(model.joints.correctives @ feature, offsets, atol=1e-6)


def test_gnm_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(InputError, match="lacks skinning_weights; needed is gnm_head.npz.*Apache"):
        gnm.read_gnm(write_gnm(tmp_path / "a.npz", skinning_weights=None)[0])
    with pytest.raises(InputError, match=r"expression_basis of shape \(1, 4, 3\)"):
        gnm.read_gnm(write_gnm(tmp_path / "a.npz", expression_basis=np.zeros((1, 4, 3)))[0])
    with pytest.raises(InputError, match="not in metres"):
        gnm.read_gnm(write_gnm(tmp_path / "a.npz", template_vertex_positions=100 * head(12)[0])[0])
    with pytest.raises(InputError, match="does not exist.*gnm_head.npz"):
        gnm.read_gnm(tmp_path / "nowhere.npz")


# --- Orientation ---


def test_the_volume_of_closed_and_open_meshes():
    points, triangles = head(60, columns=60)
    egg = 4 / 3 * np.pi * np.prod([0.08, 0.15, 0.1])
    assert signed_volume(points, triangles) == pytest.approx(egg, rel=0.02)
    assert signed_volume(points + 5, triangles[:, ::-1]) == pytest.approx(-egg, rel=0.02)
    points, triangles = head(20, opening=0.5)  # A mask.
    assert points[:, 2].min() > -0.5 * points[:, 2].max()
    assert signed_volume(points, triangles) > 0.1 * egg
    assert signed_volume(points, triangles[:, ::-1]) < -0.1 * egg


def test_normals_of_a_real_head_point_out(shared_assets):
    with np.load(shared_assets / "ict" / "ict_face_model_full_q.npz") as archive:
        points, faces = 0.01 * archive["mean"], archive["faces"]
    volume = signed_volume(points, faces)
    assert 0.002 < volume < 0.02  # Cubic metres: a head with its neck.
    skin = faces[(faces < 9409).all(1)]
    assert signed_volume(points, skin) > 0  # The face alone is a mask.

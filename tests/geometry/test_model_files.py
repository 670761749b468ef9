"""Face models in files: our own format, and ICT-FaceKit through a small synthetic twin."""

import re

import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.geometry import ict
from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.model_files import save_face_model
from relightify_jax.geometry.morphable_model import PARTS, VertexAlbedo, landmarks

NAMES = ("browDown_L", "browDown_R", "jawOpen")
NUM_MODES = 3


@pytest.fixture(scope="module")
def control_model():
    """The coarse embedded model: small and complete."""
    return load_embedded_model(0)


@pytest.fixture
def saved(tmp_path, control_model):
    """The path of a saved model and a function that spoils one of its arrays."""
    path = tmp_path / "model.npz"
    save_face_model(path, control_model.replace(identity=control_model.identity[:2]))
    with np.load(path) as archive:
        arrays = dict(archive)

    def spoil(**changes):
        changed = {k: v for k, v in {**arrays, **changes}.items() if v is not None}
        np.savez(path, **changed)
        return str(path)

    return str(path), spoil


def test_embedded_is_the_default():
    assert load_face_model() is load_face_model("embedded") is load_embedded_model()


def test_a_saved_model_comes_back_unchanged(tmp_path, control_model):
    path = tmp_path / "model.npz"
    save_face_model(path, control_model)
    loaded = load_face_model(str(path))
    for name in control_model.__dataclass_fields__:
        before, after = getattr(control_model, name), getattr(loaded, name)
        if before is None or isinstance(before, (str, tuple)):
            assert after == before
        else:
            np.testing.assert_array_equal(after, before)
            assert after.dtype == before.dtype


def test_ranges_and_albedo_come_back_too(tmp_path, control_model):
    path = tmp_path / "model.npz"
    count, num_vertices = len(control_model.expression), len(control_model.mean)
    rich = control_model.replace(
        expression_range=np.tile(np.float32([-3, 3]), (count, 1)),
        expression_deviation=np.ones(count, np.float32),
        albedo=VertexAlbedo(
            np.full((num_vertices, 3), 0.3, np.float32), np.ones((2, num_vertices, 3), np.float32)
        ),
    )
    save_face_model(path, rich, compress=False)
    loaded = load_face_model(str(path))
    np.testing.assert_array_equal(loaded.expression_range, rich.expression_range)
    np.testing.assert_array_equal(loaded.expression_deviation, 1)
    np.testing.assert_array_equal(loaded.albedo.mean, rich.albedo.mean)
    np.testing.assert_array_equal(loaded.albedo.modes, rich.albedo.modes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"expression_range": np.zeros((5, 2), np.float32)}, "expression_range must be (E, 2)"),
        ({"albedo_mean": np.zeros((5, 3), np.float32)}, "as many vertices as mean"),
        ({"mean": None}, "is not a face model: it lacks mean"),
        ({"licence": None}, "is not a face model: it lacks licence"),
        ({"mean": np.zeros((4, 3, 1), np.float32)}, "mean is float32 of shape (4, 3, 1)"),
        ({"identity": np.zeros((2, 7, 3), np.float32)}, "must have as many vertices as mean"),
        ({"faces": np.zeros((5, 3), np.int32)}, "one row per triangle"),
        ({"expression_names": np.array(["one"])}, "every expression needs a name"),
        ({"landmark_spread": np.zeros(68, np.float32)}, "there must be 468 landmarks"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(saved, changes, sentence):
    _, spoil = saved
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        load_face_model(spoil(**changes))
    assert "\n" not in str(caught.value)


def test_nan_wrong_units_and_bad_indices_are_refused(saved):
    path, spoil = saved
    with np.load(path) as archive:
        mean, faces = archive["mean"], archive["faces"]
    broken = mean.copy()
    broken[7, 1] = np.nan
    with pytest.raises(InputError, match="mean holds NaN"):
        load_face_model(spoil(mean=broken))
    with pytest.raises(InputError, match="must be in metres"):
        load_face_model(spoil(mean=100 * mean))
    with pytest.raises(InputError, match="indices must lie within"):
        load_face_model(spoil(faces=faces + 10))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("nowhere/model.npz", "does not exist"),
        ("flame", r"Unknown face model 'flame'; give embedded\|ict:PATH"),
        ("ict:nowhere.npz", "does not exist"),
    ],
)
def test_a_missing_model_is_named(spec, sentence):
    with pytest.raises(InputError, match=sentence):
        load_face_model(spec)


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "model.npz"
    path.write_text("not an archive")
    with pytest.raises(InputError, match="cannot be read as .npz"):
        load_face_model(str(path))


# --- ICT-FaceKit: a twin with the same files, keys and order of parts, but small. ---


def grid(size, corner, tile, side=1.0):
    """A square of quads: points (n, 3) in cm facing +Z, UVs (n, 2) in a tile, v up, quads."""
    steps = np.linspace(0, 1, size)
    u, v = (a.ravel() for a in np.meshgrid(steps, steps))
    points = np.stack([corner[0] + side * (u - 0.5), corner[1] + side * (v - 0.5)], axis=-1)
    points = np.concatenate([points, np.full((len(u), 1), corner[2])], axis=1)
    start = (np.arange(size - 1)[:, None] * size + np.arange(size - 1)).ravel()
    uv = np.stack([0.02 + 0.96 * u + tile, 0.02 + 0.96 * v], axis=-1)
    return points, uv, start[:, None] + [0, 1, size + 1, size]


@pytest.fixture
def twin(monkeypatch):
    """Arrays of the twin; the reader's region table is shortened to match."""
    pieces = [
        ("face", *grid(12, (0, 0, 0), 0, side=20.0)),
        ("head", *grid(3, (0, 0, -10), 1, side=25.0)),
        ("mouth", *grid(3, (0, -4, -2), 2)),
        ("socket", *grid(2, (3, 3, -3), 3)),
        ("eye", *grid(3, (3, 3, -1), 0, side=2.0)),
        ("eye", *grid(3, (-3, 3, -1), 0, side=2.0)),
        ("lash", *grid(2, (3, 3, 1), 6)),
    ]
    firsts = np.cumsum([0] + [len(piece[1]) for piece in pieces])
    part = {"socket": None, "lash": None}
    regions = tuple(
        (int(first), part.get(name, name))
        for first, (name, *_) in zip(firsts, pieces, strict=False)
    )
    monkeypatch.setattr(ict, "_REGIONS", regions)
    monkeypatch.setattr(ict, "_NUM_VERTICES", (int(firsts[-1]),) * 2)
    rng = np.random.default_rng(0)
    quads = [piece[-1] + first for piece, first in zip(pieces, firsts, strict=False)]
    mean = np.concatenate([points for _, points, _, _ in pieces]).astype(np.float32)
    return {
        "mean": mean,
        "uv": np.concatenate([uv for _, _, uv, _ in pieces]),
        "quads": np.concatenate(quads),
        "identity": rng.normal(size=(NUM_MODES, *mean.shape)).round(3).astype(np.float32),
        "expression": rng.normal(size=(len(NAMES), *mean.shape)).round(3).astype(np.float32),
        "num_drawn": int(firsts[-1]) - 8,
    }


def write_folder(twin, folder):
    """Writes the twin as a checkout of ICT-FaceKit."""
    folder = folder / "FaceXModel"
    folder.mkdir(parents=True)
    lines = [f"vt {u:.6f} {v:.6f}" for u, v in twin["uv"]]
    lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in quad) for quad in twin["quads"]]
    meshes = {"generic_neutral_mesh": np.zeros_like(twin["mean"])}
    meshes |= {f"identity{k:03d}": offset for k, offset in enumerate(twin["identity"])}
    meshes |= dict(zip(NAMES, twin["expression"], strict=True))
    for name, offset in meshes.items():
        points = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in twin["mean"] + offset]
        (folder / f"{name}.obj").write_text("\n".join(points + lines))
    (folder / "vertex_indices.json").write_text("{}")
    return folder


def write_npz(twin, path, **changes):
    """Writes the twin as the packed .npz."""
    faces = twin["quads"][:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    arrays = {key: twin[key] for key in ("mean", "uv", "quads")}
    arrays |= {
        key: np.round(twin[key] * 1000).astype(np.int16) for key in ("identity", "expression")
    }
    arrays |= {"faces": faces, "uv_faces": faces, "step": np.float32(1e-3)}
    arrays |= {"expression_names": np.array(NAMES)}
    np.savez(path, **{k: v for k, v in {**arrays, **changes}.items() if v is not None})
    return f"ict:{path}"


def test_ict_folder_and_npz_give_the_same_model(tmp_path, twin):
    write_folder(twin, tmp_path)
    from_folder = load_face_model(f"ict:{tmp_path}")
    from_npz = load_face_model(write_npz(twin, tmp_path / "ict.npz"))
    for name in ("mean", "identity", "expression", "uv", "landmark_bary"):
        np.testing.assert_allclose(
            getattr(from_folder, name), getattr(from_npz, name), atol=1e-4, err_msg=name
        )
    for name in ("faces", "uv_faces", "face_part", "landmark_vertices", "quads"):
        np.testing.assert_array_equal(getattr(from_folder, name), getattr(from_npz, name), name)
    assert from_folder.expression_names == ("browDownLeft", "browDownRight", "jawOpen")
    assert "MIT" in from_folder.licence


def test_ict_is_turned_to_our_units_parts_and_layout(tmp_path, twin):
    model = load_face_model(write_npz(twin, tmp_path / "ict.npz"))
    assert model.mean.shape == (twin["num_drawn"], 3)  # Sockets and lashes are left out.
    size = np.ptp(np.asarray(model.mean), axis=0)
    np.testing.assert_allclose(size, [0.25, 0.25, 0.10], atol=1e-5)  # Centimetres to metres.
    np.testing.assert_allclose(model.identity[:, :144], 0.01 * twin["identity"][:, :144], atol=1e-7)
    parts = np.asarray(model.face_part)
    assert (np.diff(parts) >= 0).all() and set(parts) == set(range(len(PARTS)))
    left = np.unique(np.asarray(model.faces)[parts == PARTS.index("eye_left")])
    assert np.asarray(model.mean)[left, 0].min() > 0
    assert 0 <= float(model.uv.min()) and float(model.uv.max()) <= 1
    # v runs down: the highest point of the face is the first row of the texture.
    face = np.asarray(model.faces)[parts == 0].ravel()
    v = np.asarray(model.uv)[np.asarray(model.uv_faces)[parts == 0].ravel(), 1]
    assert np.corrcoef(np.asarray(model.mean)[face, 1], v)[0, 1] < -0.999


def test_ict_landmarks_have_the_canonical_places(tmp_path, twin):
    """A landmark sits where the tile says, here on a flat square that fills it."""
    model = load_face_model(write_npz(twin, tmp_path / "ict.npz"))
    places = np.asarray(landmarks(model, model.mean))
    wanted = landmark_uv(load_embedded_model())
    origin = np.asarray(model.mean)[:144].mean(0)  # The middle of the square.
    expected = (wanted - 0.5) / 0.96 * [0.2, -0.2]
    np.testing.assert_allclose((places - origin)[:, :2], expected, atol=1e-3)


def test_an_incomplete_ict_model_says_what_to_fetch(tmp_path, twin):
    folder = write_folder(twin, tmp_path)
    (folder / "identity001.obj").write_text("v 1 2 3\n")
    with pytest.raises(InputError, match="identity001.obj has 1 vertices.*ICT-FaceKit"):
        load_face_model(f"ict:{tmp_path}")
    (folder / "generic_neutral_mesh.obj").unlink()
    with pytest.raises(InputError, match="generic_neutral_mesh.obj does not exist.*github.com"):
        load_face_model(f"ict:{tmp_path}")
    with pytest.raises(InputError, match="lacks uv.*github.com"):
        load_face_model(write_npz(twin, tmp_path / "ict.npz", uv=None))
    metres = write_npz(twin, tmp_path / "ict.npz", mean=twin["mean"] * 0.01)
    with pytest.raises(InputError, match="not in centimetres"):
        load_face_model(metres)
    shorter = write_npz(twin, tmp_path / "ict.npz", mean=twin["mean"][:-1])
    with pytest.raises(InputError, match="vertices; ICT-FaceKit light has"):
        load_face_model(shorter)


def test_the_real_ict_model_loads(shared_assets):
    model = load_face_model(f"ict:{shared_assets / 'ict' / 'ict_face_model_q.npz'}")
    assert model.mean.shape == (11248, 3) and model.identity.shape[0] == 100
    reference = load_embedded_model()
    ours = np.asarray(landmarks(reference, reference.mean))
    theirs = np.asarray(landmarks(model, model.mean))
    assert np.median(np.linalg.norm(ours - theirs, axis=1)) < 0.01  # Two mean heads.

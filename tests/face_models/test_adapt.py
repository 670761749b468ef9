"""Models brought to the canonical layout, compared with the layout they had."""

import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.core.facemesh import BROW_LEFT
from relightify_jax.face_models import adapt
from relightify_jax.face_models.portraits import SeenLandmarks, see_landmarks
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.face_files.raw import Colour
from relightify_jax.geometry.morphable_model import PARTS, landmarks
from relightify_jax.geometry.uv_atlas import build_uv_atlas
from relightify_jax.landmarks.network import load_networks


@pytest.fixture
def perfect_network(monkeypatch):
    """Landmarks where the reference has them, on a model in the reference's own frame."""

    def see(networks, model, num_pictures, seed=0):
        return SeenLandmarks(adapt.load_reference().guides, np.full(468, 1e-3))

    monkeypatch.setattr(adapt, "see_landmarks", see)


def canonical_uv(model, num_vertices):
    """Canonical UV (V, 2) of the vertices of an adapted model, NaN off the face."""
    own = np.asarray(model.face_part) == 0
    uv = np.full((num_vertices, 2), np.nan)
    uv[np.asarray(model.faces)[own]] = np.asarray(model.uv)[np.asarray(model.uv_faces)[own]]
    return uv


def texel_errors(model, uv):
    """Distances (n,) in texels of 256 of the vertices' canonical UVs from `uv` (V, 2)."""
    error = 256 * np.linalg.norm(canonical_uv(model, len(uv)) - uv, axis=1)
    return error[np.isfinite(error)]


def check_layout(model):
    """What the rest of the library demands of any model."""
    part = np.asarray(model.face_part)
    assert np.all(np.diff(part) >= 0)
    on_face = part == PARTS.index("face")
    atlas = build_uv_atlas(np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], 256)
    corners = np.asarray(model.uv)[np.asarray(model.uv_faces)[on_face]]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    assert np.all(area < 0) or np.all(area > 0), "a triangle of the face is upside down"
    assert np.asarray(model.uv).min() >= 0 and np.asarray(model.uv).max() <= 1
    assert np.isin(np.asarray(model.landmark_vertices), np.asarray(model.faces)[on_face]).all()
    np.testing.assert_allclose(np.asarray(model.landmark_bary).sum(1), 1, atol=1e-5)
    return atlas


def test_the_embedded_model_comes_back(stripped_embedded, perfect_network):
    raw, uv = stripped_embedded
    colour = Colour(np.full(raw.points.shape, 0.3, np.float32), np.ones((len(uv), 3, 2)))
    model = adapt.adapt_model(raw._replace(colour=colour), networks=None)
    check_layout(model)
    errors = texel_errors(model, uv)
    assert len(errors) > 0.97 * np.isfinite(uv[:, 0]).sum()
    assert np.median(errors) < 0.25 and np.quantile(errors, 0.95) < 1.5
    true = load_embedded_model(0)
    off = np.asarray(landmarks(model, model.mean) - landmarks(true, true.mean))
    assert np.median(np.linalg.norm(off, axis=1)) < 3e-4
    names = [PARTS[i] for i in np.unique(np.asarray(model.face_part))]
    assert {"face", "head", "eye_left", "eye_right"} <= set(names)
    # Eyeballs keep the map that paints irises.
    assert model.expression_names == true.expression_names
    np.testing.assert_array_equal(np.asarray(model.expression_range)[:, 1], 1)
    assert model.albedo is not None and model.albedo.modes.shape == (2, len(uv), 3)
    np.testing.assert_allclose(np.asarray(model.albedo.mean), 0.3)


def test_guides_lie_near_the_landmarks():
    reference = adapt.load_reference()
    own = np.asarray(landmarks(reference.model, reference.model.mean))
    away = np.linalg.norm(reference.guides - own, axis=1)
    assert np.median(away) < 2e-3
    # Not the same: photographs show brows.
    assert np.median(away[list(BROW_LEFT)]) > 1e-3


def test_a_model_on_which_no_face_is_seen_is_refused(stripped_embedded, monkeypatch):
    raw, _ = stripped_embedded
    monkeypatch.setattr(adapt, "see_landmarks", lambda *_, **__: None)
    with pytest.raises(InputError, match=r"No face is seen on the mean of .*example\.org"):
        adapt.adapt_model(raw, networks=None)


@pytest.mark.slow
def test_the_network_sees_the_landmarks_where_they_are(stripped_embedded):
    raw, _ = stripped_embedded
    part = adapt.find_pieces(raw.points, raw.triangles)
    albedo = adapt.paint_pieces(raw.points, raw.triangles, part)
    drawn = adapt.DrawnModel(raw.points.astype(float), raw.identity, raw.triangles, albedo)
    seen = see_landmarks(load_networks(), drawn, 8)
    off = np.linalg.norm(seen.points - adapt.load_reference().guides, axis=1)
    sure = seen.spread < 0.003
    assert sure.sum() > 300 and np.median(off[sure]) < 0.002


@pytest.mark.slow
def test_ict_gets_the_layout_it_already_had(stripped_ict, ict):
    raw, uv = stripped_ict
    model = adapt.adapt_model(raw, load_networks())
    atlas = check_layout(model)
    errors = texel_errors(model, uv)
    assert len(errors) > 0.8 * np.isfinite(uv[:, 0]).sum()
    assert np.median(errors) < 2.0 and np.quantile(errors, 0.95) < 6.0
    canonical = load_embedded_model()
    face = np.asarray(canonical.face_part) == 0
    wanted = build_uv_atlas(np.asarray(canonical.uv), np.asarray(canonical.uv_faces)[face], 256)
    covered = np.asarray(atlas.inside & wanted.inside).sum() / np.asarray(wanted.inside).sum()
    assert covered > 0.97
    off = np.asarray(landmarks(model, model.mean) - landmarks(ict, ict.mean))
    off = off - np.median(off, axis=0)  # The origins, between the eyes, differ by their eyeballs.
    sure = np.asarray(ict.landmark_spread) < 2.5e-3
    assert np.median(np.linalg.norm(off, axis=1)[sure]) < 2e-3
    assert model.expression_names == ict.expression_names


@pytest.mark.slow
def test_a_mask_with_colours_and_without_eyes_works(stripped_ict):
    """The front of the face alone, as the Basel models have it."""
    raw, uv = stripped_ict
    part = adapt.find_pieces(raw.points.astype(float), raw.triangles)
    middle = raw.points[raw.triangles].mean(1)
    seen = adapt.exposure(raw.points.astype(float), raw.triangles) > 0.15
    front = (part == adapt.SKIN) & seen & (middle[:, 2] > -0.05) & (middle[:, 1] > -0.14)
    used, triangles = np.unique(raw.triangles[front], return_inverse=True)
    lips = np.array([[0.45, 0.28, 0.21]], np.float32).repeat(len(used), 0)
    mask = raw._replace(
        points=raw.points[used],
        identity=raw.identity[used],
        expression=np.zeros((len(used), 3, 0), np.float32),
        expression_names=(),
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        colour=Colour(lips, np.zeros((len(used), 3, 1), np.float32)),
    )
    model = adapt.adapt_model(mask, load_networks())
    check_layout(model)
    errors = texel_errors(model, uv[used])
    assert np.median(errors) < 2.5 and np.quantile(errors, 0.9) < 7.0
    assert model.expression.shape[0] == 0 and model.expression_range.shape == (0, 2)

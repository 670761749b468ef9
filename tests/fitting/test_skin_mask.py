"""Skin stays, with its brows and highlights; hair, collar and background go."""

import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.fitting.skin_mask import FaceFields, face_fields, keep_skin
from relightify_jax.fitting.unwrap import Observation
from relightify_jax.geometry.uv_atlas import build_uv_atlas

SIZE = 128
SKIN = np.array([0.42, 0.26, 0.19])
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]


@pytest.fixture(scope="module")
def fields():
    trusted = (np.abs(COLUMNS - 64) < 20) & (np.abs(ROWS - 64) < 24)
    brow = (np.abs(ROWS - 46) < 3) & (np.abs(COLUMNS - 64) < 16)
    zeros = jnp.zeros((SIZE, SIZE))
    return FaceFields(
        jnp.asarray(trusted, jnp.float32),
        jnp.asarray(brow, jnp.float32),
        distance=zeros,
        lips=zeros + 1.0,
        bridge=zeros,
        right_rim=zeros,
        left_rim=zeros,
        orbit=zeros,
    )


def observe(paint=None, where=None, seed=0):
    """Skin with a little noise under even light, `paint` on it `where`."""
    noise = np.random.default_rng(seed).normal(size=(SIZE, SIZE, 1))
    texture = SKIN * np.exp(0.04 * noise)
    if where is not None:
        texture = np.where(where[..., None], paint, texture)
    ones = jnp.ones((SIZE, SIZE, 1))
    return Observation(jnp.asarray(texture, jnp.float32), ones, ones)


def kept(observation, fields, shading=None):
    shading = jnp.ones((SIZE, SIZE, 3)) if shading is None else shading
    return np.asarray(keep_skin(observation, shading, fields).mask)[..., 0] > 0


def test_bare_skin_is_kept_whole(fields):
    assert kept(observe(), fields).mean() > 0.98


@pytest.mark.parametrize(
    "color",
    [(0.02, 0.015, 0.01), (0.16, 0.12, 0.05), (0.25, 0.4, 0.7), (0.6, 0.6, 0.6)],
    ids=["dark hair", "fair hair", "sky", "wall"],
)
def test_what_borders_on_skin_with_another_colour_is_dropped(fields, color):
    hair = ROWS < 24
    mask = kept(observe(np.array(color), hair), fields)
    assert not mask[hair].any()
    assert mask[32:].mean() > 0.97


def test_skin_coloured_strands_are_dropped_for_their_roughness(fields):
    hair = ROWS < 24
    strands = SKIN * np.exp(0.6 * np.random.default_rng(1).normal(size=(1, SIZE, 1)))
    mask = kept(observe(np.broadcast_to(strands, (SIZE, SIZE, 3)), hair), fields)
    assert mask[:20].mean() < 0.1
    assert mask[36:].mean() > 0.95


def test_brows_and_highlights_are_kept(fields):
    brow = (np.abs(ROWS - 46) < 3) & (np.abs(COLUMNS - 64) < 16)
    shine = (ROWS - 20) ** 2 + (COLUMNS - 64) ** 2 < 49
    assert kept(observe(np.full(3, 0.04), brow), fields)[brow].all()
    assert kept(observe(SKIN + 0.2, shine), fields)[shine].mean() > 0.95


def test_shading_is_not_taken_for_another_material(fields):
    light = 0.25 + 0.75 * COLUMNS / SIZE
    shading = jnp.asarray(np.repeat(light[..., None], 3, axis=-1), jnp.float32)
    bare = observe()
    lit = bare._replace(texture=bare.texture * shading)
    assert kept(lit, fields, shading).mean() > 0.95


def test_a_sharp_shadow_is_no_other_material(fields):
    shadow = (COLUMNS < 50)[..., None]
    bare = observe()
    dark = bare._replace(texture=jnp.where(shadow, 0.4 * bare.texture, bare.texture))
    assert kept(dark, fields).mean() > 0.95


@pytest.mark.parametrize("color", [(0.03, 0.02, 0.015), (0.4, 0.4, 0.4)], ids=["dark", "grey"])
def test_a_strand_of_hair_on_the_cheek_is_dropped(fields, color):
    middle = 58 + np.rint(4 * np.sin(ROWS / 20))
    strand = (np.abs(COLUMNS - middle) < 2) & (ROWS > 20) & (ROWS < 100)
    mask = kept(observe(np.array(color), strand), fields)
    assert mask[strand & (np.abs(ROWS - 46) > 4)].mean() < 0.03
    assert mask[:, 70:].mean() > 0.97


def test_a_patch_of_skin_colour_beyond_hair_is_not_reached(fields):
    hair = (ROWS < 40) & (ROWS > 14)
    mask = kept(observe(np.full(3, 0.03), hair & True), fields)
    assert not mask[:14].any()


def test_teeth_over_the_lips_lose_their_confidence(fields):
    lips = jnp.asarray(np.abs(ROWS - 80) * 1e-3, jnp.float32)
    gap = (np.abs(ROWS - 80) < 3) & (np.abs(COLUMNS - 64) < 12)
    teeth = (np.abs(ROWS - 78) < 3) & (np.abs(COLUMNS - 64) < 6)
    seen = observe(np.full(3, 0.6), teeth)
    seen = seen._replace(confidence=seen.confidence * ~gap[..., None])
    mask = kept(seen, fields._replace(lips=lips))
    assert not mask[teeth].any()
    assert mask[:70].mean() > 0.97 and mask[90:].mean() > 0.97


def test_confidence_is_never_raised_and_fades_far_from_the_face(fields):
    far = fields._replace(distance=jnp.asarray(ROWS * 1e-3, jnp.float32))
    before = observe()
    half = before._replace(confidence=before.confidence * 0.6)
    after = keep_skin(half, jnp.ones((SIZE, SIZE, 3)), far)
    assert np.all(np.asarray(after.confidence) <= 0.6 + 1e-6)
    assert np.asarray(after.confidence)[100:].max() == 0
    assert np.asarray(after.confidence)[20:40].mean() > 0.55


def test_fields_of_the_embedded_model_are_where_the_face_is(embedded_model):
    parts = np.asarray(embedded_model.face_part) == 0
    atlas = build_uv_atlas(
        np.asarray(embedded_model.uv), np.asarray(embedded_model.uv_faces)[parts], 64
    )
    fields = face_fields(embedded_model, atlas)
    trusted, feature = np.asarray(fields.trusted) > 0, np.asarray(fields.feature) > 0
    # The nose in the middle of the tile is trusted, ears and collar at its border are not.
    assert trusted[26:36, 30:34].all()
    assert not trusted[:4].any() and not trusted[:, :6].any() and not trusted[-12:].any()
    assert 0.02 < feature.mean() < 0.2
    assert np.asarray(fields.distance)[32, 32] < 0.01
    inner = np.asarray(fields.lips) < 0.003
    assert 0 < inner.mean() < 0.03 and feature[inner].mean() > 0.9
    # The strips in which glasses are looked for lie where their names say.
    middle = {}
    for name in ("bridge", "right_rim", "left_rim", "orbit"):
        rows, columns = np.nonzero(np.asarray(getattr(fields, name)))
        middle[name] = rows.mean(), columns.mean()
    assert middle["bridge"][1] == pytest.approx(31.5, abs=0.6)
    assert middle["right_rim"][1] == pytest.approx(63 - middle["left_rim"][1], abs=0.6)
    assert middle["right_rim"][1] < 26 and middle["bridge"][0] < middle["right_rim"][0]
    assert np.asarray(fields.orbit)[np.asarray(fields.bridge) > 0].all()

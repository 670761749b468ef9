"""Hair and clothes are dropped, skin with its features stays."""

import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.fitting.fit import FitResult
from relightify_jax.fitting.skin_mask import keep_skin
from relightify_jax.fitting.unwrap import Observation
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.geometry.uv_atlas import build_uv_atlas
from relightify_jax.rendering.lighting import uniform_sh

SIZE = 128
SKIN = np.array([0.42, 0.26, 0.19])
HAIR = np.array([0.05, 0.035, 0.025])
SHIRT = np.array([0.05, 0.1, 0.4])


@pytest.fixture(scope="module")
def setting(embedded_model):
    """Model, atlas, a fit under even light, and the UV positions of the landmarks."""
    model = embedded_model
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    atlas = build_uv_atlas(np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], SIZE)
    zeros = jnp.zeros(3)
    fit = FitResult(
        camera=Camera(jnp.float32(1), jnp.zeros(2), zeros, zeros),
        identity=zeros,
        expression=zeros,
        sh=uniform_sh([1.0, 1.0, 1.0]),
        points=model.mean,
        neutral_points=model.mean,
        albedo_coefficients=zeros,
        diagnostics={},
        notes=(),
    )
    return model, atlas, fit, landmark_uv(model)


def observe(paint=None):
    """A face of plain, slightly noisy skin; `paint` draws into it."""
    noise = 0.03 * np.random.default_rng(0).standard_normal((SIZE, SIZE, 1))
    texture = SKIN * np.exp(noise)
    confidence = np.zeros((SIZE, SIZE, 1))
    confidence[8:-4, 16:-16] = 1.0
    if paint is not None:
        paint(texture)
    confidence = jnp.asarray(confidence, jnp.float32)
    return Observation(jnp.asarray(texture, jnp.float32), confidence, confidence)


def kept(setting, paint=None):
    model, atlas, fit, _ = setting
    return np.asarray(keep_skin(observe(paint), model, atlas, fit).mask[..., 0]) > 0


def test_plain_skin_stays_whole(setting):
    whole = np.asarray(observe().mask[..., 0]) > 0
    assert kept(setting)[whole].mean() > 0.99


def test_hair_from_above_is_dropped_and_the_cheeks_stay(setting):
    brows = int(setting[3][105, 1] * SIZE)

    def fringe(texture):
        texture[: brows - 12] = HAIR

    mask = kept(setting, fringe)
    cheek = (setting[3][50] * SIZE).astype(int)
    assert mask[12 : brows - 14, 30:-30].mean() < 0.02
    assert mask[cheek[1] - 3 : cheek[1] + 4, cheek[0] - 3 : cheek[0] + 4].all()


def test_a_shirt_from_below_is_dropped(setting):
    def shirt(texture):
        texture[-20:] = SHIRT

    assert kept(setting, shirt)[-18:].mean() < 0.02


def test_dark_brows_red_lips_and_a_mole_stay(setting):
    places = setting[3] * SIZE

    def features(texture):
        for index in (105, 334, 52, 282):
            x, y = places[index].astype(int)
            texture[y - 2 : y + 3, x - 4 : x + 5] = HAIR
        x, y = places[17].astype(int)
        texture[y - 3 : y + 3, x - 8 : x + 8] = (0.4, 0.12, 0.11)
        x, y = places[205].astype(int)
        texture[y : y + 2, x : x + 2] = HAIR

    whole = np.asarray(observe().mask[..., 0]) > 0
    assert kept(setting, features)[whole].mean() > 0.98


def test_an_observation_of_nothing_is_returned_as_it_is(setting):
    model, atlas, fit, _ = setting
    nothing = Observation(*(jnp.zeros((SIZE, SIZE, c)) for c in (3, 1, 1)))
    result = keep_skin(nothing, model, atlas, fit)
    assert float(result.confidence.max()) == 0.0

"""The colour and direction of painted eyes come back from a picture of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core import facemesh
from relightify_jax.core.part_looks import TEETH, EyeLook, MouthLook
from relightify_jax.export.eyes import paint_eye
from relightify_jax.fitting.eye_color import read_eyes, turn_eyes
from relightify_jax.fitting.eye_gaze import find_eyeball
from relightify_jax.fitting.mouth_color import read_mouth
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.geometry.morphable_model import PARTS, landmarks
from relightify_jax.rendering.lighting import shade_sh
from relightify_jax.rendering.renderer import head_mesh, render_surface
from relightify_jax.rendering.texture import sample_texture

SIZE = 360
IRISES = {
    "blue": (0.11, 0.19, 0.27),
    "green": (0.11, 0.13, 0.06),
    "brown": (0.085, 0.040, 0.018),
    "dark": (0.030, 0.016, 0.010),
}
# Brighter from above and from the front, a little warm.
LIGHT = jnp.zeros((9, 3)).at[0].set(jnp.array([3.2, 3.0, 2.7])).at[1:3].set(0.7)


@pytest.fixture(scope="module")
def camera():
    """A portrait from 1.2 m; the eyes are some 50 pixels wide."""
    focal = jnp.float32(SIZE / 0.2 * 1.2)
    return Camera(focal, jnp.full(2, SIZE / 2.0), jnp.array([0.0, 0.15, 0.0]),
                  jnp.array([0.0, 0.02, -1.2]))  # fmt: skip


@pytest.fixture(scope="module")
def portray(embedded_model, camera):
    """(iris, gaze in degrees) -> photo (H, W, 3): shaded eyes with highlights, skin around."""
    model = embedded_model
    surface_of = jax.jit(
        lambda points: render_surface(head_mesh(model), points, camera, height=SIZE, width=SIZE)
    )

    @jax.jit
    def color_of(surface, eye):
        part = surface.part[..., None]
        is_eye = (part == PARTS.index("eye_left")) | (part == PARTS.index("eye_right"))
        albedo = jnp.where(is_eye, sample_texture(eye, surface.uv), jnp.array([0.45, 0.3, 0.22]))
        shade = shade_sh(surface.normals, LIGHT) * jnp.where(is_eye, 0.7, 1.0)
        glint = 2.0 * (surface.normals @ jnp.array([0.2, 0.25, 0.95]) > 0.995)[..., None]
        lit = albedo * shade + is_eye * (0.012 * shade + glint)
        return jnp.where(part >= 0, lit, 0.2)

    def take(iris, gaze=(0.0, 0.0)):
        points = turn_eyes(model, np.asarray(model.mean), tuple(np.radians(gaze)))
        eye = paint_eye(256, iris_rgb=iris)
        return np.asarray(color_of(surface_of(jnp.asarray(points, jnp.float32)), eye))

    return take


@pytest.fixture(scope="module")
def read(embedded_model, camera):
    """Photo -> look, with the landmarks and the geometry of the mean head."""
    pixels, _ = project(camera, landmarks(embedded_model, embedded_model.mean))

    def run(photo, points=pixels, model=embedded_model):
        return read_eyes(photo, np.asarray(points), camera, model.mean, model, LIGHT)

    return run


@pytest.mark.parametrize("name", IRISES)
def test_the_color_of_the_iris_comes_back(portray, read, name):
    look = read(portray(IRISES[name]))
    assert look.measured
    truth, found = np.array(IRISES[name]), np.array(look.iris_rgb)
    assert 0.6 < found.mean() / truth.mean() < 1.6
    hue, true_hue = found / found.sum(), truth / truth.sum()
    assert np.abs(hue - true_hue).max() < 0.1
    others = {other: np.array(rgb) for other, rgb in IRISES.items()}
    distance = {other: np.linalg.norm(np.log(found / rgb)) for other, rgb in others.items()}
    assert min(distance, key=distance.get) == name


@pytest.mark.parametrize("gaze", [(0.0, 0.0), (14.0, 0.0), (-12.0, 4.0)])
def test_the_gaze_comes_back(portray, read, gaze):
    look = read(portray(IRISES["brown"], gaze))
    found = np.degrees(look.gaze)
    assert abs(found[0] - gaze[0]) < 4
    assert abs(found[1] - gaze[1]) < 5
    assert 0.85 <= look.iris_scale <= 1.15


def test_a_picture_without_eyes_gives_neutral_ones(portray, read, embedded_model, camera):
    photo = portray(IRISES["blue"])
    skin = np.full_like(photo, 0.3) * np.random.default_rng(0).uniform(0.97, 1.03, photo.shape)
    assert read(skin) == EyeLook()
    pixels, _ = project(camera, landmarks(embedded_model, embedded_model.mean))
    closed = np.array(pixels)
    for ring in (facemesh.EYE_LEFT, facemesh.EYE_RIGHT):
        closed[list(ring), 1] = closed[list(ring), 1].mean()
    assert read(photo, closed) == EyeLook()
    assert read(photo, 0.1 * closed) == EyeLook()  # Too small.


def test_a_model_without_eyeballs_gives_neutral_eyes(portray, read, embedded_model):
    skin_only = np.asarray(embedded_model.face_part) < PARTS.index("eye_left")
    blind = embedded_model.replace(
        faces=embedded_model.faces[skin_only],
        uv_faces=embedded_model.uv_faces[skin_only],
        face_part=embedded_model.face_part[skin_only],
    )
    assert find_eyeball(blind, blind.mean, "eye_left") is None
    assert read(portray(IRISES["blue"]), model=blind) == EyeLook()
    np.testing.assert_array_equal(turn_eyes(blind, blind.mean, (0.1, 0.1)), blind.mean)


def test_turning_moves_the_pupil_and_nothing_but_the_eyes(embedded_model):
    points = np.asarray(embedded_model.mean)
    turned = turn_eyes(embedded_model, points, (0.2, 0.1))
    eyeball, after = (find_eyeball(embedded_model, p, "eye_left") for p in (points, turned))
    np.testing.assert_allclose(after.center, eyeball.center, atol=2e-5)
    assert after.axes[0, 2] - eyeball.axes[0, 2] == pytest.approx(np.sin(0.2), abs=0.02)
    assert after.axes[1, 2] > eyeball.axes[1, 2] + 0.08
    moved = np.flatnonzero(np.abs(turned - points).max(axis=1) > 1e-7)
    on_eye = np.isin(np.asarray(embedded_model.face_part), [2, 3])
    assert np.isin(moved, np.asarray(embedded_model.faces)[on_eye]).all()


def mouth_photo(inside):
    """Landmarks of an open mouth and a photo with the color `inside` of it."""
    photo = np.broadcast_to(np.array([0.45, 0.28, 0.2]), (200, 200, 3)).copy()
    points = np.full((468, 2), 20.0)
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    points[list(facemesh.LIPS_INNER)] = 100 + np.stack([-40 * np.cos(turn), -12 * np.sin(turn)], -1)
    y, x = np.mgrid[:200, :200] + 0.5
    opening = ((x - 100) / 40) ** 2 + ((y - 100) / 12) ** 2 < 1
    photo[opening] = (0.08, 0.02, 0.02)
    photo[opening & (y < 103)] = inside
    return photo, points


def test_teeth_are_measured_where_they_show():
    light = jnp.zeros((9, 3)).at[0].set(3.5449)  # A white surface looks 1.
    bright, dim = (read_mouth(*mouth_photo(np.array(TEETH) * k), light) for k in (1.2, 0.6))
    assert bright.measured and dim.measured
    assert 1.1 < bright.teeth_rgb[0] / dim.teeth_rgb[0] < 2
    assert read_mouth(*mouth_photo((0.3, 0.09, 0.08)), light) == MouthLook()
    photo, points = mouth_photo(TEETH)
    points[:, 1] = 100
    assert read_mouth(photo, points, light) == MouthLook()

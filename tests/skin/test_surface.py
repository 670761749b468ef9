"""The layout's scale, against the shipped head."""

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.geometry.canonical import face_vertex_uv
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, band_noise
from relightify_jax.skin.surface import lay_on_skin, skin_scale

_band_noise = jax.jit(band_noise, static_argnums=(1, 2))


def test_scale_makes_the_shipped_head_rounder():
    model = load_embedded_model()
    uv = face_vertex_uv(model) * MILLIMETRES_PER_UV
    faces = np.asarray(model.faces)
    faces = faces[np.isfinite(uv[faces]).all((1, 2))]
    corners, points = uv[faces], np.asarray(model.mean)[faces] * 1e3
    middle = corners.mean(1)
    central = (np.abs(middle[:, 0] - 147) < 75) & (middle[:, 1] < 230)
    flat = corners[central, 1:] - corners[central, :1]
    solid = points[central, 1:] - points[central, :1]
    area = np.linalg.norm(np.cross(solid[:, 0], solid[:, 1]), axis=-1)

    def stretch(flat):
        jacobian = np.linalg.pinv(flat) @ solid
        values = np.linalg.svd(jacobian, compute_uv=False)
        usual = (values[:, 1] > 0.2) & (values[:, 0] < 5)
        return np.average(np.log(values[usual, 0] / values[usual, 1]), weights=area[usual])

    scale = np.asarray(skin_scale(jnp.asarray(middle[central])))
    assert stretch(flat * scale[:, None]) < 0.75 * stretch(flat)


def test_a_constant_stays_and_noise_keeps_its_strength():
    np.testing.assert_allclose(lay_on_skin(jnp.ones((32, 32, 1))), 1.0, rtol=1e-5)
    noise = _band_noise(jax.random.key(0), 64, ((20.0, 60.0),))
    laid = jax.jit(lay_on_skin)(noise)
    assert abs(float(jnp.std(laid)) - 1) < 0.15


def test_patterns_are_squeezed_where_the_map_squeezes_skin():
    noise = _band_noise(jax.random.key(1), 128, ((10.0, 20.0),))
    noise = jax.jit(lay_on_skin)(noise)[..., 0]
    down = jnp.mean(jnp.abs(jnp.diff(noise, axis=0)), 1)
    forehead, nose = jnp.mean(down[5:15]), jnp.mean(down[50:70])
    assert forehead > 1.4 * nose

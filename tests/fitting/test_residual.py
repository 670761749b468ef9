"""What the modes leave over is followed smoothly, and only as far as it is believed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.fitting import objectives
from relightify_jax.fitting.fit import fit_landmarks_batch
from relightify_jax.fitting.objectives import ContourData, PhotoData, ShapeModel
from relightify_jax.fitting.residual import fit_residual
from relightify_jax.geometry.camera import project
from relightify_jax.geometry.mesh import vertex_normals


def no_contour(prepared):
    count = 4
    shape = prepared.shape
    points = ShapeModel(
        shape.mean[:count], shape.identity[:, :count], shape.expression[:, :count], shape.faces[:0]
    )
    zeros = jnp.zeros((count, 2))
    return ContourData(points, zeros, zeros, jnp.zeros(count), jnp.float32(1.0))


@pytest.fixture(scope="module")
def scene(tiny_prepared, tiny_config, take_portrait):
    portrait = take_portrait((0.0, 0.1, 0.0), seed=2)
    fit = fit_landmarks_batch([portrait.pixels], [portrait.image.shape], tiny_prepared, tiny_config)
    geometry, data = jax.tree.map(lambda x: x[0], fit[:2])
    points = objectives.evaluate_shape(tiny_prepared.landmarks, geometry)
    camera = objectives.fitted_camera(geometry, data)
    exact = data._replace(pixels=project(camera, points)[0], model=tiny_prepared.landmarks)
    return geometry, exact, camera


def solve(prepared, geometry, data, deviation=1.2e-3):
    photo = PhotoData(data, no_contour(prepared), None)
    batch = jax.tree.map(lambda x: x[None], (geometry, photo))
    return fit_residual(*batch, prepared, deviation)


def test_landmarks_that_fit_move_nothing(tiny_prepared, scene):
    geometry, data, _ = scene
    assert np.abs(solve(tiny_prepared, geometry, data)).max() < 1e-6


def test_a_bump_is_followed_in_the_image_and_stays_local(tiny_prepared, scene):
    geometry, data, camera = scene
    reference = tiny_prepared.landmark_reference
    distance = jnp.linalg.norm(reference - reference[33], axis=-1)
    bump = 3.0 * jnp.exp(-0.5 * (distance / 0.02) ** 2)
    sure = data._replace(
        pixels=data.pixels + bump[:, None] * jnp.array([1.0, 0.0]),
        fine_deviation=jnp.full_like(data.fine_deviation, 0.2),
    )
    moved = solve(tiny_prepared, geometry, sure, deviation=4e-3)
    points = objectives.evaluate_shape(tiny_prepared.shape, geometry)
    before, _ = project(camera, points)
    after, _ = project(camera, points + moved)
    near = jnp.linalg.norm(tiny_prepared.reference - reference[33], axis=-1)
    wanted = 3.0 * jnp.exp(-0.5 * (near / 0.02) ** 2)
    error = np.abs(np.asarray((after - before)[:, 0] - wanted))
    assert error[np.asarray(near) < 0.03].mean() < 0.4
    assert np.abs(np.asarray(after - before))[np.asarray(near) > 0.12].max() < 0.3
    # Smooth: normals hardly change where nothing bends.
    faces = tiny_prepared.shape.faces
    cosine = jnp.sum(vertex_normals(points, faces) * vertex_normals(points + moved, faces), axis=-1)
    assert float(jnp.min(cosine)) > 0.8


def test_one_landmark_far_off_is_an_outlier(tiny_prepared, scene):
    geometry, data, _ = scene
    wrong = data._replace(pixels=data.pixels.at[100].add(40.0))
    assert np.abs(solve(tiny_prepared, geometry, wrong)).max() < 2e-3


def test_no_deviation_is_no_displacement(tiny_prepared, scene):
    geometry, data, _ = scene
    off = data._replace(pixels=data.pixels + 2.0)
    np.testing.assert_array_equal(solve(tiny_prepared, geometry, off, deviation=0.0), 0.0)

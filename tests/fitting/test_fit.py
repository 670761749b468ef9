"""Fits to rendered heads whose truth is known, and to one real photograph."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from relightify_jax.core.errors import InputError
from relightify_jax.fitting import objectives
from relightify_jax.fitting.appearance import initial_appearance
from relightify_jax.fitting.contour import search_contour
from relightify_jax.fitting.crop import crop_around, cut_image
from relightify_jax.fitting.evidence import draw_pixels, look_at_head
from relightify_jax.fitting.fit import fit_batch, fit_image, fit_landmarks_batch, fit_photos
from relightify_jax.fitting.objectives import Parameters, PhotoData
from relightify_jax.fitting.pose import axis_angle_from_matrix, initial_pose
from relightify_jax.geometry.camera import project
from relightify_jax.geometry.morphable_model import landmarks
from relightify_jax.geometry.rotations import matrix_from_axis_angle


def fit(model, portrait, config, prepared, pixels=None):
    pixels = portrait.pixels if pixels is None else pixels
    return fit_image(model, portrait.image, pixels, config, prepared=prepared)


def fit_landmarks_one(prepared, portrait, config):
    fitted = fit_landmarks_batch([portrait.pixels], [portrait.image.shape], prepared, config)
    return jax.tree.map(lambda x: x[0], fitted)


def similarity_error(points, truth):
    """Mean distance (metres) after the best similarity; scale is not observable."""
    a, b = (np.asarray(x) - np.mean(x, axis=0) for x in (points, truth))
    left, singular, right = np.linalg.svd(a.T @ b)
    sign = np.diag([1, 1, np.sign(np.linalg.det(left @ right))])
    scale = (singular * np.diag(sign)).sum() / (a * a).sum()
    return np.linalg.norm(scale * a @ left @ sign @ right - b, axis=-1).mean()


@pytest.mark.parametrize("angle", [0.0, 0.3, 3.1415, np.pi, -2.0])
def test_axis_angle_is_inverted_at_every_angle(angle):
    axis = np.array([0.6, -0.64, 0.48])
    rotation = matrix_from_axis_angle(jnp.asarray(axis * angle, jnp.float32))
    found = axis_angle_from_matrix(np.asarray(rotation, np.float64))
    again = matrix_from_axis_angle(jnp.asarray(found, jnp.float32))
    np.testing.assert_allclose(again, rotation, atol=2e-3)


@pytest.mark.parametrize("roll", [0.0, 90.0, 180.0, -120.0])
def test_closed_form_pose_is_near_for_any_roll_and_yaw(tiny_model, take_portrait, roll):
    turn, lean = np.radians(50.0), np.radians(roll)
    about_z = matrix_from_axis_angle(jnp.array([0.0, 0.0, lean], jnp.float32))
    about_y = matrix_from_axis_angle(jnp.array([0.0, turn, 0.0], jnp.float32))
    rotation = axis_angle_from_matrix(np.asarray(about_z @ about_y, np.float64))
    portrait = take_portrait(rotation, seed=2)
    mean = np.asarray(landmarks(tiny_model, tiny_model.mean))
    pose = initial_pose(mean, portrait.pixels, np.ones(468), 440.0)
    found = matrix_from_axis_angle(jnp.asarray(pose[:3]))
    cosine = (np.trace(np.asarray(found.T @ about_z @ about_y)) - 1) / 2
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) < 12


@pytest.mark.parametrize("roll", [0.0, 135.0])
def test_noise_free_landmarks_give_the_parameters_back(
    tiny_model, tiny_prepared, tiny_config, take_portrait, roll
):
    portrait = take_portrait((0.0, 0.3, np.radians(roll)), seed=1)
    # Priors that weigh nothing, and a focal length whose prior is the truth.
    config = tiny_config._replace(
        landmark_noise=1e-5,
        landmark_spread_gain=0.0,
        portrait_distance=0.8,
        focal_over_side=0.1,
        landmark_cutoff=1e6,
        geometry_solves=5,
    )
    geometry, data, costs = fit_landmarks_one(tiny_prepared, portrait, config)
    np.testing.assert_allclose(geometry.identity, portrait.identity, atol=0.05)
    np.testing.assert_allclose(geometry.expression[:3], portrait.expression[:3], atol=0.03)
    assert np.all(np.diff(np.asarray(costs)) <= 0)
    error = objectives.landmark_residuals(geometry, data) * np.repeat(data.deviation, 2)
    assert np.abs(error).max() < 0.02  # Crop pixels.


def test_camera_of_the_result_projects_to_the_photo(
    tiny_model, tiny_prepared, tiny_config, take_portrait
):
    portrait = take_portrait(seed=3)
    result = fit(tiny_model, portrait, tiny_config, tiny_prepared)
    pixels, _ = project(result.camera, landmarks(tiny_model, result.points))
    assert np.median(np.linalg.norm(np.asarray(pixels) - portrait.pixels, axis=-1)) < 0.5
    assert result.diagnostics["reprojection_median"] < 0.013
    assert abs(result.diagnostics["yaw"] - np.degrees(0.2)) < 4


def test_pixels_improve_on_noisy_landmarks(tiny_model, tiny_prepared, tiny_config, take_portrait):
    errors = {0: [], 3: []}
    for seed in range(4):
        portrait = take_portrait((0.0, 0.3 - 0.2 * seed, 0.0), seed=seed)
        noise = np.random.default_rng(seed).normal(size=(12, 2))
        # Neighbours err alike, as a network's landmarks do: more of them do not help.
        noisy = portrait.pixels + 1.5 * noise[np.arange(468) % 12]
        for rounds, found in errors.items():
            config = tiny_config._replace(
                photometric_rounds=rounds,
                max_landmark_loss=1.0,
                photometric_weight=1000.0,  # The pixels obey the model exactly here.
                photometric_deviation=0.04,
            )
            result = fit(tiny_model, portrait, config, tiny_prepared, noisy)
            found.append(similarity_error(result.points, portrait.points))
    assert np.mean(errors[3]) < 0.95 * np.mean(errors[0])


def test_a_refinement_that_moves_the_landmarks_too_far_is_undone(
    tiny_model, tiny_prepared, tiny_config, take_portrait
):
    portrait = take_portrait(seed=4)
    rigid = tiny_config._replace(residual_deviation=0.0)
    strict = rigid._replace(max_landmark_loss=-1.0)
    plain = rigid._replace(photometric_rounds=0)
    undone = fit(tiny_model, portrait, strict, tiny_prepared)
    landmarks_only = fit(tiny_model, portrait, plain, tiny_prepared)
    assert not undone.diagnostics["photometric_accepted"]
    np.testing.assert_array_equal(undone.points, landmarks_only.points)


def test_the_same_photo_gives_the_same_fit(tiny_model, tiny_prepared, tiny_config, take_portrait):
    portrait = take_portrait(seed=5)
    first, second = (fit(tiny_model, portrait, tiny_config, tiny_prepared) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first[:8], second[:8])


def photo_data(prepared, config, portrait):
    geometry, data, _ = fit_landmarks_one(prepared, portrait, config)
    crop = crop_around(portrait.pixels, config.crop_margin, config.crop_size)
    image, usable = (jnp.asarray(x) for x in cut_image(portrait.image, crop))
    sight = look_at_head(geometry, prepared, data, image, usable)
    keys = jax.random.split(jax.random.key(0))
    contour = search_contour(
        sight, geometry, prepared, data, image, usable, keys[0], 1.5, num_points=40
    )
    pixels = draw_pixels(sight, geometry, prepared, data, image, keys[1], 0.12, num_pixels=150)
    return Parameters(geometry, initial_appearance()), PhotoData(data, contour, pixels)


def test_structured_jacobian_equals_forward_differentiation(
    tiny_model, tiny_prepared, tiny_config, take_portrait
):
    parameters, data = photo_data(tiny_prepared, tiny_config, take_portrait(seed=6))
    theta, unravel = ravel_pytree(parameters)
    residuals, jacobian = jax.jit(lambda theta: objectives.joint_jacobian(unravel(theta), data))(
        theta
    )
    expected = jax.jit(jax.jacfwd(lambda theta: objectives.joint_residuals(unravel(theta), data)))(
        theta
    )
    assert float(data.pixels.valid.sum()) > 100
    scale = np.abs(expected).max(axis=0, keepdims=True) + 1.0
    np.testing.assert_allclose(jacobian.T / scale, expected / scale, atol=2e-4)
    np.testing.assert_allclose(residuals, objectives.joint_residuals(parameters, data), atol=1e-4)


def test_a_photo_without_a_usable_pixel_gives_finite_results(
    tiny_model, tiny_prepared, tiny_config, take_portrait
):
    portrait = take_portrait(seed=7)
    black = portrait._replace(image=np.zeros_like(portrait.image))
    result = fit(tiny_model, black, tiny_config, tiny_prepared)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result[:8]))
    assert result.diagnostics["compared_pixels"] == 0
    assert result.notes


def test_wrong_landmarks_are_refused(tiny_model, tiny_prepared, tiny_config, take_portrait):
    portrait = take_portrait(seed=7)
    for pixels in (portrait.pixels[:400], np.full((468, 2), np.nan)):
        with pytest.raises(InputError, match="landmarks"):
            fit(tiny_model, portrait, tiny_config, tiny_prepared, pixels)


def test_shrinking_keeps_the_mean_and_enlarging_keeps_the_place():
    image = np.random.default_rng(0).random((96, 80, 3)).astype(np.float32)
    points = np.array([[10.0, 12.0], [70.0, 84.0]])
    small, _ = cut_image(image, crop_around(points, 1.0, 18))
    window = image[12:84, 4:76].mean(axis=(0, 1))
    np.testing.assert_allclose(small.mean(axis=(0, 1)), window, atol=0.02)
    ramp = np.broadcast_to(np.arange(80.0)[None, :, None] + 0.5, (96, 80, 1))
    crop = crop_around(points, 1.0, 144)
    large, inside = cut_image(ramp, crop)
    centers = (np.arange(144) + 0.5) / crop.scale + crop.origin[0]
    np.testing.assert_allclose(large[70, 4:-4, 0], centers[4:-4], atol=1e-3)
    assert inside.all()


def test_the_embedded_model_lies_on_a_real_face(embedded_model):
    data = pytest.importorskip("skimage.data")
    from relightify_jax.core.color import linear_from_srgb

    # Landmarks of the original network; see tests/landmarks.
    path = pathlib.Path(__file__).parents[1] / "landmarks" / "astronaut_mediapipe.json"
    pixels = np.array(json.loads(path.read_text())["points"])[:468, :2]
    photo = np.asarray(linear_from_srgb(data.astronaut() / 255.0))
    result = fit_image(embedded_model, photo, pixels)
    assert result.diagnostics["reprojection_median"] < 0.013
    assert abs(result.diagnostics["yaw"]) < 10
    assert np.abs(result.identity).max() < 3
    assert not [note for note in result.notes if "misses" in note]


def test_photos_of_one_person_share_the_identity_and_know_it_better(
    tiny_model, tiny_prepared, tiny_config, take_portrait
):
    config = tiny_config._replace(photometric_rounds=0, residual_deviation=0.0)
    alone, together = [], []
    for seed in range(3):
        portraits = [take_portrait((0.0, turn, 0.0), seed=seed) for turn in (-0.5, 0.5)]
        noise = np.random.default_rng(seed).normal(size=(2, 12, 2))
        pixels = [
            portrait.pixels + 1.5 * noise[view][np.arange(468) % 12]
            for view, portrait in enumerate(portraits)
        ]
        images = [portrait.image for portrait in portraits]
        fits = fit_photos(tiny_model, images, pixels, config, prepared=tiny_prepared)
        np.testing.assert_array_equal(fits[0].identity, fits[1].identity)
        assert not np.array_equal(fits[0].camera.rotation, fits[1].camera.rotation)
        single = fit(tiny_model, portraits[0], config, tiny_prepared, pixels[0])
        truth = portraits[0].identity
        together.append(np.abs(fits[0].identity - truth).mean())
        alone.append(np.abs(single.identity - truth).mean())
    assert np.mean(together) < np.mean(alone)


def test_a_batch_of_people_gets_the_fits_of_each_alone(
    tiny_model, tiny_prepared, tiny_config, take_portrait
):
    portraits = [take_portrait((0.0, 0.2 - 0.3 * seed, 0.0), seed=seed) for seed in range(2)]
    batch = fit_batch(
        tiny_model, [p.image for p in portraits], [p.pixels for p in portraits], tiny_config,
        prepared=tiny_prepared,
    )  # fmt: skip
    for portrait, result in zip(portraits, batch, strict=True):
        single = fit(tiny_model, portrait, tiny_config, tiny_prepared)
        np.testing.assert_allclose(result.points, single.points, atol=2e-4)


def test_a_corrective_does_not_close_what_is_not_open(tiny_prepared, tiny_config, take_portrait):
    portrait = take_portrait(seed=1)
    prior = tiny_prepared.prior._replace(correctives=jnp.array([[0, 1]], jnp.int32))
    free = fit_landmarks_one(tiny_prepared, portrait, tiny_config)[0].expression
    bound = fit_landmarks_one(tiny_prepared._replace(prior=prior), portrait, tiny_config)[0]
    assert float(free[0] - free[1]) > 0.1  # Without the rule it is exceeded.
    assert float(bound.expression[0] - bound.expression[1]) < 0.1

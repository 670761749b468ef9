"""Errors of fits against what they must be in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from relightify_jax.evaluation import fitting_alignment as alignment
from relightify_jax.evaluation import fitting_metrics as metrics
from relightify_jax.evaluation.fitting_cases import Case
from relightify_jax.evaluation.fitting_metrics import Outcome
from relightify_jax.evaluation.fitting_photos import Truth
from relightify_jax.evaluation.rasterizer_scenes import icosphere
from relightify_jax.geometry.camera import Camera, project, shift_image
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import PARTS, landmarks
from relightify_jax.rendering.renderer import head_mesh, render_surface

SIZE = 96
MOTION = alignment.Similarity(
    1.3, Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix(), np.array([0.1, -0.2, 0.4])
)


@pytest.fixture(scope="module", autouse=True)
def fast_compiling():
    """Compiling with all optimisations would take longer than everything else."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def model():
    return load_embedded_model(0)


@pytest.fixture(scope="module")
def outer(model):
    return metrics.outer_triangles(model)


@pytest.fixture(scope="module")
def truth(model):
    camera = Camera(
        jnp.float32(250.0),
        jnp.full(2, SIZE / 2, jnp.float32),
        jnp.array([0.1, 0.4, 0.0]),
        jnp.array([0.0, 0.0, -0.8]),
    )
    surface = render_surface(head_mesh(model), model.mean, camera, height=SIZE, width=SIZE)
    part = np.asarray(surface.part)
    pixels = np.asarray(project(camera, landmarks(model, model.mean))[0])
    mean = np.asarray(model.mean)
    return Truth(
        case=Case("yaw", "0", 0),
        photo=np.zeros((SIZE, SIZE, 3), np.float32),
        camera=camera,
        points=mean,
        neutral_points=mean,
        landmark_pixels=pixels,
        uv=np.asarray(surface.uv),
        is_face=part == PARTS.index("face"),
        is_head=part >= 0,
    )


@pytest.mark.parametrize("with_scale", [False, True])
def test_a_known_motion_is_found(with_scale):
    points = np.random.default_rng(0).normal(size=(20, 3))
    motion = MOTION if with_scale else MOTION._replace(scale=1.0)
    found = alignment.align(points, motion.apply(points), with_scale=with_scale)
    np.testing.assert_allclose(found.apply(points), motion.apply(points), atol=1e-12)
    np.testing.assert_allclose(found.inverse().apply(motion.apply(points)), points, atol=1e-12)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_a_rigid_motion_keeps_the_size_of_points_that_shrank():
    points = np.random.default_rng(1).normal(size=(20, 3))
    found = alignment.align(points, 0.5 * points, with_scale=False)
    assert found.scale == 1.0
    np.testing.assert_allclose(found.rotation, np.eye(3), atol=1e-12)


def test_the_closest_point_of_a_triangle_is_no_farther_than_any_of_its_points():
    generator = np.random.default_rng(2)
    triangles, points = generator.normal(size=(40, 3, 3)), generator.normal(size=(40, 3))
    found = alignment.closest_on_triangles(points, triangles)
    weights = generator.dirichlet(np.ones(3), (4000,))
    tried = np.einsum("nk,tkc->tnc", weights, triangles)
    best = np.linalg.norm(tried - points[:, None], axis=-1).min(axis=1)
    distance = np.linalg.norm(found - points, axis=-1)
    assert (distance <= best + 1e-12).all() and np.abs(distance - best).max() < 0.1
    # And it lies on the triangle.
    again = alignment.closest_on_triangles(found, triangles)
    np.testing.assert_allclose(again, found, atol=1e-9)


def test_spheres_of_two_radii_are_as_far_apart_as_those():
    points, faces = icosphere(4)
    surface = alignment.make_surface(points, faces)
    start = alignment.Similarity(1.0, np.eye(3), np.zeros(3))
    distance = alignment.distances(1.1 * points, surface, start)
    np.testing.assert_allclose(distance, 0.1, atol=1e-3)
    # A similarity takes the difference away, and its own unit counts.
    larger = start._replace(scale=1.1)
    assert alignment.distances(1.1 * points, surface, larger).max() < 1e-6


def test_samples_are_spread_by_area():
    points = np.array([[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, -1, 0], [1, 0, 0]], float)
    faces = np.array([[0, 1, 2], [0, 3, 4]])  # Areas 1.5 and 0.5.
    triangle, bary = alignment.sample_surface(points, faces, 8000, np.random.default_rng(3))
    assert (triangle == 0).mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(bary.sum(axis=1), 1.0)
    np.testing.assert_allclose(bary.mean(axis=0), 1 / 3, atol=0.01)


def test_the_truth_itself_has_no_error(model, outer, truth):
    row = metrics.measure(
        truth, model, outer, Outcome(truth.points, truth.points, truth.camera), model
    )
    for name in ("shape_mm", "identity_mm", "similar_mean", "rigid_mean", "neutral_mean"):
        assert row[name] < 1e-3, name
    assert row["pose_degrees"] < 0.05 and row["focal_log"] == 0 and row["landmark_pixels"] < 1e-3
    assert row["uv_p90"] < 1e-3 and row["uv_overlap"] == 1.0


def test_a_moved_and_scaled_head_has_no_error_of_shape_but_one_of_size(model, outer, truth):
    moved = MOTION.apply(truth.points.astype(float)).astype(np.float32)
    row = metrics.measure(truth, model, outer, Outcome(moved, moved), model)
    assert row["shape_mm"] < 1e-3 and row["similar_mean"] < 0.02 and row["neutral_mean"] < 0.02
    assert row["rigid_mean"] > 1.0  # 30 % too large.
    assert not {"pose_degrees", "uv_median"} & set(row)


def test_a_bump_on_the_nose_is_an_error_of_the_nose(model, outer, truth):
    normals = np.asarray(vertex_normals(model.mean, model.faces))
    tip = np.asarray(landmarks(model, model.mean))[metrics.NOSE_TIP]
    weight = np.exp(-0.5 * (np.linalg.norm(truth.points - tip, axis=-1) / 0.01) ** 2)
    outcome = Outcome(truth.points + 5e-3 * weight[:, None] * normals)
    row = metrics.measure(truth, model, outer, outcome, model)
    others = [row[f"{name}_mean"] for name in ("mouth", "forehead", "cheeks")]
    assert row["nose_mean"] > 0.8 and row["nose_mean"] > 3 * max(others)


def test_pose_and_focal_length_are_told_apart(model, outer, truth):
    turned = truth.camera._replace(rotation=truth.camera.rotation + jnp.array([0.0, 0.1, 0.0]))
    longer = truth.camera._replace(focal=1.2 * truth.camera.focal)
    rows = [
        metrics.measure(truth, model, outer, Outcome(truth.points, None, camera), model)
        for camera in (turned, longer)
    ]
    assert rows[0]["pose_degrees"] == pytest.approx(np.degrees(0.1), abs=0.2)
    assert rows[0]["focal_log"] == 0 and rows[1]["pose_degrees"] < 0.05
    assert rows[1]["focal_log"] == pytest.approx(np.log(1.2), abs=1e-6)


def test_a_camera_shifted_by_a_pixel_moves_the_texels_by_a_pixels_worth(model, outer, truth):
    shifted = shift_image(truth.camera, jnp.array([1.0, 0.0]))
    row = metrics.measure(truth, model, outer, Outcome(truth.points, None, shifted), model)
    step = np.linalg.norm(np.diff(truth.uv, axis=1), axis=-1) * metrics.UV_SIZE
    whole = truth.is_face[:, 1:] & truth.is_face[:, :-1]
    assert row["landmark_pixels"] == pytest.approx(256 / SIZE, abs=1e-3)
    assert row["uv_whole"] == pytest.approx(np.median(step[whole]), rel=0.05)
    assert 0.8 * row["uv_whole"] < row["uv_median"] < row["uv_whole"]  # The neck is coarser.


def test_what_is_covered_does_not_count(model, outer, truth):
    nothing = truth._replace(is_face=np.zeros_like(truth.is_face))
    row = metrics.measure(nothing, model, outer, Outcome(truth.points, None, truth.camera), model)
    assert np.isnan(row["uv_median"]) and row["uv_overlap"] == 0.0


def test_the_sphere_of_now_holds_the_face_and_not_the_ears(model):
    marks = np.asarray(landmarks(model, model.mean), float)
    center, radius = metrics.now_sphere(marks)
    assert 0.08 < radius < 0.11
    inside = np.linalg.norm(marks - center, axis=-1) < radius
    assert inside[list(metrics.SEVEN)].all()
    widest = np.asarray(model.mean)[np.argmax(np.asarray(model.mean)[:, 0])]
    assert np.linalg.norm(widest - center) > radius

"""The pinhole camera and axis-angle rotations."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from relightify_jax.geometry import camera as camera_lib
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.rotations import matrix_from_axis_angle

CAMERA = Camera(
    focal=jnp.float32(500.0),
    center=jnp.array([120.0, 90.0]),
    rotation=jnp.array([0.2, -0.4, 0.1]),
    translation=jnp.array([0.02, -0.05, -0.7]),
)


def test_rotation_equals_scipy():
    for seed in range(5):
        axis_angle = np.random.default_rng(seed).normal(size=3) * 10.0 ** (-2 * seed)
        expected = Rotation.from_rotvec(axis_angle).as_matrix()
        np.testing.assert_allclose(
            matrix_from_axis_angle(jnp.array(axis_angle)), expected, atol=2e-6
        )


def test_rotation_has_a_finite_and_right_gradient_at_zero():
    jacobian = jax.jit(jax.jacobian(matrix_from_axis_angle))(jnp.zeros(3))
    np.testing.assert_allclose(jacobian[2, 1], [1, 0, 0], atol=1e-6)  # d R_zy / d angle_x.
    assert np.isfinite(jacobian).all()


def test_point_to_the_subjects_left_and_up_lands_right_and_high_in_the_picture():
    facing = CAMERA._replace(rotation=jnp.zeros(3), translation=jnp.array([0.0, 0.0, -1.0]))
    xy, depth = camera_lib.project(facing, jnp.array([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(xy, [120 + 500 * 0.1 / 0.7, 90 - 500 * 0.2 / 0.7], rtol=1e-5)
    np.testing.assert_allclose(depth, 0.7, rtol=1e-6)


def test_points_on_a_ray_from_the_camera_share_a_pixel():
    origin = camera_lib.camera_position(CAMERA)
    target = jnp.array([0.03, 0.02, 0.1])
    steps = jnp.array([[0.5], [1.0], [2.0]])
    xy, depth = camera_lib.project(CAMERA, origin + steps * (target - origin))
    np.testing.assert_allclose(xy, np.tile(xy[:1], (3, 1)), atol=1e-2)
    np.testing.assert_allclose(depth / depth[1], steps[:, 0], rtol=1e-4)


def test_point_behind_the_camera_has_no_positive_depth_and_finite_gradients():
    behind = camera_lib.camera_position(CAMERA) * 2
    assert camera_lib.project(CAMERA, behind)[1] <= 0
    at_camera = camera_lib.camera_position(CAMERA)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(camera_lib.project(CAMERA, p)[0])))(at_camera)
    assert np.isfinite(gradient).all()


def test_scaled_and_shifted_cameras_move_pixels_likewise():
    point = jnp.array([0.03, 0.02, 0.1])
    xy, depth = camera_lib.project(CAMERA, point)
    scaled, scaled_depth = camera_lib.project(camera_lib.scale_image(CAMERA, 2.0), point)
    np.testing.assert_allclose(scaled, 2 * xy, rtol=1e-6)
    assert scaled_depth == depth
    offset = jnp.array([7.0, -3.0])
    shifted, _ = camera_lib.project(camera_lib.shift_image(CAMERA, offset), point)
    np.testing.assert_allclose(shifted, xy + offset, rtol=1e-6)


def test_directions_turn_with_the_camera_but_do_not_move():
    a, b = jnp.array([0.1, 0.2, 0.3]), jnp.array([-0.2, 0.1, 0.0])
    difference = camera_lib.to_camera_frame(CAMERA, a) - camera_lib.to_camera_frame(CAMERA, b)
    np.testing.assert_allclose(camera_lib.rotate_to_camera(CAMERA, a - b), difference, atol=1e-6)

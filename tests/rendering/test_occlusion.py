"""Occlusion of shapes whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.rendering import lighting, occlusion

pytestmark = pytest.mark.usefixtures("quick_compilation")

DIRECTIONS = occlusion.fibonacci_directions(128)


def icosphere(subdivisions):
    """Unit sphere from an octahedron."""
    points = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    points, faces = np.array(points, float), np.array(faces)
    for _ in range(subdivisions):
        a, b, c = (points[faces[:, k]] for k in range(3))
        corners = np.stack([a, b, c, a + b, b + c, c + a], 1)
        index = np.arange(len(faces))[:, None, None] * 6 + [
            [0, 3, 5],
            [3, 1, 4],
            [5, 4, 2],
            [3, 4, 5],
        ]
        points, inverse = np.unique(corners.reshape(-1, 3).round(9), axis=0, return_inverse=True)
        faces = inverse.ravel()[index.reshape(-1, 3)]
        points /= np.linalg.norm(points, axis=-1, keepdims=True)
    return points.astype(np.float32), faces.astype(np.int32)


def wall(origin, right, up, num=12):
    """A grid of num x num quads, counter-clockwise seen from cross(right, up)."""
    s = np.linspace(0, 1, num + 1)
    y, x = np.meshgrid(s, s, indexing="ij")
    points = np.array(origin) + x[..., None] * np.array(right) + y[..., None] * np.array(up)
    corner = (np.arange(num)[:, None] * (num + 1) + np.arange(num)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, 1, num + 1], corner + [1, num + 2, num + 1]])
    return points.reshape(-1, 3).astype(np.float32), faces.astype(np.int32)


def test_directions_are_unit_and_even():
    np.testing.assert_allclose(np.linalg.norm(DIRECTIONS, axis=-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(DIRECTIONS.mean(0), 0.0, atol=0.02)
    np.testing.assert_allclose(DIRECTIONS.T @ DIRECTIONS / 128, np.eye(3) / 3, atol=0.02)


def test_convex_sphere_does_not_shadow_itself():
    points, faces = icosphere(4)
    visibility = occlusion.directional_visibility(
        points * 0.1 + 3, faces, DIRECTIONS, points * 0.1 + 3, points, size=128, blur=2
    )
    facing = DIRECTIONS @ points.T
    assert np.asarray(visibility)[facing > 0.05].min() > 0.99
    assert np.asarray(visibility)[facing < -0.4].max() == 0
    openness = occlusion.ambient_occlusion(points, DIRECTIONS, visibility)
    np.testing.assert_allclose(openness, 1.0, atol=0.01)
    # Unshadowed transfer is the Lambert convolution in closed form.
    sh = lighting.environment_to_sh(jnp.asarray(np.random.default_rng(0).random((16, 32, 3))))
    transfer = jax.jit(occlusion.sh_transfer)(points, DIRECTIONS, visibility)
    np.testing.assert_allclose(transfer @ sh, lighting.shade_sh(points, sh), rtol=0.03)


def test_floor_beside_a_wall_sees_half_the_sky():
    """At the foot of a very large wall half of the hemisphere is hidden."""
    floor, floor_faces = wall([-10, 0, 0], [20, 0, 0], [0, 0, -10])
    back, back_faces = wall([-10, 0, -10], [20, 0, 0], [0, 10, 0])
    floor, back = floor + np.float32([0, 0, 10]), back + np.float32([0, 0, 10])
    points = np.concatenate([floor, back])
    faces = np.concatenate([floor_faces, back_faces + len(floor)])
    x, z = np.linspace(-1, 1, 5), 0.35
    query = np.stack([x, 0 * x, 0 * x + z], -1).astype(np.float32)
    normals = np.tile(np.float32([0, 1, 0]), (5, 1))
    visibility = occlusion.directional_visibility(points, faces, DIRECTIONS, query, normals)
    openness = np.asarray(occlusion.ambient_occlusion(normals, DIRECTIONS, visibility))
    np.testing.assert_allclose(openness, 0.5, atol=0.06)


def test_shadow_falls_on_the_far_side():
    """A small plate above a floor darkens the floor under it, seen from the light."""
    floor, floor_faces = wall([-1, 0, 1], [2, 0, 0], [0, 0, -2])
    plate, plate_faces = wall([-0.2, 0.5, 0.2], [0.4, 0, 0], [0, 0, -0.4], num=2)
    points = np.concatenate([floor, plate])
    faces = np.concatenate([floor_faces, plate_faces + len(floor)])
    light = np.float32([[0, 1, 0], [0.7071, 0.7071, 0]])
    query = np.float32([[0, 0, 0], [-0.5, 0, 0], [0.5, 0, 0]])
    up = np.tile(np.float32([0, 1, 0]), (3, 1))
    visibility = np.asarray(occlusion.directional_visibility(points, faces, light, query, up))
    np.testing.assert_allclose(visibility, [[0, 1, 1], [1, 0, 1]], atol=0.01)


def test_mesh_occlusion_of_a_bowl_is_below_one_inside():
    points, faces = icosphere(3)
    bowl = faces[(points[faces][..., 1] < 0.1).all(-1)][:, ::-1]  # Lower half, facing inward.
    openness = np.asarray(occlusion.mesh_occlusion(points, bowl, num_directions=64))
    bottom = np.argmin(points[:, 1])
    # Only directions within 45 degrees of the zenith leave: sin^2(45 degrees) = 1/2.
    assert abs(openness[bottom] - 0.5) < 0.1
    normals = np.asarray(vertex_normals(points, bowl))
    assert normals[bottom, 1] > 0.99

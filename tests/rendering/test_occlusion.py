"""Occlusion of shapes whose answer is known."""

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


def test_transfer_of_a_convex_sphere_is_the_lambert_convolution():
    points, faces = icosphere(3)
    directions = occlusion.fibonacci_directions(256)
    seen = occlusion.compute_occlusion(points, faces, points, points, directions, size=64)
    for order in (2, 4):  # The bands of a higher order begin with those of a lower one.
        sh = lopsided_sh(order)
        want = np.asarray(lighting.shade_sh(points, sh))
        got = seen.transfer[:, : len(sh)] @ sh
        np.testing.assert_allclose(got, want, atol=0.02 * want.mean())
    np.testing.assert_allclose(seen.openness, 1.0, atol=0.01)
    assert np.sum(seen.bent_normal * points, -1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(seen.bent_normal, axis=-1), 1.0, atol=1e-5)


def test_one_pass_gives_what_the_parts_give():
    points, faces = icosphere(2)
    normals = jnp.asarray(points[np.argsort(-points[:, 0] - points[:, 1])[:30]])
    query = normals.reshape(5, 6, 3)
    hidden = np.concatenate([points, 0.5 * points + [1.1, 1.1, 0]]).astype(np.float32)
    faces = np.concatenate([faces, faces + len(points)])
    directions = jnp.asarray(occlusion.fibonacci_directions(34))  # In chunks of 2.
    seen = occlusion.compute_occlusion(hidden, faces, query, query, directions, order=3, size=64)
    visibility = occlusion.directional_visibility(
        hidden, faces, directions, query.reshape(-1, 3), normals, size=64
    )
    openness = occlusion.ambient_occlusion(normals, directions, visibility)
    transfer = occlusion.sh_transfer(normals, directions, visibility, order=3)
    assert np.min(openness) < 0.9
    np.testing.assert_allclose(seen.openness, openness.reshape(5, 6), atol=1e-5)
    np.testing.assert_allclose(seen.transfer, transfer.reshape(5, 6, 16), atol=1e-5)
    # Uniform light arrives with the ambient occlusion.
    uniform = lighting.uniform_sh([1.0, 1.0, 1.0])
    np.testing.assert_allclose(seen.transfer[..., :9] @ uniform[:, 0], seen.openness, atol=1e-5)


def lopsided_sh(order, num=4, seed=1):
    """Coefficients of a few soft lobes of light, brightest against dimmest about 10 to 1."""
    rng = np.random.default_rng(seed)
    directions, solid_angle = lighting.latlong_directions(32, 64)
    axes = rng.normal(size=(num, 3))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    lobes = np.exp(3 * (directions @ axes.T - 1)) @ rng.uniform(0.5, 2, (num, 3)) + 0.1
    basis = np.asarray(lighting.sh_basis(jnp.asarray(directions), order)) * solid_angle[..., None]
    return np.einsum("hwk,hwc->kc", basis, lobes).astype(np.float32)


def trace_visibility(points, faces, origins, directions):
    """Whether each ray (Q, N) misses all triangles (Moeller and Trumbore 1997)."""
    a, b, c = (np.float64(points)[faces[:, k]] for k in range(3))
    edge1, edge2 = b - a, c - a
    misses = np.ones((len(origins), len(directions)), bool)
    for n, direction in enumerate(np.float64(directions)):
        p = np.cross(direction, edge2)
        det = np.sum(edge1 * p, -1)
        inverse = np.where(np.abs(det) > 1e-12, 1, np.nan) / np.where(det == 0, 1, det)
        t = origins[:, None] - a
        u = np.sum(t * p, -1) * inverse
        q = np.cross(t, edge1)
        v = q @ direction * inverse
        distance = np.sum(q * edge2, -1) * inverse
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 1e-4)
        misses[:, n] = ~hit.any(-1)
    return misses


def test_transfer_is_the_ray_cast_irradiance():
    """A ball and a plate above a floor, against rays in other directions."""
    floor, floor_faces = wall([-1, 0, 1], [2, 0, 0], [0, 0, -2], num=8)
    plate, plate_faces = wall([-0.6, 0.4, 0.5], [0.7, 0.2, 0], [0, 0, -1], num=2)
    ball, ball_faces = icosphere(1)
    ball = 0.25 * ball + np.float32([0.6, 0.45, 0])
    points = np.concatenate([floor, plate, ball])
    faces = np.concatenate([floor_faces, plate_faces + 81, ball_faces + 90])
    rng = np.random.default_rng(3)
    query = np.stack([rng.uniform(-0.8, 0.8, 60), np.zeros(60), rng.uniform(-0.8, 0.8, 60)], -1)
    query = query.astype(np.float32)
    normals = np.tile(np.float32([0, 1, 0]), (60, 1))
    directions = occlusion.fibonacci_directions(256)
    seen = occlusion.compute_occlusion(points, faces, query, normals, directions, size=256)

    rays = occlusion.fibonacci_directions(1500)
    free = trace_visibility(points, faces, query + 1e-5 * normals, rays)
    cosine = np.maximum(rays @ normals.T, 0).T
    basis = np.asarray(lighting.sh_basis(jnp.asarray(rays), 4))
    sh = lopsided_sh(4)
    want = 4 / len(rays) * (cosine * free) @ (basis @ sh)
    unshadowed = 4 / len(rays) * cosine @ (basis @ sh)
    # Up to half of the light is missing, and the transfer knows how much.
    assert np.max(1 - want / unshadowed) > 0.4
    error = np.abs(seen.transfer @ sh - want) / unshadowed.mean()
    assert np.median(error) < 0.02 and error.max() < 0.1
    openness = (cosine * free).sum(-1) / cosine.sum(-1)
    np.testing.assert_allclose(seen.openness, openness, atol=0.04)


def test_detail_tilts_the_irradiance():
    normals = np.tile(np.float32([0, 0, 1]), (4, 1))
    detail = np.float32([[0, 0, 1], [0.3, 0, 1], [0, -0.4, 1], [0.2, 0.2, 1]])
    detail /= np.linalg.norm(detail, axis=-1, keepdims=True)
    sh = lopsided_sh(4)
    unit = np.eye(25, dtype=np.float32)
    open_sky = lighting.shade_sh(normals, unit)

    def receive(transfer, sh, detail):
        received = occlusion.receive_light(transfer, sh)
        return occlusion.shadowed_irradiance(received, sh, normals, detail)

    np.testing.assert_allclose(
        receive(open_sky, sh, detail), lighting.shade_sh(detail, sh), rtol=1e-4
    )
    np.testing.assert_array_equal(receive(0 * open_sky, sh, detail), 0)
    # Without detail a higher order than the light's does no harm; a lower one is refused.
    lit = receive(open_sky, sh[:9], normals)
    np.testing.assert_allclose(lit, lighting.shade_sh(normals, sh[:9]), rtol=1e-4)
    with pytest.raises(ValueError, match="9 coefficients for a light of 25"):
        receive(open_sky[:, :9], sh, normals)


def test_floor_in_a_corner_sees_half_of_the_sky():
    """A wide wall hides all below the angle of its top: (1 - cos) / 2 of the light, near 1/2."""
    floor, floor_faces = wall([-5, 0, 4], [10, 0, 0], [0, 0, -4])
    back, back_faces = wall([-5, 0, 0], [10, 0, 0], [0, 4, 0])
    points, faces = np.concatenate([floor, back]), np.concatenate([floor_faces, back_faces + 169])
    x, distance = np.linspace(-1, 1, 5), 0.25
    query = np.stack([x, 0 * x, 0 * x + distance], -1).astype(np.float32)
    normals = np.tile(np.float32([0, 1, 0]), (5, 1))
    seen = occlusion.compute_occlusion(points, faces, query, normals, DIRECTIONS, order=0, size=256)
    half = (1 + np.cos(np.arctan(4 / distance))) / 2
    np.testing.assert_allclose(seen.openness, half, atol=0.025)
    np.testing.assert_allclose(seen.transfer[:, 0] * np.sqrt(4 * np.pi), seen.openness, atol=1e-5)
    # The mean open direction leans away from the wall, by atan(2 / pi) for an endless one.
    lean = seen.bent_normal[:, 2] / seen.bent_normal[:, 1]
    np.testing.assert_allclose(lean, 2 / np.pi, atol=0.08)
    np.testing.assert_allclose(seen.bent_normal[:, 0], 0, atol=0.04)


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

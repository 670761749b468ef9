"""Normals and glTF tangent frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.geometry import mesh

# Compiled whole: operation by operation, compilation takes most of the tests' time.
vertex_tangents = jax.jit(mesh.vertex_tangents)
vertex_normals = jax.jit(mesh.vertex_normals)

# A unit square in the plane z = 0 that faces +Z, with the texture upright on it.
SQUARE = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
SQUARE_FACES = np.int32([[0, 1, 2], [0, 2, 3]])
UPRIGHT_UV = np.float32([[0, 1], [1, 1], [1, 0], [0, 0]])  # v runs down.


def sphere(num=24):
    """A latitude-longitude sphere with UVs; poles and seam have their own coordinates."""
    v, u = np.meshgrid(np.linspace(0.05, 0.95, num), np.linspace(0, 1, 2 * num), indexing="ij")
    theta, phi = v * np.pi, (u - 0.5) * 2 * np.pi
    points = np.stack([np.sin(phi) * np.sin(theta), np.cos(theta), np.cos(phi) * np.sin(theta)], -1)
    index = np.arange(num * 2 * num).reshape(num, 2 * num)
    a, b, c, d = (
        q.ravel() for q in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:])
    )
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    uv = np.stack([u, v], -1)
    return points.reshape(-1, 3).astype(np.float32), faces.astype(np.int32), uv.reshape(-1, 2)


def test_square_has_its_area_and_faces_along_z():
    np.testing.assert_allclose(mesh.face_areas(SQUARE, SQUARE_FACES), [0.5, 0.5])
    for normals in (
        mesh.face_normals(SQUARE, SQUARE_FACES),
        vertex_normals(SQUARE, SQUARE_FACES),
    ):
        np.testing.assert_allclose(normals, np.tile([0, 0, 1.0], (len(normals), 1)), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_sphere_normals_are_radial_at_any_scale(scale):
    points, faces, _ = sphere()
    normals = vertex_normals(points * scale, faces)
    interior = np.abs(points[:, 1]) < 0.9
    cosine = np.sum(np.asarray(normals) * points, -1)[interior]
    assert cosine.min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1.0, atol=1e-4)


def test_normals_and_gradients_are_finite_for_degenerate_triangles_and_unused_vertices():
    points = jnp.concatenate([SQUARE, jnp.full((2, 3), 5.0)])
    faces = np.concatenate([SQUARE_FACES, np.int32([[0, 0, 1]])])
    loss = lambda points: jnp.sum(vertex_normals(points, faces) ** 2 * jnp.arange(3.0))  # noqa: E731
    assert np.isfinite(jax.jit(jax.grad(loss))(points)).all()
    assert not np.asarray(vertex_normals(points, faces))[4:].any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_known_square_has_gltf_tangent_and_handedness(mirrored):
    """Upright: tangent +X, bitangent up +Y, w = +1; mirrored: tangent -X, still up, w = -1."""
    uv = UPRIGHT_UV * [-1, 1] + [1, 0] if mirrored else UPRIGHT_UV
    normals = vertex_normals(SQUARE, SQUARE_FACES)
    tangents = vertex_tangents(SQUARE, normals, SQUARE_FACES, jnp.asarray(uv), SQUARE_FACES)
    sign = -1.0 if mirrored else 1.0
    np.testing.assert_allclose(tangents, np.tile([sign, 0, 0, sign], (4, 1)), atol=1e-6)
    up = mesh.object_from_tangent(jnp.array([0.0, 1.0, 0.0]), normals[0], tangents[0])
    np.testing.assert_allclose(up, [0, 1, 0], atol=1e-6)


def test_sphere_tangents_are_orthonormal_and_run_along_u():
    points, faces, uv = sphere()
    normals = vertex_normals(points, faces)
    tangents = np.asarray(vertex_tangents(points, normals, faces, jnp.asarray(uv), faces))
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.sum(tangents[:, :3] * normals, -1), 0.0, atol=1e-5)
    assert set(tangents[:, 3]) == {1.0}
    east = np.cross([0, 1.0, 0], points)
    east /= np.linalg.norm(east, axis=-1, keepdims=True)
    assert np.sum(tangents[:, :3] * east, -1).min() > 0.99


def test_tangents_are_valid_without_usable_uv():
    tangents = vertex_tangents(
        SQUARE,
        vertex_normals(SQUARE, SQUARE_FACES),
        SQUARE_FACES,
        jnp.zeros((4, 2)),
        SQUARE_FACES,
    )
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(tangents[:, 2], 0.0, atol=1e-6)


def test_object_and_tangent_space_are_inverse():
    rng = np.random.default_rng(0)
    directions, normals, tangent = rng.normal(size=(3, 50, 3)).astype(np.float32)
    sign = np.sign(rng.normal(size=(50, 1))).astype(np.float32)
    tangents = np.concatenate([tangent, sign], -1)
    there = jax.jit(mesh.object_from_tangent)(directions, normals, tangents)
    back = jax.jit(mesh.tangent_from_object)(there, normals, tangents)
    np.testing.assert_allclose(back, directions, atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(there, axis=-1), np.linalg.norm(directions, axis=-1), rtol=1e-4
    )

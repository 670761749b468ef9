"""Normal maps: object space to tangent space."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.export.materials import tangent_normals
from relightify_jax.export.parts import split_parts
from relightify_jax.geometry.mesh import object_from_tangent
from relightify_jax.geometry.rotations import matrix_from_axis_angle
from relightify_jax.geometry.uv_atlas import sample_atlas

convert = jax.jit(tangent_normals)


@pytest.fixture(scope="module")
def face(small_model):
    return split_parts(small_model, small_model.mean)[0]


@pytest.fixture(scope="module")
def bumps(face_atlas):
    """Random unit tangent-space normals (R, R, 3), at most 50 degrees off."""
    slopes = np.random.default_rng(1).uniform(-0.8, 0.8, (*face_atlas.face.shape, 2))
    normals = np.concatenate([slopes, np.ones_like(slopes[..., :1])], -1)
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def to_object(atlas, face, bumps):
    frame = sample_atlas(atlas, face.faces, np.concatenate([face.normals, face.tangents], -1))
    return object_from_tangent(jnp.asarray(bumps), frame[..., :3], frame[..., 3:])


def test_conversion_inverts_the_shading_frame(face, face_atlas, bumps):
    local = convert(
        to_object(face_atlas, face, bumps), face_atlas, face.faces, face.normals, face.tangents
    )
    inside = face_atlas.face >= 0
    np.testing.assert_allclose(np.asarray(local)[inside], bumps[inside], atol=1e-5)


def test_the_surface_itself_is_flat(face, face_atlas, small_maps):
    local = convert(small_maps.normals, face_atlas, face.faces, face.normals, face.tangents)
    # Vertex normals of a coarse ball differ from the ball's by a little.
    flat = np.asarray(local)[np.asarray(face_atlas.inside)]
    np.testing.assert_allclose(flat, np.broadcast_to([0.0, 0.0, 1.0], flat.shape), atol=0.12)


def test_turning_the_rest_pose_changes_nothing(face, face_atlas, bumps):
    rotation = np.asarray(matrix_from_axis_angle(jnp.array([0.3, -0.8, 0.4])))
    tangents = face.tangents.copy()
    tangents[:, :3] = tangents[:, :3] @ rotation.T
    turned = face._replace(normals=face.normals @ rotation.T, tangents=tangents)
    normals = np.asarray(to_object(face_atlas, face, bumps))
    still = convert(normals, face_atlas, face.faces, face.normals, face.tangents)
    moved = convert(normals @ rotation.T, face_atlas, face.faces, turned.normals, turned.tangents)
    np.testing.assert_allclose(still, moved, atol=1e-5)


def test_a_normal_that_points_inward_is_lifted(face, face_atlas, bumps):
    inward = -np.asarray(to_object(face_atlas, face, bumps))
    local = np.asarray(convert(inward, face_atlas, face.faces, face.normals, face.tangents))
    assert local[..., 2].min() > 0
    np.testing.assert_allclose(np.linalg.norm(local, axis=-1), 1, atol=1e-5)

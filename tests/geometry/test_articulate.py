"""Joints of a head in motion, against rigid motions and the chain written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.geometry.face_files.articulate import articulate
from relightify_jax.geometry.rotations import matrix_from_axis_angle

FLAME_PARENTS = (-1, 0, 1, 1, 1)


@pytest.fixture(scope="module")
def jointed():
    """A head of random points with FLAME's joints: points, joints, weights, correctives."""
    rng = np.random.default_rng(5)
    points = rng.uniform([-0.08, -0.15, -0.1], [0.08, 0.15, 0.1], (150, 3))
    x, y, z = points.T
    weights = np.zeros((150, 5))
    weights[:, 2] = np.clip(-20 * y - 0.5, 0, 1) * (z > 0)  # The chin.
    weights[:, 3] = (y > 0.03) & (z > 0.05) & (x > 0.02)
    weights[:, 4] = (y > 0.03) & (z > 0.05) & (x < -0.02)
    weights[:, 1] = 1 - weights.sum(1)
    joints = np.array([[0, -0.2, -0.05], [0, -0.1, -0.03], [0, -0.02, 0], [0.03, 0.05, 0.06]])
    joints = np.concatenate([joints, joints[3:] * [-1, 1, 1]])
    correctives = 1e-3 * rng.standard_normal((len(points), 3, 45))
    return tuple(jnp.asarray(a, jnp.float32) for a in (points, joints, weights, correctives))


def turned(jointed, rotations, correctives=True):
    points, joints, weights, offsets = jointed
    offsets = offsets if correctives else None
    return articulate(points, joints, rotations, weights, offsets, FLAME_PARENTS)


def test_the_rest_pose_is_the_template(jointed):
    np.testing.assert_allclose(turned(jointed, jnp.zeros((5, 3))), jointed[0], atol=1e-7)


def test_the_jaw_moves_what_hangs_on_it_about_its_joint(jointed):
    points, joints, weights, _ = jointed
    rotations = jnp.zeros((5, 3)).at[2, 0].set(0.3)
    moved = turned(jointed, rotations, correctives=False)
    jaw = np.asarray(weights[:, 2])
    np.testing.assert_allclose(moved[jaw == 0], points[jaw == 0], atol=1e-7)
    assert (np.linalg.norm(moved - points, axis=1)[jaw > 0] > 1e-4).all()
    turn = np.asarray(matrix_from_axis_angle(rotations[2]))
    expected = (np.asarray(points - joints[2]) @ turn.T + joints[2])[jaw == 1]
    assert (jaw == 1).sum() > 3
    np.testing.assert_allclose(moved[jaw == 1], expected, atol=1e-6)


def test_turning_the_root_turns_the_whole_pose(jointed):
    points, joints, *_ = jointed
    rest = 0.4 * jax.random.normal(jax.random.key(0), (5, 3))
    bare = turned(jointed, rest.at[0].set(0.0), correctives=False)
    turn = np.asarray(matrix_from_axis_angle(rest[0]))
    expected = np.asarray(bare - joints[0]) @ turn.T + joints[0]
    np.testing.assert_allclose(turned(jointed, rest, correctives=False), expected, atol=1e-6)


def test_children_follow_and_correctives_are_added_before(jointed):
    """Against the chain of 4 x 4 matrices, written out vertex by vertex."""
    points, joints, weights, correctives = (np.asarray(a, np.float64) for a in jointed)
    rotations = 0.5 * jax.random.normal(jax.random.key(1), (5, 3))
    turns = np.stack([np.asarray(matrix_from_axis_angle(r)) for r in rotations])
    world = []
    for joint, parent in enumerate(FLAME_PARENTS):
        local = np.eye(4)
        local[:3, :3] = turns[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    expected = []
    for vertex, point in enumerate(points):
        point = point + correctives[vertex] @ (turns - np.eye(3)).ravel()
        parts = [m[:3, :3] @ (point - j) + m[:3, 3] for m, j in zip(world, joints, strict=True)]
        expected.append(weights[vertex] @ parts)
    np.testing.assert_allclose(turned(jointed, rotations), expected, atol=2e-6)


def test_the_gradient_is_finite_and_right_at_rest(jointed):
    def height(rotations):
        return jnp.sum(turned(jointed, rotations)[:, 1] ** 2)

    rest = jnp.zeros((5, 3))
    gradient = jax.grad(height)(rest)
    assert jnp.isfinite(gradient).all()
    direction = jax.random.normal(jax.random.key(2), (5, 3))
    numeric = (height(0.01 * direction) - height(-0.01 * direction)) / 0.02
    assert float(jnp.sum(gradient * direction)) == pytest.approx(float(numeric), rel=2e-2)


def test_arrays_of_other_sizes_are_refused(jointed):
    points, joints, weights, correctives = jointed
    with pytest.raises(ValueError, match=r"rotations has shape \(4, 3\), expected \(5, 3\)"):
        turned(jointed, jnp.zeros((4, 3)))
    with pytest.raises(ValueError, match="correctives has shape"):
        articulate(points, joints, jnp.zeros((5, 3)), weights, correctives[..., 1:], FLAME_PARENTS)

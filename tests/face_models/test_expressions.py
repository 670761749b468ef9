"""Joints as blend shapes, and the ranges of coefficients."""

import numpy as np
import pytest

from relightify_jax.face_models.expressions import (
    arkit_name,
    chord_error,
    gather_expressions,
    turn_joints,
)
from relightify_jax.geometry.face_files.raw import Joints, RawFaceModel
from relightify_jax.geometry.morphable_model import BLEND_SHAPE_DEVIATION


def jointed(expression_names=("mode0", "mode1"), with_joints=True):
    """Four points: on the skull, the chin, and in front of the left and the right eye."""
    points = np.array(
        [[0, 0.1, 0], [0, -0.08, 0.09], [0.03, 0.02, 0.092], [-0.03, 0.02, 0.092]], np.float32
    )
    positions = np.array(
        [[0, 0, 0], [0, -0.08, 0], [0.03, 0.02, 0.08], [-0.03, 0.02, 0.08]], np.float32
    )
    joints = Joints(
        names=("root", "jaw", "eye_left", "eye_right"),
        parents=(-1, 0, 0, 0),
        positions=positions,
        position_identity=np.zeros((4, 3, 1), np.float32),
        position_expression=np.zeros((4, 3, 2), np.float32),
        weights=np.eye(4, dtype=np.float32),
        correctives=np.zeros((4, 3, 36), np.float32),
    )
    return RawFaceModel(
        points=points,
        identity=np.zeros((4, 3, 1), np.float32),
        expression=np.ones((4, 3, len(expression_names)), np.float32) * 0.01,
        triangles=np.array([[0, 1, 2]], np.int32),
        colour=None,
        joints=joints if with_joints else None,
        identity_names=("a",),
        expression_names=tuple(expression_names),
        name="twin",
        licence="",
        source="",
    )


def test_joints_move_what_their_names_say():
    shapes = turn_joints(jointed())
    assert shapes["jawOpen"][1, 1] < -0.03 and np.abs(shapes["jawOpen"][[0, 2, 3]]).max() == 0
    assert shapes["jawLeft"][1, 0] > 0.01 and shapes["jawRight"][1, 0] < -0.01
    left, right = 2, 3
    for side, vertex, other in (("Left", left, right), ("Right", right, left)):
        assert shapes[f"eyeLookUp{side}"][vertex, 1] > 0.003
        assert shapes[f"eyeLookDown{side}"][vertex, 1] < -0.003
        assert np.abs(shapes[f"eyeLookUp{side}"][other]).max() == 0
    # In is toward the nose, +X the subject's left.
    assert shapes["eyeLookInLeft"][left, 0] < -0.003 and shapes["eyeLookOutLeft"][left, 0] > 0.003
    assert shapes["eyeLookInRight"][right, 0] > 0.003
    assert shapes["eyeLookOutRight"][right, 0] < -0.003


def test_the_error_of_the_chord_is_that_of_the_docstring():
    errors = chord_error(jointed())
    assert errors["jawOpen"] == pytest.approx(0.09 * 0.5**2 / 8, rel=0.03)
    assert errors["eyeLookOutLeft"] == pytest.approx(0.012 * 0.5**2 / 8, rel=0.03)


def test_modes_have_deviations_and_shapes_run_from_zero_to_one():
    modes = gather_expressions(jointed())
    assert modes.names[:1] == ("jawOpen",) and modes.names[-2:] == ("mode0", "mode1")
    np.testing.assert_array_equal(modes.range[-2:], [[-3, 3]] * 2)
    np.testing.assert_array_equal(modes.deviation[-2:], 1)
    np.testing.assert_array_equal(modes.range[:-2], [[0, 1]] * (len(modes.names) - 2))
    np.testing.assert_array_equal(modes.deviation[:-2], BLEND_SHAPE_DEVIATION)
    assert modes.shapes.shape == (len(modes.names), 4, 3)

    shapes = gather_expressions(jointed(("mouthSmile_L", "mouthSmile_R", "own"), False))
    assert shapes.names == ("mouthSmileLeft", "mouthSmileRight", "own")
    np.testing.assert_array_equal(shapes.range, [[0, 1]] * 3)
    assert gather_expressions(jointed((), False)).shapes.shape == (0, 4, 3)


def test_a_shape_that_the_model_has_is_not_made_twice():
    names = gather_expressions(jointed(("jawOpen", "mouthFunnel"))).names
    assert len(set(names)) == len(names)


def test_arkit_spelling():
    assert arkit_name("browDown_L") == "browDownLeft" and arkit_name("jawOpen") == "jawOpen"

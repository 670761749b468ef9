"""The expressions of any face model: named blend shapes, statistical modes and joints.

Blend shapes named as ARKit's run from 0 to 1, statistical modes from -3 to 3 deviations. Jaw
and eyes that turn about joints become blend shapes of ARKit's names: each is the head with the
joint fully turned minus the head at rest. Between, a joint moves on an arc and the shape on its
chord: the greatest error, half-way, is r theta^2 / 8 for a point at the distance r from the
joint. That is 2.9 mm for a chin 9 cm from the joint of a jaw open by 0.5 rad, 0.4 mm for the
side of an eyeball of 12 mm that looks aside by 0.5 rad; `chord_error` measures it. A neck's
joint is left alone: it turns the shoulders under a head whose pose the camera already has.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.face_files.articulate import articulate
from relightify_jax.geometry.face_files.raw import Joints, RawFaceModel
from relightify_jax.geometry.morphable_model import BLEND_SHAPE_DEVIATION

_MODE_RANGE = (-3.0, 3.0)
_MODE_DEVIATION = 1.0

# Joint, and axis times angle in radians of the full shape, +X the subject's left: a turn about
# +X looks down or opens the jaw, one about +Y goes to the subject's left.
_JAW, _JAW_SIDE, _LOOK_SIDE, _LOOK_UP = 0.5, 0.15, 0.5, 0.4
TURNS = {
    "jawOpen": ("jaw", (_JAW, 0.0, 0.0)),
    "jawLeft": ("jaw", (0.0, _JAW_SIDE, 0.0)),
    "jawRight": ("jaw", (0.0, -_JAW_SIDE, 0.0)),
    "eyeLookDownLeft": ("eye_left", (_LOOK_UP, 0.0, 0.0)),
    "eyeLookDownRight": ("eye_right", (_LOOK_UP, 0.0, 0.0)),
    "eyeLookInLeft": ("eye_left", (0.0, -_LOOK_SIDE, 0.0)),
    "eyeLookInRight": ("eye_right", (0.0, _LOOK_SIDE, 0.0)),
    "eyeLookOutLeft": ("eye_left", (0.0, _LOOK_SIDE, 0.0)),
    "eyeLookOutRight": ("eye_right", (0.0, -_LOOK_SIDE, 0.0)),
    "eyeLookUpLeft": ("eye_left", (-_LOOK_UP, 0.0, 0.0)),
    "eyeLookUpRight": ("eye_right", (-_LOOK_UP, 0.0, 0.0)),
}


_articulate = jax.jit(articulate, static_argnames="parents")


class Expressions(NamedTuple):
    """E expressions; fields as in `MorphableModel`."""

    shapes: np.ndarray  # (E, V, 3) metres.
    names: tuple[str, ...]
    range: np.ndarray  # (E, 2).
    deviation: np.ndarray  # (E,).


def arkit_name(name: str) -> str:
    """ARKit's spelling of a name such as mouthSmile_L."""
    for ending, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(ending):
            return name.removesuffix(ending) + side
    return name


def gather_expressions(raw: RawFaceModel) -> Expressions:
    """All expressions of a raw model; those of joints come first, so that a fit has them.

    A model counts as one of blend shapes if most of its names are ARKit's.
    """
    turned = turn_joints(raw)
    own = np.moveaxis(raw.expression, 2, 0)
    known = set(load_embedded_model().expression_names)
    names = tuple(arkit_name(name) for name in raw.expression_names)
    are_shapes = sum(name in known for name in names) > len(names) / 2
    num_turns = len(turned)
    num_shapes = num_turns + (len(own) if are_shapes else 0)
    shapes = np.concatenate([np.reshape(list(turned.values()), (-1, *own.shape[1:])), own])
    is_shape = np.arange(len(shapes)) < num_shapes
    return Expressions(
        shapes=shapes.astype(np.float32),
        names=(*turned, *(names if are_shapes else raw.expression_names)),
        range=np.where(is_shape[:, None], (0.0, 1.0), _MODE_RANGE),
        deviation=np.where(is_shape, BLEND_SHAPE_DEVIATION, _MODE_DEVIATION),
    )


def turn_joints(raw: RawFaceModel) -> dict[str, np.ndarray]:
    """Shapes (V, 3), by ARKit's names, of what joints can do and expressions do not."""
    if raw.joints is None:
        return {}
    own = {arkit_name(name) for name in raw.expression_names}
    return {
        name: _turned(raw, raw.joints, joint, np.array(turn)) - raw.points
        for name, (joint, turn) in TURNS.items()
        if joint in raw.joints.names and name not in own
    }


def chord_error(raw: RawFaceModel) -> dict[str, float]:
    """Greatest distance, metres, between half of each shape and the joint turned half-way."""
    if raw.joints is None:
        return {}
    errors = {}
    for name, shape in turn_joints(raw).items():
        joint, turn = TURNS[name]
        half = _turned(raw, raw.joints, joint, np.array(turn) / 2) - raw.points
        errors[name] = float(np.linalg.norm(half - shape / 2, axis=1).max())
    return errors


def _turned(raw: RawFaceModel, joints: Joints, joint: str, turn: np.ndarray) -> np.ndarray:
    """The mean (V, 3) with one joint turned."""
    rotations = np.zeros((len(joints.names), 3), np.float32)
    rotations[joints.names.index(joint)] = turn
    moved = _articulate(
        jnp.asarray(raw.points),
        jnp.asarray(joints.positions),
        jnp.asarray(rotations),
        jnp.asarray(joints.weights),
        jnp.asarray(joints.correctives),
        parents=joints.parents,
    )
    return np.asarray(moved)

"""Reader of GNM Head, a head with eyeballs, teeth and tongue, whose neck and eyes turn.

"GNM Head: a generative anthropometric model of the human head", Google 2026,
https://arxiv.org/abs/2607.23687. The file is an .npz in metres, +Y up, the face along +Z;
coefficients are in standard deviations. There is no jaw joint: expressions open the mouth.
"""

import os
from typing import Any

import numpy as np

from relightify_jax.core.files import read_npz
from relightify_jax.geometry.face_files.raw import (
    Joints,
    Origin,
    RawFaceModel,
    check_model,
    require_keys,
    require_shapes,
)

ORIGIN = Origin(
    file="gnm_head.npz (GNM Head 3)",
    url="https://huggingface.co/google/gnm-v3",
    licence="Apache 2.0",
    unit="metres",
)
_KEYS = (
    "template_vertex_positions", "vertex_identity_basis", "expression_basis", "triangles",
    "template_joint_positions", "joint_identity_basis", "joint_parent_indices",
    "skinning_weights", "pose_correctives_regressor",
    "identity_names", "expression_names", "joint_names",
)  # fmt: skip
# Our names of what GNM calls otherwise.
_JOINT_NAMES = {"left_eye": "eye_left", "right_eye": "eye_right"}


def read_gnm(path: str | os.PathLike[str]) -> RawFaceModel:
    """Reads GNM Head.

    Args:
        path: gnm_head.npz.

    Returns:
        The model, with joints (neck, head and the eyes in version 3) and without colour.

    Raises:
        InputError: If the file is missing or does not fit.
    """
    arrays = read_npz(path, f"{ORIGIN.file} from {ORIGIN.url}")
    require_keys(path, ORIGIN, arrays, _KEYS)
    vertices = len(np.atleast_1d(arrays["template_vertex_positions"]))
    names = {
        kind: tuple(str(name) for name in np.atleast_1d(arrays[f"{kind}_names"]))
        for kind in ("identity", "expression", "joint")
    }
    identities, expressions, joints = (len(names[kind]) for kind in names)
    shapes = {
        "template_vertex_positions": (None, 3),
        "vertex_identity_basis": (identities, vertices, 3),
        "expression_basis": (expressions, vertices, 3),
        "triangles": (None, 3),
        "template_joint_positions": (joints, 3),
        "joint_identity_basis": (identities, joints, 3),
        "joint_parent_indices": (joints,),
        "skinning_weights": (joints, vertices),
        "pose_correctives_regressor": (9 * joints, 3 * vertices),
    }
    require_shapes(path, ORIGIN, arrays, shapes)
    return check_model(
        path,
        ORIGIN,
        RawFaceModel(
            points=arrays["template_vertex_positions"],
            identity=np.moveaxis(arrays["vertex_identity_basis"], 0, 2),
            expression=np.moveaxis(arrays["expression_basis"], 0, 2),
            triangles=arrays["triangles"].astype(np.int64),
            colour=None,
            joints=_joints(arrays, names["joint"], expressions),
            identity_names=names["identity"],
            expression_names=names["expression"],
            name="GNM Head",
            licence=ORIGIN.licence,
            source=ORIGIN.url,
        ),
    )


def _joints(arrays: dict[str, Any], names: tuple[str, ...], expressions: int) -> Joints:
    """The joints in the order of `raw.Joints`; expressions do not move them."""
    # The root names itself, or nothing, as its parent.
    parents = [int(parent) for parent in arrays["joint_parent_indices"]]
    correctives = arrays["pose_correctives_regressor"].T
    return Joints(
        names=tuple(_JOINT_NAMES.get(name, name) for name in names),
        parents=(-1, *parents[1:]),
        positions=arrays["template_joint_positions"],
        position_identity=np.moveaxis(arrays["joint_identity_basis"], 0, 2),
        position_expression=np.zeros((len(names), 3, expressions), np.float32),
        weights=arrays["skinning_weights"].T,
        correctives=correctives.reshape(-1, 3, 9 * len(names)),
    )

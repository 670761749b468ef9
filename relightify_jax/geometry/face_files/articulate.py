"""Heads with joints in motion: linear blend skinning with pose correctives.

FLAME (Li et al., "Learning a model of facial shape and expression from 4D scans", SIGGRAPH
Asia 2017, equations 1 to 3) and GNM move their neck, jaw and eyes in this way; it is that of
SMPL (Loper et al. 2015).
"""

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import einsum, matmul
from relightify_jax.geometry.rotations import matrix_from_axis_angle


def place_joints(
    positions: jax.Array,
    position_identity: jax.Array,
    position_expression: jax.Array,
    identity: jax.Array,
    expression: jax.Array,
) -> jax.Array:
    """Joints of one head in the rest pose.

    Args:
        positions: (J, 3) joints of the mean, metres; this and the next two are
            fields of `raw.Joints`.
        position_identity: (J, 3, K).
        position_expression: (J, 3, E).
        identity: (k,) coefficients of the first k <= K identity modes.
        expression: (e,) coefficients of the first e <= E expression modes.

    Returns:
        (J, 3) metres.
    """
    shape = einsum("jck,k->jc", position_identity[..., : identity.shape[0]], identity)
    motion = einsum("jce,e->jc", position_expression[..., : expression.shape[0]], expression)
    return positions + shape + motion


def articulate(
    points: jax.Array,
    joints: jax.Array,
    rotations: jax.Array,
    weights: jax.Array,
    correctives: jax.Array | None,
    parents: tuple[int, ...],
) -> jax.Array:
    """Turns the joints of a head.

    Each vertex goes where the mean of its joints' rigid motions, weighted, takes it; the
    correctives, which are linear in the entries of the rotations, are added before.

    Args:
        points: (V, 3) vertices in the rest pose, metres.
        joints: (J, 3) in the rest pose, metres; see `place_joints`.
        rotations: (J, 3) axis times angle in radians, each about its joint and relative to
            the parent; zero is the rest pose.
        weights: (V, J), rows sum to one.
        correctives: (V, 3, 9 J) metres per entry of R - 1, row by row; None for none.
        parents: J indices, -1 for the root, parents before children; static.

    Returns:
        (V, 3) vertices, metres.

    Raises:
        ValueError: If numbers of vertices or joints differ.
    """
    num_vertices, num_joints = points.shape[0], len(parents)
    wanted: dict[str, tuple[jax.Array, tuple[int, ...]]] = {
        "joints": (joints, (num_joints, 3)),
        "rotations": (rotations, (num_joints, 3)),
        "weights": (weights, (num_vertices, num_joints)),
    }
    if correctives is not None:
        wanted["correctives"] = (correctives, (num_vertices, 3, 9 * num_joints))
    for name, (array, shape) in wanted.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {shape}.")

    local = jax.vmap(matrix_from_axis_angle)(rotations)
    if correctives is not None:
        feature = (local - jnp.eye(3)).reshape(-1)
        points = points + einsum("vcf,f->vc", correctives, feature)

    # x -> turn x + shift is the motion of each joint: about itself, then with its parent.
    turns: list[jax.Array] = []
    shifts: list[jax.Array] = []
    for joint, parent in enumerate(parents):
        turn, shift = local[joint], joints[joint] - matmul(local[joint], joints[joint])
        if parent >= 0:
            turn, shift = matmul(turns[parent], turn), matmul(turns[parent], shift) + shifts[parent]
        turns.append(turn)
        shifts.append(shift)
    turn = einsum("vj,jab->vab", weights, jnp.stack(turns))
    return einsum("vab,vb->va", turn, points) + matmul(weights, jnp.stack(shifts))

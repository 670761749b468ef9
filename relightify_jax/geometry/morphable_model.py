"""The 3D morphable model: coefficients in, vertices out, for every face model alike."""

import jax
import jax.numpy as jnp
from flax import struct

from relightify_jax.core.numerics import einsum

# Parts of a head, in the order of their triangles; `MorphableModel.face_part` holds indices.
PARTS = ("face", "head", "eye_left", "eye_right", "mouth")
BLEND_SHAPE_DEVIATION = 0.4  # Of the coefficient of one blend shape among photographs.


class VertexAlbedo(struct.PyTreeNode):
    """A statistical model of diffuse albedo, linear RGB; coefficients are ~N(0, 1)."""

    mean: jax.Array  # (V, 3) float32.
    modes: jax.Array  # (A, V, 3) float32.


class MorphableModel(struct.PyTreeNode):
    """A linear head model in metres: +Y up, face along +Z, +X the subject's left.

    Triangles are sorted by part. "face" carries the canonical UV layout in [0, 1]^2;
    "head" (scalp, back, neck below it), each eyeball and "mouth" (teeth, tongue, socket)
    each have a [0, 1]^2 tile of their own, so UVs are unique within a part only.
    V vertices, F triangles, T texture coordinates, L = 468 landmarks.
    """

    mean: jax.Array  # (V, 3) float32.
    identity: jax.Array  # (K, V, 3) float32; coefficients are ~N(0, 1).
    expression: jax.Array  # (E, V, 3) float32; coefficients in [0, 1].
    faces: jax.Array  # (F, 3) int32, counter-clockwise seen from outside.
    uv: jax.Array  # (T, 2) float32, u right, v down from the top.
    uv_faces: jax.Array  # (F, 3) int32 into `uv`.
    face_part: jax.Array  # (F,) int32 into `PARTS`, non-decreasing.
    landmark_vertices: jax.Array  # (L, 3) int32: the triangle of each FaceMesh landmark.
    landmark_bary: jax.Array  # (L, 3) float32.
    landmark_spread: jax.Array  # (L,) float32, metres: how well the landmark is localised.
    quads: jax.Array  # (Q, 4) int32, for export to DCC tools.
    expression_names: tuple[str, ...] = struct.field(pytree_node=False)
    name: str = struct.field(pytree_node=False)
    licence: str = struct.field(pytree_node=False)
    # Lowest and highest coefficient (E, 2) and prior deviation (E,) of each expression;
    # None stands for blend shapes: 0 to 1, and `BLEND_SHAPE_DEVIATION`.
    expression_range: jax.Array | None = None
    expression_deviation: jax.Array | None = None
    albedo: VertexAlbedo | None = None


def vertices(model: MorphableModel, identity: jax.Array, expression: jax.Array) -> jax.Array:
    """Evaluates the model.

    Args:
        model: The morphable model.
        identity: (k,) coefficients of the first k <= K identity modes.
        expression: (e,) coefficients of the first e <= E expressions.

    Returns:
        (V, 3) vertices in metres.
    """
    shape = einsum("k,kvc->vc", identity, model.identity[: identity.shape[0]])
    motion = einsum("e,evc->vc", expression, model.expression[: expression.shape[0]])
    return model.mean + shape + motion


def landmarks(model: MorphableModel, points: jax.Array) -> jax.Array:
    """Positions (L, 3) of the 468 landmarks on the mesh with vertices `points` (V, 3)."""
    corners = points[model.landmark_vertices]
    return jnp.sum(corners * model.landmark_bary[..., None], axis=1)

"""A person's head in a random mild expression, as far as light is concerned.

Shadows are cast by a coarse copy of the mesh (about 5 mm): they are a few millimetres soft
anyway, and the copy draws five times as fast. They are looked up at the vertices of the
face and carried to the texels together with the shape.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core import rng
from relightify_jax.core.numerics import einsum, matmul, normalize
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import (
    BLEND_SHAPE_DEVIATION,
    PARTS,
    MorphableModel,
)
from relightify_jax.geometry.uv_atlas import UVAtlas
from relightify_jax.rendering.area_lights import LampSamples, lamp_visibility

_CELL = 5e-3  # Metres: the coarse mesh has one vertex in each.
# Pixels of a shadow's depth map, of which an edge is three wide: 3 mm on a head.
_DEPTH_SIZE, _DEPTH_BLUR = 384, 3
_MOVING_SHARE = 0.25  # Of the expressions at any time...
_MOVING_STRENGTH = 0.6  # ...times their deviation among photographs.
_ONE_SIDED = 0.15  # Expressions of left and right differ by this share.


class HeadShape(NamedTuple):
    """The geometry of a face model as the stage uses it."""

    mean: jax.Array  # (V, 3) metres.
    identity: jax.Array  # (K, V, 3).
    expression: jax.Array  # (E, V, 3).
    expression_range: jax.Array  # (E, 2), lowest and highest coefficient.
    expression_deviation: jax.Array  # (E,).
    partner: jax.Array  # (E,) int32: the expression itself, or that of the right side.
    faces: jax.Array  # (F, 3) int32.
    face_vertices: jax.Array  # (Q,) int32, those of the part "face".
    shadow_vertices: jax.Array  # (P,) int32, of the coarse mesh...
    shadow_faces: jax.Array  # (S, 3) int32 into `shadow_vertices`.


class TexelPlaces(NamedTuple):
    """Where each texel lies on the face part: three vertices and their weights."""

    corner: jax.Array  # (R, R, 3) int32 into `HeadShape.face_vertices`.
    bary: jax.Array  # (R, R, 3).


class Pose(NamedTuple):
    """A head at the texels of its maps."""

    position: jax.Array  # (R, R, 3) metres.
    normals: jax.Array  # (R, R, 3) unit, smooth, of the pose.
    rest_normals: jax.Array  # (R, R, 3) unit, smooth, before the expression.
    seen: jax.Array  # (R, R, N) in [0, 1], share of each source that is not hidden.


def build_shape(model: MorphableModel) -> HeadShape:
    """Prepares a model on the host."""
    faces, part = np.asarray(model.faces), np.asarray(model.face_part)
    names = list(model.expression_names)
    partner = [
        names.index(other) if (other := name.replace("Left", "Right")) in names else index
        for index, name in enumerate(names)
    ]
    count = len(names)
    limits, deviation = model.expression_range, model.expression_deviation
    if limits is None:
        limits = jnp.tile(jnp.array([0.0, 1.0]), (count, 1))
    if deviation is None:
        deviation = jnp.full(count, BLEND_SHAPE_DEVIATION)
    # The inside of the mouth is hidden anyway.
    outside = faces[part != PARTS.index("mouth")]
    shadow_vertices, shadow_faces = _coarsen(np.asarray(model.mean), outside, _CELL)
    return HeadShape(
        mean=jnp.asarray(model.mean),
        identity=jnp.asarray(model.identity),
        expression=jnp.asarray(model.expression),
        expression_range=jnp.asarray(limits, jnp.float32),
        expression_deviation=jnp.asarray(deviation, jnp.float32),
        partner=jnp.asarray(partner, jnp.int32),
        faces=jnp.asarray(faces, jnp.int32),
        face_vertices=jnp.asarray(_face_vertices(model), jnp.int32),
        shadow_vertices=jnp.asarray(shadow_vertices, jnp.int32),
        shadow_faces=jnp.asarray(shadow_faces, jnp.int32),
    )


def build_places(model: MorphableModel, atlas: UVAtlas) -> TexelPlaces:
    """Prepares the lookups of an atlas whose gutter covers the whole map."""
    renumber = np.zeros(model.mean.shape[0], np.int32)
    used = _face_vertices(model)
    renumber[used] = np.arange(len(used))
    corner = renumber[np.asarray(model.faces)[np.maximum(np.asarray(atlas.face), 0)]]
    return TexelPlaces(jnp.asarray(corner), jnp.asarray(atlas.bary))


def _face_vertices(model: MorphableModel) -> np.ndarray:
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    return np.unique(np.asarray(model.faces)[on_face])


def _coarsen(points: np.ndarray, faces: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (P,) and triangles (S, 3) into them: of each cell of a grid one vertex stays.

    Vertex clustering (Rossignac and Borrel 1993) on the vertex nearest to the cell's mean.
    """
    _, cell_of = np.unique(np.floor(points / cell).astype(np.int64), axis=0, return_inverse=True)
    cell_of = cell_of.ravel()
    count = np.bincount(cell_of)
    middle = np.stack([np.bincount(cell_of, points[:, c]) for c in range(3)], -1) / count[:, None]
    distance = np.sum((points - middle[cell_of]) ** 2, axis=-1)
    order = np.lexsort((distance, cell_of))
    nearest = order[np.unique(cell_of[order], return_index=True)[1]]
    coarse = nearest[cell_of[faces]]
    has_area = (coarse != np.roll(coarse, 1, axis=1)).all(axis=1)
    coarse = coarse[has_area]
    coarse = coarse[np.unique(np.sort(coarse, axis=1), axis=0, return_index=True)[1]]
    vertices, numbers = np.unique(coarse, return_inverse=True)
    return vertices, numbers.reshape(-1, 3)


def draw_expression(key: jax.Array, shape: HeadShape) -> jax.Array:
    """Coefficients (E,) of a mild expression, nearly the same on both sides."""
    count = shape.partner.shape[0]
    strength, side = jax.random.normal(rng.stream(key, "strength"), (2, count))
    moving = jax.random.uniform(rng.stream(key, "moving"), (count,)) < _MOVING_SHARE
    both = (strength * moving)[shape.partner]
    mild = _MOVING_STRENGTH * shape.expression_deviation * both * (1 + _ONE_SIDED * side)
    return jnp.clip(mild, shape.expression_range[:, 0], shape.expression_range[:, 1])


def pose_head(
    shape: HeadShape,
    places: TexelPlaces,
    identity: jax.Array,
    expression: jax.Array,
    sources: LampSamples,
) -> Pose:
    """Shapes a head and finds what it hides of lamps and cameras.

    Args:
        shape: The model.
        places: The texels.
        identity: (k,) coefficients of the first k <= K modes.
        expression: (e,) coefficients of the first e <= E expressions.
        sources: N lamps, or cameras taken for lamps. What is black costs nothing, outside
            of `vmap`, and counts as seen.

    Raises:
        ValueError: If there are more coefficients than modes.
    """
    for given, modes in ((identity, shape.identity), (expression, shape.expression)):
        if given.shape[0] > modes.shape[0]:
            raise ValueError(f"{given.shape[0]} coefficients for {modes.shape[0]} modes.")
    rest = shape.mean + einsum("k,kvc->vc", identity, shape.identity[: identity.shape[0]])
    points = rest + einsum("e,evc->vc", expression, shape.expression[: expression.shape[0]])
    used = shape.face_vertices
    rest_normals = vertex_normals(rest, shape.faces)[used]
    normals = vertex_normals(points, shape.faces)[used]
    seen = _see_sources(shape, points, sources, normals)
    on_vertices = jnp.concatenate([points[used], normals, rest_normals, seen.T], axis=-1)
    maps = jnp.sum(on_vertices[places.corner] * places.bary[..., None], axis=-2)
    return Pose(maps[..., :3], normalize(maps[..., 3:6]), normalize(maps[..., 6:9]), maps[..., 9:])


def _see_sources(shape, points, sources, normals) -> jax.Array:
    """Share (N, Q) of each source that the vertices of the face see."""
    hidden_by, faces = points[shape.shadow_vertices], shape.shadow_faces
    places = points[shape.face_vertices]

    def look(source):
        def draw():
            one = jax.tree.map(lambda x: x[None], source)
            return lamp_visibility(
                hidden_by, faces, one, places, normals, size=_DEPTH_SIZE, blur=_DEPTH_BLUR
            )[0]

        return lax.cond(jnp.any(source.intensity > 0), draw, lambda: jnp.ones(places.shape[0]))

    return lax.map(look, sources)


def turn_normals(normals: jax.Array, before: jax.Array, after: jax.Array) -> jax.Array:
    """Carries unit normals (..., 3) along the smallest rotation of `before` to `after`."""
    middle = before + after
    cosine = jnp.sum(before * after, axis=-1, keepdims=True)
    along = jnp.sum(middle * normals, axis=-1, keepdims=True) / jnp.maximum(1 + cosine, 1e-3)
    return normals - along * middle + 2 * jnp.sum(before * normals, -1, keepdims=True) * after


def blur_texels(image: jax.Array, sigma: jax.Array | float) -> jax.Array:
    """Gaussian blur of (R, R, C) by `sigma` texels; weights are renormalised at the edges."""
    index = jnp.arange(image.shape[0], dtype=jnp.float32)
    weights = jnp.exp(-0.5 * ((index[:, None] - index) / jnp.maximum(sigma, 0.1)) ** 2)
    weights = weights / jnp.sum(weights, axis=1, keepdims=True)
    rows = matmul(weights, image.reshape(image.shape[0], -1)).reshape(image.shape)
    return matmul(weights, rows)

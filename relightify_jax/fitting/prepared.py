"""A face model cut down to what a fit needs; made once for many photographs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import normalize
from relightify_jax.fitting import appearance as looks
from relightify_jax.fitting import face_regions
from relightify_jax.fitting.appearance import SkinFields
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.objectives import ShapeModel, ShapePrior
from relightify_jax.fitting.skin_statistics import skin_at_vertices
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import BLEND_SHAPE_DEVIATION, MorphableModel, landmarks
from relightify_jax.geometry.topology import build_topology

WELL_LOCALISED = 0.0045  # Metres of spread below which a landmark is a good judge.
# Expressions that landmarks cannot see, by the start of their (ARKit) names.
_HIDDEN_EXPRESSIONS = ("eyelook", "tongue")
_CORRECTIVES = (("mouthClose", "jawOpen"),)
_PLAIN_SKIN = face_regions.CHEEKS + face_regions.NOSE
_PIXEL_REACH = 0.012  # Metres around the landmarks in which pixels are compared...
_OUTLINE_REACH = 0.025  # ...and in which the outline is.
_REFERENCE_OPENING = 0.6  # Of the jaw, where lips are told apart by their distance.


class Edges(NamedTuple):
    """Edges of the mesh with two triangles each."""

    vertices: jax.Array  # (R, 2) int32.
    faces: jax.Array  # (R, 2) int32.


class PreparedModel(NamedTuple):
    """A morphable model as the stages take it; see `prepare_model`."""

    shape: ShapeModel
    prior: ShapePrior
    landmarks: ShapeModel  # Its 468 vertices are the landmarks.
    landmark_normals: jax.Array  # (L, 3) on the mean head.
    landmark_spread: jax.Array  # (L,) metres.
    skin: SkinFields  # At the vertices, (V, ...).
    plain_skin: jax.Array  # (V,) 1 on nose and cheeks, where hair does not reach.
    detail: jax.Array  # (V,) 1 on eyes, brows, lips and nostrils.
    comparable: jax.Array  # (F,) bool: triangles of the face near its landmarks.
    outline: Edges  # Those that may become the outline of the face.
    reference: jax.Array  # (V, 3) the mean with parted lips, where distances are taken.
    landmark_reference: jax.Array  # (L, 3) the landmarks there.
    part: jax.Array  # (V,) int32 into `PARTS`.


def prepare_model(model: MorphableModel, config: FitConfig) -> PreparedModel:
    """Cuts a model down to what a fit needs.

    Args:
        model: The morphable model.
        config: How many modes to keep, and the deviations of hidden expressions.
    """
    names = model.expression_names[: config.num_expression]
    identity = model.identity[: config.num_identity]
    expression = model.expression[: len(names)]
    faces = np.asarray(model.faces)
    part = np.zeros(len(model.mean), np.int32)
    np.maximum.at(part, faces, np.asarray(model.face_part, np.int32)[:, None])
    outline = _outline_candidates(model, faces)
    opening = np.array([_REFERENCE_OPENING * (name == "jawOpen") for name in names], np.float32)
    arrays = _measure(
        model.mean, identity, expression, jnp.asarray(opening), model.faces, model.face_part,
        model.landmark_vertices, model.landmark_bary,
    )  # fmt: skip
    fields, *rest, reference, landmark_reference = arrays
    at_landmarks, normals, plain_skin, detail, comparable = rest
    return PreparedModel(
        shape=ShapeModel(model.mean, identity, expression, model.faces),
        prior=_expression_prior(model, names, config),
        landmarks=at_landmarks,
        landmark_normals=normals,
        landmark_spread=model.landmark_spread,
        skin=_skin_fields(model, fields, config.num_albedo_modes),
        plain_skin=plain_skin,
        detail=detail,
        comparable=comparable,
        outline=outline,
        reference=reference,
        landmark_reference=landmark_reference,
        part=jnp.asarray(part),
    )


@jax.jit
def _measure(mean, identity, expression, opening, faces, face_part, vertices, bary):
    def at_landmarks(field):
        return jnp.sum(field[..., vertices, :] * bary[..., None], axis=-2)

    landmarks = at_landmarks(mean)
    near = face_regions.distance_to(mean, landmarks) < _PIXEL_REACH
    reference = mean + jnp.tensordot(opening, expression, 1)
    return (
        looks.albedo_fields(mean, landmarks),
        ShapeModel(landmarks, at_landmarks(identity), at_landmarks(expression), faces[:0]),
        normalize(at_landmarks(vertex_normals(mean, faces))),
        face_regions.field_around(mean, landmarks[jnp.array(_PLAIN_SKIN)], 0.012),
        face_regions.field_around(mean, landmarks[jnp.array(face_regions.DETAIL)], 0.005),
        (face_part == 0) & jnp.all(near[faces], axis=-1),
        reference,
        at_landmarks(reference),
    )


def _expression_prior(
    model: MorphableModel, names: tuple[str, ...], config: FitConfig
) -> ShapePrior:
    hidden = np.array([name.lower().startswith(_HIDDEN_EXPRESSIONS) for name in names], bool)
    count = len(names)
    low, high, deviation = np.zeros(count), np.ones(count), np.full(count, BLEND_SHAPE_DEVIATION)
    if model.expression_range is not None:
        low, high = np.asarray(model.expression_range)[:count].T
    if model.expression_deviation is not None:
        deviation = np.asarray(model.expression_deviation)[:count]
    pairs = [
        [names.index(corrective), names.index(limit)]
        for corrective, limit in _CORRECTIVES
        if corrective in names and limit in names
    ]
    return ShapePrior(
        jnp.asarray(np.where(hidden, config.hidden_expression_deviation, deviation), jnp.float32),
        jnp.asarray(low, jnp.float32),
        jnp.asarray(high, jnp.float32),
        jnp.asarray(np.array(pairs, np.int32).reshape(-1, 2)),
    )


def _outline_candidates(model: MorphableModel, faces: np.ndarray) -> Edges:
    """Edges of the face, near its landmarks and away from eyes and mouth."""
    places = landmarks(model, model.mean)
    near = np.asarray(face_regions.distance_to(model.mean, places)) < _OUTLINE_REACH
    topology = build_topology(faces)
    first, second = topology.edge_faces[:, 0], topology.edge_faces[:, 1]
    part = np.asarray(model.face_part)
    usable = near[topology.edges].all(axis=1) & (second >= 0)
    usable &= (part[first] <= 1) & (part[second] <= 1)
    return Edges(jnp.asarray(topology.edges[usable]), jnp.asarray(topology.edge_faces[usable, :2]))


def _skin_fields(model: MorphableModel, fields: jax.Array, num_modes: int) -> SkinFields:
    """The smooth fields (V, A), with statistical albedo: the model's own or the shipped one."""
    if num_modes == 0:
        return looks.plain_skin_fields(fields)
    if model.albedo is None:
        base, modes = skin_at_vertices(model)
    else:
        mean = jnp.maximum(model.albedo.mean, 0.01)
        # The slope of the logarithm.
        base, modes = jnp.log(mean), jnp.moveaxis(model.albedo.modes / mean, 0, 1)
    usual = jnp.median(base[model.landmark_vertices.reshape(-1)], axis=0)
    return SkinFields(fields, base - usual, modes[:, :num_modes])

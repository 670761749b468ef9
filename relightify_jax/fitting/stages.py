"""The compiled stages of a fit: landmarks, then pixels; shapes depend on the model only."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from relightify_jax.core.numerics import normalize
from relightify_jax.fitting import appearance as looks
from relightify_jax.fitting import face_regions, objectives, solver
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.objectives import (
    Geometry,
    LandmarkData,
    Parameters,
    PhotoData,
    PixelData,
    ShapeModel,
)
from relightify_jax.geometry.camera import camera_position, project
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.rendering.interpolate import compute_fragments, interpolate
from relightify_jax.rendering.rasterize import rasterize

_MAX_IDENTITY = 4.0  # Deviations; a box, far beyond any face.
_MAX_LOG_FOCAL_CHANGE = 1.5  # In one solve.
_PLAIN_SKIN = face_regions.CHEEKS + face_regions.NOSE
# How far, in log colour, skin may be from the median of nose and cheeks: shadows change
# its luminance much, its colour little; hair and background rarely keep to both.
_LUMINANCE_REACH, _CHROMA_REACH = 1.2, 0.35
_PIXEL_REACH = 0.012  # Metres around the landmarks in which pixels are compared.


class PreparedModel(NamedTuple):
    """A morphable model as the stages take it; see `prepare_model`."""

    shape: ShapeModel
    landmarks: ShapeModel  # Its 468 vertices are the landmarks.
    landmark_normals: jax.Array  # (L, 3) on the mean head.
    landmark_spread: jax.Array  # (L,) metres.
    fields: jax.Array  # (V, A) albedo fields.
    plain_skin: jax.Array  # (V,) 1 on nose and cheeks, where hair does not reach.
    comparable: jax.Array  # (F,) bool: triangles of the face near its landmarks.


def prepare_model(model: MorphableModel, config: FitConfig) -> PreparedModel:
    """Cuts a model down to what a fit needs; do it once for many photographs."""
    return _prepare(
        model.mean,
        model.identity[: config.num_identity],
        model.expression[: config.num_expression],
        model.faces,
        model.face_part,
        model.landmark_vertices,
        model.landmark_bary,
        model.landmark_spread,
    )


@jax.jit
def _prepare(mean, identity, expression, faces, face_part, vertices, bary, spread):
    def at_landmarks(field):
        return jnp.sum(field[..., vertices, :] * bary[..., None], axis=-2)

    landmarks = at_landmarks(mean)
    near = face_regions.distance_to(mean, landmarks) < _PIXEL_REACH
    return PreparedModel(
        ShapeModel(mean, identity, expression, faces),
        ShapeModel(landmarks, at_landmarks(identity), at_landmarks(expression), faces[:0]),
        normalize(at_landmarks(vertex_normals(mean, faces))),
        spread,
        looks.albedo_fields(mean, landmarks),
        face_regions.field_around(mean, landmarks[jnp.array(_PLAIN_SKIN)], 0.012),
        (face_part == 0) & jnp.all(near[faces], axis=-1),
    )


def _bounds(parameters, is_free) -> solver.Bounds:
    """Box and free subset of a flattened `Geometry` or `Parameters`.

    Args:
        parameters: The pytree to be flattened.
        is_free: The same pytree with one bool for each array.
    """
    geometry = parameters.geometry if isinstance(parameters, Parameters) else parameters
    lower = jax.tree.map(lambda x: jnp.full_like(x, -jnp.inf), parameters)
    upper = jax.tree.map(lambda x: jnp.full_like(x, jnp.inf), parameters)
    # Far beyond what the prior allows; keeps a first step from running away.
    reach = jnp.full_like(geometry.pose, jnp.inf).at[6].set(_MAX_LOG_FOCAL_CHANGE)
    box_low = Geometry(
        geometry.pose - reach,
        jnp.full_like(geometry.identity, -_MAX_IDENTITY),
        jnp.zeros_like(geometry.expression),
    )
    box_high = Geometry(
        geometry.pose + reach,
        jnp.full_like(geometry.identity, _MAX_IDENTITY),
        jnp.ones_like(geometry.expression),
    )
    if isinstance(parameters, Parameters):
        lower, upper = lower._replace(geometry=box_low), upper._replace(geometry=box_high)
    else:
        lower, upper = box_low, box_high
    free = jax.tree.map(lambda x, flag: jnp.full(x.shape, flag), parameters, is_free)
    return solver.Bounds(*(ravel_pytree(tree)[0] for tree in (lower, upper, free)))


class LossWeights(NamedTuple):
    """Traced numbers, so that another setting compiles nothing anew; see `FitConfig`."""

    landmark_weight: jax.Array | float
    landmark_cutoff: jax.Array | float
    photometric_weight: jax.Array | float
    photometric_cutoff: jax.Array | float


def loss_weights(config: FitConfig) -> LossWeights:
    """The settings that the solves need."""
    return LossWeights(*(getattr(config, name) for name in LossWeights._fields))


@functools.partial(jax.jit, static_argnames=("num_steps",))
def fit_landmarks(
    geometry: Geometry,
    data: LandmarkData,
    is_free: Geometry,
    weights: LossWeights,
    *,
    num_steps: int,
) -> tuple[Geometry, jax.Array]:
    """Levenberg-Marquardt on the landmarks and the priors.

    Args:
        geometry: Start.
        data: Landmarks and priors.
        is_free: Scalar bools: what may move.
        weights: Of the landmarks.
        num_steps: Trials.

    Returns:
        The fitted geometry and the costs (num_steps + 1,).
    """
    theta, unravel = ravel_pytree(geometry)

    def residual_fn(theta, data):
        geometry = unravel(theta)
        return jnp.concatenate(
            [
                objectives.landmark_residuals(geometry, data),
                objectives.geometry_prior_residuals(geometry, data),
            ]
        )

    loss = _concatenate_losses(_landmark_losses(geometry, data, weights))
    bounds = _bounds(geometry, is_free)
    solution = solver.minimize(residual_fn, theta, data, loss, bounds, num_steps=num_steps)
    return unravel(solution.theta), solution.costs


def _landmark_losses(geometry: Geometry, data: LandmarkData, weights: LossWeights):
    """(count, weight, cutoff) of the landmark block and the prior block."""
    num_priors = geometry.identity.size + geometry.expression.size + 1
    return [
        (2 * data.pixels.shape[0], weights.landmark_weight, weights.landmark_cutoff),
        (num_priors, 1.0, jnp.inf),
    ]


def _concatenate_losses(blocks) -> solver.Loss:
    return solver.Loss(
        jnp.concatenate([jnp.full(count, weight) for count, weight, _ in blocks]),
        jnp.concatenate([jnp.full(count, cutoff) for count, _, cutoff in blocks]),
    )


@functools.partial(jax.jit, static_argnames=("num_pixels",))
def draw_pixels(
    geometry: Geometry,
    prepared: PreparedModel,
    data: LandmarkData,
    image: jax.Array,
    usable: jax.Array,
    key: jax.Array,
    deviation: jax.Array | float,
    *,
    num_pixels: int,
) -> PixelData:
    """Draws visible, comparable pixels for the current geometry.

    Args:
        geometry: Current estimate.
        prepared: The model.
        data: For the camera.
        image: (S, S, 3) crop.
        usable: (S, S) bool: inside the photograph.
        key: Random key, consumed.
        deviation: () expected error of colour, of the median skin colour.
        num_pixels: How many; fewer are valid if fewer are visible.
    """
    faces = prepared.shape.faces
    points = objectives.evaluate_shape(prepared.shape, geometry)
    camera = objectives.fitted_camera(geometry, data)
    xy, depth = project(camera, points)
    size = image.shape[0]
    visibility = rasterize(xy, depth, faces, height=size, width=size, clip=False)
    fragments = compute_fragments(xy, depth, faces, visibility)
    to_eye = normalize(camera_position(camera) - points)
    normals = vertex_normals(points, faces)
    facing = jnp.sum(normals * to_eye, axis=-1, keepdims=True)
    facing = interpolate(facing, faces, fragments)[..., 0]

    face = jnp.maximum(visibility.face, 0)
    seen = fragments.mask & prepared.comparable[face] & usable & (facing > 0.25)
    plain = interpolate(prepared.plain_skin[:, None], faces, fragments)[..., 0] > 0.5
    seen &= _looks_like_skin(image, seen & plain)
    seen = seen.reshape(-1)
    noise = jax.random.uniform(key, seen.shape)
    chosen = lax.top_k(jnp.where(seen, noise, -1.0), num_pixels)[1]
    valid = seen[chosen].astype(jnp.float32)
    color = image.reshape(-1, 3)[chosen]
    median = _median_where(jnp.mean(color, axis=-1), valid > 0)
    deviation = deviation * jnp.maximum(median, 0.01)
    face = face.reshape(-1)[chosen]
    bary = fragments.bary.reshape(-1, 3)[chosen]
    smooth = normalize(jnp.sum(normals[faces[face]] * bary[..., None], axis=1))
    return PixelData(
        corners=_gather_corners(prepared.shape, faces[face]),
        fields=prepared.fields[faces[face]],
        normal_offset=smooth - objectives.triangle_normals(points[faces[face]]),
        xy=jnp.stack([chosen % size, chosen // size], axis=-1) + 0.5,
        color=color,
        valid=valid,
        deviation=deviation,
    )


def _gather_corners(model: ShapeModel, corners: jax.Array) -> ShapeModel:
    """The model whose vertices are `corners` (N, 3), one after the other."""
    index = corners.reshape(-1)
    return ShapeModel(
        model.mean[index], model.identity[:, index], model.expression[:, index], model.faces[:0]
    )


def _median_where(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Median () of values (...,) where mask (...,); 0 if nowhere."""
    median = jnp.nanmedian(jnp.where(mask, values, jnp.nan))
    return jnp.where(jnp.isfinite(median), median, 0.0)


def _looks_like_skin(image: jax.Array, reference: jax.Array) -> jax.Array:
    """(S, S) bool: colour like the median of the pixels `reference` (S, S), not clipped."""
    brightest = jnp.max(image, axis=-1)
    in_range = (brightest < 0.97) & (brightest > 0.004)  # Clipped colour says little.
    logs = jnp.log(jnp.maximum(image, 1e-3))
    usual = jnp.stack([_median_where(logs[..., c], reference & in_range) for c in range(3)])
    offset = logs - usual
    luminance = jnp.mean(offset, axis=-1, keepdims=True)
    chroma = jnp.max(jnp.abs(offset - luminance), axis=-1)
    return in_range & (jnp.abs(luminance[..., 0]) < _LUMINANCE_REACH) & (chroma < _CHROMA_REACH)


@functools.partial(jax.jit, static_argnames=("num_steps",))
def fit_pixels(
    parameters: Parameters,
    data: PhotoData,
    is_free: Parameters,
    weights: LossWeights,
    *,
    num_steps: int,
) -> tuple[Parameters, jax.Array]:
    """Levenberg-Marquardt on landmarks, pixels and all priors, for fixed visibility.

    Args:
        parameters: Start.
        data: The photograph's evidence.
        is_free: Scalar bools: what may move.
        weights: Of landmarks and pixels.
        num_steps: Trials.

    Returns:
        The parameters and the costs (num_steps + 1,).
    """
    theta, unravel = ravel_pytree(parameters)
    count = jnp.maximum(jnp.sum(data.pixels.valid), 1.0)
    # Divided by what is visible: a sum would pay for shrinking the face.
    weight = weights.photometric_weight / (3.0 * count)
    loss = _concatenate_losses(
        [
            *_landmark_losses(parameters.geometry, data.landmarks, weights),
            (3 * data.pixels.color.shape[0], weight, weights.photometric_cutoff),
            (looks.appearance_residuals(parameters.appearance).size, 1.0, jnp.inf),
        ]
    )
    solution = solver.minimize(
        lambda theta, data: objectives.joint_residuals(unravel(theta), data),
        theta,
        data,
        loss,
        _bounds(parameters, is_free),
        num_steps=num_steps,
        jacobian_fn=lambda theta, data: objectives.joint_jacobian(unravel(theta), data),
    )
    return unravel(solution.theta), solution.costs

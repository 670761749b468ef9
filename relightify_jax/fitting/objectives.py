"""Residual blocks of the fit, as pure functions of its parameters.

Every block is in units of its own standard deviation, so blocks are simply put one
after the other and their weights mean "how many independent observations".
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from relightify_jax.core.numerics import einsum, normalize
from relightify_jax.fitting import appearance as looks
from relightify_jax.fitting.appearance import Appearance, SkinFields
from relightify_jax.fitting.pose import camera_from_pose
from relightify_jax.geometry.camera import Camera, camera_position, project

_CORRECTIVE_DEVIATION = 0.05


class ShapeModel(NamedTuple):
    """The arrays of a `MorphableModel` that a fit needs, as a pytree that jit can key."""

    mean: jax.Array  # (V, 3).
    identity: jax.Array  # (k, V, 3).
    expression: jax.Array  # (e, V, 3).
    faces: jax.Array  # (F, 3) int32.


class ShapePrior(NamedTuple):
    """What is known of a face model's coefficients beforehand."""

    expression_deviation: jax.Array  # (e,).
    expression_low: jax.Array  # (e,).
    expression_high: jax.Array  # (e,).
    # Correctives and the expressions that they may not exceed: ARKit's mouthClose only
    # closes what jawOpen has opened.
    correctives: jax.Array  # (c, 2) int32.


class Geometry(NamedTuple):
    """The parameters that place every vertex."""

    identity: jax.Array  # (k,) ~ N(0, 1); first, since photographs of one person share it.
    pose: jax.Array  # (7,), see `pose.py`.
    expression: jax.Array  # (e,).


class Parameters(NamedTuple):
    """Everything that the photometric stage moves."""

    geometry: Geometry
    appearance: Appearance


class LandmarkData(NamedTuple):
    """What the landmark stage looks at; lengths in crop pixels or metres."""

    model: ShapeModel  # Its vertices are the landmarks.
    pixels: jax.Array  # (L, 2) landmarks in the crop.
    deviation: jax.Array  # (L,) expected error, px, with what the modes cannot follow.
    fine_deviation: jax.Array  # (L,) that of the landmarks themselves, px.
    center: jax.Array  # (2,) principal point.
    anchor: jax.Array  # (3,) see `camera_from_pose`.
    log_focal: jax.Array  # (2,) mean and deviation of the prior on log focal length.
    prior: ShapePrior


class PixelData(NamedTuple):
    """Pixels drawn for the photometric block, N of them, for one visibility.

    The model is gathered at the corners of the pixels' triangles, so the cost of a step
    does not grow with the mesh.
    """

    corners: ShapeModel  # Its vertices are the corners, three for each pixel; no faces.
    skin: SkinFields  # (N, 3, ...) at the corners.
    normal_offset: jax.Array  # (N, 3) from the triangle's normal to the smooth one.
    xy: jax.Array  # (N, 2) pixel centres.
    color: jax.Array  # (N, 3) linear RGB of the photograph.
    valid: jax.Array  # (N,) 0 or 1.
    deviation: jax.Array  # () of the colour.


class ContourData(NamedTuple):
    """Points of the head's outline and where the photograph shows the outline, C of them."""

    points: ShapeModel  # Its vertices lie on the outline as it was seen last; no faces.
    target: jax.Array  # (C, 2) px.
    normal: jax.Array  # (C, 2) unit, at right angles to the outline, outwards.
    valid: jax.Array  # (C,) 0 or 1.
    deviation: jax.Array  # () px.


class PhotoData(NamedTuple):
    """What the photometric stage looks at."""

    landmarks: LandmarkData
    contour: ContourData
    pixels: PixelData


def evaluate_shape(model: ShapeModel, geometry: Geometry) -> jax.Array:
    """Vertices (V, 3), metres."""
    shape = einsum("k,kvc->vc", geometry.identity, model.identity)
    return model.mean + shape + einsum("e,evc->vc", geometry.expression, model.expression)


def fitted_camera(geometry: Geometry, data: LandmarkData) -> Camera:
    """Camera of the crop."""
    return camera_from_pose(geometry.pose, data.center, data.anchor)


def landmark_residuals(geometry: Geometry, data: LandmarkData) -> jax.Array:
    """(2 L,) reprojection errors over their expected deviation, x y interleaved."""
    points = evaluate_shape(data.model, geometry)
    pixels, _ = project(fitted_camera(geometry, data), points)
    return ((pixels - data.pixels) / data.deviation[:, None]).reshape(-1)


def identity_prior_residuals(geometry: Geometry) -> jax.Array:
    """(k,): identity against its prior; once for a person, not for each photograph."""
    return geometry.identity


def view_prior_residuals(geometry: Geometry, data: LandmarkData) -> jax.Array:
    """(e + c + 1,): expression and focal length against their priors."""
    mean, deviation = data.log_focal
    corrective, limit = data.prior.correctives.T
    excess = geometry.expression[corrective] - geometry.expression[limit]
    return jnp.concatenate(
        [
            geometry.expression / data.prior.expression_deviation,
            jnp.maximum(excess, 0.0) / _CORRECTIVE_DEVIATION,
            (geometry.pose[6:] - mean) / deviation,
        ]
    )


def contour_residuals(geometry: Geometry, data: PhotoData) -> jax.Array:
    """(C,) distances of the outline from that of the photograph, along its normal."""
    contour = data.contour
    pixels, _ = project(
        fitted_camera(geometry, data.landmarks), evaluate_shape(contour.points, geometry)
    )
    distance = jnp.sum((pixels - contour.target) * contour.normal, axis=-1)
    return jnp.where(contour.valid > 0, distance, 0.0) / contour.deviation


def pixel_barycentrics(xy: jax.Array, corners: jax.Array, depth: jax.Array) -> jax.Array:
    """Perspective-correct barycentrics (N, 3) of pixels in given triangles, differentiable.

    Args:
        xy: (N, 2) pixels.
        corners: (N, 3, 2) projected vertices.
        depth: (N, 3).
    """
    x, y = jnp.moveaxis(corners - xy[:, None, :], -1, 0)
    x_next, x_last = jnp.roll(x, -1, axis=-1), jnp.roll(x, 1, axis=-1)
    y_next, y_last = jnp.roll(y, -1, axis=-1), jnp.roll(y, 1, axis=-1)
    weight = x_next * y_last - x_last * y_next
    area = jnp.sum(weight, axis=-1, keepdims=True)
    weight = weight / jnp.where(jnp.abs(area) < 1e-4, 1e-4, area)
    # A pixel near an edge leaves its triangle as the head moves; far outside it, linear
    # extrapolation means nothing.
    weight = jnp.clip(weight, -1.0, 2.0) / depth
    total = jnp.sum(weight, axis=-1, keepdims=True)
    return weight / jnp.where(jnp.abs(total) < 1e-6, 1e-6, total)


def photometric_residuals(parameters: Parameters, data: PhotoData) -> jax.Array:
    """(3 N,) differences of rendered and photographed colour over their deviation."""
    geometry, appearance = parameters
    corners = evaluate_shape(data.pixels.corners, geometry).reshape(-1, 3, 3)
    return _color_residuals(corners, geometry.pose, appearance, data).reshape(-1)


def _color_residuals(corners, pose, appearance: Appearance, data: PhotoData) -> jax.Array:
    """The same (N, 3), as a function of the corners (N, 3, 3) of the pixels' triangles."""
    pixels = data.pixels
    camera = camera_from_pose(pose, data.landmarks.center, data.landmarks.anchor)
    xy, depth = project(camera, corners)
    bary = pixel_barycentrics(pixels.xy, xy, depth)
    # The triangle's normal turns with the parameters; its constant distance from the
    # smooth normal removes the facets.
    normal = normalize(triangle_normals(corners) + pixels.normal_offset)
    view = normalize(camera_position(camera) - einsum("nv,nvc->nc", bary, corners))
    skin = SkinFields(*(einsum("nv,nv...->n...", bary, field) for field in pixels.skin))
    color = looks.render_color(appearance, skin, normal, view)
    # Selected before it is scaled: an unused pixel must not carry a NaN into the sum.
    difference = jnp.where(pixels.valid[:, None] > 0, color - pixels.color, 0.0)
    return difference / pixels.deviation


def triangle_normals(corners: jax.Array) -> jax.Array:
    """Unit normals (N, 3) of triangles (N, 3, 3)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return normalize(jnp.cross(first, second), eps=1e-24)


def geometric_residuals(geometry: Geometry, data: PhotoData) -> jax.Array:
    """Landmarks (2 L), priors (k + e + c + 1), outline (C)."""
    return jnp.concatenate(
        [landmark_stage_residuals(geometry, data.landmarks), contour_residuals(geometry, data)]
    )


def joint_residuals(parameters: Parameters, data: PhotoData) -> jax.Array:
    """`geometric_residuals`, photometry (3 N), priors of appearance."""
    return jnp.concatenate(
        [
            geometric_residuals(parameters.geometry, data),
            photometric_residuals(parameters, data),
            looks.appearance_residuals(parameters.appearance),
        ]
    )


def landmark_jacobian(geometry: Geometry, data: LandmarkData) -> tuple[jax.Array, jax.Array]:
    """`landmark_stage_residuals` (M,) and their derivatives (P, M).

    Landmarks are linear in the coefficients: three tangents serve all of them.
    """
    points = evaluate_shape(data.model, geometry)

    def errors(points, pose):
        camera = camera_from_pose(pose, data.center, data.anchor)
        return (project(camera, points)[0] - data.pixels) / data.deviation[:, None]

    _, push = jax.linearize(lambda x: errors(x, geometry.pose), points)
    by_point = jax.vmap(lambda unit: push(jnp.broadcast_to(unit, points.shape)))(jnp.eye(3))
    by_identity, by_expression = (
        einsum("jnc,knj->knc", by_point, modes)
        for modes in (data.model.identity, data.model.expression)
    )
    by_pose = _jacobian(lambda x: errors(points, x), geometry.pose)
    seen = jnp.concatenate([by_identity, by_pose, by_expression]).reshape(-1, 2 * len(points))

    def prior_residuals(geometry):
        return jnp.concatenate(
            [identity_prior_residuals(geometry), view_prior_residuals(geometry, data)]
        )

    prior = _jacobian(prior_residuals, geometry)
    return landmark_stage_residuals(geometry, data), jnp.concatenate([seen, prior], axis=1)


def landmark_stage_residuals(geometry: Geometry, data: LandmarkData) -> jax.Array:
    """Landmarks (2 L), priors (k + e + c + 1)."""
    return jnp.concatenate(
        [
            landmark_residuals(geometry, data),
            identity_prior_residuals(geometry),
            view_prior_residuals(geometry, data),
        ]
    )


def joint_jacobian(parameters: Parameters, data: PhotoData) -> tuple[jax.Array, jax.Array]:
    """`joint_residuals` (M,) and their derivatives (P, M), parameters as `ravel_pytree` has them.

    A pixel sees the shape through the nine coordinates of its triangle only, so nine
    tangents serve all coefficients; forward differentiation would carry one for each.
    """
    geometry, appearance = parameters
    model = data.pixels.corners
    corners = evaluate_shape(model, geometry).reshape(-1, 3, 3)
    count = corners.shape[0]

    _, push = jax.linearize(lambda x: _color_residuals(x, geometry.pose, appearance, data), corners)
    units = jnp.eye(9).reshape(9, 1, 3, 3)
    by_corner = jax.vmap(lambda unit: push(jnp.broadcast_to(unit, corners.shape)))(units)
    by_identity, by_expression = (
        einsum("jnc,knj->knc", by_corner, modes.reshape(-1, count, 9))
        for modes in (model.identity, model.expression)
    )
    by_pose = _jacobian(lambda x: _color_residuals(corners, x, appearance, data), geometry.pose)
    by_color = _jacobian(lambda x: _color_residuals(corners, geometry.pose, x, data), appearance)
    blocks = [by_identity, by_pose, by_expression, by_color]
    photometric = jnp.concatenate([block.reshape(-1, 3 * count) for block in blocks])

    _, by_landmarks = landmark_jacobian(geometry, data.landmarks)
    by_contour = _jacobian(lambda geometry: contour_residuals(geometry, data), geometry)
    geometric = jnp.concatenate([by_landmarks, by_contour], axis=1)
    prior = _jacobian(looks.appearance_residuals, appearance)
    jacobian = jnp.concatenate(
        [
            jnp.pad(geometric, ((0, prior.shape[0]), (0, 0))),
            photometric,
            jnp.pad(prior, ((geometric.shape[0], 0), (0, 0))),
        ],
        axis=1,
    )
    return joint_residuals(parameters, data), jacobian


def _jacobian(function, argument) -> jax.Array:
    """Derivatives (P, ...) of a function of a pytree, one row for each of its numbers."""
    flat, unravel = ravel_pytree(argument)
    _, push = jax.linearize(lambda x: function(unravel(x)), flat)
    return jax.vmap(push)(jnp.eye(flat.size))

"""The compiled stages of a fit: landmarks, then pixels and outline, then what is left.

Each takes all photographs of one person, with a leading axis N on everything that belongs to
a photograph; identity is common to them. Shapes depend on the model, N and the crop only.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from relightify_jax.core import facemesh, rng
from relightify_jax.fitting import appearance as looks
from relightify_jax.fitting import objectives, solver
from relightify_jax.fitting.appearance import Appearance
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.contour import search_contour, slide_landmarks
from relightify_jax.fitting.evidence import (
    blur_image,
    draw_pixels,
    look_at_head,
    median_where,
)
from relightify_jax.fitting.objectives import Geometry, LandmarkData, Parameters, PhotoData
from relightify_jax.fitting.prepared import WELL_LOCALISED, PreparedModel

_MAX_IDENTITY = 4.0  # Deviations; a box, far beyond any face.
_MAX_LOG_FOCAL_CHANGE = 1.5  # In one solve.
# The first rounds fit colours only: from nearly quadratic to robust, for a poor start is
# no outlier.
_COLOR_ROUNDS = 2
_FIRST_CUTOFF = 4.0  # Factor of the robust cutoff in the first of them.
_BLUR = 2.0  # Crop pixels, in the first half of the rounds.
_FEW_CONTOUR = 60.0  # Points of the outline below which it weighs less as a whole.


class LossWeights(NamedTuple):
    """Traced numbers, so that another setting compiles nothing anew; see `FitConfig`."""

    landmark_weight: jax.Array | float
    landmark_cutoff: jax.Array | float
    photometric_weight: jax.Array | float
    photometric_deviation: jax.Array | float
    photometric_cutoff: jax.Array | float
    contour_weight: jax.Array | float
    contour_deviation: jax.Array | float
    contour_cutoff: jax.Array | float
    max_landmark_loss: jax.Array | float


def loss_weights(config: FitConfig) -> LossWeights:
    """The settings that the solves need."""
    return LossWeights(*(getattr(config, name) for name in LossWeights._fields))


class Refined(NamedTuple):
    """Result of `refine`; N photographs."""

    parameters: Parameters  # (N, ...).
    evidence: PhotoData  # (N, ...), of the last look.
    accepted: jax.Array  # () bool: the landmarks stayed where they were.
    photometric_residual: jax.Array  # (N,) median, of the median skin colour; NaN if none.
    compared_pixels: jax.Array  # (N,).
    contour_residual: jax.Array  # (N,) median px along the outline; NaN if none is seen.


@functools.partial(jax.jit, static_argnames=("num_steps", "num_solves"))
def fit_landmarks(
    geometry: Geometry,
    data: LandmarkData,
    prepared: PreparedModel,
    weights: LossWeights,
    *,
    num_steps: int,
    num_solves: int,
) -> tuple[Geometry, LandmarkData, jax.Array]:
    """Levenberg-Marquardt on the landmarks and the priors: the pose, then all geometry.

    Args:
        geometry: Start, (N, ...).
        data: Landmarks and priors, (N, ...).
        prepared: The model.
        weights: Of the landmarks.
        num_steps: Trials of one solve.
        num_solves: Solves of all geometry; hidden landmarks are looked at anew for each.

    Returns:
        The fitted geometry; the data with hidden landmarks where the fit has them; the
        costs (num_steps + 1,) of the last solve, which never rise.
    """
    num_views = data.pixels.shape[0]
    look = jax.vmap(lambda g, d: slide_landmarks(g, d, prepared))

    def solve(geometry, index):
        seen = look(geometry, data)
        moves = index > 0  # The first solve is of the pose alone.
        free = Geometry(moves, jnp.asarray(True), moves)
        loss = _concatenate_losses(_landmark_losses(geometry, data, weights, num_views))
        return _solve(
            geometry, free, objectives.landmark_stage_residuals, objectives.landmark_jacobian,
            seen, loss, prepared, num_steps,
        )  # fmt: skip

    geometry, costs = lax.scan(solve, geometry, jnp.arange(1 + num_solves))
    return geometry, look(geometry, data), costs[-1]


def _solve(start, free, residual_fn, jacobian_fn, data, loss, prepared, num_steps):
    """`solver.minimize_shared` on a pytree (N, ...): the result and its costs."""
    one_view = jax.tree.map(lambda x: x[0], start)
    _, unravel = ravel_pytree(one_view)
    theta = jax.vmap(lambda tree: ravel_pytree(tree)[0])(start)
    lower, upper = jax.vmap(lambda tree: _box(tree, prepared))(start)
    is_free = ravel_pytree(jax.tree.map(lambda x, flag: jnp.full(x.shape, flag), one_view, free))[0]
    solution = solver.minimize_shared(
        lambda theta, data: residual_fn(unravel(theta), data),
        theta,
        data,
        loss,
        solver.Bounds(lower, upper, is_free),
        num_shared=prepared.shape.identity.shape[0],
        num_steps=num_steps,
        jacobian_fn=lambda theta, data: jacobian_fn(unravel(theta), data),
    )
    return jax.vmap(unravel)(solution.theta), solution.costs


def _box(start, prepared: PreparedModel) -> tuple[jax.Array, jax.Array]:
    """Lower and upper bounds (P,) of a flattened `Geometry` or `Parameters`."""
    geometry = start.geometry if isinstance(start, Parameters) else start
    # Far beyond what the prior allows; keeps a first step from running away.
    reach = jnp.full_like(geometry.pose, jnp.inf).at[6].set(_MAX_LOG_FOCAL_CHANGE)
    limit = jnp.full_like(geometry.identity, _MAX_IDENTITY)
    prior = prepared.prior
    low = ravel_pytree(Geometry(-limit, geometry.pose - reach, prior.expression_low))[0]
    high = ravel_pytree(Geometry(limit, geometry.pose + reach, prior.expression_high))[0]
    # Colours, which follow on the geometry, are free.
    num_colors = ravel_pytree(start)[0].size - low.size
    endless = jnp.full(num_colors, jnp.inf)
    return jnp.concatenate([low, -endless]), jnp.concatenate([high, endless])


def _landmark_losses(geometry: Geometry, data: LandmarkData, weights: LossWeights, num_views: int):
    """(count, weight, cutoff) of landmarks and priors of one photograph of `num_views`."""
    num_priors = geometry.expression.shape[-1] + data.prior.correctives.shape[-2] + 1
    return [
        (2 * data.pixels.shape[-2], weights.landmark_weight, weights.landmark_cutoff),
        (geometry.identity.shape[-1], 1.0 / num_views, jnp.inf),
        (num_priors, 1.0, jnp.inf),
    ]


def _concatenate_losses(blocks) -> solver.Loss:
    """Loss (N, M) of blocks (count, weight () or (N,), cutoff ())."""
    num_views = max(jnp.size(weight) for _, weight, _ in blocks)

    def column(value, count):
        return jnp.broadcast_to(jnp.reshape(value, (-1, 1)), (num_views, count))

    return solver.Loss(
        jnp.concatenate([column(weight, count) for count, weight, _ in blocks], axis=1),
        jnp.concatenate([column(cutoff, count) for count, _, cutoff in blocks], axis=1),
    )


@functools.partial(jax.jit, static_argnames=("num_pixels", "num_contour", "num_steps"))
def refine(
    geometry: Geometry,
    data: LandmarkData,
    prepared: PreparedModel,
    images: jax.Array,
    usable: jax.Array,
    key: jax.Array,
    weights: LossWeights,
    *,
    num_pixels: int,
    num_contour: int,
    num_steps: int,
    num_rounds: jax.Array | int,
) -> Refined:
    """Colours for fixed geometry, then everything, if the landmarks stay where they are.

    Args:
        geometry: From `fit_landmarks`, (N, ...).
        data: Likewise.
        prepared: The model.
        images: (N, S, S, 3) crops, linear RGB.
        usable: (N, S, S) bool: inside the photograph.
        key: Random key.
        weights: Of all blocks.
        num_pixels: Drawn in each round.
        num_contour: Points of the outline drawn in each round.
        num_steps: Trials of one round.
        num_rounds: Of all geometry.
    """
    num_views, num_colors = images.shape[0], _COLOR_ROUNDS
    blurred = jax.vmap(lambda image: blur_image(image, _BLUR))(images)

    look = functools.partial(
        _look, prepared=prepared, weights=weights, num_pixels=num_pixels, num_contour=num_contour
    )

    def look_all(geometry, index):
        keys = jax.random.split(rng.stream(key, "round", index), num_views)
        # Coarse to fine: a brow that is two pixels off would be an outlier.
        is_fine = index > num_colors + num_rounds // 2 - 1
        # One after the other: a rasterizer under vmap is slow on CPUs.
        seen = jnp.where(is_fine, images, blurred)
        return lax.map(look, (geometry, data, seen, usable, keys))

    def round_(index, state):
        parameters, _, start = state
        evidence = look_all(parameters.geometry, index)
        guess = jax.vmap(lambda e: _initial_appearance(e, prepared))(evidence)
        parameters = _where(index == 0, parameters._replace(appearance=guess), parameters)
        start = _where(index == num_colors, (parameters, evidence), start)
        solve = functools.partial(
            _solve_photo, evidence=evidence, prepared=prepared, moves=index >= num_colors,
            weights=weights, relaxed=jnp.where(index == 0, _FIRST_CUTOFF, 1.0),
            num_steps=num_steps,
        )  # fmt: skip
        is_last = index == num_colors + num_rounds
        return lax.cond(is_last, lambda x: x, solve, parameters), evidence, start

    usual = looks.initial_appearance(num_modes=_num_modes(prepared))
    repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (num_views, *x.shape)), usual)
    first = Parameters(geometry, repeated)
    unseen = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(look_all, geometry, jnp.int32(0))
    )
    # The last round only looks, at what the one before it has made.
    parameters, evidence, start = lax.fori_loop(
        0, num_colors + num_rounds + 1, round_, (first, unseen, (first, unseen))
    )
    before, after = (
        jnp.mean(jax.vmap(lambda g, d: landmark_median(g, prepared, d))(x.geometry, data))
        for x in (start[0], parameters)
    )
    accepted = (after <= before + weights.max_landmark_loss) & (num_rounds > 0)
    parameters, evidence = _where(accepted, (parameters, evidence), start)
    return Refined(parameters, evidence, accepted, *jax.vmap(_measure)(parameters, evidence))


def _look(view, *, prepared, weights: LossWeights, num_pixels: int, num_contour: int) -> PhotoData:
    """What one photograph says of the head in its present pose."""
    geometry, data, image, usable, key = view
    sight = look_at_head(geometry, prepared, data, image, usable)
    contour = search_contour(
        sight, geometry, prepared, data, image, usable, rng.stream(key, "contour"),
        weights.contour_deviation, num_points=num_contour,
    )  # fmt: skip
    pixels = draw_pixels(
        sight, geometry, prepared, data, image, rng.stream(key, "pixels"),
        weights.photometric_deviation, num_pixels=num_pixels,
    )  # fmt: skip
    return PhotoData(data, contour, pixels)


def _where(condition, true, false):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), true, false)


def _num_modes(prepared: PreparedModel) -> int:
    return prepared.skin.modes.shape[-2]


def _initial_appearance(evidence: PhotoData, prepared: PreparedModel) -> Appearance:
    """The prior's light on the median colour of the skin that is seen, if any is."""
    seen = evidence.pixels.valid > 0
    color = jnp.stack([median_where(evidence.pixels.color[:, c], seen) for c in range(3)])
    num_modes = _num_modes(prepared)
    usual = looks.initial_appearance(num_modes=num_modes)
    return _where(jnp.any(seen), looks.initial_appearance(color, num_modes), usual)


def _solve_photo(
    parameters, *, evidence: PhotoData, prepared, moves, weights, relaxed, num_steps
) -> Parameters:
    """Levenberg-Marquardt on landmarks, outline, pixels and all priors, for one look."""
    pixels, contour = evidence.pixels, evidence.contour
    # Divided by what is visible: a sum would pay for shrinking the face.
    photometric = weights.photometric_weight / (3 * jnp.maximum(pixels.valid.sum(-1), 1.0))
    outline = weights.contour_weight / jnp.maximum(contour.valid.sum(-1), _FEW_CONTOUR)
    num_views, count = pixels.valid.shape
    geometry = parameters.geometry
    priors = jax.eval_shape(jax.vmap(looks.appearance_residuals), parameters.appearance)
    loss = _concatenate_losses(
        [
            *_landmark_losses(geometry, evidence.landmarks, weights, num_views),
            (contour.valid.shape[-1], outline, weights.contour_cutoff),
            (3 * count, photometric, relaxed * weights.photometric_cutoff),
            (priors.shape[-1], 1.0, jnp.inf),
        ]
    )
    always = jnp.asarray(True)
    free = Parameters(Geometry(moves, moves, moves), Appearance(always, always, always))
    return _solve(
        parameters, free, objectives.joint_residuals, objectives.joint_jacobian,
        evidence, loss, prepared, num_steps,
    )[0]  # fmt: skip


def _measure(parameters: Parameters, evidence: PhotoData):
    """How far rendered and photographed colours and outlines are apart."""
    residuals = objectives.photometric_residuals(parameters, evidence).reshape(-1, 3)
    valid = evidence.pixels.valid > 0
    relative = jnp.mean(jnp.abs(residuals), axis=-1) * evidence.pixels.deviation
    color = median_where(jnp.mean(evidence.pixels.color, axis=-1), valid)
    outline = jnp.abs(objectives.contour_residuals(parameters.geometry, evidence))
    outline = jnp.where(evidence.contour.valid > 0, outline, jnp.nan)
    return (
        jnp.nanmedian(jnp.where(valid, relative, jnp.nan)) / jnp.maximum(color, 0.01),
        jnp.sum(valid),
        jnp.nanmedian(outline) * evidence.contour.deviation,
    )


def landmark_distances(geometry: Geometry, data: LandmarkData) -> jax.Array:
    """(L,) reprojection errors as fractions of the outer-eye distance."""
    residuals = objectives.landmark_residuals(geometry, data).reshape(-1, 2)
    distance = jnp.linalg.norm(residuals, axis=-1) * data.deviation
    return distance / eye_distance(data.pixels)


def eye_distance(pixels: jax.Array) -> jax.Array:
    """() px between the outer corners of the eyes, of landmarks (468, 2)."""
    first, second = facemesh.EYE_OUTER
    return jnp.maximum(jnp.linalg.norm(pixels[first] - pixels[second]), 1e-6)


def landmark_median(geometry: Geometry, prepared: PreparedModel, data: LandmarkData) -> jax.Array:
    """() median error of the well-localised landmarks."""
    judged = prepared.landmark_spread < WELL_LOCALISED
    return median_where(landmark_distances(geometry, data), judged)

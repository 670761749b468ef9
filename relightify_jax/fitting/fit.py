"""Fits the morphable model to one photograph: landmarks first, then pixels."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import rng
from relightify_jax.core.errors import InputError
from relightify_jax.fitting import appearance as looks
from relightify_jax.fitting import objectives, stages
from relightify_jax.fitting.appearance import Appearance
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.crop import camera_in_photo, crop_around, cut_image, to_crop
from relightify_jax.fitting.diagnostics import diagnose, landmark_errors
from relightify_jax.fitting.objectives import Geometry, LandmarkData, Parameters, PhotoData
from relightify_jax.fitting.pose import initial_pose
from relightify_jax.fitting.stages import PreparedModel, prepare_model
from relightify_jax.geometry.camera import Camera, camera_position
from relightify_jax.geometry.morphable_model import MorphableModel, vertices

# Expressions that landmarks cannot see, by the start of their (ARKit) names.
_HIDDEN_EXPRESSIONS = ("eyelook", "tongue")
# Which of pose, identity and expression a stage may change: masks in place of parameters.
_NOTHING: tuple[Any, ...] = (False, False, False)
_POSE_ONLY: tuple[Any, ...] = (True, False, False)
_ALL: tuple[Any, ...] = (True, True, True)


class FitResult(NamedTuple):
    """A fitted head; lengths in metres, image coordinates in pixels of the photograph."""

    camera: Camera  # Of the photograph.
    identity: jax.Array  # (k,) coefficients of the first k modes.
    expression: jax.Array  # (e,) in [0, 1].
    sh: jax.Array  # (9, 3) radiance of the light, in the head's (model) frame.
    points: jax.Array  # (V, 3) vertices with expression, model space.
    neutral_points: jax.Array  # (V, 3) the same head at rest.
    albedo_coefficients: jax.Array  # (A, 3), see `appearance.py`.
    diagnostics: dict[str, Any]  # Plain numbers, see `diagnostics.diagnose`.
    notes: tuple[str, ...]  # Plain sentences for the user, empty if all is well.


def fit_image(
    model: MorphableModel,
    linear_photo: np.ndarray,
    landmark_points: np.ndarray,
    config: FitConfig = FitConfig(),  # noqa: B008  (immutable)
    *,
    prepared: PreparedModel | None = None,
) -> FitResult:
    """Fits camera, identity, expression, light and a rough skin colour.

    Args:
        model: The morphable model.
        linear_photo: (H, W, 3) linear RGB.
        landmark_points: (468, 2 or more) FaceMesh landmarks, x y in pixels of the photo.
        config: Settings.
        prepared: `prepare_model(model, config)`, to save it for many photographs.

    Returns:
        The fit. The same input gives the same result.

    Raises:
        InputError: If the landmarks are not 468 finite points.
    """
    photo = np.asarray(linear_photo, np.float32)
    pixels = _check_landmarks(landmark_points, photo)
    prepared = prepare_model(model, config) if prepared is None else prepared
    geometry, data, costs = fit_landmark_stage(model, prepared, pixels, photo.shape, config)
    crop = crop_around(pixels, config.crop_margin, config.crop_size)
    image, inside = cut_image(photo, crop)
    parameters, photometric = _refine(geometry, prepared, data, image, inside, config)
    return _assemble(
        model, prepared, parameters, data, crop, {"landmark_cost": float(costs[-1]), **photometric}
    )


def _check_landmarks(points: np.ndarray, photo: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if photo.ndim != 3 or photo.shape[-1] != 3:
        raise InputError(f"The photo must be (H, W, 3) linear RGB, got shape {photo.shape}.")
    if points.ndim != 2 or points.shape[0] != 468 or points.shape[1] < 2:
        raise InputError(
            f"A fit needs the 468 FaceMesh landmarks as (468, 2) pixels, got {points.shape}."
        )
    if not np.isfinite(points).all():
        raise InputError("The landmarks hold values that are not finite; detect them again.")
    return points[:, :2]


def fit_landmark_stage(
    model: MorphableModel,
    prepared: PreparedModel,
    pixels: np.ndarray,
    shape: tuple[int, ...],
    config: FitConfig,
) -> tuple[Geometry, LandmarkData, jax.Array]:
    """Fits the camera, then all geometry, to the landmarks alone.

    Args:
        model: The morphable model.
        prepared: The same, prepared.
        pixels: (468, 2) landmarks in pixels of the photograph.
        shape: Of the photograph, (H, W, ...).
        config: Settings.

    Returns:
        The geometry, what it was fitted to (in the crop around the landmarks) and the
        costs of the last solve, which never rise.
    """
    geometry, data = _closed_form_start(model, prepared, pixels, shape, config)
    loss = stages.loss_weights(config)

    def solve(geometry, data, is_free):
        return stages.fit_landmarks(
            geometry, data, Geometry(*is_free), loss, num_steps=config.landmark_steps
        )

    geometry, costs = solve(geometry, data, _POSE_ONLY)
    data = _distrust_hidden_landmarks(geometry, data, prepared)
    for _ in range(config.geometry_solves):
        geometry, costs = solve(geometry, data, _ALL)
    return geometry, data, costs


def _closed_form_start(
    model, prepared: PreparedModel, pixels, shape, config: FitConfig
) -> tuple[Geometry, LandmarkData]:
    """The mean head in its weak-perspective pose, and the landmarks in their crop."""
    crop = crop_around(pixels, config.crop_margin, config.crop_size)
    spread = np.asarray(prepared.landmark_spread)
    metric = np.hypot(config.landmark_noise, config.landmark_spread_gain * spread)
    mean = np.asarray(prepared.landmarks.mean)
    weights = 1.0 / metric**2
    in_crop = to_crop(crop, pixels)
    pose = initial_pose(mean, in_crop, weights, focal=1.0)
    scale = float(np.exp(pose[5]))  # Crop px per metre.
    side = max(shape[:2]) * crop.scale
    focal = max(config.focal_over_side * side, config.portrait_distance * scale)
    pose[6] = np.log(focal)
    center = to_crop(crop, np.array([shape[1], shape[0]]) / 2)

    names = model.expression_names[: prepared.shape.expression.shape[0]]
    hidden = np.array([name.lower().startswith(_HIDDEN_EXPRESSIONS) for name in names], bool)
    data = LandmarkData(
        model=prepared.landmarks,
        pixels=jnp.asarray(in_crop, jnp.float32),
        deviation=jnp.asarray(metric * scale, jnp.float32),
        center=jnp.asarray(center, jnp.float32),
        anchor=jnp.asarray(weights @ mean / weights.sum(), jnp.float32),
        expression_deviation=jnp.where(
            hidden, config.hidden_expression_deviation, config.expression_deviation
        ),
        log_focal=jnp.array([np.log(focal), config.focal_deviation], jnp.float32),
    )
    geometry = Geometry(
        jnp.asarray(pose),
        jnp.zeros(prepared.shape.identity.shape[0]),
        jnp.zeros(prepared.shape.expression.shape[0]),
    )
    return geometry, data


def _distrust_hidden_landmarks(geometry, data: LandmarkData, prepared: PreparedModel):
    """Raises the deviation of landmarks that the network can only have guessed."""
    camera = objectives.fitted_camera(geometry, data)
    to_eye = np.asarray(camera_position(camera) - prepared.landmarks.mean)
    to_eye = to_eye / np.linalg.norm(to_eye, axis=-1, keepdims=True)
    facing = np.sum(np.asarray(prepared.landmark_normals) * to_eye, axis=-1)
    trust = np.clip((facing + 0.3) / 0.6, 0.1, 1.0)
    return data._replace(deviation=data.deviation / jnp.asarray(np.sqrt(trust), jnp.float32))


def _refine(geometry: Geometry, prepared, data: LandmarkData, image, inside, config: FitConfig):
    """Colour for fixed geometry, then everything, if the landmarks stay where they are."""
    image, inside = jnp.asarray(image), jnp.asarray(inside)

    def evidence(geometry, step):
        key = rng.stream(jax.random.key(config.seed), "pixels", step)
        return _draw_evidence(geometry, prepared, data, image, inside, key, config)

    def solve(parameters, evidence, is_free, relaxed=1.0):
        loss = stages.loss_weights(config)
        loss = loss._replace(photometric_cutoff=relaxed * config.photometric_cutoff)
        mask = Parameters(Geometry(*is_free), Appearance(*_ALL[:2]))
        steps = config.photometric_steps
        return stages.fit_pixels(parameters, evidence, mask, loss, num_steps=steps)[0]

    first = evidence(geometry, 0)
    parameters = Parameters(geometry, _initial_appearance(first))
    for relaxed in (4.0, 1.0):  # From nearly quadratic to robust: a poor start is no outlier.
        parameters = solve(parameters, first, _NOTHING, relaxed)
    start = parameters
    for step in range(config.photometric_rounds):
        drawn = evidence(parameters.geometry, step + 1)
        parameters = solve(parameters, drawn, _ALL)
    allowed = _median_error(geometry, prepared, data) + config.max_landmark_loss
    after = _median_error(parameters.geometry, prepared, data)
    accepted = config.photometric_rounds > 0 and after <= allowed
    if not accepted:
        parameters = start
    last = evidence(parameters.geometry, config.photometric_rounds + 1)
    measured = _measure_colors(parameters, last, config)
    return parameters, {"photometric_accepted": bool(accepted), **measured}


def _draw_evidence(geometry, prepared, data, image, inside, key, config) -> PhotoData:
    drawn = stages.draw_pixels(
        geometry,
        prepared,
        data,
        image,
        inside,
        key,
        config.photometric_deviation,
        num_pixels=config.num_pixels,
    )
    return PhotoData(data, drawn)


def _initial_appearance(evidence: PhotoData) -> Appearance:
    """The prior's light on the median colour of the skin that is seen, if any is."""
    seen = np.asarray(evidence.pixels.valid) > 0
    colors = np.asarray(evidence.pixels.color)[seen]
    return looks.initial_appearance(jnp.asarray(np.median(colors, axis=0)) if len(colors) else None)


def _measure_colors(parameters: Parameters, evidence: PhotoData, config: FitConfig):
    """How far rendered and photographed colours differ, of the median skin colour."""
    residuals = objectives.photometric_residuals(parameters, evidence)
    valid = np.asarray(evidence.pixels.valid) > 0
    size = np.abs(np.asarray(residuals).reshape(-1, 3)).mean(axis=-1)
    relative = size[valid] * config.photometric_deviation
    return {
        "photometric_residual": float(np.median(relative)) if valid.any() else float("nan"),
        "compared_pixels": int(valid.sum()),
    }


def _median_error(geometry, prepared: PreparedModel, data: LandmarkData) -> float:
    return landmark_errors(geometry, prepared, data).median


def _assemble(model, prepared, parameters: Parameters, data, crop, measured) -> FitResult:
    geometry, appearance = parameters
    still = jnp.zeros_like(geometry.expression)
    camera = camera_in_photo(objectives.fitted_camera(geometry, data), crop)
    diagnostics, notes = diagnose(geometry, camera, prepared, data, measured)
    return FitResult(
        camera=camera,
        identity=geometry.identity,
        expression=geometry.expression,
        sh=looks.sh_from_light(appearance.light),
        points=vertices(model, geometry.identity, geometry.expression),
        neutral_points=vertices(model, geometry.identity, still),
        albedo_coefficients=appearance.albedo,
        diagnostics=diagnostics,
        notes=notes,
    )

"""Fits the morphable model to photographs: landmarks first, then pixels and the outline."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core.errors import InputError
from relightify_jax.fitting import appearance as looks
from relightify_jax.fitting import face_regions, objectives, stages
from relightify_jax.fitting.appearance import Appearance
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.crop import Crop, camera_in_photo, crop_around, cut_image, to_crop
from relightify_jax.fitting.diagnostics import diagnose
from relightify_jax.fitting.objectives import Geometry, LandmarkData
from relightify_jax.fitting.pose import initial_pose
from relightify_jax.fitting.prepared import PreparedModel, prepare_model
from relightify_jax.fitting.residual import fit_residual
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.morphable_model import MorphableModel, vertices


class FitResult(NamedTuple):
    """A fitted head; lengths in metres, image coordinates in pixels of the photograph."""

    camera: Camera  # Of the photograph.
    identity: jax.Array  # (k,) coefficients of the first k modes.
    expression: jax.Array  # (e,) within the model's range.
    sh: jax.Array  # (9, 3) radiance of the light, in the head's (model) frame.
    points: jax.Array  # (V, 3) vertices with expression and displacement, model space.
    neutral_points: jax.Array  # (V, 3) the same head at rest.
    displacement: jax.Array  # (V, 3) what the model's modes cannot follow.
    appearance: Appearance  # A rough skin colour, see `appearance.py`.
    diagnostics: dict[str, Any]  # Plain numbers, see `diagnostics.diagnose`.
    notes: tuple[str, ...]  # Plain sentences for the user, empty if all is well.


class View(NamedTuple):
    """One photograph, cut and measured on the host: where its fit starts."""

    geometry: Geometry
    data: LandmarkData
    image: jax.Array  # (S, S, 3) linear RGB.
    usable: jax.Array  # (S, S) bool: inside the photograph.


def fit_image(
    model: MorphableModel,
    linear_photo: np.ndarray,
    landmark_points: np.ndarray,
    config: FitConfig = FitConfig(),  # noqa: B008  (immutable)
    *,
    prepared: PreparedModel | None = None,
    landmark_deviation: np.ndarray | None = None,
) -> FitResult:
    """Fits camera, identity, expression, light and a rough skin colour.

    Args:
        model: The morphable model.
        linear_photo: (H, W, 3) linear RGB.
        landmark_points: (468, 2 or more) FaceMesh landmarks, x y in pixels of the photo.
        config: Settings.
        prepared: `prepare_model(model, config)`, to save it for many photographs.
        landmark_deviation: (468,) their standard errors in pixels, if known.

    Returns:
        The fit. The same input gives the same result.

    Raises:
        InputError: If the landmarks are not 468 finite points.
    """
    return fit_photos(
        model, [linear_photo], [landmark_points], config,
        prepared=prepared, landmark_deviations=[landmark_deviation],
    )[0]  # fmt: skip


def fit_photos(
    model: MorphableModel,
    linear_photos: Sequence[np.ndarray],
    landmark_points: Sequence[np.ndarray],
    config: FitConfig = FitConfig(),  # noqa: B008  (immutable)
    *,
    prepared: PreparedModel | None = None,
    landmark_deviations: Sequence[np.ndarray | None] | None = None,
) -> list[FitResult]:
    """Fits several photographs of one person together: one identity, the rest for each.

    Args:
        model: The morphable model.
        linear_photos: N photographs (H, W, 3), linear RGB, of any sizes.
        landmark_points: N times (468, 2 or more), as in `fit_image`.
        config: Settings.
        prepared: As in `fit_image`.
        landmark_deviations: N times (468,) or None, as in `fit_image`.

    Returns:
        N fits with the same identity and displacement.

    Raises:
        InputError: If landmarks are not 468 finite points.
    """
    prepared = prepare_model(model, config) if prepared is None else prepared
    views, crops = _start_views(
        linear_photos, landmark_points, landmark_deviations, prepared, config
    )
    fitted = _fit_person(views, prepared, _settings(config), **_sizes(config))
    return _assemble(model, prepared, fitted, crops)


def fit_batch(
    model: MorphableModel,
    linear_photos: Sequence[np.ndarray],
    landmark_points: Sequence[np.ndarray],
    config: FitConfig = FitConfig(),  # noqa: B008  (immutable)
    *,
    prepared: PreparedModel | None = None,
    landmark_deviations: Sequence[np.ndarray | None] | None = None,
) -> list[FitResult]:
    """Fits photographs of as many people in one program; arguments as in `fit_photos`.

    Landmarks are fitted all at once; pixels one photograph after the other on a CPU, whose
    caches hold one, and all at once on accelerators.
    """
    prepared = prepare_model(model, config) if prepared is None else prepared
    views, crops = _start_views(
        linear_photos, landmark_points, landmark_deviations, prepared, config
    )
    people = jax.tree.map(lambda x: x[:, None], views)
    parallel = jax.default_backend() != "cpu"
    fitted = _fit_people(people, prepared, _settings(config), parallel=parallel, **_sizes(config))
    results = []
    for person, crop in enumerate(crops):
        one = jax.tree.map(lambda x, person=person: x[person], fitted)
        results += _assemble(model, prepared, one, [crop])
    return results


def fit_landmarks_batch(
    landmark_points: Sequence[np.ndarray],
    shapes: Sequence[tuple[int, ...]],
    prepared: PreparedModel,
    config: FitConfig,
) -> tuple[Geometry, LandmarkData, jax.Array]:
    """The landmark stage alone, for as many people as there are landmarks, in one program.

    Args:
        landmark_points: B times (468, 2 or more), pixels of their photographs.
        shapes: Of the photographs, (H, W, ...).
        prepared: From `prepare_model`.
        config: Settings.

    Returns:
        The geometry (B, ...), what it was fitted to, in the crops around the landmarks,
        and the costs (B, steps + 1) of the last solve, which never rise.
    """
    starts = []
    for points, shape in zip(landmark_points, shapes, strict=True):
        pixels = check_landmarks(points)
        crop = crop_around(pixels, config.crop_margin, config.crop_size)
        starts.append(_closed_form_start(prepared, pixels, crop, None, shape, config))
    geometry, data = jax.tree.map(lambda *x: jnp.stack(x), *starts)
    one_view = jax.tree.map(lambda x: x[:, None], (geometry, data))
    geometry, data, costs = _fit_all_landmarks(
        *one_view, prepared, stages.loss_weights(config),
        num_steps=config.landmark_steps, num_solves=config.geometry_solves,
    )  # fmt: skip
    return *jax.tree.map(lambda x: x[:, 0], (geometry, data)), costs


def check_landmarks(points: np.ndarray) -> np.ndarray:
    """The pixels (468, 2) float64 of landmarks (468, 2 or more).

    Raises:
        InputError: If they are not 468 finite points.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[0] != 468 or points.shape[1] < 2:
        raise InputError(
            f"A fit needs the 468 FaceMesh landmarks as (468, 2) pixels, got {points.shape}."
        )
    if not np.isfinite(points).all():
        raise InputError("The landmarks hold values that are not finite; detect them again.")
    return points[:, :2]


def _start_views(photos, points, deviations, prepared, config) -> tuple[View, list[Crop]]:
    """Photographs as the stages take them, (N, ...), and their crops."""
    deviations = [None] * len(photos) if deviations is None else deviations
    views, crops = [], []
    for photo, landmarks, deviation in zip(photos, points, deviations, strict=True):
        photo = np.asarray(photo, np.float32)
        if photo.ndim != 3 or photo.shape[-1] != 3:
            raise InputError(f"The photo must be (H, W, 3) linear RGB, got shape {photo.shape}.")
        pixels = check_landmarks(landmarks)
        crop = crop_around(pixels, config.crop_margin, config.crop_size)
        start = _closed_form_start(prepared, pixels, crop, deviation, photo.shape, config)
        image, usable = (jnp.asarray(x) for x in cut_image(photo, crop))
        views.append(View(*start, image, usable))
        crops.append(crop)
    return jax.tree.map(lambda *x: jnp.stack(x), *views), crops


def _closed_form_start(
    prepared: PreparedModel, pixels, crop: Crop, deviation, shape, config: FitConfig
) -> tuple[Geometry, LandmarkData]:
    """The mean head in its weak-perspective pose, and the landmarks in their crop."""
    spread = config.landmark_spread_gain * np.asarray(prepared.landmark_spread)
    metric = np.hypot(config.landmark_noise, spread)
    mean = np.asarray(prepared.landmarks.mean)
    weights = 1.0 / metric**2
    in_crop = to_crop(crop, pixels)
    pose = initial_pose(mean, in_crop, weights, focal=1.0)
    scale = float(np.exp(pose[5]))  # Crop px per metre.
    side = max(shape[:2]) * crop.scale
    focal = max(config.focal_over_side * side, config.portrait_distance * scale)
    pose[6] = np.log(focal)
    center = to_crop(crop, np.array([shape[1], shape[0]]) / 2)
    own = np.zeros(len(spread)) if deviation is None else np.asarray(deviation) * crop.scale
    # The common error of all landmarks is in the settings.
    unusual = np.sqrt(np.maximum(own**2 - np.median(own) ** 2, 0.0))
    fine = np.full(len(spread), config.residual_noise_elsewhere)
    fine[list(face_regions.DETAIL)] = config.residual_noise
    fine = np.hypot(fine, spread)
    data = LandmarkData(
        model=prepared.landmarks,
        pixels=jnp.asarray(in_crop, jnp.float32),
        deviation=jnp.asarray(np.hypot(metric * scale, unusual), jnp.float32),
        fine_deviation=jnp.asarray(np.hypot(fine * scale, unusual), jnp.float32),
        center=jnp.asarray(center, jnp.float32),
        anchor=jnp.asarray(weights @ mean / weights.sum(), jnp.float32),
        log_focal=jnp.array([np.log(focal), config.focal_deviation], jnp.float32),
        prior=prepared.prior,
    )
    geometry = Geometry(
        jnp.zeros(prepared.shape.identity.shape[0]),
        jnp.asarray(pose),
        jnp.zeros(prepared.shape.expression.shape[0]),
    )
    return geometry, data


class Fitted(NamedTuple):
    """What the compiled stages return, for N photographs of one person."""

    refined: stages.Refined
    displacement: jax.Array  # (V, 3) metres.
    landmark_cost: jax.Array  # ().


def _sizes(config: FitConfig) -> dict[str, int]:
    """The settings that shape the programs."""
    return {
        "landmark_steps": config.landmark_steps,
        "geometry_solves": config.geometry_solves,
        "num_pixels": config.num_pixels,
        "num_contour": config.num_contour,
        "num_steps": config.photometric_steps,
    }


class _Settings(NamedTuple):
    """Traced settings: another value compiles nothing anew."""

    weights: stages.LossWeights
    photometric_rounds: int
    residual_deviation: float
    seed: int


def _settings(config: FitConfig) -> _Settings:
    return _Settings(
        stages.loss_weights(config), config.photometric_rounds, config.residual_deviation,
        config.seed,
    )  # fmt: skip


def _fit_person(
    views: View,
    prepared: PreparedModel,
    settings: _Settings,
    *,
    landmark_steps: int,
    geometry_solves: int,
    **sizes: int,
) -> Fitted:
    """All stages on the photographs (N, ...) of one person."""
    geometry, data, costs = stages.fit_landmarks(
        views.geometry, views.data, prepared, settings.weights,
        num_steps=landmark_steps, num_solves=geometry_solves,
    )  # fmt: skip
    return _fit_pixels(geometry, data, costs, views, prepared, settings, sizes)


def _fit_pixels(geometry, data, costs, views: View, prepared, settings: _Settings, sizes) -> Fitted:
    """What follows on the landmarks."""
    key = jax.random.key(settings.seed)
    refined = stages.refine(
        geometry, data, prepared, views.image, views.usable, key, settings.weights,
        num_rounds=settings.photometric_rounds, **sizes,
    )  # fmt: skip
    displacement = fit_residual(
        refined.parameters.geometry, refined.evidence, prepared, settings.residual_deviation
    )
    return Fitted(refined, displacement, costs[-1])


@functools.partial(jax.jit, static_argnames=("num_steps", "num_solves"))
def _fit_all_landmarks(geometry, data, prepared, weights, *, num_steps, num_solves):
    """`stages.fit_landmarks` of many people, (B, N, ...)."""
    fit = functools.partial(stages.fit_landmarks, num_steps=num_steps, num_solves=num_solves)
    return jax.vmap(lambda g, d: fit(g, d, prepared, weights))(geometry, data)


_SIZES = tuple(_sizes(FitConfig()))


@functools.partial(jax.jit, static_argnames=("parallel", *_SIZES))
def _fit_people(
    views: View,
    prepared: PreparedModel,
    settings: _Settings,
    *,
    parallel: bool,
    landmark_steps: int,
    geometry_solves: int,
    **sizes: int,
) -> Fitted:
    """`_fit_person` of many people, (B, N, ...)."""
    landmarks = _fit_all_landmarks(
        views.geometry, views.data, prepared, settings.weights,
        num_steps=landmark_steps, num_solves=geometry_solves,
    )  # fmt: skip

    def one(person):
        return _fit_pixels(*person, prepared, settings, sizes)

    people = (*landmarks, views)
    return jax.vmap(one)(people) if parallel else lax.map(one, people)


def _assemble(
    model: MorphableModel, prepared: PreparedModel, fitted: Fitted, crops: list[Crop]
) -> list[FitResult]:
    """Results in the photographs' own pixels."""
    refined = fitted.refined
    results = []
    for index, crop in enumerate(crops):
        view = jax.tree.map(
            lambda x, index=index: x[index], (refined.parameters, refined.evidence.landmarks)
        )
        (geometry, appearance), data = view
        camera = camera_in_photo(objectives.fitted_camera(geometry, data), crop)
        still = jnp.zeros_like(geometry.expression)
        points = vertices(model, geometry.identity, geometry.expression) + fitted.displacement
        measured = {
            "landmark_cost": float(fitted.landmark_cost),
            "photometric_accepted": bool(refined.accepted),
            "photometric_residual": float(refined.photometric_residual[index]),
            "compared_pixels": int(refined.compared_pixels[index]),
            "contour_residual": float(refined.contour_residual[index]),
        }
        diagnostics, notes = diagnose(
            geometry, camera, points, model, prepared, data, crop, measured
        )
        results.append(
            FitResult(
                camera=camera,
                identity=geometry.identity,
                expression=geometry.expression,
                sh=looks.sh_from_light(appearance.light),
                points=points,
                neutral_points=vertices(model, geometry.identity, still) + fitted.displacement,
                displacement=fitted.displacement,
                appearance=appearance,
                diagnostics=diagnostics,
                notes=notes,
            )
        )
    return results

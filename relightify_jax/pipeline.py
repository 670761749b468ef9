"""The corridor: photo -> landmarks -> fit -> unwrap -> inpaint -> relightable face.

Each stage is one call; `reconstruct_face` is all of them. Export and pictures are left
to the caller, so that a service can keep the arrays.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax import prior as priors
from relightify_jax.core.errors import InputError
from relightify_jax.core.numerics import normalize
from relightify_jax.core.uv_layout import UVMaps
from relightify_jax.fitting.fit import FitConfig, FitResult, fit_image
from relightify_jax.fitting.relight_estimate import estimate_light
from relightify_jax.fitting.unwrap import Observation, unwrap_texture
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.model_files import load_face_model
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.uv_atlas import UVAtlas, build_uv_atlas, sample_atlas
from relightify_jax.landmarks import (
    FaceLandmarks,
    LandmarkNetworks,
    find_faces,
    load_networks,
    select_face,
)

UV_SIZES = (256, 512)

# Called with the name of a stage; the stage runs inside the returned context.
Progress = Callable[[str], contextlib.AbstractContextManager[None]]


class Resources(NamedTuple):
    """What every photo shares; load it once."""

    model: MorphableModel
    atlas: UVAtlas  # Of the part "face".
    networks: LandmarkNetworks
    prior: priors.Prior


class InpaintOptions(NamedTuple):
    """How the prior completes a face."""

    num_seeds: int = 2  # Completions drawn in one batch.
    num_steps: int = 50  # DDIM steps.
    guidance: float = 1.0  # Weight of the manifold gradient.


class RelightableFace(NamedTuple):
    """One reconstructed face. R texels per side, S seeds; colours linear."""

    landmarks: FaceLandmarks
    fit: FitResult
    observation: Observation  # What the photo shows, (R, R, C).
    maps: UVMaps  # The completion that agrees best with the photo, (R, R, C).
    samples: UVMaps  # Every completion of the prior, (S, P, P, C), P its own resolution.
    light: jax.Array  # (9, 3) SH radiance in model space that explains the photo.


def load_resources(
    face_model: str = "embedded", prior: str | None = None, uv_size: int = 512
) -> Resources:
    """Loads the face model, its UV atlas, the landmark networks and the prior.

    Args:
        face_model: "embedded", "ict:PATH" or "PATH.npz".
        prior: Path of a prior (.npz); the embedded one if None.
        uv_size: Texels per side of the maps, 256 or 512.

    Raises:
        InputError: If a file cannot be used or `uv_size` is not offered.
    """
    if uv_size not in UV_SIZES:
        raise InputError(f"uv_size is {uv_size}; choose one of {UV_SIZES}.")
    model = load_face_model(face_model)
    atlas = build_uv_atlas(model.uv, model.uv_faces[model.face_part == 0], uv_size)
    return Resources(model, atlas, load_networks(), priors.load_prior(prior))


def reconstruct_face(
    resources: Resources,
    photo: jax.Array,
    key: jax.Array,
    *,
    landmarks: FaceLandmarks | None = None,
    face: int | None = None,
    fit_config: FitConfig | None = None,
    options: InpaintOptions | None = None,
    progress: Progress = lambda stage: contextlib.nullcontext(),
) -> RelightableFace:
    """Reconstructs one face of a photo.

    Args:
        resources: From `load_resources`.
        photo: (H, W, 3) linear RGB in [0, 1].
        key: Random key of the completion.
        landmarks: Use these instead of detecting them.
        face: Which face, counted from the largest; the largest if None.
        fit_config: Settings of the fit.
        options: Settings of the completion.
        progress: Context that each stage runs in, e.g. to time it.

    Raises:
        InputError: If no usable face is found.
    """
    if landmarks is None:
        with progress("landmarks"):
            found = find_faces(resources.networks, photo)
            landmarks = select_face(found, face, photo.shape)
    with progress("fit"):
        fit = fit_image(resources.model, photo, landmarks.points, fit_config or FitConfig())
    with progress("unwrap"):
        observation = unwrap_face(resources, photo, fit)
    with progress("inpaint"):
        maps, samples = inpaint_face(
            resources, observation, fit, key, options or InpaintOptions()
        )
        light = estimate_light(
            observation.texture, observation.confidence, maps.diffuse_albedo, maps.normals
        )
        jax.block_until_ready(light)
    return RelightableFace(landmarks, fit, observation, maps, samples, light)


def unwrap_face(resources: Resources, photo: jax.Array, fit: FitResult) -> Observation:
    """Carries the visible skin of a photo to the canonical UV layout."""
    return unwrap_texture(
        photo,
        fit.camera,
        fit.points,
        resources.model.faces,
        resources.atlas,
    )


def inpaint_face(
    resources: Resources,
    observation: Observation,
    fit: FitResult,
    key: jax.Array,
    options: InpaintOptions,
) -> tuple[UVMaps, UVMaps]:
    """Completes the texture and infers all reflectance.

    The prior works at its own resolution. Its result is enlarged to the observation's,
    observed texels are pasted back, and the photo's fine detail is carried over to the
    albedo, where the photo is sharper than the prior.

    Returns:
        The completion closest to the photo (R, R, C) and all of them (S, P, P, C).
    """
    prior = resources.prior
    small = resize_observation(observation, prior.uv_size)
    samples = priors.complete_maps(
        prior,
        key,
        small.texture,
        small.confidence,
        num_seeds=options.num_seeds,
        num_steps=options.num_steps,
        guidance=options.guidance,
    )
    best = _closest_to_photo(samples.texture, small)
    chosen = jax.tree.map(lambda x: x[best], samples)
    rest_normals = sample_atlas(
        resources.atlas,
        resources.model.faces,
        vertex_normals(fit.neutral_points, resources.model.faces),
    )
    return _finish_maps(chosen, observation, rest_normals), samples

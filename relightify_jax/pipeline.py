"""The corridor: photo -> landmarks -> fit -> unwrap -> inpaint -> relightable face.

Each stage is one call; `reconstruct_face` is all of them. Export and pictures are left
to the caller, so that a service can keep the arrays.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.numerics import normalize
from relightify_jax.core.part_looks import PartLooks
from relightify_jax.core.uv_layout import UVMaps
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.eye_color import read_eyes, turn_eyes
from relightify_jax.fitting.fit import FitResult, fit_photos
from relightify_jax.fitting.mouth_color import read_mouth
from relightify_jax.fitting.observe import coverage, observe_photos
from relightify_jax.fitting.relight_estimate import estimate_light
from relightify_jax.fitting.unwrap import Observation
from relightify_jax.geometry.camera import camera_position
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.uv_atlas import UVAtlas, build_uv_atlas, sample_atlas
from relightify_jax.landmarks.facemesh import FaceLandmarks
from relightify_jax.landmarks.faces import choice_notes, find_faces, select_face
from relightify_jax.landmarks.network import LandmarkNetworks, load_networks
from relightify_jax.prior import (
    Prior,
    complete_maps,
    completion_errors,
    composite_texture,
    load_prior,
    merge_normals,
    transfer_detail,
)
from relightify_jax.rendering.lighting import Light
from relightify_jax.rendering.occlusion import mesh_occlusion
from relightify_jax.rendering.shading import shade

UV_SIZES = (256, 512, 1024)

# Eyeballs and mouth are wet and lit by their own surroundings: never black.
_FIRST_INSIDE = PARTS.index("eye_left")
_INSIDE_OCCLUSION = 0.15
# Lashes, which no model has, and the brow's own hair shade the eyes: in portraits the sclera
# is about this much darker than it would be between the model's lids.
_EYE_SHADE = 0.6

_EXPOSURE_RANGE = (0.6, 1.7)
_POOR_COVERAGE = 0.15  # Of the texels of the face part, which reaches to ears and neck.

# Called with the name of a stage; the stage runs inside the returned context.
Progress = Callable[[str], contextlib.AbstractContextManager[None]]


class Resources(NamedTuple):
    """What every photo shares; load it once."""

    model: MorphableModel
    atlas: UVAtlas  # Of the part "face".
    networks: LandmarkNetworks
    prior: Prior


class InpaintOptions(NamedTuple):
    """How the prior completes a face."""

    num_seeds: int = 2  # Completions drawn in one batch.
    num_steps: int = 25  # DDIM steps.
    guidance: float = 3.0  # Weight of the manifold gradient.
    temperature: float = 0.4  # Scale of fine randomness in what is invented.


class RelightableFace(NamedTuple):
    """One reconstructed face. R texels per side, S seeds; colours linear."""

    landmarks: FaceLandmarks
    fit: FitResult
    observation: Observation  # What the photo shows, (R, R, C).
    maps: UVMaps  # The completion that agrees best with the photo, (R, R, C).
    samples: UVMaps  # Every completion of the prior, (S, P, P, C), P its own resolution.
    light: jax.Array  # (9, 3) SH radiance in model space that explains the photo.
    occlusion: jax.Array  # (V,) ambient occlusion of the posed head, 1 = open.
    looks: PartLooks  # Colours of eyes and mouth; the gaze is already in `fit.points`.
    notes: tuple[str, ...]  # What the user should know, in plain sentences.


def load_resources(
    face_model: str = "embedded", prior: str | None = None, uv_size: int = 512
) -> Resources:
    """Loads the face model, its UV atlas, the landmark networks and the prior.

    Args:
        face_model: See `face_models.registry.load_face_model`.
        prior: Path of a prior (.npz); the embedded one if None.
        uv_size: Texels per side of the maps, one of `UV_SIZES`.

    Raises:
        InputError: If a file cannot be used or `uv_size` is not offered.
    """
    if uv_size not in UV_SIZES:
        raise InputError(f"uv_size is {uv_size}; choose one of {UV_SIZES}.")
    model = load_face_model(face_model)
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    atlas = build_uv_atlas(np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], uv_size)
    return Resources(model, atlas, load_networks(), load_prior(prior))


def reconstruct_face(
    resources: Resources,
    photo: np.ndarray,
    key: jax.Array,
    *,
    landmarks: FaceLandmarks | None = None,
    face: int | None = None,
    more_photos: Sequence[np.ndarray] = (),
    fit_config: FitConfig | None = None,
    options: InpaintOptions | None = None,
    progress: Progress = lambda stage: contextlib.nullcontext(),
) -> RelightableFace:
    """Reconstructs one face of a photo, or of several photos of one person.

    Args:
        resources: From `load_resources`.
        photo: (H, W, 3) linear RGB in [0, 1].
        key: Random key of the completion.
        landmarks: Use these instead of detecting them.
        face: Which face, counted from the largest; the largest if None.
        more_photos: Further photos of the same person, in whatever light; the largest face
            counts. Result, light and camera are those of `photo`.
        fit_config: Settings of the fit.
        options: Settings of the completion.
        progress: Context that each stage runs in, e.g. to time it.

    Raises:
        InputError: If no usable face is found.
    """
    notes: tuple[str, ...] = ()
    if landmarks is None:
        with progress("landmarks"):
            found = find_faces(resources.networks, photo)
            landmarks = select_face(found, face, photo.shape)
            notes = choice_notes(found, face)
    with progress("fit"):
        photos = [photo, *more_photos]
        seen = [landmarks, *(find_largest_face(resources.networks, x) for x in more_photos)]
        fits = fit_photos(
            resources.model, photos, [x.points for x in seen], fit_config or FitConfig(),
            landmark_deviations=[x.deviation for x in seen],
        )  # fmt: skip
        fit, notes = fits[0], (*notes, *_fit_notes(fits))
    with progress("unwrap"):
        observation = observe_photos(photos, fits, resources.model, resources.atlas)
        fit, notes = _judge_coverage(fit, coverage(observation, resources.atlas), notes)
        jax.block_until_ready(observation)
        looks, fit = observe_parts(resources.model, photo, landmarks, fit)
    with progress("inpaint"):
        maps, samples = inpaint_face(resources, observation, fit, key, options or InpaintOptions())
        jax.block_until_ready(maps)
    with progress("light"):
        occlusion = face_occlusion(resources.model, fit.points)
        light = estimate_face_light(resources, observation, fit, maps, occlusion)
    return RelightableFace(
        landmarks, fit, observation, maps, samples, light, occlusion, looks, notes
    )


def find_largest_face(networks: LandmarkNetworks, photo: np.ndarray) -> FaceLandmarks:
    """The largest face of a photo (H, W, 3), linear RGB.

    Raises:
        InputError: If there is none.
    """
    return select_face(find_faces(networks, photo), None, photo.shape)


def _fit_notes(fits: Sequence[FitResult]) -> tuple[str, ...]:
    """What the fits have to say; of further photos with their number."""
    further = (f"Photo {i}: {note}" for i, fit in enumerate(fits[1:], 2) for note in fit.notes)
    return (*fits[0].notes, *further)


def _judge_coverage(
    fit: FitResult, share: float, notes: tuple[str, ...]
) -> tuple[FitResult, tuple[str, ...]]:
    """The fit with its coverage among the diagnostics, and a note if it is small."""
    if share < _POOR_COVERAGE:
        notes = (
            *notes,
            f"Only {share:.0%} of the face can be seen in the photo; the rest is invented. A "
            "photo that is more frontal, or with less in front of the face, gives a better result.",
        )
    return fit._replace(diagnostics=fit.diagnostics | {"coverage": share}), notes


def observe_parts(
    model: MorphableModel, photo: np.ndarray, landmarks: FaceLandmarks, fit: FitResult
) -> tuple[PartLooks, FitResult]:
    """The colours of eyes and mouth, and the fit with eyes that look where the photo's do."""
    eyes = read_eyes(photo, landmarks.points, fit.camera, fit.points, model, fit.sh)
    looks = PartLooks(eyes, read_mouth(photo, landmarks.points, fit.sh))
    points = turn_eyes(model, np.asarray(fit.points), eyes.gaze)
    return looks, fit._replace(points=jnp.asarray(points))


def face_occlusion(model: MorphableModel, points: jax.Array) -> jax.Array:
    """Ambient occlusion (V,) of a posed head; insides keep what light bounces there."""
    part = np.zeros(len(points), int)
    part[np.asarray(model.faces)] = np.asarray(model.face_part)[:, None]
    occlusion = mesh_occlusion(points, model.faces)
    is_eye = (part >= _FIRST_INSIDE) & (part < PARTS.index("mouth"))
    occlusion = jnp.where(is_eye, _EYE_SHADE * occlusion, occlusion)
    return jnp.where(part >= _FIRST_INSIDE, jnp.maximum(occlusion, _INSIDE_OCCLUSION), occlusion)


def estimate_face_light(
    resources: Resources,
    observation: Observation,
    fit: FitResult,
    maps: UVMaps,
    occlusion: jax.Array,
) -> jax.Array:
    """The light (9, 3) under which the inferred skin looks as it does in the photo.

    Args:
        resources: From `load_resources`.
        observation: What the photo shows.
        fit: The fit.
        maps: The inferred maps.
        occlusion: (V,) ambient occlusion.
    """
    faces = resources.model.faces
    # The posed surface: a smile turns the cheeks' normals.
    attributes = jnp.concatenate(
        [vertex_normals(fit.points, faces), fit.points, occlusion[:, None]], axis=-1
    )
    surface = sample_atlas(resources.atlas, faces, attributes)
    view = normalize(camera_position(fit.camera) - surface[..., 3:6])
    return _explain_texture(observation, maps, normalize(surface[..., :3]), view, surface[..., 6:])


@jax.jit
def _explain_texture(
    observation: Observation,
    maps: UVMaps,
    normals: jax.Array,
    view: jax.Array,
    occlusion: jax.Array,
) -> jax.Array:
    """`estimate_light` in the UV layout (R, R, C), then the exposure of our own renderer."""
    sh = estimate_light(
        observation.texture,
        observation.confidence,
        # What little light reaches a crease must not be taken for little light.
        maps.diffuse_albedo * occlusion,
        normals,
        view,
        maps.specular_albedo,
    )
    beamless = Light(sh, jnp.array([[0.0, 0.0, 1.0]]), jnp.zeros((1, 3)))
    again = shade(
        maps.diffuse_albedo, maps.specular_albedo, normals, view, beamless,
        occlusion=occlusion,
        specular="split_sum",  # As in the estimate.
    )  # fmt: skip
    # The estimate is drawn towards usual light; the median texel says by how much.
    ratio = jnp.where(observation.mask > 0, observation.texture / (again + 1e-3), jnp.nan)
    gain = jnp.nan_to_num(jnp.nanmedian(ratio, axis=(0, 1)), nan=1.0)
    return sh * jnp.clip(gain, *_EXPOSURE_RANGE)


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
    small = _shrink(observation, prior.codec.uv_size)
    samples = complete_maps(prior, key, small.texture, small.confidence, **options._asdict())
    errors = completion_errors(samples, small.texture, small.confidence)
    best = jax.tree.map(lambda maps: maps[jnp.argmin(errors)], samples)
    normals = vertex_normals(fit.neutral_points, resources.model.faces)
    geometric = normalize(sample_atlas(resources.atlas, resources.model.faces, normals))
    return _finish_maps(best, observation, geometric), samples


def _shrink(observation: Observation, size: int) -> Observation:
    """Averages blocks of texels, by confidence; a texel is as sure as its least sure part."""
    factor = observation.texture.shape[0] // size
    if factor == 1:
        return observation

    def blocks(image: jax.Array) -> jax.Array:
        return image.reshape(size, factor, size, factor, -1)

    weight = blocks(observation.confidence) + 1e-6
    texture = (blocks(observation.texture) * weight).sum((1, 3)) / weight.sum((1, 3))
    return Observation(
        texture, blocks(observation.mask).min((1, 3)), blocks(observation.confidence).min((1, 3))
    )


@jax.jit
def _finish_maps(generated: UVMaps, observation: Observation, geometric: jax.Array) -> UVMaps:
    """Brings the prior's maps (P, P, C) to the observation's size and detail (R, R, C)."""
    size = observation.texture.shape[0]

    def enlarge(image: jax.Array) -> jax.Array:
        return jax.image.resize(image, (size, size, image.shape[-1]), "cubic")

    observed, confidence = observation.texture, observation.confidence
    texture = jnp.clip(enlarge(generated.texture), 0.0, 1.0)
    diffuse = jnp.clip(enlarge(generated.diffuse_albedo), 0.0, 1.0)
    return UVMaps(
        texture=composite_texture(observed, confidence, texture),
        diffuse_albedo=transfer_detail(diffuse, texture, observed, confidence),
        normals=merge_normals(geometric, enlarge(generated.normals)),
        specular_albedo=jnp.clip(enlarge(generated.specular_albedo), 0.0, 1.0),
    )

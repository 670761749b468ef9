"""How far a fit is from the truth: surface, pose, focal length, landmarks and texels.

Lengths are in millimetres. Surface distances are those of the NoW benchmark (Sanyal et al.,
CVPR 2019): from the truth within a sphere about the face to the fit, after seven landmarks
and then closest points have aligned the two. Errors of corresponding vertices are those of
the narrow face, within 95 mm of the tip of the nose. Only what is seen from outside counts.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from relightify_jax.core import facemesh
from relightify_jax.evaluation.fitting_alignment import (
    Similarity,
    align,
    align_to_surface,
    distances,
    make_surface,
    sample_surface,
    summarise,
)
from relightify_jax.evaluation.fitting_cases import stream
from relightify_jax.evaluation.fitting_heads import PHOTO_PER_FACE, landmark_pixels
from relightify_jax.evaluation.fitting_photos import Truth
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel, landmarks
from relightify_jax.geometry.rotations import matrix_from_axis_angle
from relightify_jax.rendering.occlusion import directional_visibility
from relightify_jax.rendering.renderer import head_mesh, render_surface

# Eye corners from the right one inwards, the base of the nose, corners of the mouth.
SEVEN = (33, 133, 362, 263, 2, 61, 291)
NOSE_TIP = 1
NARROW_FACE = 0.095  # Metres from the tip of the nose.
UV_SIZE = 256  # Texels per side in which errors are counted.
NUM_SAMPLES = 6000
_ICP_SAMPLES = 1000
_VIEWS = (-60.0, -30.0, 0.0, 30.0, 60.0)  # Degrees; what none of them sees is inside.
# Landmarks that name the parts of a face, after REALY's (Chai et al., ECCV 2022).
REGIONS = {
    "nose": (*facemesh.NOSE_BRIDGE[2:], *facemesh.NOSE_WINGS, 45, 275, 115, 344, 198, 420),
    "mouth": (*facemesh.LIPS_OUTER, *facemesh.LIPS_INNER, 164, 18, 200, 165, 391),
    "forehead": (*facemesh.EYE_LEFT, *facemesh.EYE_RIGHT, *facemesh.BROW_LEFT,
                 *facemesh.BROW_RIGHT, 168, 9, 151, 10, 67, 297, 109, 338, 21, 251),
    "cheeks": (50, 280, 205, 425, 117, 346, 101, 330, 187, 411, 192, 416, 213, 433,
               234, 454, 132, 361, 172, 397, 152, 176, 400, 199),
}  # fmt: skip


class Outcome(NamedTuple):
    """What a method says about a photograph; None = it says nothing about that."""

    points: np.ndarray  # (V, 3) with expression, in the frame of `camera`'s model space.
    neutral_points: np.ndarray | None = None  # (V, 3).
    camera: Camera | None = None
    has_perspective: bool = True  # Whether the focal length means something.


def outer_triangles(model: MorphableModel) -> np.ndarray:
    """Triangles (n,) of the part "face" that are seen from outside and not within folds."""
    yaw = np.radians(_VIEWS)
    views = np.stack([np.sin(yaw), np.zeros_like(yaw), np.cos(yaw)], axis=-1)
    normals = vertex_normals(model.mean, model.faces)
    directions = jnp.asarray(views, jnp.float32)
    seen = np.asarray(
        directional_visibility(model.mean, model.faces, directions, model.mean, normals, size=512)
    )
    facing = np.asarray(normals) @ views.T > 0.1
    is_outer = ((seen.T > 0.5) & facing).any(axis=1)
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    return np.flatnonzero(on_face & is_outer[np.asarray(model.faces)].all(axis=1))


def measure(
    truth: Truth,
    truth_model: MorphableModel,
    outer: np.ndarray,
    outcome: Outcome,
    model: MorphableModel,
) -> dict[str, float]:
    """Every number that can be said about one fit.

    Args:
        truth: The photograph and what is true of it.
        truth_model: That it was made with.
        outer: `outer_triangles(truth_model)`.
        outcome: Of the fit.
        model: That was fitted; vertices correspond if it is of the same name and size.

    Returns:
        By name: `rigid_*` and `similar_*` surface distance (mm), `neutral_*` the same at rest
        after a similarity, `shape_mm` and `identity_mm` of corresponding vertices, `pose_degrees`,
        `focal_log`, `landmark_pixels` (of a 256-pixel photo), `uv_median` and `uv_p90` (texels).
    """
    row, motion = surface_errors(truth.points, truth_model, outer, outcome.points, model)
    same = truth_model.name == model.name and truth.points.shape == outcome.points.shape
    if same:
        row["shape_mm"] = vertex_error(truth.points, truth_model, outer, outcome.points)
    if outcome.neutral_points is not None:
        rest, _ = surface_errors(
            truth.neutral_points, truth_model, outer, outcome.neutral_points, model
        )
        row |= {f"neutral_{key}": rest[f"similar_{key}"] for key in ("median", "mean", "std")}
        if same:
            neutral = truth.neutral_points, truth_model, outer, outcome.neutral_points
            row["identity_mm"] = vertex_error(*neutral)
    if outcome.camera is not None:
        row |= camera_errors(truth, truth_model, outcome, model, motion)
        row |= texel_errors(truth, outcome, model)
    return row


def surface_errors(
    true_points: np.ndarray,
    truth_model: MorphableModel,
    outer: np.ndarray,
    points: np.ndarray,
    model: MorphableModel,
) -> tuple[dict[str, float], Similarity]:
    """Distances from the true face, as far as NoW measures it, to a fitted surface.

    Returns:
        Median, mean and standard deviation in mm after a rigid and after a similarity alignment
        and the mean of each region after the latter; and the rigid motion from fit to truth.
    """
    faces = _within(*now_sphere(_marks(truth_model, true_points)), true_points, truth_model, outer)
    generator = stream(0, "samples")
    triangle, bary = sample_surface(true_points, faces, NUM_SAMPLES, generator)
    samples = np.einsum("nk,nkc->nc", bary, np.asarray(true_points, np.float64)[faces[triangle]])
    true_marks = _marks(truth_model, true_points)
    marks = _marks(model, points)
    is_skin = np.asarray(model.face_part) < PARTS.index("eye_left")
    surface = make_surface(points, np.asarray(model.faces)[is_skin])
    region = region_of(samples, true_marks)
    row: dict[str, float] = {}
    motions = {}
    for name, with_scale in (("rigid", False), ("similar", True)):
        start = align(marks[list(SEVEN)], true_marks[list(SEVEN)], with_scale=with_scale)
        motion = align_to_surface(samples[:_ICP_SAMPLES], surface, start, with_scale=with_scale)
        distance = 1e3 * distances(samples, surface, motion)
        row |= summarise(distance, name)
        motions[name] = motion
    for i, name in enumerate(REGIONS):
        row[f"{name}_mean"] = float(distance[region == i].mean())
    return row, motions["rigid"]


def narrow_triangles(points: np.ndarray, model: MorphableModel, outer: np.ndarray) -> np.ndarray:
    """The outer triangles (n, 3) of which all corners are near the tip of the nose."""
    return _within(_marks(model, points)[NOSE_TIP], NARROW_FACE, points, model, outer)


def now_sphere(marks: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius of what NoW measures, from landmarks (468, 3).

    Facts of its published evaluation: the centre lies 30 % of the way from the base of the
    nose to between the inner corners of the eyes, the radius is 0.7 times the sum of that
    length and the distance of the outer corners.
    """
    outer_right, inner_right, inner_left, outer_left, base = marks[list(SEVEN[:5])]
    up = (inner_right + inner_left) / 2 - base
    radius = 0.7 * (np.linalg.norm(outer_right - outer_left) + np.linalg.norm(up))
    return base + 0.3 * up, float(radius)


def vertex_error(
    true_points: np.ndarray, model: MorphableModel, outer: np.ndarray, points: np.ndarray
) -> float:
    """Mean distance in mm of corresponding vertices of the narrow face after a similarity."""
    used = np.unique(narrow_triangles(true_points, model, outer))
    target, source = (np.asarray(x, np.float64)[used] for x in (true_points, points))
    motion = align(source, target, with_scale=True)
    return float(1e3 * np.linalg.norm(motion.apply(source) - target, axis=-1).mean())


def region_of(samples: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Index into `REGIONS` (N,) of the landmark nearest to each sample (N, 3)."""
    indices = np.concatenate([np.array(group) for group in REGIONS.values()])
    names = np.repeat(np.arange(len(REGIONS)), [len(group) for group in REGIONS.values()])
    return names[cKDTree(marks[indices]).query(samples)[1]]


def camera_errors(
    truth: Truth,
    truth_model: MorphableModel,
    outcome: Outcome,
    model: MorphableModel,
    motion: Similarity,
) -> dict[str, float]:
    """Pose in degrees after `motion` (fit to truth), log focal length, landmarks in pixels."""
    assert outcome.camera is not None
    true_turn, turn = (
        np.asarray(matrix_from_axis_angle(camera.rotation), np.float64)
        for camera in (truth.camera, outcome.camera)
    )
    between = true_turn @ motion.rotation @ turn.T
    cosine = np.clip((np.trace(between) - 1) / 2, -1, 1)
    pixels = landmark_pixels(model, jnp.asarray(outcome.points), outcome.camera)
    error = np.asarray(pixels) - truth.landmark_pixels
    unit = truth.photo.shape[1] / (150 * PHOTO_PER_FACE)
    row = {
        "pose_degrees": float(np.degrees(np.arccos(cosine))),
        "landmark_pixels": float(np.linalg.norm(error, axis=-1).mean() / unit),
    }
    if outcome.has_perspective:
        row["focal_log"] = abs(float(np.log(outcome.camera.focal / truth.camera.focal)))
    return row


def texel_errors(truth: Truth, outcome: Outcome, model: MorphableModel) -> dict[str, float]:
    """Distance in the canonical layout between what truth and fit show at a pixel, in texels.

    Counted where both show the part "face" and nothing covers it; "uv_median" and "uv_p90"
    on the narrow face, as the distances of surfaces are, "uv_whole" with ears and neck, which
    no fit of one photograph is about.
    """
    assert outcome.camera is not None
    height, width = truth.is_face.shape
    surface = render_surface(
        head_mesh(model), jnp.asarray(outcome.points), outcome.camera, height=height, width=width
    )
    both = truth.is_face & (np.asarray(surface.part) == PARTS.index("face"))
    error = UV_SIZE * np.linalg.norm(np.asarray(surface.uv) - truth.uv, axis=-1)
    nose = _marks(model, outcome.points)[NOSE_TIP]
    narrow = np.linalg.norm(np.asarray(surface.position) - nose, axis=-1) < NARROW_FACE
    if not (both & narrow).any():
        return {"uv_median": float("nan"), "uv_p90": float("nan"), "uv_overlap": 0.0}
    return {
        "uv_median": float(np.median(error[both & narrow])),
        "uv_p90": float(np.percentile(error[both & narrow], 90)),
        "uv_whole": float(np.median(error[both])),
        "uv_overlap": float(both.sum() / max(truth.is_face.sum(), 1)),
    }


def _within(center, radius, points, model: MorphableModel, outer: np.ndarray) -> np.ndarray:
    """The outer triangles (n, 3) of which all corners lie within a sphere."""
    near = np.linalg.norm(np.asarray(points) - center, axis=-1) < radius
    faces = np.asarray(model.faces)[outer]
    return faces[near[faces].all(axis=1)]


def _marks(model: MorphableModel, points: np.ndarray) -> np.ndarray:
    """The 468 landmarks on a mesh, (468, 3) float64."""
    return np.asarray(landmarks(model, jnp.asarray(points)), np.float64)

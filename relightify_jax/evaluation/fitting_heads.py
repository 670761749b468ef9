"""Rendered heads with known truth: a person with hair, before a camera, in some light.

The hair is a cap: vertices beyond the hairline are moved outwards and painted, in the
picture only. The truth is the skin below.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy.spatial.transform import Rotation

from relightify_jax.core import facemesh
from relightify_jax.evaluation.fitting_cases import (
    Case,
    draw_angles,
    draw_expression,
    draw_focal,
    draw_identity,
    stream,
)
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.geometry.embedded import EYE_IRIS_RADIUS, EYE_PUPIL_RADIUS
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel, landmarks, vertices
from relightify_jax.geometry.uv_atlas import UVAtlas, build_uv_atlas, sample_atlas
from relightify_jax.rendering.lighting import Light, disc_sh, uniform_sh
from relightify_jax.rendering.renderer import HeadAssets, HeadMesh, head_mesh

PHOTO_PER_FACE = 256 / 150  # Width of the photo over the height of the face.
_FOREHEAD, _CHIN = 10, 152  # Landmarks between which the height of a face is measured.
_HEAD_SIZE = 256  # Texels per side of the head's tile.
_MAX_OVERLAP = 0.05
_HAIR_COLORS = ((0.012, 0.009, 0.007), (0.03, 0.018, 0.011), (0.09, 0.05, 0.025),
                (0.25, 0.16, 0.08), (0.2, 0.19, 0.18))  # fmt: skip
_EYE_WHITE, _PUPIL, _MOUTH_COLOR = (0.55, 0.5, 0.46), 0.01, (0.3, 0.13, 0.12)
_IRIS_COLORS = ((0.03, 0.015, 0.008), (0.08, 0.04, 0.02), (0.08, 0.1, 0.05), (0.1, 0.16, 0.22))


class Skin(NamedTuple):
    """What the face of one person wears, in the canonical layout; linear, R texels per side."""

    diffuse: jax.Array  # (R, R, 3) albedo.
    specular: jax.Array  # (R, R, 1).
    normal: jax.Array  # (R, R, 3) unit, tangent space.


class Casting(NamedTuple):
    """A face model, prepared to be rendered many times."""

    model: MorphableModel
    mesh: HeadMesh
    face_atlas: UVAtlas
    head_atlas: UVAtlas


class _Looks(NamedTuple):
    """Colours of one person besides the skin."""

    hair: ArrayLike  # (3,) albedo.
    grain: ArrayLike  # (R, R, 1) factor, of strands.
    iris: ArrayLike  # (3,) albedo.


class Head(NamedTuple):
    """A posed person."""

    points: jax.Array  # (V, 3) the truth, metres.
    neutral_points: jax.Array  # (V, 3) at rest.
    shown_points: jax.Array  # (V, 3) with hair.
    is_hair: jax.Array  # (V,) in [0, 1].
    assets: HeadAssets


def prepare_casting(model: MorphableModel, uv_size: int) -> Casting:
    """Builds what all heads of a model share; `uv_size` is that of the skins."""
    parts, uv, uv_faces = (np.asarray(x) for x in (model.face_part, model.uv, model.uv_faces))
    atlases = []
    for part, size in (("face", uv_size), ("head", _HEAD_SIZE)):
        chosen = parts == PARTS.index(part)
        first = int(np.argmax(chosen))
        atlas = build_uv_atlas(
            uv, uv_faces[chosen], size, gutter=16, first_face=first, max_overlap=_MAX_OVERLAP
        )
        atlases.append(jax.tree.map(jnp.asarray, atlas))
    return Casting(model, head_mesh(model), *atlases)


def make_head(
    casting: Casting, skin: Skin, case: Case, *, hair: bool = True, num_modes: int | None = None
) -> Head:
    """Draws the person of a case.

    Args:
        casting: Of the truth's face model.
        skin: Of the person, of the size of `casting.face_atlas`.
        case: The seed decides the identity, the hair and the strength of the expression.
        hair: Whether to grow a cap of hair.
        num_modes: Leading identity modes to use; all if None.
    """
    model = casting.model
    identity = draw_identity(model, case.seed, num_modes)
    expression = draw_expression(model, case.expression, case.seed)
    generator = stream(case.seed, "hair")
    is_hair = _hairiness(model, generator) if hair else np.zeros(len(model.mean), np.float32)
    thickness = np.float32(generator.uniform(0.006, 0.02))
    size = casting.face_atlas.face.shape[0]
    looks = _Looks(
        hair=np.array(_HAIR_COLORS[generator.integers(len(_HAIR_COLORS))], np.float32),
        grain=np.exp(generator.normal(0.0, 0.25, (size, size, 1))).astype(np.float32),
        iris=np.array(_IRIS_COLORS[generator.integers(len(_IRIS_COLORS))], np.float32),
    )
    neutral, points, shown = _pose(model, identity, expression, is_hair, thickness)
    assets = _dress(casting, skin, is_hair, looks)
    return Head(points, neutral, shown, jnp.asarray(is_hair), assets)


def place_camera(model: MorphableModel, points: jax.Array, case: Case) -> tuple[Camera, int]:
    """The camera of a case, and the width of its square photo in pixels.

    Distance follows from the focal length, so that the face has its height in pixels.
    """
    width = round(PHOTO_PER_FACE * case.face_pixels)
    yaw, pitch, roll = np.radians(draw_angles(case))
    rotation = (
        Rotation.from_rotvec([0, 0, roll])
        * Rotation.from_rotvec([pitch, 0, 0])
        * Rotation.from_rotvec([0, yaw, 0])
    )
    on_face = np.asarray(landmarks(model, points), np.float64)
    height = np.linalg.norm(on_face[_FOREHEAD] - on_face[_CHIN])
    focal = draw_focal(case) * width
    depth = focal * height / case.face_pixels
    offset = stream(case.seed, "place").uniform(-0.04, 0.04, 2) * width
    place = np.array([offset[0] / focal * depth, offset[1] / focal * depth, -depth])
    translation = place - rotation.apply(on_face.mean(axis=0))
    camera = Camera(
        jnp.float32(focal),
        jnp.full(2, width / 2, jnp.float32),
        jnp.asarray(rotation.as_rotvec(), jnp.float32),
        jnp.asarray(translation, jnp.float32),
    )
    return camera, width


@jax.jit
def landmark_pixels(model: MorphableModel, points: jax.Array, camera: Camera) -> jax.Array:
    """Where the landmarks of a mesh with vertices `points` (V, 3) are in the photo, (468, 2)."""
    return project(camera, landmarks(model, points))[0]


def draw_light(case: Case) -> Light:
    """Light of one of `fitting_cases.LIGHTS` in the head's frame, of about the right exposure."""
    generator = stream(case.seed, "light")
    side = generator.choice((-1.0, 1.0))
    warm = np.exp(generator.uniform(-0.15, 0.15) * np.array([1.0, 0.0, -1.0]))
    front = [generator.uniform(-0.6, 0.6), generator.uniform(0.1, 0.8), 1.0]
    strength = {"soft": (0.35, 0.5, 0.0), "side": (0.12, 0.15, 0.7), "sun": (0.3, 0.1, 0.15)}
    ambient, frontal, lateral = strength[case.light]
    sh = uniform_sh(ambient * warm)
    sh += disc_sh(front, generator.uniform(0.9, 1.5), frontal * warm)
    aside = [side, generator.uniform(-0.1, 0.5), generator.uniform(0.0, 0.5)]
    sh += disc_sh(aside, 1.0, lateral / warm)
    azimuth, height = side * generator.uniform(0.2, 1.1), generator.uniform(0.3, 0.9)
    beam = [np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)]
    power = 0.7 if case.light == "sun" else 0.0
    directions = np.array([beam, [0.0, 0.0, 1.0]])
    radiance = np.array([power / warm, np.zeros(3)])
    return Light(sh, jnp.asarray(directions, jnp.float32), jnp.asarray(radiance, jnp.float32))


def _hairiness(model: MorphableModel, generator: np.random.Generator) -> np.ndarray:
    """(V,) in [0, 1], 1 beyond a random hairline of the mean head."""
    mean = np.asarray(model.mean, np.float64)
    on_face = np.asarray(landmarks(model, model.mean), np.float64)
    top = on_face[_FOREHEAD]
    oval = on_face[list(facemesh.FACE_OVAL)]
    temple = oval[np.argmax(np.abs(oval[:, 0]))]
    fringe = generator.uniform(-0.018, 0.02)  # Metres above the top of the FaceMesh oval.
    ends = on_face[_CHIN][1] + generator.uniform(-0.02, 0.08)
    # Above the hairline, which falls towards the temples, or behind them.
    arch = 1.8 * (mean[:, 0] / abs(temple[0])) ** 2 * 0.02
    above = mean[:, 1] - (top[1] + fringe - arch)
    behind = np.minimum(temple[2] - 0.004 - mean[:, 2], mean[:, 1] - ends)
    inside = np.maximum(above, behind) / 0.006
    used = np.zeros(len(mean), bool)
    on_skin = np.asarray(model.face_part) < PARTS.index("eye_left")
    used[np.asarray(model.faces)[on_skin]] = True
    return (np.clip(0.5 + 0.5 * inside, 0, 1) * used).astype(np.float32)


@jax.jit
def _pose(model, identity, expression, is_hair, thickness):
    """Vertices (V, 3) at rest, with expression, and with hair on top."""
    neutral = vertices(model, identity, jnp.zeros_like(expression))
    points = vertices(model, identity, expression)
    normals = vertex_normals(points, model.faces)
    return neutral, points, points + (thickness * is_hair)[:, None] * normals


@jax.jit
def _dress(casting: Casting, skin: Skin, is_hair: jax.Array, looks: _Looks) -> HeadAssets:
    """Skin of the face continued over the head, hair painted over both."""
    on_chart = casting.face_atlas.inside[..., None]
    tone = jnp.nanmedian(jnp.where(on_chart, skin.diffuse, jnp.nan), axis=(0, 1))
    faces = casting.mesh.faces
    on_face = sample_atlas(casting.face_atlas, faces, is_hair[:, None])
    on_head = sample_atlas(casting.head_atlas, faces, is_hair[:, None])
    return HeadAssets(
        face_diffuse=skin.diffuse * (1 - on_face) + looks.hair * looks.grain * on_face,
        face_specular=skin.specular,
        face_normal=skin.normal,
        head_diffuse=tone * (1 - on_head) + looks.hair * on_head,
        eye_diffuse=_eye_texture(looks.iris),
        mouth_diffuse=jnp.broadcast_to(jnp.array(_MOUTH_COLOR), (4, 4, 3)),
    )


def _eye_texture(iris: ArrayLike, size: int = 64) -> jax.Array:
    """White, iris and pupil in the eye tile (size, size, 3)."""
    axis = (np.arange(size) + 0.5) / size - 0.5
    radius = np.hypot(*np.meshgrid(axis, axis))[..., None]
    colored = jnp.where(radius < EYE_IRIS_RADIUS, iris, jnp.array(_EYE_WHITE))
    return jnp.where(radius < EYE_PUPIL_RADIUS, _PUPIL, colored)

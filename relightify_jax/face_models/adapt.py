"""From a laboratory's vertices to a `MorphableModel`: canonical UVs, landmarks, parts.

Nothing is known beforehand about the raw model but its shape. The landmark network looks at
pictures of its heads (`portraits`); its mean, led by these landmarks and by its own statistics,
is registered to the mean of the embedded model, whose landmarks and texture coordinates it then
takes over by closest point.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from absl import logging

from relightify_jax.core.errors import InputError
from relightify_jax.core.facemesh import NUM_LANDMARKS
from relightify_jax.face_models.expressions import gather_expressions
from relightify_jax.face_models.layout import Layout, lay_out
from relightify_jax.face_models.pieces import SKIN, eye_centres, find_pieces, has_eyes, label_pieces
from relightify_jax.face_models.portraits import (
    UNRELIABLE,
    DrawnModel,
    SeenLandmarks,
    paint_face,
    paint_pieces,
    see_landmarks,
)
from relightify_jax.face_models.registration import Template, align, register
from relightify_jax.face_models.surfaces import (
    SurfacePoints,
    closest_points,
    exposure,
    interpolate,
    vertex_normals,
)
from relightify_jax.geometry.canonical import locate_in_uv
from relightify_jax.geometry.embedded import load_embedded_model, load_guides
from relightify_jax.geometry.face_files.raw import RawFaceModel
from relightify_jax.geometry.morphable_model import (
    PARTS,
    MorphableModel,
    VertexAlbedo,
)
from relightify_jax.geometry.topology import pair_triangles
from relightify_jax.landmarks.network import LandmarkNetworks

_CENTIMETRES = 100.0  # Registration is tuned in centimetres.
_FIRST_PICTURES, _PICTURES = 8, 32
_VIEWS = (64, 400)  # How many to judge exposure by, and their pixels per side.
_HIDDEN = 0.25  # Exposure under which a surface counts as interior.
_MAX_SPREAD = 0.0035  # Metres; landmarks seen less surely do not guide the registration.
_REACH = 1.0  # Centimetres that a difference of normals counts for.


class Reference(NamedTuple):
    """The embedded model's mean, which carries the canonical layout; metres."""

    model: MorphableModel
    points: np.ndarray  # (V, 3).
    faces: np.ndarray  # (F, 3).
    part: np.ndarray  # (F,) into `PARTS`.
    is_skin: np.ndarray  # (F,) bool: hangs on the face, which includes the sockets.
    is_eye: np.ndarray  # (F,) bool.
    is_outer: np.ndarray  # (F,) bool: seen from outside, not behind the lips.
    guides: np.ndarray  # (468, 3), where the network sees its points on plain pictures.
    guide_uv: np.ndarray  # (468, 2), the same in the canonical layout.


class Registered(NamedTuple):
    """The mean of a raw model on the reference; centimetres, the raw model's frame."""

    points: np.ndarray  # (V, 3) the raw vertices, moved; those off the skin are in place.
    target: np.ndarray  # (N, 3) the reference's vertices.
    exposed: np.ndarray  # (F,) share of the views from all around that see a raw triangle.


@functools.cache
def load_reference() -> Reference:
    """Prepares the embedded model."""
    model = load_embedded_model()
    points, faces = np.asarray(model.mean, np.float64), np.asarray(model.faces)
    part = np.asarray(model.face_part)
    piece = label_pieces(points, faces)
    is_skin = piece == piece[0]
    exposed = exposure(points, faces, *_VIEWS)
    is_eye = (part == PARTS.index("eye_left")) | (part == PARTS.index("eye_right"))
    is_outer = (exposed > _HIDDEN) & (part < PARTS.index("mouth"))
    guide_uv = load_guides()
    on_face = part == PARTS.index("face")
    found, bary = locate_in_uv(guide_uv, np.asarray(model.uv), np.asarray(model.uv_faces)[on_face])
    guides = (points[faces[on_face][found]] * bary[..., None]).sum(1)
    return Reference(model, points, faces, part, is_skin, is_eye, is_outer, guides, guide_uv)


def adapt_model(
    raw: RawFaceModel, networks: LandmarkNetworks, pictures: tuple[int, int] | None = None
) -> MorphableModel:
    """Gives a raw model the canonical layout and everything else the library needs.

    Takes about a minute on two cores.

    Args:
        raw: From a reader of `geometry.face_files`.
        networks: From `load_networks`.
        pictures: How many heads to draw for a first and a second look.

    Raises:
        InputError: If the network finds no face on the model.
    """
    reference = load_reference()
    points, triangles = raw.points.astype(np.float64), raw.triangles
    part = find_pieces(points, triangles)
    registered = register_raw(raw, part, networks, pictures or (_FIRST_PICTURES, _PICTURES))
    layout = lay_out(reference, registered, points, triangles, part)
    corners, bary = _place_landmarks(reference, registered, layout)
    order = np.argsort(layout.part, kind="stable")
    centres = eye_centres(points, triangles, part)
    if np.isnan(centres).any():
        centres = eye_centres(registered.target, reference.faces, reference.part) / _CENTIMETRES
    expressions = gather_expressions(raw)
    faces = triangles[order].astype(np.int32)
    return MorphableModel(
        mean=jnp.asarray(points - centres.mean(0), jnp.float32),
        identity=jnp.asarray(np.moveaxis(raw.identity, 2, 0), jnp.float32),
        expression=jnp.asarray(expressions.shapes, jnp.float32),
        faces=jnp.asarray(faces),
        uv=jnp.asarray(layout.uv, jnp.float32),
        uv_faces=jnp.asarray(layout.uv_faces[order], jnp.int32),
        face_part=jnp.asarray(layout.part[order], jnp.int32),
        landmark_vertices=jnp.asarray(corners, jnp.int32),
        landmark_bary=jnp.asarray(bary, jnp.float32),
        landmark_spread=reference.model.landmark_spread,
        quads=jnp.asarray(pair_triangles(faces)),
        expression_names=expressions.names,
        name=raw.name,
        licence=raw.licence,
        expression_range=jnp.asarray(expressions.range, jnp.float32),
        expression_deviation=jnp.asarray(expressions.deviation, jnp.float32),
        albedo=_albedo(raw),
    )


def _albedo(raw: RawFaceModel) -> VertexAlbedo | None:
    if raw.colour is None:
        return None
    modes = np.moveaxis(raw.colour.basis, 2, 0)
    return VertexAlbedo(jnp.asarray(raw.colour.mean), jnp.asarray(modes, jnp.float32))


def register_raw(
    raw: RawFaceModel, part: np.ndarray, networks: LandmarkNetworks, pictures: tuple[int, int]
) -> Registered:
    """Registers the skin of a raw model to the reference.

    Args:
        raw: The model.
        part: (F,) from `pieces.find_pieces`.
        networks: From `load_networks`.
        pictures: How many heads to draw for a first and a second look.

    Raises:
        InputError: If the network finds no face.
    """
    reference = load_reference()
    points = raw.points.astype(np.float64)
    skin, local = np.unique(raw.triangles[part == SKIN], return_inverse=True)
    local = local.reshape(-1, 3)
    exposed = exposure(points, raw.triangles, *_VIEWS)
    outside = exposed[part == SKIN] > _HIDDEN
    if raw.colour is None:
        albedo, first = paint_pieces(points, raw.triangles, part), pictures[0]
    else:
        albedo, first = raw.colour.mean, pictures[1]
    drawn = DrawnModel(points, raw.identity, raw.triangles, np.clip(albedo, 0.0, 1.0))

    seen = _see(raw, networks, drawn, first)
    template, weight = _template(raw, skin, local, outside, seen)
    if raw.colour is None:
        # Brows and lips where the first look puts them make the second one surer.
        vertices, pose = align(template, reference.guides, weight)
        uv = np.full((len(points), 2), np.nan)
        uv[skin] = _face_uv(reference, pose.invert(reference.points), vertices)
        drawn = drawn._replace(albedo=paint_face(drawn.albedo, uv, reference.guide_uv))
        seen = _see(raw, networks, drawn, pictures[1])
        template, weight = _template(raw, skin, local, outside, seen)
    used = float((weight > 0).mean())
    logging.info("%s: %.0f %% of the landmarks guide the registration", raw.name, 100 * used)
    outer = reference.is_outer & (reference.is_skin | (reference.is_eye & (not has_eyes(part))))
    vertices, target = register(
        template, reference.points, reference.faces[outer], reference.guides, weight, reach=_REACH
    )
    moved = _CENTIMETRES * points
    moved[skin] = vertices
    return Registered(moved, target, exposed)


def _see(raw, networks, drawn: DrawnModel, num_pictures: int) -> SeenLandmarks:
    seen = see_landmarks(networks, drawn, num_pictures)
    if seen is None:
        raise InputError(
            f"No face is seen on the mean of {raw.name}: it must look along +Z with +Y up; "
            f"get the file again from {raw.source}."
        )
    return seen


def _template(
    raw: RawFaceModel, skin: np.ndarray, local: np.ndarray, exposed: np.ndarray, seen: SeenLandmarks
) -> tuple[Template, np.ndarray]:
    """The skin as a template of `registration`, and the weights (468,) of its landmarks."""
    mean = _CENTIMETRES * raw.points[skin].astype(np.float64)
    places = np.where(np.isfinite(seen.points), seen.points, 0.0) * _CENTIMETRES
    outer = local[exposed]
    found = closest_points(mean, outer, places)
    rows = np.repeat(np.arange(NUM_LANDMARKS), 3)
    entries = found.bary.ravel(), (rows, outer[found.triangle].ravel())
    is_outer = np.zeros(len(skin), bool)
    is_outer[outer] = True
    sure = seen.spread < _MAX_SPREAD
    sure[list(UNRELIABLE)] = False
    spread = np.hypot(
        np.where(sure, seen.spread, 0), np.asarray(load_reference().model.landmark_spread)
    )
    weight = np.where(sure, 1 / (8e-4 + spread), 0.0)
    template = Template(
        mean=mean,
        identity=_CENTIMETRES * np.moveaxis(raw.identity[skin].astype(np.float64), 2, 0),
        triangles=local,
        landmarks=sp.coo_matrix(entries, shape=(NUM_LANDMARKS, len(skin))).tocsr(),
        is_outer=is_outer,
    )
    return template, weight / weight.max()


def _face_uv(reference: Reference, target: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Canonical coordinates (N, 2) of vertices near the reference; NaN off its face."""
    on_face = reference.part == PARTS.index("face")
    found = closest_points(target, reference.faces[on_face], vertices)
    model = reference.model
    uv = interpolate(np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], found)
    return np.where((found.distance < 1.0)[:, None], uv, np.nan)


def _place_landmarks(
    reference: Reference, registered: Registered, layout: Layout
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (468, 3) and barycentric coordinates (468, 3) of the landmarks."""
    model = reference.model
    corners, weights = np.asarray(model.landmark_vertices), np.asarray(model.landmark_bary)
    normals = vertex_normals(registered.target, reference.faces[reference.is_skin])[corners]
    places = (registered.target[corners] * weights[..., None]).sum(1)
    normals = (normals * weights[..., None]).sum(1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    face = layout.triangles[layout.part == PARTS.index("face")]
    found: SurfacePoints = closest_points(
        registered.points, face, places, normals=normals, reach=0.5
    )
    return face[found.triangle], found.bary

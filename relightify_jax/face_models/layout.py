"""The parts and texture coordinates of a raw model that is registered to the reference."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp
from absl import logging
from scipy.sparse.csgraph import connected_components

from relightify_jax.face_models.carry_uv import (
    Chart,
    carry_corners,
    carry_vertices,
    chart_sign,
    is_folded,
    unfold,
)
from relightify_jax.face_models.pieces import SKIN, eye_centres, has_eyes, map_eye
from relightify_jax.face_models.surfaces import closest_points, vertex_normals
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.geometry.topology import build_topology
from relightify_jax.geometry.uv_atlas import covered_texels

if TYPE_CHECKING:
    from relightify_jax.face_models.adapt import Reference, Registered

_MAX_DISTANCE = 1.0  # Centimetres; farther from the reference's face, skin is of the head.
_REACH = 0.4  # Centimetres that a difference of normals counts for.
_HIDDEN = 0.25  # Exposure under which a surface counts as interior.
_WRONG = 0.25  # Share of wrong triangles above which a patch is left out whole.
_PATCH = 0.2  # Centimetres.
_EARS = 0.4  # Of the tile's side, from its middle.
_SIZE = 512  # Texels per side at which the face's tile is checked for overlaps.
_FACE, _HEAD, _MOUTH = (PARTS.index(name) for name in ("face", "head", "mouth"))


class Layout(NamedTuple):
    """Parts and texture coordinates; F triangles in the raw model's order."""

    triangles: np.ndarray  # (F, 3) into the vertices.
    part: np.ndarray  # (F,) into `PARTS`.
    uv: np.ndarray  # (T, 2), v down.
    uv_faces: np.ndarray  # (F, 3) into `uv`.


def lay_out(
    reference: "Reference",
    registered: "Registered",
    points: np.ndarray,
    triangles: np.ndarray,
    piece: np.ndarray,
) -> Layout:
    """Carries the reference's parts and texture coordinates over.

    Args:
        reference: The embedded model.
        registered: The raw model's mean on it.
        points: (V, 3) the raw mean, metres.
        triangles: (F, 3).
        piece: (F,) from `pieces.find_pieces`.
    """
    charts = {part: _chart(reference, registered, part) for part in (_FACE, _HEAD, _MOUTH)}
    part = _part_of_skin(reference, registered, triangles, piece)
    exposed = registered.exposed
    uv, part = _lay_out_face(charts[_FACE], registered.points, triangles, part, exposed)
    uv_faces = triangles.astype(np.int64)  # Of the face: one coordinate per vertex.
    for other in (_HEAD, _MOUTH):
        own = np.flatnonzero(part == other)
        if len(own):
            corners = carry_corners(charts[other], registered.points, triangles[own])
            shared, index = np.unique(
                np.round(corners.reshape(-1, 2), 7), axis=0, return_inverse=True
            )
            uv_faces[own] = len(uv) + index.reshape(-1, 3)
            uv = np.concatenate([uv, shared])
    centres = eye_centres(points, triangles, piece)
    if np.isnan(centres).any():  # Eyes that belong to the skin lie on the reference's.
        points = registered.points
        centres = eye_centres(registered.target, reference.faces, reference.part)
    for name, centre in zip(("eye_left", "eye_right"), centres, strict=True):
        own = part == PARTS.index(name)
        ball, index = np.unique(triangles[own], return_inverse=True)
        uv_faces[own] = len(uv) + index.reshape(-1, 3)
        uv = np.concatenate([uv, map_eye(points[ball], centre)])
    used, compact = np.unique(uv_faces, return_inverse=True)
    return Layout(triangles, part, uv[used], compact.reshape(-1, 3))


def _chart(reference: "Reference", registered: "Registered", part: int) -> Chart:
    own, model = reference.part == part, reference.model
    uv = np.asarray(model.uv, np.float64)
    return Chart(registered.target, reference.faces[own], uv, np.asarray(model.uv_faces)[own])


def _part_of_skin(
    reference: "Reference", registered: "Registered", triangles: np.ndarray, piece: np.ndarray
) -> np.ndarray:
    """Part (F,) of every triangle: of the skin that of the reference under its middle."""
    skin = np.flatnonzero(piece == SKIN)
    corners = registered.points[triangles[skin]]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-20)
    shell = np.flatnonzero(reference.is_skin | (reference.is_eye & (not has_eyes(piece))))
    found = closest_points(
        registered.target, reference.faces[shell], corners.mean(1), normals=facing, reach=_REACH
    )
    own = reference.part[shell[found.triangle]]
    own = np.where((found.distance > _MAX_DISTANCE) & (own == _FACE), _HEAD, own)
    # Each triangle sides with those around it: single ones go astray where surfaces are close.
    shares = [
        _spread_out(own == number, registered.points, triangles[skin])
        for number in range(len(PARTS))
    ]
    part = piece.copy()
    part[skin] = np.argmax(shares, axis=0)
    return part


def _lay_out_face(
    chart: Chart,
    points: np.ndarray,
    triangles: np.ndarray,
    part: np.ndarray,
    exposed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Canonical coordinates (V, 2) of the vertices, and the parts without what will not fit.

    What is hidden (nostrils, the backs of the lips, the mouth's bag) and lands upside down or
    on skin that is seen goes to the inside; the rest is relaxed where it is folded.
    """
    part = part.copy()
    own = np.flatnonzero(part == _FACE)
    used = np.unique(triangles[own])
    uv = np.zeros((len(points), 2))
    normals = vertex_normals(points, triangles[own])
    uv[used] = carry_vertices(chart, points[used], normals[used])[0]
    sign = chart_sign(chart)

    wrong = is_folded(uv, triangles[own], sign)
    wrong |= overlapping(uv, triangles[own], exposed[own])
    # Whole patches, not the single triangles of a patch that happen to land well.
    patch = _spread_out(wrong, points, triangles[own]) > _WRONG
    hidden = (exposed[own] < _HIDDEN) & (wrong | patch)
    part[own[hidden]] = _beside(uv, triangles[own[hidden]])
    own = own[~hidden]
    piece = label_edges(triangles[own])
    stray = piece != np.bincount(piece).argmax()
    part[own[stray]] = _beside(uv, triangles[own[stray]])
    own = own[~stray]
    uv, folded = unfold(uv, triangles[own], sign, max(1, _rings(points, triangles[own])))
    folded |= overlapping(uv, triangles[own], np.where(folded, -1.0, exposed[own]))
    folded |= _spread_out(folded, points, triangles[own]) > 2 * _WRONG
    part[own[folded]] = _beside(uv, triangles[own[folded]])
    logging.info(
        "face tile: %d triangles; %d hidden, %d stray and %d folded ones were left out",
        (~folded).sum(), hidden.sum(), stray.sum(), folded.sum(),
    )  # fmt: skip
    return uv, part


def _beside(uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The part (f,) of what the tile has no place for: ears to the head, the rest inside."""
    return np.where(np.abs(uv[triangles].mean(1)[:, 0] - 0.5) > _EARS, _HEAD, _MOUTH)


def _rings(points: np.ndarray, triangles: np.ndarray) -> int:
    """How many rings of triangles make `_PATCH`; 0 on a coarse mesh."""
    sides = np.linalg.norm(points[triangles] - np.roll(points[triangles], 1, axis=1), axis=-1)
    return round(_PATCH / float(np.median(sides)))


def _spread_out(chosen: np.ndarray, points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Share (f,) of the triangles around each that are chosen (f,)."""
    topology = build_topology(triangles)
    first, second = topology.edge_faces[topology.edge_faces[:, 1] >= 0][:, :2].T
    count = len(triangles)
    half = sp.coo_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
    around = (half + half.T + sp.identity(count)).tocsr()
    mean = sp.diags(1 / np.asarray(around.sum(1)).ravel()) @ around
    share = chosen.astype(float)
    for _ in range(2 * _rings(points, triangles) ** 2):  # Steps of a random walk.
        share = mean @ share
    return share


def overlapping(uv: np.ndarray, triangles: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Which triangles (f,) lie on others: of two the one of lower rank (f,)."""
    triangle, texel = covered_texels(uv, triangles, _SIZE)
    order = np.lexsort((-rank[triangle], texel))
    triangle, texel = triangle[order], texel[order]
    again = np.concatenate([[False], texel[1:] == texel[:-1]])
    double = np.zeros(len(triangles), bool)
    double[triangle[again]] = True
    return double


def label_edges(triangles: np.ndarray) -> np.ndarray:
    """Numbers the pieces (f,) that hang together by edges, not by corners alone."""
    topology = build_topology(triangles)
    first, second = topology.edge_faces[:, 0], topology.edge_faces[:, 1]
    inner = second >= 0
    pairs = first[inner], second[inner]
    graph = sp.coo_matrix((np.ones(inner.sum()), pairs), shape=(len(triangles),) * 2)
    return connected_components(graph, directed=False)[1]

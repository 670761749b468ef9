"""Joins skin, eyeballs, teeth and tongue to one mesh with charts and quantised modes."""

from typing import NamedTuple

import numpy as np

from data_pipeline.face_model import tiles
from data_pipeline.face_model.eyeballs import make_eyeball
from data_pipeline.face_model.makehuman import GROUPS, HeadModel
from relightify_jax.geometry.morphable_model import PARTS

METRES_PER_UNIT = 0.1  # MakeHuman's files are in decimetres.
_LEVELS = 2047  # Of a mode's quantised offsets, to either side: steps of a few micrometres.
# How far the shells of the mouth are moved, decimetres. MakeHuman's incisors stand 12 mm behind
# the lips and end above the gap between them: a smile would show none.
_SHELLS = {
    "helper-upper-teeth": (0.0, -0.04, 0.06),
    "helper-lower-teeth": (0.0, -0.02, 0.0),
    "helper-tongue": (0.0, -0.01, 0.0),
}


class SkinParts(NamedTuple):
    """The skin's quads (q, 4) by part; V vertices."""

    face: np.ndarray
    face_uv: np.ndarray  # (V, 2), where the face's vertices lie in its tile.
    head: np.ndarray
    interiors: list[np.ndarray]  # Mouth socket and eye sockets.


def split_skin(
    quads: np.ndarray, in_tile: np.ndarray, uv: np.ndarray, interiors: list[np.ndarray]
) -> SkinParts:
    """Sorts the skin's quads; what is neither face nor interior is the head."""
    inner = {tuple(quad) for shell in interiors for quad in shell.tolist()}
    is_inner = np.array([tuple(quad) in inner for quad in quads.tolist()])
    return SkinParts(quads[in_tile], uv, quads[~in_tile & ~is_inner], interiors)


def quantise(modes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds modes (K, V, 3) to int16 and returns them with their scale (K,) float32."""
    scale = (np.abs(modes).max(axis=(1, 2)) / _LEVELS).astype(np.float32)
    scale = np.maximum(scale, 1e-12)
    return np.round(modes / scale[:, None, None]).astype(np.int16), scale


def _add_eyeballs(head: HeadModel) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """All shapes (1 + K + E, W, 3) with the eyeballs' vertices appended, and their charts' input.

    The origin is moved to the middle between the eyeballs. The list holds quads and centre
    of the left and the right eyeball.
    """
    shapes = np.concatenate([head.mean[None], head.identity, head.expression])
    eyes = []
    for name in ("helper-l-eye", "helper-r-eye"):
        of_eye = head.quads[head.group == GROUPS.index(name)]
        used, local = np.unique(of_eye, return_inverse=True)
        ball = make_eyeball(
            head.mean[used],
            head.identity[:, used],
            head.expression[:, used],
            local.reshape(-1, 4),
        )
        eyes.append((ball.quads + shapes.shape[1], ball.centre))
        more = np.concatenate([ball.mean[None], ball.identity, ball.expression])
        shapes = np.concatenate([shapes, more], axis=1)
    origin = (eyes[0][1] + eyes[1][1]) / 2
    shapes[0] -= origin
    return shapes, [(quads, centre - origin) for quads, centre in eyes]


def assemble(
    head: HeadModel, skin: SkinParts, landmarks: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Charts every part, renumbers the vertices and packs the arrays of the asset.

    Args:
        head: The head, decimetres.
        skin: Its skin.
        landmarks: "vertices" (L, 3) of `head`, "bary" (L, 3), "spread" (L,) metres.

    Returns:
        The arrays listed in `data_pipeline.build_face_model`.
    """
    shapes, eyes = _add_eyeballs(head)
    mean = shapes[0]
    shells = [head.quads[head.group == GROUPS.index(name)] for name in _SHELLS]
    inner = shells + skin.interiors
    used, local = np.unique(skin.face, return_inverse=True)
    parts = [
        (skin.face, tiles.Chart(skin.face_uv[used], local.reshape(-1, 4))),
        (skin.head, tiles.chart_head(mean, skin.head)),
        *((quads, tiles.chart_eye(mean, quads, centre)) for quads, centre in eyes),
        (np.concatenate(inner), tiles.chart_interior(mean, inner)),
    ]
    for shell, shift in zip(shells, _SHELLS.values(), strict=True):
        mean[np.unique(shell)] += shift
    starts = np.cumsum([0] + [len(chart.uv) for _, chart in parts])
    uv_quads = [chart.quads + start for (_, chart), start in zip(parts, starts, strict=False)]
    kept, quads = np.unique(np.concatenate([quads for quads, _ in parts]), return_inverse=True)
    uv = np.concatenate([chart.uv for _, chart in parts])
    quads, uv_quads = _start_at_reflex_corner(quads.reshape(-1, 4), np.concatenate(uv_quads), uv)
    shapes = METRES_PER_UNIT * shapes[:, kept]
    num_modes = len(head.identity)
    identity, identity_scale = quantise(shapes[1 : 1 + num_modes])
    expression, expression_scale = quantise(shapes[1 + num_modes :])
    landmark_quad, landmark_st = _on_quads(
        np.searchsorted(kept, landmarks["vertices"]), landmarks["bary"], quads
    )
    return {
        "mean": shapes[0].astype(np.float32),
        "identity": identity,
        "identity_scale": identity_scale,
        "expression": expression,
        "expression_scale": expression_scale,
        "expression_names": np.array(head.expression_names),
        "quads": quads.astype(np.uint16),
        "uv": uv.astype(np.float32),
        "uv_quads": uv_quads.astype(np.uint16),
        "quad_part": np.repeat(np.arange(len(PARTS)), [len(q) for q, _ in parts]).astype(np.uint8),
        "landmark_quad": landmark_quad.astype(np.uint16),
        "landmark_st": landmark_st.astype(np.float32),
        "landmark_spread": landmarks["spread"].astype(np.float32),
    }


def _start_at_reflex_corner(
    quads: np.ndarray, uv_quads: np.ndarray, uv: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turns quads that are not convex in the tile, so that the diagonal 0-2 splits them well."""
    corner = uv[uv_quads]
    after, before = np.roll(corner, -1, axis=1) - corner, np.roll(corner, 1, axis=1) - corner
    area = after[..., 1] * before[..., 0] - after[..., 0] * before[..., 1]
    first = np.where(area.min(axis=1) <= 0, area.argmin(axis=1), 0)
    order = (first[:, None] + np.arange(4)) % 4
    return np.take_along_axis(quads, order, 1), np.take_along_axis(uv_quads, order, 1)


def _on_quads(
    vertices: np.ndarray, bary: np.ndarray, quads: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turns points on triangles of quads into (quad (L,), (s, t) (L, 2)); see `embedded`."""
    corner_st = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    found, st = [], []
    for corners, weights in zip(vertices, bary, strict=True):
        quad = np.flatnonzero(np.isin(quads, corners).sum(axis=1) == 3)[0]
        at = [int(np.flatnonzero(quads[quad] == corner)[0]) for corner in corners]
        found.append(quad)
        st.append(np.clip(weights @ corner_st[at], 0, 1))
    return np.array(found), np.array(st)

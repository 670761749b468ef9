"""Readers for the ICT-FaceKit face model (Li et al. 2020, MIT License, USC ICT).

The model is brought by the user: https://github.com/USC-ICT/ICT-FaceKit (folder FaceXModel).
Two layouts are read, and give the same model:

* the folder, with generic_neutral_mesh.obj, identity000.obj to identity099.obj, one .obj
  per expression and vertex_indices.json;
* an .npz with mean (V, 3), identity (K, V, 3), expression (E, V, 3) in centimetres, the
  latter two times `step` if that is present; faces, uv, uv_faces, quads,
  expression_names, group_names (G,) and group_tri_range (G, 2).

Eyelashes and the transparent shells before the eyes are left out. ICT's units (cm), its
upward v and its origin are turned to ours (see `geometry.embedded`); names ending in _L and
_R become ARKit's Left and Right.
"""

import json
import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import read_npz
from relightify_jax.geometry.embedded import EYE_TILE_ANGLE, load_embedded_model
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel

URL = "https://github.com/USC-ICT/ICT-FaceKit"
_METRES = 0.01
_LICENCE = "MIT, (c) 2020 USC Institute for Creative Technologies"
_NUM_MODES = 100
# Name, number of vertices and of polygons of each part, in the file's order (its README).
_GROUPS = (
    *(("face", 9409, 9230), ("head_neck", 1839, 1914), ("mouth_socket", 2046, 2082)),
    *(("eye_socket_left", 384, 404), ("eye_socket_right", 384, 404)),
    *(("gums_tongue", 2977, 2972), ("teeth", 4412, 4490)),
    *(("eyeball_left", 1570, 1598), ("eyeball_right", 1570, 1598)),
    *(("lacrimal_left", 204, 163), ("lacrimal_right", 204, 163)),
    *(("eye_blend_left", 24, 15), ("eye_blend_right", 24, 15)),
    *(("eye_occlusion_left", 152, 128), ("eye_occlusion_right", 152, 128)),
    *(("eyelashes_left", 684, 540), ("eyelashes_right", 684, 540)),
)
_PART_OF_GROUP = {
    "face": "face",
    "head_neck": "head",
    "eyeball_left": "eye_left",
    "eyeball_right": "eye_right",
    **dict.fromkeys(("mouth_socket", "gums_tongue", "teeth"), "mouth"),
    **dict.fromkeys(("eye_socket_left", "eye_socket_right"), "mouth"),
    **dict.fromkeys(("lacrimal_left", "lacrimal_right"), "mouth"),
}
_EYE_CORNERS = (33, 133, 362, 263)  # FaceMesh numbers; they fix the origin.
_KEYS = (
    *("mean", "identity", "expression", "expression_names", "faces", "quads", "uv", "uv_faces"),
    *("group_names", "group_tri_range"),
)


class _Mesh(NamedTuple):
    """ICT's arrays in its own units: centimetres, v up, tiles side by side."""

    mean: np.ndarray  # (V, 3).
    identity: np.ndarray  # (K, V, 3).
    expression: np.ndarray  # (E, V, 3).
    expression_names: tuple[str, ...]
    polygons: np.ndarray  # (P, 4), -1 pads a triangle.
    uv: np.ndarray  # (T, 2).
    uv_polygons: np.ndarray  # (P, 4), -1 pads a triangle.
    group: tuple[str, ...]  # (P,), a name of _GROUPS per polygon.


def load_ict_npz(path: str | pathlib.Path) -> MorphableModel:
    """Reads an ICT-FaceKit model from .npz; see the module's docstring.

    Raises:
        InputError: If the file is missing or not such a model.
    """
    arrays = read_npz(path, "an ICT-FaceKit face model")
    missing = [key for key in _KEYS if key not in arrays]
    if missing:
        raise InputError(
            f"{path} is not an ICT-FaceKit face model: it lacks {', '.join(missing)}; "
            f"get the model at {URL} and give its folder."
        )
    step = np.float32(arrays.get("step", 1.0))
    faces, uv_faces = arrays["faces"], arrays["uv_faces"]
    num_vertices = len(arrays["mean"])
    shapes_agree = (
        arrays["mean"].shape[1:] == (3,)
        and arrays["identity"].shape[1:] == (num_vertices, 3)
        and arrays["expression"].shape[1:] == (num_vertices, 3)
        and len(arrays["expression"]) == len(arrays["expression_names"])
        and faces.shape == uv_faces.shape
    )
    if not shapes_agree:
        raise InputError(
            f"{path} cannot be used: its arrays disagree in their shapes; get the ICT-FaceKit "
            f"model again at {URL} and give its folder."
        )
    names = [str(name) for name in arrays["group_names"]]
    sizes = np.diff(arrays["group_tri_range"], axis=1).ravel()
    polygons, uv_polygons, group = _merge_triangles(
        faces, uv_faces, np.repeat(names, sizes), arrays["quads"]
    )
    mesh = _Mesh(
        arrays["mean"].astype(np.float32),
        arrays["identity"].astype(np.float32) * step,
        arrays["expression"].astype(np.float32) * step,
        tuple(str(name) for name in arrays["expression_names"]),
        polygons,
        arrays["uv"],
        uv_polygons,
        tuple(group),
    )
    return _to_model(mesh, str(path))


def _merge_triangles(faces, uv_faces, group, quads):
    """Polygons with their UVs and group names, from triangles in the polygons' order."""
    is_quad = quads[:, 3] >= 0
    count = np.where(is_quad, 2, 1)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    second = np.where(is_quad, first + 1, first)
    uv_polygons = np.concatenate([uv_faces[first], uv_faces[second][:, 2:]], axis=1)
    uv_polygons[~is_quad, 3] = -1
    return quads, uv_polygons, group[first]


def load_ict_folder(path: str | pathlib.Path) -> MorphableModel:
    """Reads the official ICT-FaceKit folder (or its FaceXModel); takes half a minute.

    `model_files.save_face_model` keeps the result in a file that loads at once.

    Raises:
        InputError: If a file is missing or has another number of vertices.
    """
    root = pathlib.Path(path)
    folder = root / "FaceXModel" if (root / "FaceXModel").is_dir() else root
    vertices, uv, polygons, uv_polygons = _read_obj(_existing(folder, "generic_neutral_mesh.obj"))
    group = tuple(np.repeat([name for name, _, _ in _GROUPS], [size for *_, size in _GROUPS]))
    num_vertices = sum(size for _, size, _ in _GROUPS)
    if (len(vertices), len(polygons)) != (num_vertices, len(group)):
        raise InputError(
            f"{folder / 'generic_neutral_mesh.obj'} has {len(vertices)} vertices and "
            f"{len(polygons)} polygons instead of {num_vertices} and {len(group)}; get the "
            f"ICT-FaceKit model (light) at {URL}."
        )

    def offsets(name):
        file = _existing(folder, f"{name}.obj")
        points = _read_points(file.read_bytes())
        if points.shape != vertices.shape:
            raise InputError(f"{file} has {len(points)} vertices instead of {len(vertices)}.")
        return points - vertices

    index = json.loads(_existing(folder, "vertex_indices.json").read_text())
    names = list(index.get("expressions", ()))
    if not names:
        names = sorted(
            file.stem
            for file in folder.glob("*.obj")
            if not file.stem.startswith(("identity", "generic"))
        )
    identity = np.stack([offsets(f"identity{k:03d}") for k in range(_NUM_MODES)])
    expression = np.stack([offsets(name) for name in names])
    return _to_model(
        _Mesh(vertices, identity, expression, tuple(names), polygons, uv, uv_polygons, group),
        str(path),
    )


def _existing(folder: pathlib.Path, name: str) -> pathlib.Path:
    if not (folder / name).is_file():
        raise InputError(
            f"{folder} has no {name}; get ICT-FaceKit at {URL} and give its folder FaceXModel."
        )
    return folder / name


def _read_points(content: bytes) -> np.ndarray:
    """Vertex positions (V, 3) float32 of an .obj file."""
    lines = [line[2:] for line in content.splitlines() if line.startswith(b"v ")]
    return np.array(b" ".join(lines).split(), np.float64).reshape(-1, 3).astype(np.float32)


def _read_obj(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, UVs, polygons and their UV indices; -1 pads triangles."""
    content = path.read_bytes()
    uv, polygons, uv_polygons = [], [], []
    for line in content.splitlines():
        if line.startswith(b"vt "):
            uv.append([float(x) for x in line.split()[1:3]])
        elif line.startswith(b"f "):
            corners = [corner.split(b"/") for corner in line.split()[1:]]
            pad = [-1] * (4 - len(corners))
            polygons.append([int(corner[0]) - 1 for corner in corners] + pad)
            uv_polygons.append([int(corner[1]) - 1 for corner in corners] + pad)
    points = _read_points(content)
    return points, np.array(uv), np.array(polygons), np.array(uv_polygons)


def _split(polygons: np.ndarray) -> np.ndarray:
    """Triangles of padded polygons (P, 4), in order."""
    pairs = polygons[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)
    keep = np.ones(len(pairs), bool)
    keep[1::2] = polygons[:, 3] >= 0
    return pairs[keep]


def _to_model(mesh: _Mesh, path: str) -> MorphableModel:
    """Sorts the parts, drops what is not drawn, converts units and adds landmarks."""
    part_of = {name: PARTS.index(part) for name, part in _PART_OF_GROUP.items()}
    part = np.array([part_of.get(name, -1) for name in mesh.group])
    order = np.argsort(part, kind="stable")
    order = order[part[order] >= 0]
    part = part[order]
    polygons, uv_polygons = mesh.polygons[order], mesh.uv_polygons[order]
    kept = np.unique(polygons[polygons >= 0])
    local = np.full(len(mesh.mean) + 1, -1)
    local[kept] = np.arange(len(kept))
    polygons = local[polygons]  # -1 reads the last entry, which is -1.
    mean = mesh.mean[kept] * _METRES
    sizes = np.where(polygons[:, 3] >= 0, 2, 1)
    faces, face_part = _split(polygons), np.repeat(part, sizes)
    uv, uv_faces = _canonical_uv(mesh, mean, polygons, uv_polygons, part)
    landmark_vertices, landmark_bary, shift = _landmarks(mean, faces, uv, uv_faces, face_part)
    triangle = polygons[:, 3] < 0
    quads = polygons.copy()
    quads[triangle, 3] = quads[triangle, 2]
    names = [name[:-2] + {"_L": "Left", "_R": "Right"}.get(name[-2:], name[-2:])
             for name in mesh.expression_names]
    return MorphableModel(
        mean=jnp.asarray(mean + shift, jnp.float32),
        identity=jnp.asarray(mesh.identity[:, kept] * np.float32(_METRES)),
        expression=jnp.asarray(mesh.expression[:, kept] * np.float32(_METRES)),
        faces=jnp.asarray(faces, jnp.int32),
        uv=jnp.asarray(uv, jnp.float32),
        uv_faces=jnp.asarray(uv_faces, jnp.int32),
        face_part=jnp.asarray(face_part, jnp.int32),
        landmark_vertices=jnp.asarray(landmark_vertices, jnp.int32),
        landmark_bary=jnp.asarray(landmark_bary, jnp.float32),
        landmark_spread=load_embedded_model().landmark_spread,
        quads=quads.astype(np.int32),
        expression_names=tuple(names),
        name=f"ict:{path}",
        licence=_LICENCE,
    )


def _canonical_uv(mesh, mean, polygons, uv_polygons, part):
    """UVs (T, 2), v down, and triangles into them: every part in its own [0, 1]^2.

    Face and head keep their tile. The tiles of the interior are put side by side. The
    eyeballs, whose tile ICT shares with the face, get the map of `geometry.embedded`.
    """
    uv_faces = _split(uv_polygons)
    sizes = np.where(polygons[:, 3] >= 0, 2, 1)
    corner_part = np.repeat(part, sizes)
    corners = mesh.uv[uv_faces].astype(np.float64)
    tile = np.floor(corners.mean(axis=1))[:, None]
    corners = corners - tile
    corners[..., 1] = 1 - corners[..., 1]
    inner = corner_part == PARTS.index("mouth")
    # Tiles 0 to 8 in a row of ICT's layout go to cells of a 3 x 3 grid.
    cell = np.mod(tile[inner, :, 0], 9)
    grid = np.stack([np.mod(cell, 3), np.floor(cell / 3)], axis=-1)
    corners[inner] = (grid + np.clip(corners[inner], 0, 1)) / 3
    faces = _split(polygons)
    for name in ("eye_left", "eye_right"):
        eye = corner_part == PARTS.index(name)
        if eye.any():
            corners[eye] = _eye_uv(mean, faces[eye])
    flat = corners.reshape(-1, 2).astype(np.float32)
    # A corner is told apart by its part, so that no UV is shared between parts.
    key = np.concatenate([flat, np.repeat(corner_part, 3)[:, None]], axis=1)
    unique, index = np.unique(key, axis=0, return_inverse=True)
    return unique[:, :2], index.reshape(-1, 3)


def _eye_uv(mean: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Lambert's azimuthal map (F, 3, 2) of an eyeball around +Z, clamped at the tile."""
    points = mean[np.unique(faces)]
    direction = mean[faces] - (points.max(0) + points.min(0)) / 2
    direction = direction / np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-9)
    half_sine = np.sqrt(np.clip((1 - direction[..., 2]) / 2, 0, 1))
    across = np.maximum(np.linalg.norm(direction[..., :2], axis=-1), 1e-9)
    radius = np.minimum(0.5 * half_sine / np.sin(EYE_TILE_ANGLE / 2), 0.5)
    return 0.5 + (radius / across)[..., None] * direction[..., :2] * [1, -1]


def _landmarks(mean, faces, uv, uv_faces, face_part):
    """Landmarks at the same places of the face tile as the embedded model's.

    Also returns the shift that moves the eyes' corners where the embedded model has them.
    """
    model = load_embedded_model()
    num_face = int((np.asarray(model.face_part) == 0).sum())
    uv_of_vertex = np.zeros((model.mean.shape[0], 2))
    uv_of_vertex[np.asarray(model.faces)[:num_face]] = np.asarray(model.uv)[
        np.asarray(model.uv_faces)[:num_face]
    ]
    bary = np.asarray(model.landmark_bary, np.float64)[..., None]
    corners = np.asarray(model.landmark_vertices)
    places = (uv_of_vertex[corners] * bary).sum(1)
    reference = (np.asarray(model.mean, np.float64)[corners] * bary).sum(1)
    in_face = face_part == 0
    triangle, found_bary = locate_in_triangles(places, uv[uv_faces[in_face]])
    vertices = faces[in_face][triangle]
    here = (mean[vertices] * found_bary[..., None]).sum(1)
    eyes = list(_EYE_CORNERS)
    return vertices, found_bary, reference[eyes].mean(0) - here[eyes].mean(0)


def locate_in_triangles(
    points: np.ndarray, triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the triangle that holds each point, or the one it is least outside of.

    Args:
        points: (N, 2).
        triangles: (F, 3, 2).

    Returns:
        Triangle indices (N,) and barycentric coordinates (N, 3), clipped to the triangle.
    """
    a, b, c = (triangles[:, k].astype(np.float64) for k in range(3))
    index, bary = [], []
    for p in points:
        wa = (b - p)[:, 0] * (c - p)[:, 1] - (b - p)[:, 1] * (c - p)[:, 0]
        wb = (c - p)[:, 0] * (a - p)[:, 1] - (c - p)[:, 1] * (a - p)[:, 0]
        wc = (a - p)[:, 0] * (b - p)[:, 1] - (a - p)[:, 1] * (b - p)[:, 0]
        total = wa + wb + wc
        weights = np.stack([wa, wb, wc], axis=-1) / np.where(total == 0, np.inf, total)[:, None]
        weights[total == 0] = -np.inf
        best = weights.min(axis=1).argmax()
        clipped = np.clip(weights[best], 0, 1)
        index.append(best)
        bary.append(clipped / clipped.sum())
    return np.array(index), np.array(bary)

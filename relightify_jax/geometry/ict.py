"""Readers of ICT-FaceKit (light), a head model with 100 identity modes.

Li et al., "Learning formation of physically-based face attributes", CVPR 2020; MIT
licence, https://github.com/ICT-VGL/ICT-FaceKit. The files are in centimetres, +Y up, the
face along +Z, +X the subject's left, v up; tiles of the UV layout are integer steps of u.
Skin, eyeballs and the inside of the mouth are kept; lashes, sockets and tear films are not.
The eyeballs, whose tile ICT shares with the face, get the map of `geometry.embedded` instead;
expression names that end in _L and _R get ARKit's Left and Right.
"""

import os
import pathlib

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import read_npz
from relightify_jax.geometry.canonical import landmark_uv, locate_in_uv
from relightify_jax.geometry.embedded import eye_uv, load_embedded_model
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.subdivision import triangulate
from relightify_jax.geometry.topology import pair_triangles

LICENCE = "MIT, (c) 2020 USC Institute for Creative Technologies"
_SOURCE = "https://github.com/ICT-VGL/ICT-FaceKit (MIT licence)"
_METRES = 0.01
# First vertex and part of each region, from the README of ICT-FaceKit; None is left out.
_REGIONS = (
    (0, "face"), (9409, "head"), (11248, "mouth"), (13294, None), (14062, "mouth"),
    (21451, "eye"), (24591, None),
)  # fmt: skip
_NUM_VERTICES = (11248, 26719)  # Without and with eyes and teeth.


def load_ict_npz(path: str | os.PathLike[str]) -> MorphableModel:
    """Reads an ICT-FaceKit model that was packed into one .npz file.

    Arrays: mean (V, 3) in cm; identity (K, V, 3) and expression (E, V, 3), float, or
    integers in units of `step` cm; quads (Q, 4); uv (T, 2); faces and uv_faces (F, 3).

    Raises:
        InputError: If arrays are missing or do not fit together.
    """
    arrays = read_npz(path, "an ICT-FaceKit model")
    needed = ("mean", "identity", "expression", "expression_names", "quads", "faces")
    missing = [key for key in (*needed, "uv", "uv_faces") if key not in arrays]
    if missing:
        raise InputError(
            f"{path} is no packed ICT-FaceKit model: it lacks {', '.join(missing)}; give the "
            f"folder of {_SOURCE} instead."
        )
    step = float(arrays.get("step", 1.0))
    scale = [step if np.issubdtype(arrays[k].dtype, np.integer) else 1.0 for k in needed[1:3]]
    return _build(
        path,
        arrays["mean"],
        arrays["identity"] * np.float32(scale[0]),
        arrays["expression"] * np.float32(scale[1]),
        tuple(str(name) for name in arrays["expression_names"]),
        arrays["faces"],
        arrays["uv"],
        arrays["uv_faces"],
    )


def ict_files(path: str | os.PathLike[str], num_identity: int = 80) -> list[pathlib.Path]:
    """The files of a checkout of ICT-FaceKit: the neutral mesh, identities, expressions.

    Args:
        path: The checkout, or its folder FaceXModel.
        num_identity: How many of the 100 identity modes.

    Raises:
        InputError: If a file is missing.
    """
    folder = pathlib.Path(path)
    folder = folder / "FaceXModel" if (folder / "FaceXModel").is_dir() else folder
    neutral = folder / "generic_neutral_mesh.obj"
    if not neutral.is_file():
        raise InputError(f"{neutral} does not exist; give a checkout of {_SOURCE}.")
    identities = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))[:num_identity]
    expressions = sorted(
        file
        for file in folder.glob("*.obj")
        if file != neutral and not file.name.startswith(("identity", "generic"))
    )
    if not identities or not expressions:
        raise InputError(
            f"{folder} holds no identity000.obj ... or no expressions; fetch all of {_SOURCE}."
        )
    return [neutral, *identities, *expressions]


def load_ict_folder(path: str | os.PathLike[str], num_identity: int = 80) -> MorphableModel:
    """Reads a checkout of ICT-FaceKit, which takes about ten seconds.

    Args:
        path: The checkout, or its folder FaceXModel.
        num_identity: How many of the 100 identity modes to read.

    Raises:
        InputError: If a file is missing or has another topology.
    """
    neutral, *others = ict_files(path, num_identity)
    mean, uv, quads, uv_quads = _read_obj(neutral)
    modes = {file: _read_vertices(file, len(mean)) - mean for file in others}
    identities = [file for file in others if file.name.startswith("identity")]
    expressions = [file for file in others if file not in identities]
    return _build(
        path,
        mean,
        np.stack([modes[file] for file in identities]),
        np.stack([modes[file] for file in expressions]),
        tuple(file.stem for file in expressions),
        triangulate(quads),
        uv,
        triangulate(uv_quads),
    )


def _read_vertices(path: pathlib.Path, expected: int) -> np.ndarray:
    """Vertices (V, 3) of an OBJ file."""
    lines = path.read_text().splitlines()
    values = [line.split()[1:4] for line in lines if line.startswith("v ")]
    try:
        points = np.array(values, np.float32)
    except ValueError:
        raise InputError(f"{path} is damaged; fetch {_SOURCE} again.") from None
    if points.shape != (expected, 3):
        raise InputError(
            f"{path} has {len(points)} vertices, the neutral mesh {expected}; "
            f"fetch {_SOURCE} again."
        )
    return points


def _read_obj(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), uv (T, 2), quads and uv quads (Q, 4); triangles repeat a corner."""
    points, uv, quads, uv_quads = [], [], [], []
    for line in path.read_text().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            points.append(fields[:3])
        elif kind == "vt":
            uv.append(fields[:2])
        elif kind == "f":
            corners = [corner.split("/") for corner in fields]
            corners += corners[2:3] * (4 - len(corners))
            quads.append([int(corner[0]) - 1 for corner in corners])
            uv_quads.append([int(corner[1]) - 1 for corner in corners])
    return (
        np.array(points, np.float32),
        np.array(uv, np.float32),
        np.array(quads, np.int32),
        np.array(uv_quads, np.int32),
    )


def _part_of_vertices(mean: np.ndarray) -> np.ndarray:
    """Index (V,) into `PARTS`, -1 for what is left out."""
    part = np.full(len(mean), -1)
    starts = [first for first, _ in _REGIONS] + [len(mean)]
    for (first, name), last in zip(_REGIONS, starts[1:], strict=True):
        if name == "eye":
            left = mean[first:last, 0] > 0
            part[first:last] = np.where(left, PARTS.index("eye_left"), PARTS.index("eye_right"))
        elif name is not None:
            part[first:last] = PARTS.index(name)
    return part


def _build(path, mean, identity, expression, names, faces, uv, uv_faces) -> MorphableModel:
    """Sorts triangles by part, drops what is left out and moves to this project's frame."""
    if len(mean) not in _NUM_VERTICES or identity.shape[1:] != mean.shape:
        raise InputError(
            f"{path} has {len(mean)} vertices; ICT-FaceKit light has {_NUM_VERTICES[1]} "
            f"(or {_NUM_VERTICES[0]} without eyes and teeth): fetch {_SOURCE}."
        )
    if not (np.isfinite(mean).all() and 15 < np.ptp(mean[:, 1]) < 60):
        raise InputError(f"{path} is not in centimetres or holds NaN; fetch {_SOURCE} again.")
    faces, uv_faces = np.asarray(faces, np.int64), np.asarray(uv_faces, np.int64)
    whole = (
        (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    )
    # A triangle that joins two regions belongs to the later one, as do its UVs.
    part = _part_of_vertices(mean)[faces.max(axis=1)]
    order = np.flatnonzero(whole & (part >= 0))
    order = order[np.argsort(part[order], kind="stable")]
    faces, uv_faces, part = faces[order], uv_faces[order], part[order]
    used, compact = np.unique(faces, return_inverse=True)
    faces = compact.reshape(-1, 3).astype(np.int32)
    uv, uv_faces = _untile(np.asarray(uv, np.float64), uv_faces)
    uv, uv_faces = _map_eyes(mean[used], faces, part, uv, uv_faces)

    # The origin between the eyes, as in the embedded model.
    center = _eye_center(mean, part, used[faces])
    reference = load_embedded_model()
    on_face = part == PARTS.index("face")
    found, bary = locate_in_uv(landmark_uv(reference), uv, uv_faces[on_face])
    return MorphableModel(
        mean=jnp.asarray((mean[used] - center) * _METRES, jnp.float32),
        identity=jnp.asarray(identity[:, used] * _METRES, jnp.float32),
        expression=jnp.asarray(expression[:, used] * _METRES, jnp.float32),
        faces=jnp.asarray(faces),
        uv=jnp.asarray(uv, jnp.float32),
        uv_faces=jnp.asarray(uv_faces, jnp.int32),
        face_part=jnp.asarray(part, jnp.int32),
        landmark_vertices=jnp.asarray(faces[on_face][found]),
        landmark_bary=jnp.asarray(bary, jnp.float32),
        landmark_spread=reference.landmark_spread,
        quads=jnp.asarray(pair_triangles(faces)),
        expression_names=tuple(_arkit_name(name) for name in names),
        name="ICT-FaceKit",
        licence=LICENCE,
    )


def _eye_center(mean: np.ndarray, part: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Middle (3,) between the eyeballs, or where they would be in the smaller model."""
    eyes = (part == PARTS.index("eye_left")) | (part == PARTS.index("eye_right"))
    if eyes.any():
        return mean[np.unique(faces[eyes])].mean(axis=0)
    nose = mean[np.argmax(mean[:, 2])]  # 4 cm above and 5 cm behind the tip of the nose.
    return np.array([0.0, nose[1] + 4.0, nose[2] - 5.0])


def _arkit_name(name: str) -> str:
    """ARKit's spelling of a name such as mouthSmile_L."""
    for ending, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(ending):
            return name.removesuffix(ending) + side
    return name


def _map_eyes(points, faces, part, uv, uv_faces) -> tuple[np.ndarray, np.ndarray]:
    """Gives the eyeballs UVs of their own: one per vertex, see `embedded.eye_uv`."""
    uv_faces = uv_faces.copy()
    for name in ("eye_left", "eye_right"):
        on_eye = part == PARTS.index(name)
        if on_eye.any():
            eyeball, local = np.unique(faces[on_eye], return_inverse=True)
            ball = points[eyeball]
            uv_faces[on_eye] = len(uv) + local.reshape(-1, 3)
            uv = np.concatenate([uv, eye_uv(ball - (ball.max(0) + ball.min(0)) / 2)])
    return uv, uv_faces


def _untile(uv: np.ndarray, uv_faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moves every triangle's UVs into [0, 1]^2, v down; a UV used in two tiles is doubled."""
    tile = np.floor(uv[uv_faces].mean(axis=1, keepdims=True)).astype(np.int64)
    tile = np.broadcast_to(tile, (*uv_faces.shape, 2)).reshape(-1, 2)
    keys = np.concatenate([uv_faces.reshape(-1, 1), tile], axis=1)
    unique, inverse = np.unique(keys, axis=0, return_inverse=True)
    local = uv[unique[:, 0]] - unique[:, 1:]
    return np.stack([local[:, 0], 1 - local[:, 1]], axis=-1), inverse.reshape(uv_faces.shape)

"""Other people's fitting programs behind the interface of ours.

eos (Huber et al., "A multiresolution 3D morphable face model and fitting framework", VISAPP
2016; pip install eos-py) fits an orthographic camera, identity and blend shapes to landmarks
by alternating linear solves, and the contour by closest edges. It is given our face model and
all our landmarks, so that what differs is the method.
"""

import importlib
import json
import pathlib
import tempfile
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from relightify_jax.core import facemesh
from relightify_jax.core.errors import InputError
from relightify_jax.evaluation.fitting_metrics import Outcome
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.topology import build_topology

_MILLIMETRES = 1e3  # The unit that eos's default weights are made for.
_FAR = 200.0  # Metres from which a perspective camera is as good as orthographic.
# Landmarks cannot tell them from noise, and eos has no prior on blend shapes.
_UNSEEN = ("eyelook", "tongue", "mouthclose")
_CHIN = 152


class EosFitter:
    """eos with one face model; call it with a photo and landmarks."""

    def __init__(self, model: MorphableModel, num_iterations: int = 5):
        """Converts the model.

        Args:
            model: Any face model; its 468 landmarks become vertices.
            num_iterations: Alternations; 5 is the default of eos.

        Raises:
            InputError: If eos is not installed.
        """
        self._eos = _import_eos()
        self._num_vertices = model.mean.shape[0]
        self._num_iterations = num_iterations
        chosen = [
            i for i, name in enumerate(model.expression_names)
            if not name.lower().startswith(_UNSEEN)
        ]  # fmt: skip
        self._mean = _with_landmarks(model, np.asarray(model.mean)[None])[0]
        modes = _with_landmarks(model, np.asarray(model.identity))
        self._expression = _with_landmarks(model, np.asarray(model.expression)[chosen])
        self._basis, self._deviation, _ = np.linalg.svd(
            modes.reshape(len(modes), -1).T.astype(np.float64), full_matrices=False
        )
        names = np.asarray(model.expression_names)[chosen]
        is_skin = np.asarray(model.face_part) < PARTS.index("eye_left")
        faces = np.asarray(model.faces)[is_skin]
        self._model = self._convert(faces, names)
        with tempfile.TemporaryDirectory() as folder:
            self._contour = self._read_contour(pathlib.Path(folder))
        topology = build_topology(faces)
        # Counted from 1; the edges of the mesh's boundary have a 0 in front.
        pairs = np.sort(topology.edge_faces[:, :2], axis=1) + 1
        self._edges = self._eos.morphablemodel.EdgeTopology(
            pairs.tolist(), (topology.edges + 1).tolist()
        )

    def __call__(self, photo: np.ndarray, points: np.ndarray) -> Outcome:
        """Fits to landmarks (468, 2) of a photo (H, W, 3), of which only the size is used."""
        eos, fitting = self._eos, self._eos.fitting
        height, width = photo.shape[:2]
        named = [
            eos.core.Landmark(str(i), np.asarray(point, np.float32))
            for i, point in enumerate(points[:, :2])
        ]
        mesh, parameters, shape, blend = fitting.fit_shape_and_pose(
            self._model, named, *self._contour[:1], width, height, self._edges,
            *self._contour[1:], num_iterations=self._num_iterations,
        )  # fmt: skip
        del mesh
        identity = self._basis @ (self._deviation * shape[: len(self._deviation)])
        neutral = self._mean + identity.reshape(-1, 3)
        posed = neutral + np.einsum("e,evc->vc", blend, self._expression)
        affine = np.asarray(fitting.get_3x4_affine_camera_matrix(parameters, width, height))
        camera = camera_from_affine(affine[:2] * [*(_MILLIMETRES,) * 3, 1.0])
        count = self._num_vertices
        return Outcome(
            posed[:count].astype(np.float32), neutral[:count].astype(np.float32), camera, False
        )

    def _convert(self, faces: np.ndarray, names: np.ndarray) -> Any:
        """The model as eos's: orthonormal modes and their variances, in millimetres."""
        parts = self._eos.morphablemodel
        shape = parts.PcaModel(
            (_MILLIMETRES * self._mean).reshape(-1).astype(np.float32),
            self._basis.astype(np.float32),
            ((_MILLIMETRES * self._deviation) ** 2).astype(np.float32),
            faces.tolist(),
        )
        blend_shapes = [
            parts.Blendshape(str(name), (_MILLIMETRES * mode).reshape(-1).astype(np.float32))
            for name, mode in zip(names, self._expression, strict=True)
        ]
        return parts.MorphableModel(shape, blend_shapes, parts.PcaModel())

    def _read_contour(self, folder: pathlib.Path) -> tuple[Any, Any, Any]:
        """Landmark mapper, contour landmarks and contour of the model; eos takes files only.

        The outline of the face is matched by nearness, the rest one to one.
        """
        ring = facemesh.FACE_OVAL
        chin = ring.index(_CHIN)
        left, right = ring[1:chin], ring[chin + 1 :]  # The subject's; landmark 10 is the top.
        outline = {*left, *right}
        first = self._num_vertices
        mappings = "".join(
            f'{i} = "{first + i}"\n' for i in range(facemesh.NUM_LANDMARKS) if i not in outline
        )
        sides = "".join(
            f"{name} = {json.dumps([str(i) for i in side])}\n"
            for name, side in (("right", right), ("left", left))
        )
        (folder / "landmarks.txt").write_text(
            f"[landmark_mappings]\n{mappings}\n[contour_landmarks]\n{sides}", encoding="utf-8"
        )
        contour = {
            "right_contour": [first + i for i in right], "left_contour": [first + i for i in left]
        }  # fmt: skip
        (folder / "contour.json").write_text(json.dumps({"value0": contour}), encoding="utf-8")
        path = str(folder / "landmarks.txt")
        return (
            self._eos.core.LandmarkMapper(path),
            self._eos.fitting.ContourLandmarks.load(path),
            self._eos.fitting.ModelContour.load(str(folder / "contour.json")),
        )


def camera_from_affine(affine: np.ndarray) -> Camera:
    """The camera far away that projects like an affine one.

    Args:
        affine: (2, 4) model space in metres to pixels, y down; the nearest scaled rotation
            is taken.
    """
    left, singular, right = np.linalg.svd(affine[:, :3] * [[1.0], [-1.0]], full_matrices=False)
    rows, scale = left @ right, float(singular.mean())
    rotation = np.vstack([rows, np.cross(rows[0], rows[1])])
    return Camera(
        jnp.float32(scale * _FAR),
        jnp.asarray(affine[:, 3], jnp.float32),
        jnp.asarray(Rotation.from_matrix(rotation).as_rotvec(), jnp.float32),
        jnp.array([0.0, 0.0, -_FAR]),
    )


def _with_landmarks(model: MorphableModel, fields: np.ndarray) -> np.ndarray:
    """Appends the landmarks to fields on vertices: (N, V, 3) to (N, V + 468, 3)."""
    corners = fields[:, np.asarray(model.landmark_vertices)]
    on_marks = (corners * np.asarray(model.landmark_bary)[..., None]).sum(axis=2)
    return np.concatenate([fields, on_marks], axis=1)


def _import_eos() -> Any:
    try:
        return importlib.import_module("eos")
    except ImportError:
        raise InputError(
            "The method eos takes the package eos-py; pip install eos-py, or leave it out of "
            "config.methods."
        ) from None

"""What every reader of a laboratory's face model returns, and the checks of every file.

A `RawFaceModel` has the laboratory's own vertices and modes in this project's space and
units; it has neither the canonical UV layout nor the landmarks.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.color import linear_from_srgb
from relightify_jax.core.errors import InputError

_HEIGHT = (0.1, 0.6)  # Metres: from a mask of the face to a head with its neck.
# Metres, root mean square over the vertices of a random head's distance from the mean.
# Scans vary by 5 to 15 mm; a basis whose scale is misread is far outside.
_SPREAD = (0.0005, 0.05)


class Origin(NamedTuple):
    """Where a model comes from; every error names it."""

    file: str  # The file expected.
    url: str
    licence: str
    unit: str  # Of the file's coordinates.

    def error(self, path: str | os.PathLike[str], problem: str) -> InputError:
        """The error of a file that cannot be used: `problem` continues "PATH ..."."""
        return InputError(
            f"{path} {problem}; needed is {self.file} from {self.url} (licence: {self.licence})."
        )


class Colour(NamedTuple):
    """A linear model of the colour of each vertex, linear RGB."""

    mean: np.ndarray  # (V, 3) float32.
    basis: np.ndarray  # (V, 3, A) float32; coefficients are ~N(0, 1).


class Joints(NamedTuple):
    """The joints of a head, parents before children; see `articulate.articulate`.

    Their places follow the shape: positions + position_identity @ identity coefficients
    + position_expression @ expression coefficients.
    """

    names: tuple[str, ...]  # J names; "jaw" and "neck" as such, eyes are eye_left, eye_right.
    parents: tuple[int, ...]  # J indices, -1 for the root.
    positions: np.ndarray  # (J, 3) float32, metres, of the mean.
    position_identity: np.ndarray  # (J, 3, K) float32, metres.
    position_expression: np.ndarray  # (J, 3, E) float32, metres.
    weights: np.ndarray  # (V, J) float32, rows sum to one.
    correctives: np.ndarray  # (V, 3, 9 J) float32, metres per entry of R - 1, row by row.


class RawFaceModel(NamedTuple):
    """A face model as its laboratory made it: host NumPy, metres, +Y up, the face along +Z.

    points + identity @ a + expression @ b, where a and b are ~N(0, 1), are the vertices of
    a head in the rest pose. V vertices, F triangles, K and E coefficients, A of colour.
    """

    points: np.ndarray  # (V, 3) float32.
    identity: np.ndarray  # (V, 3, K) float32.
    expression: np.ndarray  # (V, 3, E) float32; E may be 0.
    triangles: np.ndarray  # (F, 3) int32, counter-clockwise seen from outside.
    colour: Colour | None
    joints: Joints | None
    identity_names: tuple[str, ...]
    expression_names: tuple[str, ...]
    name: str
    licence: str
    source: str  # URL.


def require_keys(
    path: str | os.PathLike[str], origin: Origin, found: Iterable[str], needed: Iterable[str]
) -> None:
    """Refuses a file that lacks entries.

    Raises:
        InputError: Naming what is missing.
    """
    missing = sorted(set(needed) - set(found))
    if missing:
        raise origin.error(path, f"lacks {', '.join(missing)}")


def require_shapes(
    path: str | os.PathLike[str],
    origin: Origin,
    arrays: Mapping[str, Any],
    shapes: Mapping[str, tuple[int | None, ...]],
) -> None:
    """Refuses arrays of other shapes, of no numbers, or with NaN.

    Args:
        path: The file.
        origin: Of the file.
        arrays: The file's entries; not all of them have to be in `shapes`.
        shapes: Wanted shape by name; None stands for any length above zero.

    Raises:
        InputError: Naming the first array that is wrong.
    """
    for name, shape in shapes.items():
        array = np.asarray(arrays[name])
        fits = array.ndim == len(shape) and all(
            have == want if want is not None else have > 0
            for have, want in zip(array.shape, shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise origin.error(path, f"has {name} of shape {array.shape} instead of ({wanted})")
        if array.dtype.kind not in "fiu":
            raise origin.error(path, f"has {name} of type {array.dtype} instead of numbers")
        if not np.isfinite(array).all():
            raise origin.error(path, f"holds NaN or infinity in {name}")


def colour_from_srgb(mean: np.ndarray, basis: np.ndarray) -> Colour:
    """A colour model whose values are encoded as sRGB, as one in linear RGB.

    The mean is exact; the basis is the curve's slope at the mean, times the encoded one.

    Args:
        mean: (V, 3) sRGB, clipped to [0, 1].
        basis: (V, 3, A) sRGB for coefficients ~N(0, 1).
    """
    mean = np.clip(np.asarray(mean, np.float32), 0.0, 1.0)
    # Derivative of `core.color.linear_from_srgb`.
    slope = np.where(mean <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((mean + 0.055) / 1.055) ** 1.4)
    return Colour(
        np.asarray(linear_from_srgb(jnp.asarray(mean)), np.float32),
        (np.asarray(basis, np.float32) * slope[..., None].astype(np.float32)),
    )


def check_model(path: str | os.PathLike[str], origin: Origin, model: RawFaceModel) -> RawFaceModel:
    """Refuses a model whose units, indices, winding or joints cannot be right.

    Returns:
        The model with arrays of float32 and int32.

    Raises:
        InputError: Naming what is wrong, in what unit the file should be, and its origin.
    """
    points, triangles = model.points, model.triangles
    if int(triangles.min()) < 0 or int(triangles.max()) >= len(points):
        raise origin.error(
            path,
            f"has triangles of vertices {triangles.min()} to {triangles.max()} "
            f"where there are {len(points)} vertices",
        )
    height = float(np.ptp(points[:, 1]))
    if not _HEIGHT[0] <= height <= _HEIGHT[1]:
        raise origin.error(
            path,
            f"is not in {origin.unit} with +Y up, as it should be: read so, the head is "
            f"{height:.3g} m high",
        )
    spread = float(np.sqrt(np.square(model.identity, dtype=np.float64).sum() / len(points)))
    if not _SPREAD[0] <= spread <= _SPREAD[1]:
        raise origin.error(
            path,
            f"has identity modes that are not in {origin.unit}: read so, heads differ from "
            f"the mean by {1000 * spread:.3g} mm",
        )
    if signed_volume(points, triangles) <= 0:
        raise origin.error(path, "has triangles whose normals point into the head")
    if model.joints is not None:
        _check_joints(path, origin, model.joints)

    colour, joints = model.colour, model.joints
    return model._replace(
        points=_float32(points),
        identity=_float32(model.identity),
        expression=_float32(model.expression),
        triangles=np.ascontiguousarray(triangles, np.int32),
        colour=None if colour is None else Colour(*(_float32(array) for array in colour)),
        joints=None if joints is None else _normalized(joints),
    )


def signed_volume(points: np.ndarray, triangles: np.ndarray) -> float:
    """Volume that a mesh encloses: positive where normals point out.

    Holes, such as the rim of a mask, are closed toward the middle of all rims; the volume
    is the flux of (x - middle) / 3 through the triangles.

    Args:
        points: (V, 3).
        triangles: (F, 3) integers.
    """
    triangles = np.asarray(triangles, np.int64)
    edges = np.concatenate([triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    edges.sort(axis=1)
    keys, count = np.unique(edges[:, 0] * len(points) + edges[:, 1], return_counts=True)
    rim = keys[count == 1]
    rim_vertices = np.unique(np.concatenate([rim // len(points), rim % len(points)]))
    middle = points[rim_vertices if len(rim_vertices) else triangles.ravel()].mean(axis=0)
    a, b, c = np.moveaxis((points - middle).astype(np.float64)[triangles], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def _float32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def _normalized(joints: Joints) -> Joints:
    """Arrays of float32 and weights that sum to one, so that the rest pose is exact."""
    weights = joints.weights / joints.weights.sum(axis=1, keepdims=True)
    arrays = (_float32(array) for array in joints._replace(weights=weights)[2:])
    return Joints(joints.names, joints.parents, *arrays)


def _check_joints(path: str | os.PathLike[str], origin: Origin, joints: Joints) -> None:
    """Whether joints form one tree and the weights are weights."""
    if joints.parents[0] != -1 or any(
        not 0 <= parent < child for child, parent in enumerate(joints.parents) if child
    ):
        raise origin.error(path, f"has joints that are no tree: their parents are {joints.parents}")
    if joints.weights.min() < -1e-3 or not np.allclose(joints.weights.sum(1), 1, atol=1e-2):
        raise origin.error(path, "has skinning weights that do not sum to one at every vertex")

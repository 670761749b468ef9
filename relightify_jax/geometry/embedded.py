"""The face model that is shipped with the package, rebuilt by data_pipeline.build_face_model.

The file holds a coarse quad mesh with quantised modes; one Catmull-Clark step at load
makes it smooth. The shapes are from MakeHuman (CC0 1.0).

Space: metres, +Y up, the face looks along +Z, +X is the subject's left. The origin is the
middle between the centres of the eyeballs of the mean.

Eyes: each eyeball's tile is Lambert's azimuthal map of the sphere around the gaze (+Z, 3
degrees down), seen from the front: the point at angle a from the gaze lies at radius
0.5 sin(a / 2) / sin(60 deg) from the tile's middle (0.5, 0.5), +X to +u, +Y to -v.
`EYE_IRIS_RADIUS` is the radius of the iris in the tile; the sphere ends near 112 degrees,
inside the tile's inscribed circle.

Expressions are named as ARKit's 52 blend shapes. "mouthClose" is a corrective of "jawOpen",
as in ARKit: its coefficient must not exceed that of jawOpen.
"""

import functools
import importlib.resources
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.files import read_npz
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.geometry.subdivision import (
    apply,
    subdivide_bilinear,
    subdivide_catmull_clark,
    triangulate,
)

EYE_IRIS_RADIUS = 0.113  # Of the tile's side: 22.5 degrees from the gaze, 5.9 mm.
EYE_PUPIL_RADIUS = 0.04  # 2.1 mm.
EYE_TILE_ANGLE = np.deg2rad(120.0)  # From the gaze to the tile's inscribed circle.

LICENCE = "CC0 1.0 (MakeHuman); UV layout after ICT-FaceKit (MIT)"


def eye_uv(offsets: np.ndarray) -> np.ndarray:
    """Texture coordinates in the eye tile, see the module's docstring.

    Args:
        offsets: (N, 3) from the eyeball's centre in any unit, the gaze along +Z.

    Returns:
        (N, 2), v down; what lies behind the tile's circle is put onto it.
    """
    direction = offsets / np.maximum(np.linalg.norm(offsets, axis=1, keepdims=True), 1e-12)
    # sin(a / 2) of the angle a to the gaze, without the cancellation of acos.
    half_sine = np.sqrt(np.clip((1 - direction[:, 2]) / 2, 0, 1))
    across = np.maximum(np.hypot(direction[:, 0], direction[:, 1]), 1e-12)
    radius = np.minimum(0.5 * half_sine / np.sin(EYE_TILE_ANGLE / 2), 0.5)
    return 0.5 + (radius / across)[:, None] * direction[:, :2] * [1, -1]


class QuadPoints(NamedTuple):
    """N points on quads: (s, t) is (0, 0), (1, 0), (1, 1), (0, 1) at corners 0 to 3."""

    quad: np.ndarray  # (N,) int.
    st: np.ndarray  # (N, 2).


def subdivide_points(points: QuadPoints) -> QuadPoints:
    """The same points on the quads of one step of `geometry.subdivision`."""
    s, t = points.st.T
    corner = np.select([(s < 0.5) & (t < 0.5), t < 0.5, s >= 0.5], [0, 1, 2], 3)
    towards_s = np.choose(corner, [s, t, 1 - s, 1 - t])
    towards_t = np.choose(corner, [t, 1 - s, 1 - t, s])
    return QuadPoints(4 * points.quad + corner, 2 * np.stack([towards_s, towards_t], axis=-1))


def points_on_triangles(points: QuadPoints, quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corner vertices (N, 3) and barycentric coordinates (N, 3) of points on split quads."""
    s, t = points.st.T
    is_first = (s >= t)[:, None]
    corners = quads[points.quad]
    vertices = np.where(is_first, corners[:, [0, 1, 2]], corners[:, [0, 2, 3]])
    first = np.stack([1 - s, s - t, t], axis=-1)
    second = np.stack([1 - t, s, t - s], axis=-1)
    return vertices, np.where(is_first, first, second)


def load_guides() -> np.ndarray:
    """Where the landmark network sees its points on plain pictures of heads.

    Photographs show brows and lips, on which the network's points lie elsewhere; the
    model's own landmarks are those of photographs.

    Returns:
        (468, 2) in the canonical UV layout, v down.
    """
    return _read_asset()["guide_uv"].astype(np.float64)


@functools.lru_cache(maxsize=4)
def load_embedded_model(subdivide: int = 1) -> MorphableModel:
    """Loads the shipped face model; repeated calls return the same object.

    Args:
        subdivide: Catmull-Clark steps. 0 gives the control mesh of about 5,000 vertices,
            1 the model that the rest of the library is tuned for (about 20,000).
    """
    return model_from_control_mesh(_read_asset(), subdivide)


def _read_asset() -> dict[str, np.ndarray]:
    resource = importlib.resources.files("relightify_jax") / "assets" / "face_model.npz"
    with importlib.resources.as_file(resource) as path:
        return read_npz(path, "the embedded face model")


def model_from_control_mesh(arrays: dict[str, np.ndarray], subdivide: int) -> MorphableModel:
    """Builds the model from the asset's arrays; see `data_pipeline.build_face_model`."""
    modes = [
        arrays[name].astype(np.float32) * arrays[f"{name}_scale"][:, None, None]
        for name in ("identity", "expression")
    ]
    shapes = np.concatenate([arrays["mean"][None], *modes]).astype(np.float32)
    quads = arrays["quads"].astype(np.int32)
    uv = arrays["uv"].astype(np.float32)
    uv_quads = arrays["uv_quads"].astype(np.int32)
    quad_part = arrays["quad_part"].astype(np.int32)
    points = QuadPoints(arrays["landmark_quad"].astype(np.int32), arrays["landmark_st"])
    for _ in range(subdivide):
        step = subdivide_catmull_clark(quads, shapes.shape[1])
        uv_step = subdivide_bilinear(uv_quads, len(uv))
        shapes, quads = apply(step.weights, shapes), step.quads
        uv, uv_quads = apply(uv_step.weights, uv), uv_step.quads
        quad_part = np.repeat(quad_part, 4)
        points = subdivide_points(points)
    landmark_vertices, landmark_bary = points_on_triangles(points, quads)
    num_identity = len(modes[0])
    return MorphableModel(
        mean=jnp.asarray(shapes[0]),
        identity=jnp.asarray(shapes[1 : 1 + num_identity]),
        expression=jnp.asarray(shapes[1 + num_identity :]),
        faces=jnp.asarray(triangulate(quads), jnp.int32),
        uv=jnp.asarray(uv),
        uv_faces=jnp.asarray(triangulate(uv_quads), jnp.int32),
        face_part=jnp.asarray(np.repeat(quad_part, 2), jnp.int32),
        landmark_vertices=jnp.asarray(landmark_vertices, jnp.int32),
        landmark_bary=jnp.asarray(landmark_bary, jnp.float32),
        landmark_spread=jnp.asarray(arrays["landmark_spread"], jnp.float32),
        quads=jnp.asarray(quads, jnp.int32),
        expression_names=tuple(str(name) for name in arrays["expression_names"]),
        name="embedded",
        licence=LICENCE,
    )

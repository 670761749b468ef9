"""A small morphable model of formulas, and photographs rendered from it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.numerics import normalize
from relightify_jax.fitting import appearance as looks
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.prepared import PreparedModel, prepare_model
from relightify_jax.geometry.camera import Camera, camera_position, project
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import MorphableModel, landmarks, vertices
from relightify_jax.rendering.interpolate import compute_fragments, interpolate
from relightify_jax.rendering.rasterize import rasterize

SIDE = 28  # Vertices per side of the grid.


class Portrait(NamedTuple):
    """A rendered photograph and everything that made it."""

    image: np.ndarray  # (H, W, 3).
    pixels: np.ndarray  # (468, 2) true landmarks.
    camera: Camera
    identity: jax.Array
    expression: jax.Array
    points: jax.Array


def _surface(a, b):
    """Half an ellipsoid with a nose, a and b in [-1, 1]: (..., 3) metres."""
    nose = 0.025 * np.exp(-((a / 0.18) ** 2) - (b / 0.3) ** 2)
    z = 0.09 * np.cos(1.2 * a) * np.cos(1.1 * b) + nose
    return np.stack([0.08 * np.sin(1.2 * a), 0.11 * np.sin(1.1 * b), z], axis=-1)


def _grid_faces():
    corner = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b = corner[:-1, :-1].ravel(), corner[:-1, 1:].ravel()
    c, d = corner[1:, 1:].ravel(), corner[1:, :-1].ravel()
    # Rows run down, columns to +X: counter-clockwise seen from +Z.
    quads = np.stack([a, d, c, b], axis=-1)
    return quads, quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


@pytest.fixture(scope="session")
def tiny_model() -> MorphableModel:
    rng = np.random.default_rng(7)
    axis = np.linspace(-1, 1, SIDE)
    a, b = (x.ravel() for x in np.meshgrid(axis, axis[::-1]))
    mean = _surface(a, b)
    waves = rng.uniform(1, 4, (10, 2)), rng.uniform(0, 6, 10), rng.normal(size=(10, 3))
    modes = np.stack(
        [np.cos(a * w[0] + b * w[1] + p)[:, None] * d for w, p, d in zip(*waves, strict=True)]
    )
    quads, faces = _grid_faces()
    triangle = rng.integers(len(faces), size=468)
    bary = rng.dirichlet([1, 1, 1], 468)
    for index, x in ((33, -0.5), (263, 0.5)):  # The ruler of errors must have a length.
        center = _surface(np.array(x), np.array(0.2))
        triangle[index] = np.argmin(np.linalg.norm(mean[faces].mean(1) - center, axis=-1))
    uv = np.stack([(a + 1) / 2, (1 - b) / 2], axis=-1) * 0.96 + 0.02
    return MorphableModel(
        mean=jnp.asarray(mean, jnp.float32),
        identity=jnp.asarray(0.002 * modes[:6], jnp.float32),
        expression=jnp.asarray(0.006 * modes[6:], jnp.float32),
        faces=jnp.asarray(faces, jnp.int32),
        uv=jnp.asarray(uv, jnp.float32),
        uv_faces=jnp.asarray(faces, jnp.int32),
        face_part=jnp.zeros(len(faces), jnp.int32),
        landmark_vertices=jnp.asarray(faces[triangle], jnp.int32),
        landmark_bary=jnp.asarray(bary, jnp.float32),
        landmark_spread=jnp.full(468, 1e-3),
        quads=quads,
        expression_names=("jawOpen", "mouthSmile", "browUp", "eyeLookUp"),
        name="tiny",
        licence="",
    )


@pytest.fixture(scope="session")
def tiny_config() -> FitConfig:
    return FitConfig(
        num_albedo_modes=0,
        num_identity=6,
        num_expression=4,
        crop_size=128,
        num_pixels=600,
        photometric_steps=4,
    )


@pytest.fixture(scope="session")
def tiny_prepared(tiny_model, tiny_config) -> PreparedModel:
    return prepare_model(tiny_model, tiny_config)


@pytest.fixture(scope="session")
def take_portrait(tiny_model, tiny_prepared):
    """(rotation, distance, seed) -> `Portrait` of 160 pixels under the usual light."""

    def take(rotation=(0.0, 0.2, 0.0), distance=0.8, seed=0) -> Portrait:
        rng = np.random.default_rng(seed)
        identity = jnp.asarray(rng.normal(size=6), jnp.float32)
        expression = jnp.asarray([*rng.uniform(0, 0.8, 3), 0.0], jnp.float32)
        points = vertices(tiny_model, identity, expression)
        focal = 110 / 0.2 * distance
        camera = Camera(
            jnp.float32(focal),
            jnp.array([80.0, 80.0]),
            jnp.asarray(rotation, jnp.float32),
            jnp.array([0.01, -0.005, -distance], jnp.float32),
        )
        image = _render(points, tiny_model.faces, tiny_prepared.skin.fields, camera)
        pixels, _ = project(camera, landmarks(tiny_model, points))
        return Portrait(np.asarray(image), np.asarray(pixels), camera, identity, expression, points)

    return take


@jax.jit
def _render(points, faces, fields, camera, size=160):
    xy, depth = project(camera, points)
    visibility = rasterize(xy, depth, faces, height=160, width=160)
    fragments = compute_fragments(xy, depth, faces, visibility)
    place = interpolate(points, faces, fragments)
    color = looks.render_color(
        looks.initial_appearance(jnp.array([0.45, 0.3, 0.22])),
        looks.plain_skin_fields(interpolate(fields, faces, fragments)),
        normalize(interpolate(vertex_normals(points, faces), faces, fragments)),
        normalize(camera_position(camera) - place),
    )
    return jnp.where(fragments.mask[..., None], color, 0.1)

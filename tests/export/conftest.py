"""A small head to export: a ball whose front is the face, with eyes and a mouth inside."""

import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.uv_layout import UVMaps
from relightify_jax.export.head import dress_head
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.geometry.uv_atlas import build_uv_atlas

UV_SIZE = 64


def ball(center, radius, rings, segments):
    """Vertices, quads and UVs (v down) of a sphere cut open along a meridian at the back."""
    polar = np.linspace(0.05, np.pi - 0.05, rings + 1)
    turn = np.linspace(-np.pi, np.pi, segments + 1)
    polar, turn = np.meshgrid(polar, turn, indexing="ij")
    unit = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], -1)
    uv = np.stack([turn / (2 * np.pi) + 0.5, polar / np.pi], -1)
    grid = np.arange((rings + 1) * (segments + 1)).reshape(rings + 1, segments + 1)
    quads = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], -1)
    vertex = grid.copy()
    vertex[:, -1] = vertex[:, 0]  # The meridian is one line in space and two in UV.
    points = center + radius * unit.reshape(-1, 3)
    return points, vertex.ravel()[quads.reshape(-1, 4)], uv.reshape(-1, 2), quads.reshape(-1, 4)


def triangulate(quads):
    return quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


@pytest.fixture(scope="session")
def small_model():
    skin, eye_left, eye_right, mouth = (
        ball(np.array([0.0, 0.0, 0.0]), 0.1, 16, 24),
        ball(np.array([0.03, 0.03, 0.09]), 0.012, 6, 8),
        ball(np.array([-0.03, 0.03, 0.09]), 0.012, 6, 8),
        ball(np.array([0.0, -0.03, 0.08]), 0.01, 6, 8),
    )
    points, quads, uv, uv_quads = skin
    in_front = points[quads].mean(1)[:, 2] > 0
    # Each of the two halves of the skin fills its own tile.
    part_uv = [
        np.clip((uv - [0.25, 0]) * [2, 1], 0, 1),
        np.stack([(uv[:, 0] + 0.5) % 1, uv[:, 1]], -1),
    ]
    pieces = [(quads[in_front], part_uv[0], uv_quads[in_front]),
              (quads[~in_front], part_uv[1], uv_quads[~in_front])]  # fmt: skip
    all_points = [points]
    for other_points, other_quads, other_uv, other_uv_quads in (eye_left, eye_right, mouth):
        pieces.append((other_quads + sum(map(len, all_points)), other_uv, other_uv_quads))
        all_points.append(other_points)
    mean = np.concatenate(all_points).astype(np.float32)
    starts = np.cumsum([0] + [len(piece[1]) for piece in pieces])
    quads = np.concatenate([piece[0] for piece in pieces]).astype(np.int32)
    uv_quads = np.concatenate(
        [piece[2] + start for piece, start in zip(pieces, starts, strict=False)]
    ).astype(np.int32)
    part = np.repeat(np.arange(5), [2 * len(piece[0]) for piece in pieces]).astype(np.int32)
    return MorphableModel(
        mean=jnp.asarray(mean),
        identity=jnp.zeros((1, *mean.shape)),
        expression=jnp.zeros((1, *mean.shape)),
        faces=jnp.asarray(triangulate(quads)),
        uv=jnp.asarray(np.concatenate([piece[1] for piece in pieces]), jnp.float32),
        uv_faces=jnp.asarray(triangulate(uv_quads)),
        face_part=jnp.asarray(part),
        landmark_vertices=jnp.zeros((468, 3), jnp.int32),
        landmark_bary=jnp.full((468, 3), 1 / 3),
        landmark_spread=jnp.ones(468),
        quads=quads,
        expression_names=("none",),
        name="ball",
        licence="CC0",
    )


@pytest.fixture(scope="session")
def face_atlas(small_model):
    is_face = np.asarray(small_model.face_part) == 0
    return build_uv_atlas(small_model.uv, np.asarray(small_model.uv_faces)[is_face], UV_SIZE)


@pytest.fixture(scope="session")
def small_maps(small_model):
    """Maps with detail, and normals of the ball itself."""
    rng = np.random.default_rng(0)
    v, u = (np.mgrid[:UV_SIZE, :UV_SIZE] + 0.5) / UV_SIZE
    turn, polar = (u - 0.5) * np.pi, v * np.pi
    normals = np.stack(
        [np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], -1
    )
    albedo = np.array([0.5, 0.3, 0.2]) * (1 + 0.3 * np.sin(9 * u + 5 * v))[..., None]
    albedo = albedo * rng.uniform(0.9, 1.1, albedo.shape)
    specular = rng.uniform(0.2, 0.5, (UV_SIZE, UV_SIZE, 1))
    return UVMaps(albedo, albedo, normals, specular)


@pytest.fixture(scope="session")
def small_head(small_model, small_maps, face_atlas):
    points = np.asarray(small_model.mean)
    occlusion = np.linspace(0.5, 1.0, len(points))
    return dress_head(
        small_model, points, points, small_maps, face_atlas, occlusion=occlusion, head_size=64
    )

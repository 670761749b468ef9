"""Antialiased masks of spheres and heads in motion, against supersampled coverage."""

import functools

import jax
import numpy as np
import pytest

from relightify_jax.geometry.topology import build_topology
from relightify_jax.rendering.antialias import antialias
from relightify_jax.rendering.interpolate import compute_fragments
from relightify_jax.rendering.rasterize import rasterize

SAMPLES = 8


def icosphere(levels):
    """Points (V, 3) of the unit sphere and 20 * 4^levels triangles."""
    golden = (1 + 5**0.5) / 2
    pairs = np.array([[s, t * golden] for s in (-1, 1) for t in (-1, 1)])
    zero = np.zeros((4, 1))
    points = np.concatenate([np.roll(np.hstack([zero, pairs]), k, axis=1) for k in range(3)])
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    near = np.abs(distance - 2) < 1e-6
    i, j, k = np.nonzero(near[:, :, None] & near[:, None] & near[None])
    faces = np.stack([i, j, k], axis=1)[(i < j) & (j < k)]
    corners = points[faces]
    inward = np.linalg.det(corners) < 0
    faces[inward] = faces[inward][:, ::-1]
    for _ in range(levels):
        topology = build_topology(faces)
        middle = np.full((len(faces), 3), -1)
        for column in range(2):
            face, off = topology.edge_faces[:, column], topology.opposite[:, column]
            corner = np.argmax(faces[face] == off[:, None], axis=1)
            middle[face, corner] = len(points) + np.arange(len(face))
        points = np.concatenate([points, points[topology.edges].mean(axis=1)])
        (a, b, c), (bc, ca, ab) = faces.T, middle.T
        split = [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
        faces = np.concatenate([np.stack(part, axis=1) for part in split])
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    return points, faces.astype(np.int32)


def look_at(points, size, yaw=0.3):
    """Pixels (V, 2) and depth (V,) from 3 heights away; 70 % of the image is filled."""
    c, s = np.cos(yaw), np.sin(yaw)
    middle = (points.min(0) + points.max(0)) / 2
    turned = (points - middle) @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    turned = turned / np.ptp(turned[:, 1])
    depth = 3.0 - turned[:, 2]
    xy = turned[:, :2] * [1, -1] / depth[:, None] * 2.1 * size + size / 2
    return xy.astype(np.float32), depth.astype(np.float32)


@functools.partial(jax.jit, static_argnames=("size", "cull", "clip"))
def draw_mask(xy, depth, faces, topology, size, cull="none", clip=False):
    visibility = rasterize(xy, depth, faces, height=size, width=size, cull=cull, clip=clip)
    fragments = compute_fragments(xy, depth, faces, visibility)
    mask = fragments.mask[..., None].astype(xy.dtype)
    return antialias(mask, fragments, xy, depth, topology, cull=cull, clip=clip)[..., 0]


def draw_samples(xy, depth, faces, size, cull="none"):
    fine = size * SAMPLES
    scaled = xy * SAMPLES
    visibility = rasterize(
        scaled, depth, faces, height=fine, width=fine, patch=8, cull=cull, clip=False
    )
    face = visibility.face
    return (face >= 0).reshape(size, SAMPLES, size, SAMPLES).mean((1, 3))


def turn(xy, pivot, angle):
    c, s = np.cos(angle), np.sin(angle)
    return ((xy - pivot) @ np.array([[c, s], [-s, c]]) + pivot).astype(np.float32)


def check_mask_and_its_motion(points, faces, size, cull="none"):
    """Value and derivative of the antialiased mask against the truth, within 3 %."""
    xy, depth = look_at(points, size)
    topology = build_topology(faces)
    move = jax.jit(
        lambda xy, tangent, depth, faces, topology: jax.jvp(
            lambda xy: draw_mask(xy, depth, faces, topology, size, cull), (xy,), (tangent,)
        )
    )
    sample = jax.jit(lambda xy, depth, faces: draw_samples(xy, depth, faces, size, cull))
    truth = np.asarray(sample(xy, depth, faces))
    area = truth.sum()
    pivot = np.float32([0.25 * size, 0.6 * size])
    around = np.stack([pivot[1] - xy[:, 1], xy[:, 0] - pivot[0]], axis=1)

    mask, scaled = move(xy, xy - pivot, depth, faces, topology)
    assert 0 <= np.min(mask) and np.max(mask) <= 1
    boundary = (truth > 0) & (truth < 1)
    assert np.abs(mask - truth)[boundary].mean() < 0.05
    assert np.sum(mask) == pytest.approx(area, rel=1e-3)
    assert np.sum(scaled) == pytest.approx(2 * area, rel=0.03)
    ramp = np.broadcast_to(np.arange(size) + 0.5 - size / 2, (size, size))
    for axis, weight in enumerate((ramp, ramp.T)):
        along = np.zeros_like(xy)
        along[:, axis] = 1
        shifted = move(xy, along, depth, faces, topology)[1]
        assert np.sum(shifted * weight) == pytest.approx(area, rel=0.03)

    # A shorter step measures the grain of the samples.
    step = 3 / size
    ahead, behind = (sample(turn(xy, pivot, a), depth, faces) for a in (step, -step))
    expected = (np.asarray(ahead) - np.asarray(behind)) / (2 * step)
    turned = np.asarray(move(xy, around, depth, faces, topology)[1])
    waves = jax.random.normal(jax.random.key(0), (16, 8, 8))
    weights = np.asarray(jax.image.resize(waves, (16, size, size), "cubic"))
    got, expected = (np.einsum("khw,hw->k", weights, image) for image in (turned, expected))
    assert np.linalg.norm(got - expected) < 0.03 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    "levels, size",
    [(1, 128), (3, 128)] + [pytest.param(n, 256, marks=pytest.mark.slow) for n in (1, 3, 5)],
)
def test_sphere_moves_as_it_should(levels, size):
    """Down to triangles narrower than a pixel at the silhouette."""
    check_mask_and_its_motion(*icosphere(levels), size)


SIZES = [128, *(pytest.param(size, marks=pytest.mark.slow) for size in (256, 512))]


@pytest.mark.parametrize("size", SIZES)
def test_embedded_head_moves_as_it_should(embedded_model, size):
    check_mask_and_its_motion(
        np.asarray(embedded_model.mean), np.asarray(embedded_model.faces), size
    )


@pytest.mark.slow
@pytest.mark.parametrize("cull", ["none", "back"])
@pytest.mark.parametrize("size", SIZES)
def test_head_moves_as_it_should(shared_assets, size, cull):
    head = np.load(shared_assets / "ict/ict_face_model_q.npz")
    points = head["mean"].astype(np.float32)
    check_mask_and_its_motion(points, head["faces"].astype(np.int32), size, cull)

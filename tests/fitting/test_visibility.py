"""What the z-buffer calls visible is what rays reach."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.fitting.visibility import visible_texels
from relightify_jax.geometry.camera import (
    Camera,
    camera_position,
    project,
    scale_image,
    shift_image,
)
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.ict import load_ict_npz
from relightify_jax.geometry.uv_atlas import build_uv_atlas, sample_atlas

see = jax.jit(visible_texels, static_argnames=("image_size", "buffer_size"))


def face_atlas(model, size):
    on_face = np.asarray(model.face_part) == 0
    return build_uv_atlas(np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], size)


def look_at(points, yaw, size):
    """A camera a metre away whose square image the points fill."""
    rotation = jnp.array([0.0, np.radians(yaw), 0.0], jnp.float32)
    camera = Camera(jnp.float32(1.0), jnp.zeros(2), rotation, jnp.array([0.0, 0.0, -1.0]))
    pixels, _ = project(camera, points)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    side = 1.04 * (high - low).max()
    return scale_image(shift_image(camera, -(low + high - side) / 2), size / side)


def reaches(points, faces, origins, target):
    """(N,) bool: nothing lies between origins (N, 3) and the target; Moller-Trumbore 1997."""
    corner = points[faces]
    edges = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]

    def one(origin):
        ray = target - origin
        across = np.cross(ray, edges[1])
        scale = np.einsum("fc,fc->f", edges[0], across)
        inverse = 1 / np.where(np.abs(scale) < 1e-18, np.inf, scale)
        offset = origin - corner[:, 0]
        u = np.einsum("fc,fc->f", offset, across) * inverse
        second = np.cross(offset, edges[0])
        v = second @ ray * inverse
        distance = np.einsum("fc,fc->f", edges[1], second) * inverse
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 2e-5) & (distance < 1)
        return not hit.any()

    return np.array([one(origin) for origin in origins])


def cast_rays(model, atlas, camera, texels):
    """Truth (N,) for texels (N, 2) row column: facing the camera and not hidden."""
    points, faces = np.asarray(model.mean, np.float64), np.asarray(model.faces)
    place = np.asarray(sample_atlas(atlas, model.faces, model.mean), np.float64)[tuple(texels.T)]
    eye = np.asarray(camera_position(camera), np.float64)
    corner = points[faces[np.asarray(atlas.face)[tuple(texels.T)]]]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    facing = np.einsum("nc,nc->n", normal, eye - place) > 0
    return facing & reaches(points, faces, place, eye)


def embree(model, atlas, camera, texels):
    """As `cast_rays`, of any number of texels."""
    trimesh = pytest.importorskip("trimesh")
    pytest.importorskip("embreex")
    mesh = trimesh.Trimesh(np.asarray(model.mean), np.asarray(model.faces), process=False)
    caster = trimesh.ray.ray_pyembree.RayMeshIntersector(mesh, scale_to_box=False)
    place = np.asarray(sample_atlas(atlas, model.faces, model.mean), np.float64)[tuple(texels.T)]
    ray = np.asarray(camera_position(camera), np.float64) - place
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    facing = (mesh.face_normals[np.asarray(atlas.face)[tuple(texels.T)]] * ray).sum(-1) > 0
    return facing & ~caster.intersects_any(place + 2e-5 * ray, ray)


def precision_and_recall(model, yaw, photo_size, truth, texels_per_side, limit=None):
    atlas = face_atlas(model, texels_per_side)
    texels = np.argwhere(np.asarray(atlas.inside))
    if limit is not None:
        texels = np.random.default_rng(0).permutation(texels)[:limit]
    on_face = np.unique(np.asarray(model.faces)[np.asarray(model.face_part) == 0])
    camera = look_at(model.mean[on_face], yaw, photo_size)
    seen = see(camera, model.mean, model.faces, atlas, image_size=photo_size,
               buffer_size=2 * photo_size)  # fmt: skip
    seen, true = np.asarray(seen)[tuple(texels.T)], truth(model, atlas, camera, texels)
    assert 0.3 < true.mean() < 0.95
    both = (seen & true).sum()
    return both / seen.sum(), both / true.sum()


@pytest.mark.parametrize("yaw", [0, 45])
def test_visibility_is_that_of_ray_casting(yaw):
    model = load_embedded_model(0)
    precision, recall = precision_and_recall(model, yaw, 256, cast_rays, 128, limit=1500)
    assert precision > 0.985 and recall > 0.985


@pytest.mark.slow
@pytest.mark.parametrize("yaw", [0, 30, 60])
@pytest.mark.parametrize("name", ["embedded", "ict"])
def test_visibility_is_that_of_ray_casting_on_whole_heads(request, name, yaw):
    if name == "embedded":
        model = load_embedded_model()
    else:
        assets = request.getfixturevalue("shared_assets")
        model = load_ict_npz(assets / "ict" / "ict_face_model_full_q.npz")
    measure = functools.partial(precision_and_recall, model, yaw)
    for photo_size in (256, 512, 1024):
        precision, recall = measure(photo_size, embree, 256)
        print(f"{name} yaw {yaw} photo {photo_size}: {precision:.4f} {recall:.4f}")
        assert precision > 0.99 and recall > 0.99

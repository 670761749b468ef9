"""Colours of the rest of the head."""

import numpy as np
import pytest

from relightify_jax.export.head_texture import (
    border_distance,
    extend_vertex_colors,
    feather,
    mottle,
    resolved,
    vertex_averages,
)
from relightify_jax.geometry.morphable_model import PARTS


def strip(length):
    """A strip of triangles: vertices 2 i and 2 i + 1 at x = i."""
    i = 2 * np.arange(length - 1)[:, None]
    faces = np.concatenate([i + [0, 2, 1], i + [1, 2, 3]])
    points = np.stack([np.repeat(np.arange(length), 2), np.tile([0, 1], length)], -1)
    return faces, np.concatenate([points, np.zeros((2 * length, 1))], -1).astype(float)


def test_known_colors_stay_and_others_lie_between_them():
    faces, _ = strip(30)
    rng = np.random.default_rng(0)
    known = np.arange(60) < 20
    colors = rng.uniform(size=(60, 3))
    extended = extend_vertex_colors(faces, known, colors)
    np.testing.assert_array_equal(extended[known], colors[known])
    assert (extended >= colors[known].min(0) - 1e-12).all()
    assert (extended <= colors[known].max(0) + 1e-12).all()


def test_one_color_everywhere_stays_that_color():
    faces, _ = strip(10)
    extended = extend_vertex_colors(faces, np.arange(20) < 4, np.full((20, 2), 0.3))
    np.testing.assert_allclose(extended, 0.3, atol=1e-12)


def test_the_border_is_continued_and_forgotten_at_a_distance():
    faces, _ = strip(80)
    known = np.arange(160) < 60
    colors = np.full((160, 1), 0.5)
    colors[56:60] = 0.9  # A stain at the border; the median is 0.5.
    values = extend_vertex_colors(faces, known, colors, reach=6.0)[60::2, 0]
    assert values[0] > 0.8
    assert (np.diff(values) < 1e-9).all()
    assert abs(values[-1] - 0.5) < 0.01


def test_a_vertex_without_triangles_gets_the_median():
    faces, _ = strip(5)
    extended = extend_vertex_colors(faces, np.arange(12) < 4, np.full((12, 1), 0.7))
    np.testing.assert_allclose(extended, 0.7)


def test_extension_without_known_colors_is_refused():
    with pytest.raises(ValueError, match="no vertex is known"):
        extend_vertex_colors(strip(4)[0], np.zeros(8, bool), np.zeros((8, 3)))


def test_border_distance_on_a_strip_is_the_number_of_steps():
    faces, points = strip(12)
    distance = border_distance(faces, points, np.array([0, 1]), limit=7.5)
    np.testing.assert_allclose(distance[::2], np.minimum(np.arange(12), 7.5))


def test_vertex_averages_of_a_ramp_are_its_values_at_the_vertices(small_model, face_atlas):
    is_face = np.asarray(small_model.face_part) == 0
    faces, uv_faces = np.asarray(small_model.faces)[is_face], np.asarray(small_model.uv_faces)
    size = face_atlas.face.shape[0]
    u = np.broadcast_to((np.arange(size) + 0.5) / size, (size, size))[..., None]
    averages, known = vertex_averages(face_atlas, faces, u, len(small_model.mean))
    uv = np.zeros((len(averages), 2))
    uv[faces] = np.asarray(small_model.uv)[uv_faces[is_face]]
    middle = known & (np.abs(uv[:, 0] - 0.5) < 0.35)
    assert middle.sum() > 50
    np.testing.assert_allclose(averages[middle, 0], uv[middle, 0], atol=0.02)


def test_face_and_head_have_one_color_along_their_border(small_head, small_model):
    face, head = small_head.parts[:2]
    shared = np.intersect1d(face.vertex, head.vertex)
    looked_up = []
    for part in (face, head):
        look = small_head.materials[part.name]
        picture = np.concatenate([look.base_color, look.specular], -1)
        uv = np.stack([part.uv[part.vertex == vertex][0] for vertex in shared])
        x, y = np.clip((uv * picture.shape[0]).astype(int), 0, picture.shape[0] - 1).T
        looked_up.append(picture[y, x])
    albedo = small_head.materials["face"].base_color
    assert albedo.std() > 0.05  # The face itself varies a lot.
    np.testing.assert_allclose(looked_up[0], looked_up[1], atol=0.03)


def test_normals_are_flat_at_the_border(small_head):
    face, head = small_head.parts[:2]
    shared = np.isin(face.vertex, head.vertex)
    normals = small_head.materials["face"].normals
    x, y = np.clip((face.uv[shared] * normals.shape[0]).astype(int), 0, normals.shape[0] - 1).T
    assert normals[y, x, 2].min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)


def test_feather_ends_at_either_image():
    image, smooth = np.ones((1, 2, 3)), np.zeros((1, 2, 3))
    blended = feather(image, smooth, np.array([[0.0, 1.0]]))
    np.testing.assert_array_equal(blended[0, :, 0], [0, 1])


def test_mottle_is_smooth_bounded_and_of_its_cell_size():
    points = np.linspace([0, 0, 0], [1, 0.3, 0], 20001)
    noise = mottle(points, cell=0.05, seed=0)
    assert np.abs(noise).max() <= 1 and noise.std() > 0.1
    assert np.abs(np.diff(noise)).max() < 0.01
    assert np.abs(noise[:1000] - noise[1000:2000]).max() > 0.2  # 5 cm further it is another.


def test_features_finer_than_the_map_are_left_out():
    points = np.stack(
        [*np.meshgrid(np.arange(8) * 1e-3, np.arange(8) * 4e-3), np.zeros((8, 8))], -1
    )
    np.testing.assert_allclose(resolved(points, cell=0.02), 1.0)
    np.testing.assert_allclose(resolved(points, cell=0.003), 0.0)


def test_every_part_has_a_material_and_an_occlusion(small_head):
    assert tuple(part.name for part in small_head.parts) == PARTS
    for part in small_head.parts:
        occlusion = small_head.materials[part.name].occlusion
        assert occlusion.shape[-1] == 1
        assert 0.45 < occlusion.min() <= occlusion.max() <= 1.001

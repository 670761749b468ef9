"""The UV atlas: coverage, barycentrics, gutter and overlap check."""

import jax
import numpy as np
import pytest

from relightify_jax.geometry.uv_atlas import build_uv_atlas, covered_texels, sample_atlas

# A square chart over the middle half of the tile, as two triangles.
UV = np.float32([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])
FACES = np.int32([[0, 2, 1], [0, 3, 2]])


def jittered_grid(num, seed=0):
    """A grid of quads over the whole tile with moved inner vertices, without folds."""
    line = np.linspace(0, 1, num + 1)
    uv = np.stack(np.meshgrid(line, line), -1)
    uv[1:-1, 1:-1] += np.random.default_rng(seed).uniform(-0.3, 0.3, (num - 1, num - 1, 2)) / num
    corner = (np.arange(num)[:, None] * (num + 1) + np.arange(num)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, num + 1, 1], corner + [1, num + 1, num + 2]])
    return uv.reshape(-1, 2).astype(np.float32), faces.astype(np.int32)


def test_grid_covers_every_texel_without_overlap():
    uv, faces = jittered_grid(13)
    atlas = build_uv_atlas(uv, faces, 64, gutter=0, max_overlap=0.0)
    assert np.asarray(atlas.inside).all()
    np.testing.assert_allclose(np.sum(atlas.bary, -1), 1.0, atol=1e-6)
    assert np.min(atlas.bary) >= 0


def test_atlas_interpolates_uv_back_to_texel_centres():
    uv, faces = jittered_grid(9)
    atlas = build_uv_atlas(uv, faces, 32)
    y, x = np.meshgrid((np.arange(32) + 0.5) / 32, (np.arange(32) + 0.5) / 32, indexing="ij")
    sampled = jax.jit(sample_atlas)(atlas, faces, uv)
    np.testing.assert_allclose(sampled, np.stack([x, y], -1), atol=1e-3)


def test_gutter_repeats_the_nearest_texel_and_ends():
    atlas = build_uv_atlas(UV, FACES, 32, gutter=3)
    face, inside = np.asarray(atlas.face), np.asarray(atlas.inside)
    assert inside.sum() == 16 * 16 and inside[8:24, 8:24].all()
    assert (
        (face[5:27, 16] >= 0).all() and (face[:5, 16] == -1).all() and (face[27:, 16] == -1).all()
    )
    np.testing.assert_array_equal(atlas.bary[16, 5], atlas.bary[16, 8])
    np.testing.assert_array_equal(np.asarray(atlas.bary)[face < 0], 0.0)
    np.testing.assert_allclose(np.asarray(atlas.bary)[face >= 0].sum(-1), 1.0, atol=1e-6)


def test_junk_attributes_stay_outside():
    """Triangle 0 stands in for "none" in the gather; its values must not leak."""
    atlas = build_uv_atlas(UV, FACES, 16, gutter=0, first_face=1)
    faces = np.concatenate([[[4, 4, 4]], FACES])
    attributes = np.concatenate([np.ones((4, 2)), np.full((1, 2), np.nan)]).astype(np.float32)
    sampled = np.asarray(sample_atlas(atlas, faces, attributes))
    np.testing.assert_allclose(sampled, np.asarray(atlas.inside)[..., None] * np.ones(2), atol=1e-6)


def test_overlapping_charts_are_refused_and_tolerated_on_request():
    faces = np.concatenate([FACES, FACES[:1]])
    with pytest.raises(ValueError, match="several UV triangles"):
        build_uv_atlas(UV, faces, 32)
    atlas = build_uv_atlas(UV, faces, 32, max_overlap=0.6)
    assert np.max(atlas.face) == 1  # The first of the overlapping triangles counts.


def test_empty_layout_is_refused():
    with pytest.raises(ValueError, match="no texel"):
        build_uv_atlas(UV + 3, FACES, 32)


def test_orientation_of_uv_triangles_does_not_matter():
    forward = build_uv_atlas(UV, FACES, 32)
    backward = build_uv_atlas(UV, FACES[:, ::-1], 32)
    np.testing.assert_array_equal(forward.face, backward.face)
    np.testing.assert_allclose(forward.bary, backward.bary[..., ::-1], atol=1e-6)


def test_covered_texels_are_those_of_the_atlas():
    uv, faces = np.array([[0, 0], [1, 0], [1, 1], [0, 0.5]]), np.array([[0, 1, 2], [0, 2, 3]])
    triangle, texel = covered_texels(uv, faces, 8)
    inside = np.zeros(64, bool)
    inside[texel] = True
    atlas = build_uv_atlas(uv, faces, 8)
    np.testing.assert_array_equal(inside.reshape(8, 8), atlas.inside)
    np.testing.assert_array_equal(np.asarray(atlas.face).ravel()[texel], triangle)

"""Pictures of a dressed head, and the head read back from its GLB."""

import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import UVMaps
from relightify_jax.export.glb import write_glb
from relightify_jax.export.glb_reader import read_glb
from relightify_jax.export.head import dress_head
from relightify_jax.export.views import Studio, head_assets, light_from_sh, portrait_camera
from relightify_jax.geometry.camera import project
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.geometry.uv_atlas import build_uv_atlas, sample_atlas
from relightify_jax.rendering.lighting import named_lights, uniform_sh
from relightify_jax.rendering.renderer import head_mesh

SIZE = 64


@pytest.fixture(scope="module")
def dressed(embedded_model):
    model = embedded_model
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    atlas = build_uv_atlas(np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], SIZE)
    normals = sample_atlas(atlas, model.faces, vertex_normals(model.mean, model.faces))
    maps = UVMaps(
        texture=np.full((SIZE, SIZE, 3), 0.3),
        diffuse_albedo=np.full((SIZE, SIZE, 3), 0.3),
        normals=np.asarray(normals),
        specular_albedo=np.full((SIZE, SIZE, 1), 0.35),
    )
    return dress_head(model, np.asarray(model.mean), np.asarray(model.mean), maps, atlas)


@pytest.fixture(scope="module")
def studio(embedded_model, dressed):
    occlusion = jnp.ones(len(embedded_model.mean))
    return Studio(head_mesh(embedded_model), head_assets(dressed), embedded_model.mean, occlusion)


@pytest.mark.parametrize("yaw", [0.0, 0.7, -1.2])
def test_the_portrait_camera_sees_the_whole_head(embedded_model, yaw):
    pixels, depth = project(portrait_camera(embedded_model.mean, SIZE, yaw), embedded_model.mean)
    assert float(depth.min()) > 0
    assert float(pixels.min()) >= 0 and float(pixels.max()) <= SIZE


def test_twice_the_light_is_twice_as_bright(studio):
    camera = portrait_camera(studio.points, SIZE)
    pictures = [
        studio.render(camera, light_from_sh(uniform_sh([level] * 3), 3), SIZE, SIZE, (0, 0, 0))
        for level in (0.4, 0.8)
    ]
    assert pictures[0][..., :3].max() > 0.05
    np.testing.assert_allclose(2 * pictures[0][..., :3], pictures[1][..., :3], atol=1e-4)


def test_a_glb_read_back_renders_like_the_head_it_was_written_from(studio, dressed, tmp_path):
    write_glb(tmp_path / "head.glb", dressed.parts, dressed.materials)
    stored = read_glb(tmp_path / "head.glb")
    again = Studio(
        stored.mesh, stored.assets, jnp.asarray(stored.points), jnp.ones(len(stored.points))
    )
    light = named_lights()["flat"]
    camera = portrait_camera(studio.points, SIZE)
    pictures = [s.render(camera, light, SIZE, SIZE) for s in (studio, again)]
    # 8-bit textures; silhouettes of parts may differ by single pixels.
    assert np.mean(np.abs(pictures[0] - pictures[1]) > 0.02) < 0.01


@pytest.mark.parametrize("content", [None, b"not a glb", b"glTF" + bytes(60)])
def test_a_file_that_is_no_head_is_named(tmp_path, content):
    path = tmp_path / "head.glb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="head.glb"):
        read_glb(path)

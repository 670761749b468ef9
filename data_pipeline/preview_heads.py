"""Faces of a data set as heads in studio light: what people judge best."""

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np

from data_pipeline.encoding import FaceRecord
from relightify_jax.core.uv_layout import UVMaps
from relightify_jax.export.head import dress_head
from relightify_jax.export.views import PORTRAIT_YAW, Studio, head_assets, portrait_camera
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.geometry.uv_atlas import build_uv_atlas
from relightify_jax.rendering.lighting import named_lights
from relightify_jax.rendering.occlusion import mesh_occlusion
from relightify_jax.rendering.renderer import head_mesh

_LIGHT = "studio"
_CROP = 0.72  # Of the bust's height: the face and little of the shoulders.
_TOP = 0.08  # Of that height left out above.


def render_heads(records: Sequence[FaceRecord], face_model: str, size: int) -> Iterator[np.ndarray]:
    """Yields every face on its own head, (size, size, 3) linear RGB.

    Args:
        records: Decoded, maps (R, R, .), of the face model's canonical layout.
        face_model: See `load_face_model`.
        size: Pixels per side.
    """
    model = load_face_model(face_model)
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    side = records[0].valid.shape[0]
    uv_faces = np.asarray(model.uv_faces)[on_face]
    atlas = build_uv_atlas(np.asarray(model.uv), uv_faces, side, gutter=2)
    mean, identity = np.asarray(model.mean), np.asarray(model.identity)
    # Of the mean head: it differs little, and takes longer than everything else.
    occlusion = mesh_occlusion(jnp.asarray(mean), model.faces)
    light = named_lights()[_LIGHT]
    whole = round(size / _CROP)
    left, top = (whole - size) // 2, round(_TOP * whole)
    for record in records:
        points = (mean + np.einsum("k,kvc->vc", record.identity, identity)).astype(np.float32)
        albedo = record.diffuse_albedo
        maps = UVMaps(albedo, albedo, record.normals, record.specular_albedo)
        head = dress_head(model, points, points, maps, atlas)
        studio = Studio(head_mesh(model), head_assets(head), jnp.asarray(points), occlusion)
        camera = portrait_camera(studio.points, whole, PORTRAIT_YAW)
        picture = studio.render(camera, light, whole, whole)[..., :3]
        yield picture[top : top + size, left : left + size]

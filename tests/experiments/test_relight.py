"""The program that shows a finished head under other light."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import relight
from relightify_jax.core.errors import InputError

HEADER = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 16\n"


def sunny(path):
    """A grey map with a sun to the upper right behind the head."""
    pixels = np.full((8, 16, 4), 128, np.uint8)
    pixels[2, 10] = [200, 180, 150, 138]
    path.write_bytes(HEADER + pixels.tobytes())
    return str(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(head="nowhere"), "nowhere"),
        (dict(lights=["moonlight"]), "moonlight.*studio"),
        (dict(environments=["none.hdr"]), "none.hdr does not exist"),
        (dict(environments=["map.png"]), "neither .hdr nor .exr"),
    ],
)
def test_wrong_options_are_explained_before_anything_is_rendered(tmp_path, options, message):
    values = dict(head=str(tmp_path), out=str(tmp_path / "relit")) | options
    with pytest.raises(InputError, match=message):
        relight.run(relight.Options(**values))
    assert not (tmp_path / "relit").exists()


@pytest.mark.slow
def test_a_head_is_shown_in_an_environment(tmp_path, embedded_model):
    from relightify_jax.core.uv_layout import UVMaps
    from relightify_jax.export.glb import write_glb
    from relightify_jax.export.head import dress_head
    from relightify_jax.geometry.morphable_model import PARTS
    from relightify_jax.geometry.uv_atlas import build_uv_atlas

    model, side = embedded_model, 64
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    atlas = build_uv_atlas(np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], side)
    skin = np.full((side, side, 3), 0.3, np.float32)
    up = np.broadcast_to(np.float32([0, 0, 1]), skin.shape)
    head = dress_head(
        model, np.asarray(model.mean), np.asarray(model.mean),
        UVMaps(texture=skin, diffuse_albedo=skin, normals=up, specular_albedo=skin[..., :1]),
        atlas,
    )  # fmt: skip
    write_glb(tmp_path / "head.glb", head.parts, head.materials)

    pictures = {}
    for turn in (0.0, 180.0):
        out = tmp_path / f"turned_{turn:.0f}"
        options = relight.Options(
            head=str(tmp_path), out=str(out), environments=[sunny(tmp_path / "sunny.hdr")],
            turn=turn, size=64, frames=0, exposure=1.0,
        )  # fmt: skip
        relight.run(options)
        pictures[turn] = np.asarray(Image.open(out / "sunny.png"), float)
        assert json.loads((out / "run.json").read_text())["facts"]["exposures"] == {"sunny": 1.0}
    # The sun is behind the head, or turned round before it.
    middle = np.s_[20:44, 24:40]
    assert pictures[180.0][middle].mean() > 1.2 * pictures[0.0][middle].mean()

"""Everything that all synthetic faces share, as arrays: model, atlas, regions, skins."""

import os
from itertools import islice
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from data_pipeline.synthetic.skins import load_skins, no_skins
from relightify_jax.core.errors import InputError
from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.uv_atlas import UVAtlas, build_uv_atlas, sample_atlas
from relightify_jax.skin.hair_growth import HairGrowth, build_hair_growth
from relightify_jax.skin.regions import Regions, build_regions
from relightify_jax.skin.wrinkle_lines import WrinkleLines, build_wrinkle_lines

_MIN_SIZE = 16


class Scene(NamedTuple):
    """Arguments of `record.sample_face` that do not change between records."""

    mean: jax.Array  # (V, 3) metres.
    identity: jax.Array  # (K, V, 3).
    faces: jax.Array  # (F, 3) int32.
    atlas: UVAtlas  # Of the face part, extended over the whole map.
    outside: jax.Array  # (R, R, 1): 0 on the face, rising to 1 well outside its charts.
    guides: jax.Array  # (C, R, R): regions, growth of hair and lines; see `split_guides`.
    skins: jax.Array  # (N, R, R, 2) deviations of log melanin and log blood.
    along_u: jax.Array  # (R, R, 3) mm per texel to the right on the mean head.
    along_v: jax.Array  # (R, R, 3) mm per texel down.


def build_scene(
    model: MorphableModel, size: int, skins_dir: str | os.PathLike[str] | None = None
) -> Scene:
    """Prepares the scene on the host.

    Args:
        model: A model whose part "face" has the canonical UV layout.
        size: Texels per side R.
        skins_dir: Folder of painted skins in the canonical layout, or None.

    Raises:
        InputError: If `size` is too small or `skins_dir` holds no skins.
    """
    if size < _MIN_SIZE:
        raise InputError(f"Maps of {size} texels are too small; ask for at least {_MIN_SIZE}.")
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    uv_faces, uv = np.asarray(model.uv_faces), np.asarray(model.uv)
    first_face = int(np.argmax(on_face))
    # A gutter wider than the map: every texel belongs to its nearest triangle.
    atlas = build_uv_atlas(uv, uv_faces[on_face], size, gutter=2 * size, first_face=first_face)
    inside = np.asarray(atlas.inside)
    distance = ndimage.distance_transform_edt(~inside) / size
    landmarks = landmark_uv(model)
    guides = [
        *build_regions(landmarks, size),
        *build_hair_growth(landmarks, size),
        *build_wrinkle_lines(landmarks, size),
    ]
    skins = load_skins(skins_dir, size, inside) if skins_dir else no_skins(size)
    positions = sample_atlas(atlas, model.faces, model.mean)
    along_u, along_v = _derivatives(np.asarray(positions) * 1e3, inside)
    return Scene(
        mean=jnp.asarray(model.mean),
        identity=jnp.asarray(model.identity),
        faces=jnp.asarray(model.faces),
        atlas=jax.tree.map(jnp.asarray, atlas),
        outside=jnp.asarray(np.clip(distance / 0.03, 0, 1)[..., None], jnp.float32),
        guides=jnp.asarray(np.stack([np.asarray(image, np.float32) for image in guides])),
        skins=jnp.asarray(skins),
        along_u=jnp.asarray(along_u),
        along_v=jnp.asarray(along_v),
    )


def split_guides(guides: jax.Array) -> tuple[Regions, HairGrowth, WrinkleLines]:
    """Names the maps (C, R, R) of a scene's `guides`."""
    images = iter(guides)
    regions = Regions(*islice(images, len(Regions._fields)))
    growth = HairGrowth(*islice(images, len(HairGrowth._fields)))
    return regions, growth, WrinkleLines(*images)


def _derivatives(positions: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences (R, R, 3) per texel along u and v; one-sided at the border of a chart."""
    weight = inside.astype(np.float64)[..., None]
    out = []
    for axis in (1, 0):
        step = np.diff(positions, axis=axis)
        valid = weight * np.roll(weight, -1, axis)
        valid = np.delete(valid, -1, axis)
        pad_low = [(0, 0)] * 3
        pad_high = [(0, 0)] * 3
        pad_low[axis], pad_high[axis] = (1, 0), (0, 1)
        total = np.pad(step * valid, pad_low) + np.pad(step * valid, pad_high)
        count = np.pad(valid, pad_low) + np.pad(valid, pad_high)
        out.append((total / np.maximum(count, 1)).astype(np.float32))
    return out[0], out[1]

"""Everything that all synthetic faces share, as arrays: model, atlas, regions, visibility."""

import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from data_pipeline.synthetic.skins import load_skins, no_skins
from relightify_jax.core.errors import InputError
from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.uv_atlas import UVAtlas, build_uv_atlas, sample_atlas
from relightify_jax.rendering.occlusion import directional_visibility, fibonacci_directions
from relightify_jax.skin.regions import Regions, build_regions

_MIN_SIZE = 16


class Scene(NamedTuple):
    """Arguments of `record.sample_record` that do not change between records."""

    mean: jax.Array  # (V, 3) metres.
    identity: jax.Array  # (K, V, 3).
    faces: jax.Array  # (F, 3) int32.
    atlas: UVAtlas  # Of the face part, extended over the whole map.
    outside: jax.Array  # (R, R, 1): 0 on the face, rising to 1 well outside its charts.
    regions: jax.Array  # (R, R, C), the fields of `Regions` in order.
    skins: jax.Array  # (N, R, R, 2) deviations of log melanin and log blood.
    visibility: jax.Array  # (V, D) in [0, 1], of the sky on the mean head.
    directions: jax.Array  # (D, 3) unit, about evenly spread.
    along_u: jax.Array  # (R, R, 3) mm per texel to the right on the mean head.
    along_v: jax.Array  # (R, R, 3) mm per texel down.


def build_scene(
    model: MorphableModel,
    visibility: np.ndarray,
    directions: np.ndarray,
    size: int,
    skins_dir: str | os.PathLike[str] | None = None,
) -> Scene:
    """Prepares the scene on the host.

    Args:
        model: A model whose part "face" has the canonical UV layout.
        visibility: (V, D) share of the light from each direction that reaches a vertex.
        directions: (D, 3) unit vectors.
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
    regions = build_regions(landmark_uv(model), size)
    skins = load_skins(skins_dir, size, inside) if skins_dir else no_skins(size)
    positions = sample_atlas(atlas, model.faces, model.mean)
    along_u, along_v = _derivatives(np.asarray(positions) * 1e3, inside)
    return Scene(
        mean=jnp.asarray(model.mean),
        identity=jnp.asarray(model.identity),
        faces=jnp.asarray(model.faces),
        atlas=jax.tree.map(jnp.asarray, atlas),
        outside=jnp.asarray(np.clip(distance / 0.03, 0, 1)[..., None], jnp.float32),
        regions=jnp.asarray(np.stack(regions, -1)),
        skins=jnp.asarray(skins),
        visibility=jnp.asarray(visibility, jnp.float32),
        directions=jnp.asarray(directions, jnp.float32),
        along_u=jnp.asarray(along_u),
        along_v=jnp.asarray(along_v),
    )


def compute_visibility(model: MorphableModel, num_directions: int) -> tuple[np.ndarray, np.ndarray]:
    """How the mean head shadows itself.

    Returns:
        Visibility (V, D) in [0, 1] and the unit directions (D, 3).
    """
    directions = fibonacci_directions(num_directions)
    normals = vertex_normals(model.mean, model.faces)
    seen = directional_visibility(
        model.mean, model.faces, jnp.asarray(directions), model.mean, normals
    )
    return np.asarray(seen).T, np.asarray(directions)


def regions_from_stack(stack: jax.Array) -> Regions:
    """Splits (R, R, C) into `Regions` of (R, R) arrays."""
    return Regions(*jnp.moveaxis(stack, -1, 0))


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

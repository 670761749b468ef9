"""Which triangle, and where in it, lies under every texel of a UV layout.

Built once on the host, exactly: texel corners are integers, coverage is decided in
integers with the top-left rule, so that neighbouring triangles never share a texel and
never leave one out. At run time the atlas turns vertex attributes into maps by gathers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

_SUBTEXEL = 256  # UVs are snapped to 1/256 texel; products stay far inside int64.
_CHUNK = 2_000_000  # Candidate (triangle, texel) pairs tested at once.


class UVAtlas(NamedTuple):
    """Triangle and barycentric coordinates under each texel; R texels per side."""

    face: jax.Array  # (R, R) int32; the nearest triangle inside the gutter, -1 beyond it.
    bary: jax.Array  # (R, R, 3) float32, sums to 1 where face >= 0, else 0.
    inside: jax.Array  # (R, R) bool: the texel's centre is on a triangle (not in the gutter).


def build_uv_atlas(
    uv: np.ndarray,
    uv_faces: np.ndarray,
    size: int,
    gutter: int = 8,
    first_face: int = 0,
    max_overlap: float = 1e-3,
) -> UVAtlas:
    """Rasterizes a UV layout on the host.

    Args:
        uv: (T, 2), u right, v down from the top, the tile [0, 1]^2; outside is cut off.
        uv_faces: (f, 3) int into uv, either orientation.
        size: Texels per side, R.
        gutter: Texels to which the nearest triangle is extended, so that bilinear
            lookups and mipmaps at the border of a chart find sensible values.
        first_face: Added to the triangle indices, for a part that starts there.
        max_overlap: Greatest fraction of the covered texels that may lie on several
            triangles (then the first one counts); folds in lips and eyelids need some.

    Returns:
        The atlas.

    Raises:
        ValueError: If the layout covers no texel or overlaps itself too much.
    """
    corners = np.asarray(uv, np.float64)[np.asarray(uv_faces)] * size
    triangle, texel = _covered_pairs(np.round(corners * _SUBTEXEL).astype(np.int64), size)
    if texel.size == 0:
        raise ValueError("The UV layout covers no texel of [0, 1]^2; are the UVs normalised?")
    face = np.full(size * size, len(corners), np.int64)
    np.minimum.at(face, texel, triangle)
    inside = (face < len(corners)).reshape(size, size)
    overlap = count_overlaps(texel) / inside.sum()
    if overlap > max_overlap:
        raise ValueError(
            f"{overlap:.2%} of the covered texels lie on several UV triangles "
            f"(allowed: {max_overlap:.2%}); give a layout without overlaps."
        )
    face = np.where(inside, face.reshape(size, size), 0)
    bary = _barycentrics(corners, face)

    distance, nearest = ndimage.distance_transform_edt(~inside, return_indices=True)
    valid = distance <= gutter
    face = np.where(valid, face[tuple(nearest)] + first_face, -1)
    bary = np.where(valid[..., None], bary[tuple(nearest)], 0.0)
    return UVAtlas(
        jnp.asarray(face, jnp.int32), jnp.asarray(bary, jnp.float32), jnp.asarray(inside)
    )


def covered_texels(
    uv: np.ndarray, uv_faces: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every pair (triangle, flat texel) with the texel's centre on the triangle.

    Args:
        uv: (T, 2), v down.
        uv_faces: (f, 3) int into uv.
        size: Texels per side.
    """
    corners = np.asarray(uv, np.float64)[np.asarray(uv_faces)] * size
    return _covered_pairs(np.round(corners * _SUBTEXEL).astype(np.int64), size)


def count_overlaps(texels: np.ndarray) -> int:
    """Number of distinct texels that occur more than once in `texels` (n,)."""
    return int((np.bincount(texels) > 1).sum()) if texels.size else 0


def sample_atlas(atlas: UVAtlas, faces: jax.Array, attributes: jax.Array) -> jax.Array:
    """Interpolates vertex attributes to the texels of an atlas; jit-able.

    Args:
        atlas: Arrays of side R.
        faces: (F, 3) int32 into `attributes`, indexed by `atlas.face`.
        attributes: (V, C).

    Returns:
        (R, R, C); zero outside charts and gutter.
    """
    corners = attributes[faces[jnp.maximum(atlas.face, 0)]]
    # Selected, not only multiplied by zero: attributes may hold junk at unused vertices.
    corners = jnp.where((atlas.face >= 0)[..., None, None], corners, 0.0)
    return jnp.sum(corners * atlas.bary[..., None], axis=-2)


def _covered_pairs(corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """All (triangle, flat texel) with the texel's centre on the triangle.

    Args:
        corners: (f, 3, 2) int64, 1/_SUBTEXEL texels.
        size: Texels per side.
    """
    area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    corners = np.where((area < 0)[:, None, None], corners[:, [0, 2, 1]], corners)
    half = _SUBTEXEL // 2
    low = np.clip((corners.min(1) + half - 1) // _SUBTEXEL, 0, size)
    high = np.clip((corners.max(1) - half) // _SUBTEXEL, -1, size - 1)
    extent = np.maximum(high - low + 1, 0)
    count = np.where(area != 0, extent[:, 0] * extent[:, 1], 0)
    ends = np.cumsum(count)
    pairs = [np.zeros((2, 0), np.int64)]
    first = 0
    while first < len(count):
        done = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, done + _CHUNK)), first + 1)
        triangle = np.repeat(np.arange(first, min(last, len(count))), count[first:last])
        local = np.arange(len(triangle)) + done - (ends - count)[triangle]
        x = low[triangle, 0] + local % np.maximum(extent[triangle, 0], 1)
        y = low[triangle, 1] + local // np.maximum(extent[triangle, 0], 1)
        center = np.stack([x, y], -1) * _SUBTEXEL + half
        covered = _contains(corners[triangle], center)
        pairs.append(np.stack([triangle, y * size + x])[:, covered])
        first = last
    return tuple(np.concatenate(pairs, axis=1))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products (...,) of vectors (..., 2)."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _contains(corners: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Whether centres (n, 2) lie on triangles (n, 3, 2) of positive area; top-left rule."""
    covered = np.ones(len(center), bool)
    for k in range(3):
        start = corners[:, (k + 1) % 3]
        edge = corners[:, (k + 2) % 3] - start
        side = _cross(edge, center - start)
        owns_edge = (edge[:, 1] < 0) | ((edge[:, 1] == 0) & (edge[:, 0] > 0))
        covered &= (side > 0) | ((side == 0) & owns_edge)
    return covered


def _barycentrics(corners: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Barycentrics (R, R, 3) of texel centres in triangles `face` (R, R), clipped to them."""
    size = face.shape[0]
    y, x = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5, indexing="ij")
    offset = corners[face] - np.stack([x, y], -1)[..., None, :]
    weight = np.stack([_cross(offset[..., (k + 1) % 3, :], offset[..., (k + 2) % 3, :])
                       for k in range(3)], -1)  # fmt: skip
    total = weight.sum(-1, keepdims=True)
    bary = np.where(np.abs(total) > 1e-12, weight / np.where(total == 0, 1.0, total), 1 / 3)
    bary = np.clip(bary, 0.0, 1.0)  # Snapping may own a centre 1/512 texel outside.
    return bary / bary.sum(-1, keepdims=True)

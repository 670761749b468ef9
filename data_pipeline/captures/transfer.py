"""Texel maps: where in a laboratory's maps every texel of the canonical layout lies."""

import functools
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from data_pipeline.captures.correspondence import Source, Topology, load_topology
from relightify_jax.core.errors import InputError
from relightify_jax.geometry.uv_atlas import build_uv_atlas, covered_texels

_MAX_SIDE = 2048  # Of the texel map; maps of more detail are averaged beforehand.
_MAX_FACTOR = 4
_MAX_OVERLAP = 0.05  # Of the texels may lie on two triangles; lips and lids fold.


class TexelMap(NamedTuple):
    """The surface under each sample; S = R * factor samples per side, R texels."""

    triangle: np.ndarray  # (S, S) int32 into the topology's mesh, -1 where there is none.
    bary: np.ndarray  # (S, S, 3) float32.
    place: np.ndarray  # (S, S, 2) float32, (u, v) in the laboratory's map, v down.
    step: float  # From one sample to the next in that map, of its side, on the average.
    factor: int  # Samples per texel and axis.


class MapShape(NamedTuple):
    """Pixels of a map, and of the whole UV map that it is cut from."""

    height: int
    width: int
    left: int
    top: int
    whole_width: int
    whole_height: int


def map_shape(height: int, width: int, crop: tuple[int, ...] | None) -> MapShape:
    """Shape of a map of some pixels; `crop` as in `Facts`.

    Raises:
        InputError: If the crop is not inside the whole map.
    """
    left, top, whole_width, whole_height = crop or (0, 0, width, height)
    if min(left, top) < 0 or left + width > whole_width or top + height > whole_height:
        raise InputError(
            f"its maps of {width}x{height} pixels at ({left}, {top}) do not fit into the whole "
            f'of {whole_width}x{whole_height}; correct "crop" or the places of the patches.'
        )
    return MapShape(height, width, left, top, whole_width, whole_height)


def sampling_factor(topology: Topology, size: int, shape: MapShape) -> int:
    """Samples per texel and axis that see each pixel of a map about once."""
    scale = _stretch(topology) * np.sqrt(shape.whole_width * shape.whole_height) / size
    return int(np.clip(np.ceil(scale), 1, max(1, min(_MAX_FACTOR, _MAX_SIDE // size))))


@functools.lru_cache(maxsize=2)
def load_texel_map(source: Source, size: int, factor: int) -> TexelMap:
    """Rasterizes the canonical layout of a topology.

    Args:
        source: Of the topology.
        size: Texels per side R.
        factor: Samples per texel and axis.

    Raises:
        InputError: If the canonical coordinates cover nothing or overlap.
    """
    topology = load_topology(source)
    flat = topology.canonical.reshape(-1, 2)
    try:
        atlas = build_uv_atlas(
            flat, np.arange(len(flat)).reshape(-1, 3), size * factor, 0, max_overlap=_MAX_OVERLAP
        )
    except ValueError as error:
        raise InputError(
            f"the mesh has no usable place in the canonical layout ({error}); let only "
            "the face lie in the tile of its canonical UVs, see docs/CAPTURES.md."
        ) from None
    face, bary = np.asarray(atlas.face), np.asarray(atlas.bary)
    # Pixels at the very rim are mixed with what lies beside it.
    inner = ndimage.binary_erosion(face >= 0, border_value=1)
    triangle = np.where(inner, topology.used[face], -1).astype(np.int32)
    bary = np.where(inner[..., None], bary, 0.0)
    corners = topology.mesh.uv[topology.mesh.uv_triangles[triangle]].astype(np.float32)
    place = np.einsum("yxkc,yxk->yxc", corners, bary)
    return TexelMap(triangle, bary, place, _stretch(topology) / (size * factor), factor)


@functools.lru_cache(maxsize=2)
def source_coverage(source: Source, shape: MapShape) -> np.ndarray:
    """Which pixels (H, W) of a map lie on triangles of the face, 0 or 1 float32.

    What lies beside them is padding, often black.
    """
    topology = load_topology(source)
    side = max(shape.whole_width, shape.whole_height)
    scale = np.array([shape.whole_width, shape.whole_height]) / side
    uv_triangles = topology.mesh.uv_triangles[topology.used]
    _, texels = covered_texels(topology.mesh.uv * scale, uv_triangles, side)
    whole = np.zeros((side, side), np.float32)
    whole.reshape(-1)[texels] = 1
    return np.ascontiguousarray(
        whole[shape.top : shape.top + shape.height, shape.left : shape.left + shape.width]
    )


def attributes(texels: TexelMap, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolates values (N, C) of corners `triangles` (F, 3) to samples (S, S, C) float32."""
    corners = values.astype(np.float32)[triangles[texels.triangle]]
    return np.einsum("yxkc,yxk->yxc", corners, texels.bary)


def sample_map(
    texels: TexelMap, values: np.ndarray, weight: np.ndarray, shape: MapShape
) -> tuple[np.ndarray, np.ndarray]:
    """Carries a map to the samples of the canonical layout.

    Bilinear, over pixels of weight only; a map of more pixels than samples is averaged first.

    Args:
        texels: From `load_texel_map`.
        values: (H, W, C).
        weight: (H, W) in [0, 1]; 0 where a pixel says nothing.
        shape: Of the map.

    Returns:
        (S, S, C) and (S, S) float32; zero where there is nothing.
    """
    # Pixels per sample, rounded down but for the last quarter.
    step = max(1, int(texels.step * np.sqrt(shape.whole_width * shape.whole_height) + 0.25))
    pixels = np.concatenate([values * weight[..., None], weight[..., None]], axis=-1)
    pixels = _block_mean(pixels, step)
    place = texels.place * np.array([shape.whole_width, shape.whole_height], np.float32)
    x, y = np.moveaxis((place - np.array([shape.left, shape.top], np.float32)) / step - 0.5, -1, 0)
    height, width = pixels.shape[:2]
    inside = (texels.triangle >= 0) & (x > -0.5) & (y > -0.5) & (x < width - 0.5)
    inside &= y < height - 0.5
    found = np.zeros((*x.shape, pixels.shape[-1]), np.float32)
    at = np.stack([y[inside], x[inside]])
    for channel in range(pixels.shape[-1]):
        found[inside, channel] = ndimage.map_coordinates(
            pixels[..., channel], at, order=1, mode="nearest", prefilter=False
        )
    total = found[..., -1]
    values = found[..., :-1] / np.maximum(total, 1e-6)[..., None]
    return np.where((total > 1e-3)[..., None], values, 0.0), total


def to_texels(values: np.ndarray, weight: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Averages samples (S, S, C) of weight (S, S) to texels (R, R, C) and (R, R)."""
    summed = _block_mean(values * weight[..., None], factor)
    total = _block_mean(weight[..., None], factor)
    return summed / np.maximum(total, 1e-6), total[..., 0]


def _stretch(topology: Topology) -> float:
    """Length in the laboratory's layout over that in ours, on the average."""
    theirs = np.abs(_areas(topology.mesh.uv[topology.mesh.uv_triangles[topology.used]]))
    return float(np.sqrt(theirs.sum() / max(np.abs(_areas(topology.canonical)).sum(), 1e-12)))


def _block_mean(image: np.ndarray, step: int) -> np.ndarray:
    """Means (H / step, W / step, C) over blocks; what does not fill a block is padded."""
    if step == 1:
        return image
    height, width, channels = image.shape
    pad = (-height % step, -width % step)
    image = np.pad(image, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="edge")
    shape = (image.shape[0] // step, step, image.shape[1] // step, step, channels)
    return image.reshape(shape).mean(axis=(1, 3))


def _areas(corners: np.ndarray) -> np.ndarray:
    a, b, c = np.moveaxis(corners, 1, 0)
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]

"""Light that wanders under the skin: a blur of the irradiance in UV space, in millimetres.

Scattering spreads the light of a point into a sum of Gaussians on the skin (d'Eon and
Luebke 2007), and a Gaussian of variance v is heat that has flowed for the time v / 2. The
heat flows between texels that are 1, 2, 4, ... apart, along u and then along v, and every
exchange is as large as the true distance of the two texels asks for. So the blur follows
charts that stretch unevenly, energy is kept to rounding, even light stays as it is, and
nothing crosses the border of a chart.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas


class ScatterProfile(NamedTuple):
    """A radial diffusion profile as a sum of two-dimensional Gaussians."""

    variance: jax.Array | np.ndarray  # (G,) mm^2 along each axis, ascending.
    weight: jax.Array | np.ndarray  # (G, 3) linear RGB; each column sums to 1.


# Eugene d'Eon and David Luebke, "Advanced techniques for realistic real-time skin
# rendering", GPU Gems 3 (2007), chapter 14, figure 14-13.
SKIN_PROFILE = ScatterProfile(
    variance=np.array([0.0064, 0.0484, 0.187, 0.567, 1.99, 7.41], np.float32),
    weight=np.array(
        [
            [0.233, 0.455, 0.649],
            [0.100, 0.336, 0.344],
            [0.118, 0.198, 0.000],
            [0.113, 0.007, 0.007],
            [0.358, 0.004, 0.000],
            [0.078, 0.000, 0.000],
        ],
        np.float32,
    ),
)

# Texels next to a chart that take over its values, for bilinear lookups at its border.
_GUTTER = 4


@jax.jit
def scatter_irradiance(
    irradiance: jax.Array,
    mask: jax.Array,
    millimetres: jax.Array,
    albedo: jax.Array | None = None,
    profile: ScatterProfile = SKIN_PROFILE,
) -> jax.Array:
    """Spreads irradiance under the skin.

    With `albedo`, light is weighted with its square root on its way in (d'Eon and Luebke
    2007, section 14.4) and with what even light has left of that on its way out: darker
    neighbours give less, even light still stays as it is, and `albedo` times the result
    keeps every detail of the albedo, which measured maps show after scattering.

    Args:
        irradiance: (R, R, 3) linear RGB that arrives, without albedo.
        mask: (R, R, 1) 1 = on a chart; light is exchanged between such texels only.
        millimetres: (R, R, 2) per texel along u and v, see `millimetres_per_texel`.
        albedo: (R, R, 3) in [0, 1], or None for skin of one colour.
        profile: Of the skin. Gaussians whose steps in sigma exceed about R / 20 texels
            come out narrower.

    Returns:
        (R, R, 3) scattered irradiance; without `albedo` its sum over the charts, weighted
        with the areas of the texels, is that of `irradiance`. Linear in it. Texels next
        to a chart continue it; others are returned as they came.
    """
    if albedo is None:
        scattered = _diffuse(irradiance, mask, millimetres, profile)
    else:
        entering = jnp.sqrt(jnp.maximum(albedo, 1e-4))
        both = jnp.concatenate([irradiance * entering, entering], axis=-1)
        both = _diffuse(both, mask, millimetres, profile)
        scattered = both[..., :3] / both[..., 3:]
    return _continue_outside(scattered, irradiance, mask)


@jax.jit
def millimetres_per_texel(atlas: UVAtlas, faces: jax.Array, points: jax.Array) -> jax.Array:
    """Size of every texel on the surface: (R, R, 2) millimetres along u and v.

    Distances between neighbouring texels of the charts; zero outside them.

    Args:
        atlas: Of side R.
        faces: (F, 3) int32 into `points`, indexed by `atlas.face`.
        points: (V, 3) metres, of the posed or the rest mesh.
    """
    position = 1e3 * sample_atlas(atlas, faces, points)
    along_u = _neighbour_distance(jnp.moveaxis(position, -1, 0), atlas.inside)
    along_v = _neighbour_distance(jnp.moveaxis(position, -1, 0).mT, atlas.inside.T).T
    size = jnp.stack([along_u, along_v], axis=-1)
    # A texel without neighbours along one axis is taken for square.
    return jnp.where(size > 0, size, size[..., ::-1])


class _Paths(NamedTuple):
    """How light can flow along the last axis of a map, for N strides 1, 2, 4, ..."""

    stride: jax.Array  # (N,) int32 texels.
    area: jax.Array  # (N, R, R) mm^2 that exchange light with what lies ahead; 0 = cut off.
    density: jax.Array  # (N, R, R) texels^2 / mm^2, the mean on the way there.


def _neighbour_distance(position, inside):
    """Mean distance (R, R) of positions (3, R, R) to the neighbours on the last axis."""
    step = _ahead(position, 1) - position
    valid = (inside * _ahead(inside, 1)).astype(jnp.float32)
    length = valid * jnp.sqrt(jnp.sum(step * step, axis=0) + 1e-12)
    return (length + _behind(length, 1)) / jnp.maximum(valid + _behind(valid, 1), 1.0)


def _diffuse(light, mask, millimetres, profile):
    """The sum over the Gaussians of the profile of `light` (R, R, 3 n) blurred with each."""
    # Never zero: a texel without extent would be infinitely far blurred.
    size = jnp.where(mask > 0, jnp.maximum(millimetres, 1e-3), 1.0)
    mask, along_u, along_v = mask[..., 0], size[..., 0], size[..., 1]
    area = mask * along_u * along_v
    num_strides = max(1, round(math.log2(light.shape[0])) - 3)
    across = _find_paths(mask, area, along_u, num_strides)
    down = _find_paths(mask.T, area.T, along_v.T, num_strides)

    @jax.checkpoint
    def add_gaussian(state, inputs):
        light, total = state
        added, weight = inputs
        light = _flow(light, area, across, added)
        light = _flow(light.mT, area.T, down, added).mT
        weight = jnp.tile(weight, light.shape[0] // 3)
        return (light, total + weight[:, None, None] * light), None

    # Channels first: the loops run along rows.
    light = jnp.moveaxis(light, -1, 0)
    variance = jnp.asarray(profile.variance)
    steps = jnp.diff(variance, prepend=0.0), jnp.asarray(profile.weight)
    (_, total), _ = lax.scan(add_gaussian, (light, jnp.zeros_like(light)), steps)
    return jnp.moveaxis(total, 0, -1)


def _find_paths(mask, area, along, num_strides) -> _Paths:
    """Paths along the last axis of maps (R, R); `along` is the size of a texel in mm."""
    areas, densities = [], []
    linked = mask * _ahead(mask, 1)
    place = jnp.cumsum(along, axis=-1) - along / 2
    for k in range(num_strides):
        if k:  # Two paths of half the length, end to end.
            linked = linked * _ahead(linked, 2 ** (k - 1))
        length = jnp.maximum(_ahead(place, 2**k) - place, 1e-3) / 2**k
        areas.append(linked * jnp.minimum(area, _ahead(area, 2**k)))
        densities.append(1 / (length * length))
    stride = 2 ** jnp.arange(num_strides, dtype=jnp.int32)
    return _Paths(stride, jnp.stack(areas), jnp.stack(densities))


def _flow(light, area, paths, variance):
    """Widens `light` (C, R, R) by `variance` mm^2 along the last axis.

    A share s that leaves to either side widens a distribution by the variance
    2 s stride^2 texels^2. Shares of 1/4 at the strides 1, 2, 4, ... make a triangle that
    has no gaps, so each stride gives its 1/4 first, which adds up to (stride^2 - 1) / 6
    below `stride`, and a longer one only what is missing.
    """
    per_area = 1 / jnp.where(area > 0, area, 1.0)
    reach = 2 ** (paths.stride.shape[0] - 1)

    def exchange(light, path):
        squared = (path.stride * path.stride).astype(light.dtype)
        missing = variance * path.density - (squared - 1) / 6

        def give():
            share = jnp.clip(missing / (2 * squared), 0.0, 0.25)
            flow = path.area * share * (_ahead(light, path.stride, reach) - light)
            return light + (flow - _behind(flow, path.stride, reach)) * per_area

        # Narrow Gaussians need the short strides only.
        return lax.cond(jnp.any(missing > 0), give, lambda: light), None

    # A loop, so that each exchange is stored: fused ones recompute all before them.
    return lax.scan(exchange, light, paths)[0]


def _ahead(x, stride, reach=None):
    """What lies `stride` texels further on the last axis; zero past the edge.

    A `stride` that is not known when compiling is at most `reach`.
    """
    reach = stride if reach is None else reach
    padded = jnp.concatenate([x, jnp.zeros_like(x[..., :reach])], axis=-1)
    return lax.dynamic_slice_in_dim(padded, stride, x.shape[-1], axis=-1)


def _behind(x, stride, reach=None):
    reach = stride if reach is None else reach
    padded = jnp.concatenate([jnp.zeros_like(x[..., :reach]), x], axis=-1)
    return lax.dynamic_slice_in_dim(padded, reach - stride, x.shape[-1], axis=-1)


def _continue_outside(scattered, irradiance, mask):
    """Fills `_GUTTER` texels round the charts with the mean of the filled neighbours."""
    filled = jnp.where(mask > 0, 1.0, 0.0)
    # Three colours and the number of filled texels that were added up.
    value = jnp.concatenate([jnp.where(mask > 0, scattered, 0.0), filled], axis=-1)

    def grow(value, _):
        total = jnp.moveaxis(value, -1, 0)
        for _ in range(2):
            total = (total + _ahead(total, 1) + _behind(total, 1)).mT
        total = jnp.moveaxis(total, 0, -1)
        mean = total / jnp.maximum(total[..., 3:], 1.0)
        return jnp.where(value[..., 3:] > 0, value, mean), None

    value, _ = lax.scan(grow, value, None, length=_GUTTER)
    return jnp.where(value[..., 3:] > 0, value[..., :3], irradiance)

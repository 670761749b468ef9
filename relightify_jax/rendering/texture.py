"""Lookups in images and textures: bilinear, or trilinear in a pyramid of mip levels."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# What lies beyond the border: the border itself, the image again, or its mirror image.
Wrap = Literal["clamp", "repeat", "mirror"]


class Packed(NamedTuple):
    """Textures of any sides, one after the other."""

    texels: jax.Array  # (N, C), rows of all textures.
    starts: jax.Array  # (L,) int32, the first row of each.
    heights: jax.Array  # (L,) int32.
    widths: jax.Array  # (L,) int32.


def sample_image(image: jax.Array, xy: jax.Array, *, wrap: Wrap = "clamp") -> jax.Array:
    """Samples an image at pixel coordinates, differentiable in both arguments.

    Args:
        image: (H, W, C).
        xy: (..., 2) x right, y down; the centre of pixel (row 0, column 0) is (0.5, 0.5).
        wrap: What lies beyond the outermost centres.

    Returns:
        (..., C).

    Raises:
        ValueError: If shapes or `wrap` are not as above.
    """
    _check(image, xy, wrap)
    height, width, channels = image.shape
    return _bilinear(image.reshape(-1, channels), 0, height, width, xy, wrap)


def sample_texture(texture: jax.Array, uv: jax.Array, *, wrap: Wrap = "clamp") -> jax.Array:
    """Samples a texture (H, W, C) at uv (..., 2) in [0, 1], v down: (..., C)."""
    height, width = texture.shape[:2]
    return sample_image(texture, uv * jnp.array([width, height], uv.dtype), wrap=wrap)


def pack_textures(textures: tuple[jax.Array, ...]) -> Packed:
    """Packs textures (H, W, C) of one number of channels, for lookups that mix them."""
    sizes = np.array([texture.shape[:2] for texture in textures], np.int32)
    ends = np.cumsum(sizes.prod(axis=1), dtype=np.int32)
    return Packed(
        texels=jnp.concatenate([texture.reshape(-1, texture.shape[-1]) for texture in textures]),
        starts=jnp.asarray(ends - sizes.prod(axis=1)),
        heights=jnp.asarray(sizes[:, 0]),
        widths=jnp.asarray(sizes[:, 1]),
    )


def sample_packed(
    packed: Packed, number: jax.Array, uv: jax.Array, *, wrap: Wrap = "clamp"
) -> jax.Array:
    """Samples texture `number` (...,) int32 at uv (..., 2): four gathers for all of them."""
    starts, heights, widths = (
        table[number] for table in (packed.starts, packed.heights, packed.widths)
    )
    size = jnp.stack([widths, heights], axis=-1).astype(uv.dtype)
    return _bilinear(packed.texels, starts, heights, widths, uv * size, wrap)


def build_mips(texture: jax.Array, num_levels: int | None = None) -> Packed:
    """The texture (H, W, C) and ever coarser ones, by averages over 2 x 2 texels.

    Args:
        texture: Linear values: averages of sRGB are too dark.
        num_levels: Number of levels with the finest; None goes down to one texel.
    """
    levels = [texture]
    while (num_levels is None or len(levels) < num_levels) and max(levels[-1].shape[:2]) > 1:
        levels.append(_halve(_halve(levels[-1], 0), 1))
    return pack_textures(tuple(levels))


def sample_mips(
    mips: Packed, uv: jax.Array, level: jax.Array, *, wrap: Wrap = "clamp"
) -> jax.Array:
    """Trilinear lookup (..., C).

    Args:
        mips: From `build_mips`.
        uv: (..., 2) in [0, 1], v down.
        level: (...,), 0 is the finest; beyond the last it is the last. See `mip_level`.
        wrap: As in `sample_image`.
    """
    level = jnp.clip(level, 0.0, mips.starts.shape[0] - 1.0)
    fine = jnp.floor(level).astype(jnp.int32)
    coarse = jnp.minimum(fine + 1, mips.starts.shape[0] - 1)
    share = (level - fine)[..., None]
    below, above = (sample_packed(mips, number, uv, wrap=wrap) for number in (fine, coarse))
    return below * (1 - share) + above * share


def mip_level(uv_per_pixel: jax.Array, height: int, width: int) -> jax.Array:
    """The level whose texels are as large as a pixel, along the pixel's longer side.

    Args:
        uv_per_pixel: (..., 2, 2), change of u, v (rows) per pixel in x, y (columns), from
            `interpolate.differentiate_attributes`.
        height: Rows of the finest level.
        width: Columns of the finest level.

    Returns:
        (...,); negative where a texel is larger than a pixel.
    """
    texels = uv_per_pixel * jnp.array([[width], [height]], uv_per_pixel.dtype)
    squared = jnp.max(jnp.sum(texels**2, axis=-2), axis=-1)
    return 0.5 * jnp.log2(jnp.maximum(squared, 1e-12))


def _check(image, xy, wrap):
    if image.ndim != 3 or xy.shape[-1:] != (2,):
        raise ValueError(
            f"Expected an image (H, W, C) and points (..., 2), got {image.shape} and {xy.shape}."
        )
    if wrap not in ("clamp", "repeat", "mirror"):
        raise ValueError(f"wrap must be 'clamp', 'repeat' or 'mirror', got {wrap!r}.")


def _bilinear(texels, start, height, width, xy, wrap):
    """Lookup (..., C) in rows `start` to `start + height * width` of texels (N, C)."""
    size = jnp.stack(jnp.broadcast_arrays(jnp.asarray(width), jnp.asarray(height)), axis=-1)
    position = xy - 0.5
    if wrap == "clamp":
        position = jnp.clip(position, 0.0, (size - 1).astype(xy.dtype))
    low = jnp.floor(position)
    right, down = jnp.split(position - low, 2, axis=-1)
    low = low.astype(jnp.int32)

    def texel(step):
        x, y = jnp.unstack(_wrap_index(low + jnp.array(step), size, wrap), axis=-1)
        return texels[start + y * width + x]

    top = texel((0, 0)) * (1 - right) + texel((1, 0)) * right
    bottom = texel((0, 1)) * (1 - right) + texel((1, 1)) * right
    return top * (1 - down) + bottom * down


def _wrap_index(index, size, wrap):
    if wrap == "clamp":
        return jnp.minimum(index, size - 1)
    if wrap == "repeat":
        return index % size
    folded = index % (2 * size)
    return jnp.minimum(folded, 2 * size - 1 - folded)


def _halve(texture, axis):
    """Averages of neighbours along an axis; an odd number of texels n becomes (n + 1) / 2."""
    num = texture.shape[axis]
    if num == 1:
        return texture
    half = (num + 1) // 2
    texels = jnp.moveaxis(texture, axis, 0)
    if num % 2 == 0:
        texels = texels.reshape(half, 2, *texels.shape[1:]).mean(axis=1)
    else:
        shares = overlap_shares(np.arange(num + 1) / num, np.arange(half + 1) / half)
        texels = jnp.tensordot(shares.astype(texels.dtype), texels, axes=1, precision="highest")
    return jnp.moveaxis(texels, 0, axis)


def overlap_shares(edges: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Share (M, N) float32 of each of M target intervals that each of N intervals covers.

    Args:
        edges: (N + 1,) ascending limits of the intervals.
        target: (M + 1,) ascending limits of the target intervals.
    """
    low = np.maximum(edges[None, :-1], target[:-1, None])
    high = np.minimum(edges[None, 1:], target[1:, None])
    return (np.maximum(high - low, 0) / np.diff(target)[:, None]).astype(np.float32)

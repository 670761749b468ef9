"""What JPEG does to a picture, without the file: rounding of block frequencies.

Baseline JPEG as cameras write it (ITU-T T.81): YCbCr with chroma at half the resolution,
blocks of 8 x 8, cosine transform, the quantisation tables of its annex K scaled by the
quality as the Independent JPEG Group's library does. Entropy coding loses nothing and is
left out.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import matmul

_BLOCK = 8
# ITU-T T.81, tables K.1 and K.2.
_LUMINANCE_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
    ], np.float32,
)  # fmt: skip
_CHROMINANCE_TABLE = np.full((_BLOCK, _BLOCK), 99, np.float32)
_CHROMINANCE_TABLE[:4, :4] = [
    [17, 18, 24, 47],
    [18, 21, 26, 66],
    [24, 26, 56, 99],
    [47, 66, 99, 99],
]
# JFIF: full-range YCbCr of ITU-R BT.601.
_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
_RGB = np.linalg.inv(_YCC.astype(np.float64)).astype(np.float32)


def compress(
    image: jax.Array, quality: jax.Array | float, fineness: jax.Array | float = 1.0
) -> jax.Array:
    """A picture after it was saved as JPEG with 4:2:0 chroma and read again.

    Args:
        image: (H, W, 3) sRGB in [0, 1].
        quality: Scalar, 1 to 100, of the Independent JPEG Group's scale.
        fineness: Scalar of 1 or more: how many pixels of the picture that is saved make
            one of `image` along each side; their errors average out.

    Returns:
        (H, W, 3) in [0, 1], of 8 bits where `fineness` is 1.
    """
    height, width = image.shape[:2]
    pad = [(0, -side % (2 * _BLOCK)) for side in (height, width)]
    levels = jnp.pad(jnp.round(255.0 * jnp.clip(image, 0.0, 1.0)), (*pad, (0, 0)), mode="edge")
    planes = jnp.round(jnp.moveaxis(matmul(levels, jnp.asarray(_YCC).T), -1, 0))
    luma = _round_frequencies(planes[:1] - 128.0, _table(_LUMINANCE_TABLE, quality), fineness)
    chroma = jnp.round(_halve(planes[1:]))
    chroma = _round_frequencies(chroma, _table(_CHROMINANCE_TABLE, quality), fineness)
    planes = jnp.concatenate([luma + 128.0, _double(chroma)])
    rgb = matmul(jnp.moveaxis(planes, 0, -1), jnp.asarray(_RGB).T)[:height, :width]
    return jnp.clip(jnp.where(fineness <= 1, jnp.round(rgb), rgb) / 255.0, 0.0, 1.0)


def _table(table: np.ndarray, quality: jax.Array | float) -> jax.Array:
    """Quantisation steps (8, 8) of a quality."""
    quality = jnp.asarray(quality, jnp.float32)
    percent = jnp.where(quality < 50, 5000.0 / quality, 200.0 - 2.0 * quality)
    return jnp.clip(jnp.floor((table * percent + 50.0) / 100.0), 1.0, 255.0)


def _round_frequencies(planes: jax.Array, table: jax.Array, fineness) -> jax.Array:
    """Planes (C, H, W) with the cosine coefficients of their blocks rounded to steps."""
    count, height, width = planes.shape
    blocks = planes.reshape(count, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    cosines, steps = jnp.asarray(_cosines()), table / fineness
    # Along a row, then along a column; the steps are laid out to match.
    blocks = matmul(jnp.swapaxes(matmul(blocks, cosines.T), 2, 4), cosines.T)
    blocks = steps.T[:, None, :] * jnp.round(blocks / steps.T[:, None, :])
    blocks = matmul(jnp.swapaxes(matmul(blocks, cosines), 2, 4), cosines)
    return blocks.reshape(count, height, width)


def _cosines() -> np.ndarray:
    """The orthonormal cosine transform (frequency, place)."""
    place, frequency = np.arange(_BLOCK) + 0.5, np.arange(_BLOCK)[:, None]
    waves = np.cos(math.pi / _BLOCK * frequency * place) * math.sqrt(2 / _BLOCK)
    waves[0] /= math.sqrt(2)
    return waves.astype(np.float32)


def _halve(planes: jax.Array) -> jax.Array:
    """Means (C, H / 2, W / 2) of blocks of 2 x 2."""
    count, height, width = planes.shape
    return planes.reshape(count, height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def _double(planes: jax.Array) -> jax.Array:
    """Twice the resolution by a triangle filter, as decoders interpolate chroma."""
    for axis in (1, 2):
        size = planes.shape[axis]
        index = jnp.arange(size)
        before = jnp.take(planes, jnp.maximum(index - 1, 0), axis)
        after = jnp.take(planes, jnp.minimum(index + 1, size - 1), axis)
        pair = jnp.stack([0.75 * planes + 0.25 * before, 0.75 * planes + 0.25 * after], axis + 1)
        planes = pair.reshape(*planes.shape[:axis], 2 * size, *planes.shape[axis + 1 :])
    return planes

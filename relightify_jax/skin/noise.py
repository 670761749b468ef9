"""Random fields on a square map: band-limited noise, Gaussian blur, round spots, warps.

Everything is built from FFTs and small matrix products, which are fast on CPU and
accelerators alike. What is random does not depend on the size of the map: the same key
gives the same field at every size, with finer detail at larger ones.
"""

import math

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import einsum

# The face is about this wide when its UV tile is rolled out: 1.15 mm per texel at 256.
MILLIMETRES_PER_UV = 295.0
_SAMPLES_PER_WAVELENGTH = 2.6  # Of the lattice that noise is drawn on; 2 is the limit.


def band_noise(key: jax.Array, size: int, bands: tuple[tuple[float, float], ...]) -> jax.Array:
    """Gaussian noise limited to bands of wavelengths, with equal power per octave.

    Args:
        key: Random key, consumed.
        size: Texels per side R.
        bands: Shortest and longest wavelength of each field in millimetres. What is
            shorter than two texels is left out, and the variance falls by as much.

    Returns:
        (R, R, N) zero-mean periodic fields of unit variance when fully resolved.
    """
    # Fields of one band are drawn together: each call adds to the time of compilation.
    fields: dict[int, jax.Array] = {}
    for index, band in enumerate(dict.fromkeys(bands)):
        places = [place for place, other in enumerate(bands) if other == band]
        drawn = _one_band(jax.random.fold_in(key, index), size, len(places), *band)
        fields.update(zip(places, drawn, strict=True))
    return jnp.stack([fields[place] for place in range(len(bands))], -1)


def _one_band(key: jax.Array, size: int, count: int, shortest: float, longest: float) -> jax.Array:
    """Fields (count, R, R), drawn on a lattice just fine enough and interpolated exactly."""
    longest = max(longest, 1.5 * shortest)
    lattice = 2 * math.ceil(_SAMPLES_PER_WAVELENGTH * MILLIMETRES_PER_UV / shortest / 2)
    fx = jnp.fft.rfftfreq(lattice, MILLIMETRES_PER_UV / lattice)[None, :]  # 1 / mm.
    fy = jnp.fft.fftfreq(lattice, MILLIMETRES_PER_UV / lattice)[:, None]
    f = jnp.maximum(jnp.sqrt(fx**2 + fy**2), 1e-6)
    rises = jax.nn.sigmoid(6 * jnp.log(f * longest))
    falls = jax.nn.sigmoid(-6 * jnp.log(f * shortest))
    gain = (rises * falls / f).at[0, 0].set(0.0)
    # The conjugate half of the spectrum counts as well; the first column has none.
    power = 2 * jnp.sum(gain**2) - jnp.sum(gain[:, 0] ** 2)
    gain = gain / jnp.sqrt(power)
    # Uniform numbers do: each value of the field is the sum of hundreds of them.
    white = jax.random.uniform(key, (count * lattice * lattice,), minval=-1.0) * math.sqrt(3)
    spectrum = jnp.fft.rfft2(white.reshape(count, lattice, lattice)) * gain
    half = min(lattice, size) // 2  # Frequencies that both the lattice and the map hold.
    low, high = spectrum[:, :half, :half], spectrum[:, lattice - half + 1 :, :half]
    gap = jnp.zeros((count, size + 1 - 2 * half, half), spectrum.dtype)
    spectrum = jnp.concatenate([low, gap, high], axis=1)
    # Texel centres lie half a texel inside; without this, maps of two sizes are shifted.
    turn = jnp.fft.fftfreq(size)[:, None] + jnp.arange(half)[None, :] / size
    spectrum = spectrum * jnp.exp(1j * jnp.pi * turn)
    return jnp.fft.irfft2(spectrum, s=(size, size)) * (size * size / lattice)


def blur_map(image: jax.Array, sigma: jax.Array | float) -> jax.Array:
    """Gaussian blur of (R, R, C) with standard deviation `sigma` texels; edges renormalise."""
    index = jnp.arange(image.shape[0], dtype=jnp.float32)
    distance = (index[:, None] - index[None, :]) / jnp.maximum(sigma, 1e-3)
    weights = jnp.exp(-0.5 * distance**2)
    weights = weights / jnp.sum(weights, axis=1, keepdims=True)
    return einsum("ij,kl,jlc->ikc", weights, weights, image)


def warp_maps(maps: jax.Array, offset: jax.Array) -> jax.Array:
    """Samples maps (C, R, R) bilinearly at each texel plus `offset` (R, R, 2) (x, y texels)."""
    size = maps.shape[-1]
    axis = jnp.arange(size, dtype=jnp.float32)
    x = jnp.clip(axis + offset[..., 0], 0.0, size - 1.001)
    y = jnp.clip(axis[:, None] + offset[..., 1], 0.0, size - 1.001)
    left, top = jnp.floor(x), jnp.floor(y)
    fx, fy = x - left, y - top
    index = (top * size + left).astype(jnp.int32)

    def warp(image: jax.Array) -> jax.Array:
        flat = image.reshape(-1)
        top = flat[index] * (1 - fx) + flat[index + 1] * fx
        bottom = flat[index + size] * (1 - fx) + flat[index + size + 1] * fx
        return top * (1 - fy) + bottom * fy

    # Map after map: as one expression over all of them it is slow to compile and to run.
    return jax.lax.map(warp, maps)


def smooth_step(low: jax.Array | float, high: jax.Array | float, x: jax.Array) -> jax.Array:
    """Cubic ramp from 0 at `low` to 1 at `high`; falls if `high` < `low`."""
    t = jnp.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)

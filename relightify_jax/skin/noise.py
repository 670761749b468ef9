"""Random fields on a square map: band-limited noise, Gaussian blur, round spots, warps.

Lengths are in texels. Everything is built from FFTs and small matrix products, which
are fast on CPU and accelerators alike.
"""

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import einsum


def band_noise(key: jax.Array, size: int, bands: tuple[tuple[float, float], ...]) -> jax.Array:
    """Gaussian noise limited to bands of wavelengths, with equal power per octave.

    Args:
        key: Random key, consumed.
        size: Texels per side R.
        bands: Shortest and longest wavelength of each field in texels; what is shorter
            than two texels does not exist.

    Returns:
        (R, R, N) zero-mean, unit-variance, periodic fields.
    """
    fx = jnp.fft.rfftfreq(size)[None, :]
    fy = jnp.fft.fftfreq(size)[:, None]
    f = jnp.sqrt(fx**2 + fy**2)
    f = jnp.where(f > 0, f, 1.0)
    filters = []
    for shortest, longest in bands:
        shortest = max(shortest, 2.0)
        longest = max(longest, 1.5 * shortest)
        rises = jax.nn.sigmoid(6 * jnp.log(f * longest))
        falls = jax.nn.sigmoid(-6 * jnp.log(f * shortest))
        filters.append(rises * falls / f)
    gain = jnp.stack(filters, 0).at[:, 0, 0].set(0.0)
    white = jax.random.normal(key, (len(bands), size, size))
    fields = jnp.fft.irfft2(jnp.fft.rfft2(white) * gain, s=(size, size))
    fields = fields / jnp.std(fields, axis=(1, 2), keepdims=True)
    return jnp.moveaxis(fields, 0, -1)


def blur_map(image: jax.Array, sigma: jax.Array | float) -> jax.Array:
    """Gaussian blur of (R, R, C) with standard deviation `sigma` texels; edges renormalise."""
    index = jnp.arange(image.shape[0], dtype=jnp.float32)
    distance = (index[:, None] - index[None, :]) / jnp.maximum(sigma, 1e-3)
    weights = jnp.exp(-0.5 * distance**2)
    weights = weights / jnp.sum(weights, axis=1, keepdims=True)
    return einsum("ij,kl,jlc->ikc", weights, weights, image)


def scatter_spots(
    key: jax.Array, size: int, count: int, radius: jax.Array, height: jax.Array
) -> jax.Array:
    """Adds `count` Gaussian spots at uniform places.

    Args:
        key: Random key, consumed.
        size: Texels per side R.
        count: Number of spots.
        radius: (count,) standard deviations in texels.
        height: (count,) peaks, for spots that are resolved; smaller ones are lower, as
            if area-averaged over a texel.

    Returns:
        (R, R) sum of the spots.
    """
    center = jax.random.uniform(key, (2, count)) * size
    index = jnp.arange(size, dtype=jnp.float32)[:, None] + 0.5
    seen = jnp.sqrt(radius**2 + 0.25)
    rows, columns = (jnp.exp(-0.5 * ((index - c) / seen) ** 2) for c in center)
    return einsum("in,jn->ij", rows * (height * (radius / seen) ** 2), columns)


def warp_map(image: jax.Array, offset: jax.Array) -> jax.Array:
    """Samples (R, R, C) bilinearly at each texel plus `offset` (R, R, 2) (x, y texels)."""
    size = image.shape[0]
    y, x = jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij")
    sx = jnp.clip(x + offset[..., 0], 0.0, size - 1.001)
    sy = jnp.clip(y + offset[..., 1], 0.0, size - 1.001)
    x0, y0 = jnp.floor(sx).astype(jnp.int32), jnp.floor(sy).astype(jnp.int32)
    fx, fy = (sx - x0)[..., None], (sy - y0)[..., None]
    flat = image.reshape(size * size, -1)
    index = y0 * size + x0
    top = flat[index] * (1 - fx) + flat[index + 1] * fx
    bottom = flat[index + size] * (1 - fx) + flat[index + size + 1] * fx
    return top * (1 - fy) + bottom * fy


def smooth_step(low: jax.Array | float, high: jax.Array | float, x: jax.Array) -> jax.Array:
    """Cubic ramp from 0 at `low` to 1 at `high`; falls if `high` < `low`."""
    t = jnp.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)

"""Noise that several maps of one face share, so that colour, relief and hair agree."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.skin.noise import MILLIMETRES_PER_UV, band_noise
from relightify_jax.skin.surface import lay_on_skin

_GRAIN = (0.8, 2.0)  # mm.


class SkinFields(NamedTuple):
    """(R, R) each, zero mean, unit variance where the map resolves them; wavelengths on skin."""

    low: jax.Array  # Wavelengths 20 to 80 mm.
    low_2: jax.Array
    mid: jax.Array  # 4 to 16 mm.
    mid_2: jax.Array
    fine: jax.Array  # 2 to 5 mm.
    fine_2: jax.Array
    grain: jax.Array  # 0.8 to 2 mm; zero where the map is too coarse for it.


def sample_fields(key: jax.Array, size: int) -> SkinFields:
    """Draws the shared noise of one face at `size` texels per side."""
    bands = ((20.0, 80.0), (20.0, 80.0), (4.0, 16.0), (4.0, 16.0), (2.0, 5.0), (2.0, 5.0))
    fields = band_noise(key, size, bands)
    resolved = 2 * MILLIMETRES_PER_UV / size < _GRAIN[1]
    key_grain = jax.random.fold_in(key, len(bands))
    grain = band_noise(key_grain, size, (_GRAIN,))[..., 0] if resolved else jnp.zeros((size, size))
    fields = lay_on_skin(jnp.concatenate([fields, grain[..., None]], -1))
    return SkinFields(*jnp.moveaxis(fields, -1, 0))

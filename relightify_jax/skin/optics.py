"""Skin colour from its pigments: two Kubelka-Munk layers at 16 wavelengths.

An epidermis that holds melanin lies on a semi-infinite dermis that holds blood. The
absorption spectra are the published fits of Jacques (omlc.org, 1998) and the haemoglobin
table of Prahl (omlc.org, 1999); the layer model is Kubelka & Munk (1931) with constants
of scattering fitted to Monte-Carlo simulations and to measured facial skin. The result is
the *diffuse* albedo: reflection at the surface is not part of it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import matmul

_WAVELENGTHS = np.arange(400.0, 701.0, 20.0)  # nm.

# Molar extinction of haemoglobin, 1/(cm M), 400 to 700 nm in steps of 20 nm.
_HBO2 = np.array(
    [266232, 480360, 102580, 44480, 26629, 20932, 24202, 53236]
    + [32613, 50104, 3200, 942, 442, 319, 277, 290],
    dtype=np.float64,
)
_HB = np.array(
    [223296, 407560, 413280, 23388, 14550, 20862, 31589, 46592]
    + [53788, 37020, 14677, 6509, 4345, 3226, 2407, 1794],
    dtype=np.float64,
)
_PER_MOLAR = 2.303 * 150.0 / 64500.0  # 150 g/L of haemoglobin, 64,500 g/mol.

_EUMELANIN_SHARE = 0.74
_MELANOSOME = (
    _EUMELANIN_SHARE * 6.6e11 * _WAVELENGTHS**-3.33
    + (1 - _EUMELANIN_SHARE) * 2.9e15 * _WAVELENGTHS**-4.75
)
_BASELINE = 0.244 + 85.3 * np.exp(-(_WAVELENGTHS - 154.0) / 66.2)
_SCATTERING = 0.5045 * (_WAVELENGTHS / 500) ** -4 + 0.4955 * (_WAVELENGTHS / 500) ** -0.22
_DERMIS_SCATTERING = 0.75 * 53.455
_EPIDERMIS_SCATTERING = 0.75 * 23.512
_EPIDERMIS_ABSORPTION = 1.2006
_INTERNAL_REFLECTION = 0.40585  # At the skin's inner surface, refractive index 1.261.
EPIDERMIS_THICKNESS = 0.01  # cm.

# Reflectance spectrum under D65 to linear Rec. 709 (CIE 1931, 20 nm), rows R, G, B.
_RGB_FROM_SPECTRUM = np.array(
    [
        [0.00184, 0.01872, 0.04346, 0.00394, -0.06680, -0.12564, -0.18080, -0.10425]
        + [0.07366, 0.29131, 0.41479, 0.35697, 0.18452, 0.06589, 0.01831, 0.00407],
        [-0.00162, -0.01700, -0.04414, -0.02234, 0.04440, 0.12708, 0.25328, 0.29894]
        + [0.24486, 0.13523, 0.02634, -0.01887, -0.01681, -0.00691, -0.00200, -0.00045],
        [0.01123, 0.12057, 0.36554, 0.39014, 0.18155, 0.04544, -0.01150, -0.03069]
        + [-0.03104, -0.02238, -0.01159, -0.00492, -0.00169, -0.00049, -0.00013, -0.00003],
    ]
)

# The table's axes are warped so that equal steps are about equally visible.
_TABLE_SIZE = 33
_MELANIN_MAX = 0.5
_BLOOD_MAX = 0.3


def albedo_from_chromophores(
    melanin: jax.Array,
    blood: jax.Array,
    oxygenation: jax.Array | float = 0.7,
    scatter: jax.Array | float = 1.0,
    thickness: jax.Array | float = EPIDERMIS_THICKNESS,
) -> jax.Array:
    """Diffuse albedo of skin.

    Args:
        melanin: (...,) volume fraction of melanosomes in the epidermis, 0 to 0.5.
        blood: (...,) volume fraction of blood in the dermis, 0 to 0.3.
        oxygenation: (...,) share of oxygenated haemoglobin in [0, 1].
        scatter: (...,) multiplier of the scattering coefficients.
        thickness: (...,) of the epidermis in cm.

    Returns:
        (..., 3) linear RGB under D65, in [0, 1].
    """
    arrays = [jnp.asarray(x, jnp.float32) for x in (melanin, blood, oxygenation)]
    m, h, o = (x[..., None] for x in jnp.broadcast_arrays(*arrays))
    c = jnp.asarray(scatter, jnp.float32)[..., None]
    t = jnp.asarray(thickness, jnp.float32)[..., None]
    base = jnp.asarray(_BASELINE, jnp.float32)
    mu_epidermis = m * jnp.asarray(_MELANOSOME, jnp.float32) + (1 - m) * base
    mu_blood = _PER_MOLAR * (o * _HBO2.astype(np.float32) + (1 - o) * _HB.astype(np.float32))
    mu_dermis = h * mu_blood + (1 - h) * base
    scattering = c * jnp.asarray(_SCATTERING, jnp.float32)

    # With q = a - 1 the root of a^2 - 1 stays exact where nothing absorbs.
    q = 2 * mu_dermis / (_DERMIS_SCATTERING * scattering)
    r_dermis = 1 + q - jnp.sqrt(q * (q + 2))
    s = _EPIDERMIS_SCATTERING * scattering
    q = _EPIDERMIS_ABSORPTION * mu_epidermis / s
    a, b = 1 + q, jnp.sqrt(q * (q + 2))
    x = b * s * t
    sinh, cosh = jnp.sinh(x), jnp.cosh(x)
    r_epidermis = sinh / (a * sinh + b * cosh)
    t_epidermis = b / (a * sinh + b * cosh)
    inside = r_epidermis + t_epidermis**2 * r_dermis / (1 - r_epidermis * r_dermis)
    spectrum = (1 - _INTERNAL_REFLECTION) * inside / (1 - _INTERNAL_REFLECTION * inside)
    rgb = matmul(spectrum, jnp.asarray(_RGB_FROM_SPECTRUM.T, jnp.float32))
    return jnp.clip(rgb, 0.0, 1.0)


class AlbedoTable(NamedTuple):
    """Albedo of one person for every amount of melanin and blood."""

    rgb: jax.Array  # (33, 33, 3) linear RGB; axes melanin^(1/3), blood^(1/4).


def build_albedo_table(
    oxygenation: jax.Array | float = 0.7,
    scatter: jax.Array | float = 1.0,
    thickness: jax.Array | float = EPIDERMIS_THICKNESS,
) -> AlbedoTable:
    """Tabulates `albedo_from_chromophores` for scalar oxygenation, scatter, thickness."""
    grid = jnp.linspace(0.0, 1.0, _TABLE_SIZE)
    melanin = _MELANIN_MAX * grid[:, None] ** 3
    blood = _BLOOD_MAX * grid[None, :] ** 4
    melanin, blood = jnp.broadcast_arrays(melanin, blood)
    return AlbedoTable(albedo_from_chromophores(melanin, blood, oxygenation, scatter, thickness))


def look_up_albedo(table: AlbedoTable, melanin: jax.Array, blood: jax.Array) -> jax.Array:
    """Bilinear albedo (..., 3) of melanin and blood (...,); clamps to the table's range."""
    top = _TABLE_SIZE - 1
    i = top * jnp.clip(melanin / _MELANIN_MAX, 0.0, 1.0) ** (1 / 3)
    j = top * jnp.clip(blood / _BLOOD_MAX, 0.0, 1.0) ** (1 / 4)
    i0 = jnp.clip(jnp.floor(i).astype(jnp.int32), 0, top - 1)
    j0 = jnp.clip(jnp.floor(j).astype(jnp.int32), 0, top - 1)
    fi, fj = (i - i0)[..., None], (j - j0)[..., None]
    flat = table.rgb.reshape(-1, 3)
    index = i0 * _TABLE_SIZE + j0
    low = flat[index] * (1 - fj) + flat[index + 1] * fj
    high = flat[index + _TABLE_SIZE] * (1 - fj) + flat[index + _TABLE_SIZE + 1] * fj
    return low * (1 - fi) + high * fi


def typology_angle(albedo: jax.Array, surface_reflection: float = 0.03) -> jax.Array:
    """Individual typology angle in degrees, from +60 (very light) to -60 (very dark).

    ITA = atan((L* - 50) / b*), Chardon et al. 1991, of the albedo (..., 3, linear RGB)
    plus the surface reflection that a spectrophotometer also sees.
    """
    rgb_to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    white = np.array([0.9505, 1.0, 1.089])
    xyz = matmul(jnp.asarray(albedo) + surface_reflection, jnp.asarray(rgb_to_xyz.T, jnp.float32))
    f = jnp.cbrt(jnp.maximum(xyz / jnp.asarray(white, jnp.float32), 1e-6))
    lightness = 116 * f[..., 1] - 16
    b_star = 200 * (f[..., 1] - f[..., 2])
    return jnp.degrees(jnp.arctan2(lightness - 50, b_star))

"""Skin colour from its pigments: two Kubelka-Munk layers at 16 wavelengths.

An epidermis that holds melanin lies on a semi-infinite dermis that holds blood. The result
is the *diffuse* albedo: reflection at the surface is not part of it. Sources:

* Eumelanin, pheomelanin and the baseline of bloodless skin: fits of Jacques, "Skin optics",
  Oregon Medical Laser Center News, January 1998 (omlc.org/news/jan98/skinoptics.html).
* Haemoglobin: Prahl's table, 1999 (omlc.org/spectra/hemoglobin/summary.html).
* A slab and a half-space: Kubelka & Munk 1931; one layer on another: Kubelka 1954; the inner
  side of the surface: Saunderson 1942, with the diffuse reflectance as the polynomial in the
  refractive index of Egan & Hilgeman (used by Groenhuis, Ferwerda & Ten Bosch 1983).
* Scattering, its two levels, the gain of the epidermis' absorption and the effective
  refractive index: six numbers fitted to the Monte-Carlo simulations of BioSkin (Aliaga et
  al. 2022 and 2023; spectra to 0.013 RMS) and checked on 9,195 measured spectra of faces
  (International Skin Spectra Archive, Lu, Xiao et al. 2025; colour difference 1.4 on average).
* CIE 1931 observer and illuminant D65 for the colour.

docs/SKIN.md has the formulas and how far they agree with measurements.
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

EUMELANIN_SHARE = 0.74  # Of melanin; the rest is pheomelanin, of which red hair has more.
_EUMELANOSOME = 6.6e11 * _WAVELENGTHS**-3.33  # 1/cm, as all absorption here.
_PHEOMELANOSOME = 2.9e15 * _WAVELENGTHS**-4.75
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

# The table's axes are warped so that equal steps are about equally visible (as in BioSkin).
TABLE_SIZE = 65
_MELANIN_MAX = 0.5
BLOOD_MAX = 0.3
_LEAST = 1e-8  # Of melanin and blood, relative to these.


def albedo_from_chromophores(
    melanin: jax.Array,
    blood: jax.Array,
    oxygenation: jax.Array | float = 0.7,
    scatter: jax.Array | float = 1.0,
    thickness: jax.Array | float = EPIDERMIS_THICKNESS,
    eumelanin: jax.Array | float = EUMELANIN_SHARE,
) -> jax.Array:
    """Diffuse albedo of skin.

    Args:
        melanin: (...,) volume fraction of melanosomes in the epidermis, 0 to 0.5.
        blood: (...,) volume fraction of blood in the dermis, 0 to 0.3.
        oxygenation: (...,) share of oxygenated haemoglobin in [0, 1].
        scatter: (...,) multiplier of the scattering coefficients.
        thickness: (...,) of the epidermis in cm.
        eumelanin: (...,) share of melanin that is eumelanin in [0, 1].

    Returns:
        (..., 3) linear RGB under D65, in [0, 1].
    """
    spectrum = reflectance_spectrum(melanin, blood, oxygenation, scatter, thickness, eumelanin)
    return rgb_from_spectrum(spectrum)


def reflectance_spectrum(
    melanin: jax.Array,
    blood: jax.Array,
    oxygenation: jax.Array | float = 0.7,
    scatter: jax.Array | float = 1.0,
    thickness: jax.Array | float = EPIDERMIS_THICKNESS,
    eumelanin: jax.Array | float = EUMELANIN_SHARE,
) -> jax.Array:
    """Diffuse reflectance (..., 16) at 400, 420, ... 700 nm; see `albedo_from_chromophores`."""
    given = (melanin, blood, oxygenation, scatter, thickness, eumelanin)
    m, h, o, c, t, e = (jnp.asarray(x, jnp.float32)[..., None] for x in given)
    base = jnp.asarray(_BASELINE, jnp.float32)
    mu_melanin = e * _EUMELANOSOME.astype(np.float32) + (1 - e) * _PHEOMELANOSOME.astype(np.float32)
    mu_epidermis = m * mu_melanin + (1 - m) * base
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
    return (1 - _INTERNAL_REFLECTION) * inside / (1 - _INTERNAL_REFLECTION * inside)


def rgb_from_spectrum(spectrum: jax.Array) -> jax.Array:
    """Linear RGB (..., 3) under D65, in [0, 1], of reflectance (..., 16), 400 to 700 nm."""
    rgb = matmul(spectrum, jnp.asarray(_RGB_FROM_SPECTRUM.T, jnp.float32))
    return jnp.clip(rgb, 0.0, 1.0)


class AlbedoTable(NamedTuple):
    """Albedo of one person for every amount of melanin and blood."""

    rgb: jax.Array  # (65, 65, 3) linear RGB; axes melanin^(1/3), blood^(1/4).


def build_albedo_table(
    oxygenation: jax.Array | float = 0.7,
    scatter: jax.Array | float = 1.0,
    thickness: jax.Array | float = EPIDERMIS_THICKNESS,
    eumelanin: jax.Array | float = EUMELANIN_SHARE,
) -> AlbedoTable:
    """Tabulates `albedo_from_chromophores` over melanin and blood; the rest are scalars ()."""
    grid = jnp.linspace(0.0, 1.0, TABLE_SIZE)
    melanin = _MELANIN_MAX * grid[:, None] ** 3
    blood = BLOOD_MAX * grid[None, :] ** 4
    melanin, blood = jnp.broadcast_arrays(melanin, blood)
    return AlbedoTable(
        albedo_from_chromophores(melanin, blood, oxygenation, scatter, thickness, eumelanin)
    )


def look_up_albedo(table: AlbedoTable, melanin: jax.Array, blood: jax.Array) -> jax.Array:
    """Bilinear albedo (..., 3) of melanin and blood (...,); clamps to the table's range.

    Within 0.001 of `albedo_from_chromophores`. Differentiable in all arguments.
    """
    top = TABLE_SIZE - 1
    # The roots' derivatives are infinite at zero.
    i = top * jnp.cbrt(jnp.clip(melanin / _MELANIN_MAX, _LEAST, 1.0))
    j = top * jnp.sqrt(jnp.sqrt(jnp.clip(blood / BLOOD_MAX, _LEAST, 1.0)))
    i0 = jnp.clip(jnp.floor(i).astype(jnp.int32), 0, top - 1)
    j0 = jnp.clip(jnp.floor(j).astype(jnp.int32), 0, top - 1)
    fi, fj = (i - i0)[..., None], (j - j0)[..., None]
    flat = table.rgb.reshape(-1, 3)
    index = i0 * TABLE_SIZE + j0
    low = flat[index] * (1 - fj) + flat[index + 1] * fj
    high = flat[index + TABLE_SIZE] * (1 - fj) + flat[index + TABLE_SIZE + 1] * fj
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

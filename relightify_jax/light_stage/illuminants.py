"""Colours of lamps and skies by temperature: black bodies and CIE daylight, in linear RGB.

Host side, NumPy. Below 4000 K Planck's law, from 5000 K the CIE daylight series (CIE 15:2004,
section 3), a blend between. White is D65, as in sRGB.
"""

import numpy as np

_WAVELENGTHS = np.arange(400.0, 701.0, 20.0)  # nm.
# A reflectance under D65 times these is linear sRGB: CIE 1931 observer, sums of 1.
_LINEAR_RGB_UNDER_D65 = np.array(
    [
        [0.00184, 0.01872, 0.04346, 0.00394, -0.06680, -0.12564, -0.18080, -0.10425,
         0.07366, 0.29131, 0.41479, 0.35697, 0.18452, 0.06589, 0.01831, 0.00407],
        [-0.00162, -0.01700, -0.04414, -0.02234, 0.04440, 0.12708, 0.25328, 0.29894,
         0.24486, 0.13523, 0.02634, -0.01887, -0.01681, -0.00691, -0.00200, -0.00045],
        [0.01123, 0.12057, 0.36554, 0.39014, 0.18155, 0.04544, -0.01150, -0.03069,
         -0.03104, -0.02238, -0.01159, -0.00492, -0.00169, -0.00049, -0.00013, -0.00003],
    ]
)  # fmt: skip
# Mean and two components of measured daylight.
_DAYLIGHT = np.array(
    [
        [94.8, 105.9, 113.9, 125.5, 121.3, 113.1, 106.5, 105.3,
         100.0, 95.1, 90.5, 88.4, 85.1, 82.6, 81.3, 74.3],
        [43.4, 43.9, 36.7, 32.6, 24.3, 16.2, 8.6, 4.2,
         0.0, -3.5, -5.8, -8.6, -10.9, -12.0, -13.6, -13.3],
        [-1.1, -0.7, -2.6, -2.8, -2.6, -1.5, -1.2, -0.5,
         0.0, 0.5, 3.2, 4.7, 6.7, 8.6, 10.2, 9.6],
    ]
)  # fmt: skip
_SECOND_RADIATION = 1.4388e7  # nm K.
_D65_KELVIN = 6504.0
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_LEAST = 0.01  # What the gamut of sRGB leaves of the blue of a candle.


def rgb_of_temperature(kelvin: np.ndarray | float) -> np.ndarray:
    """Linear RGB (..., 3) of luminance 1 of light of a colour temperature.

    Args:
        kelvin: (...,) from 1500 to 25000.
    """
    kelvin = np.asarray(kelvin, np.float64)
    daylight = np.clip((kelvin - 4000.0) / 1000.0, 0.0, 1.0)[..., None]
    spectrum = (1 - daylight) * _planck(kelvin) + daylight * _daylight(np.maximum(kelvin, 4000.0))
    rgb = spectrum / _daylight(np.array(_D65_KELVIN)) @ _LINEAR_RGB_UNDER_D65.T
    rgb = np.maximum(rgb, _LEAST)
    return (rgb / (rgb @ _LUMINANCE)[..., None]).astype(np.float32)


def _planck(kelvin: np.ndarray) -> np.ndarray:
    """Relative spectra (..., 16), 100 at 560 nm."""

    def power(wavelength):
        return wavelength**-5 / np.expm1(_SECOND_RADIATION / (wavelength * kelvin[..., None]))

    return 100.0 * power(_WAVELENGTHS) / power(np.array([560.0]))


def _daylight(kelvin: np.ndarray) -> np.ndarray:
    """Relative spectra (..., 16), 100 at 560 nm, from 4000 K to 25000 K."""
    inverse = 1e3 / kelvin
    low = ((-4.6070 * inverse + 2.9678) * inverse + 0.09911) * inverse + 0.244063
    high = ((-2.0064 * inverse + 1.9018) * inverse + 0.24748) * inverse + 0.237040
    x = np.where(kelvin <= 7000.0, low, high)
    y = (-3.0 * x + 2.870) * x - 0.275
    scale = 0.0241 + 0.2562 * x - 0.7341 * y
    first = (-1.3515 - 1.7703 * x + 5.9114 * y) / scale
    second = (0.0300 - 31.4424 * x + 30.0717 * y) / scale
    return _DAYLIGHT[0] + first[..., None] * _DAYLIGHT[1] + second[..., None] * _DAYLIGHT[2]

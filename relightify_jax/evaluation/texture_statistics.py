"""What skin looks like in numbers: statistics of a face texture in the canonical UV layout.

They compare made-up textures with observed ones of other people, so nothing here depends
on the identity: spectra and contrasts of log colour, in millimetres, inside what is seen.
All functions are NumPy on the host; a log ratio of 0.1 is about 10 %.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage

_DARKEST = 2e-3  # Of linear RGB, before the logarithm: below the noise of 8-bit photographs.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # Of linear Rec. 709.
# A Gaussian of this many wavelengths halves the amplitude of a wave.
_HALVING = np.sqrt(np.log(2.0) / 2.0) / np.pi
# Orthonormal axes of log RGB: grey, red against green, both against blue.
OPPONENT_AXES = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt(
    np.array([[3.0], [2.0], [6.0]])
)
_MIN_WEIGHT = 30.0  # Texels; of fewer no statistic is made.

# Of `describe_texture`: wavelengths in millimetres, frequencies in cycles per millimetre.
BANDS = ((2.3, 5.0), (5.0, 16.0), (16.0, 60.0))
SLOPE_BANDS = ((0.055, 0.21), (0.1, 0.35))
_WINDOW = 24.0  # Millimetres.
_BORDER = 4.0  # Millimetres inside the mask where photographs are not to be trusted.
_AXIS_NAMES = ("grey", "red-green", "yellow-blue")


class ColorSpread(NamedTuple):
    """How log RGB varies in a band of wavelengths."""

    covariance: np.ndarray  # (3, 3) of log R, G, B.
    deviations: np.ndarray  # (3,) along the principal axes, largest first.
    axes: np.ndarray  # (3, 3), a row each, the first component not negative.
    gray_ratio: float  # Variance along grey over that across it.


def log_luminance(texture: np.ndarray) -> np.ndarray:
    """Natural log (R, R) of the luminance of linear RGB (R, R, 3)."""
    return np.log(np.maximum(np.asarray(texture, np.float64) @ _LUMINANCE, _DARKEST))


def log_rgb(texture: np.ndarray) -> np.ndarray:
    """Natural log (R, R, 3) of linear RGB."""
    return np.log(np.maximum(np.asarray(texture, np.float64), _DARKEST))


def masked_blur(image: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean over the seen neighbours.

    Args:
        image: (R, R) or (R, R, C).
        mask: (R, R) in [0, 1].
        sigma: Standard deviation in texels.
    """
    flat = image.reshape(*mask.shape, -1)
    weight = ndimage.gaussian_filter(mask.astype(np.float64), sigma, mode="constant")
    channels = [
        ndimage.gaussian_filter(flat[..., i] * mask, sigma, mode="constant")
        for i in range(flat.shape[-1])
    ]
    blurred = np.stack(channels, -1) / np.maximum(weight, 1e-6)[..., None]
    return blurred.reshape(image.shape)


def band_pass(
    image: np.ndarray, mask: np.ndarray, band: tuple[float, float], texel: float
) -> np.ndarray:
    """Keeps a band of wavelengths, by a difference of masked Gaussians.

    Args:
        image: (R, R) or (R, R, C).
        mask: (R, R) in [0, 1]; what it leaves out does not leak in.
        band: Shortest and longest wavelength in millimetres, at half amplitude.
        texel: Millimetres per texel.
    """
    short, long = (_HALVING * wavelength / texel for wavelength in band)
    return masked_blur(image, mask, short) - masked_blur(image, mask, long)


def band_contrast(
    texture: np.ndarray, mask: np.ndarray, band: tuple[float, float], texel: float
) -> float:
    """Root mean square of log luminance in a band; see `band_pass`. NaN if nothing is seen."""
    return _deviation(band_pass(log_luminance(texture), mask, band, texel), mask)


def color_spread(
    texture: np.ndarray, mask: np.ndarray, band: tuple[float, float], texel: float
) -> ColorSpread:
    """Covariance of log RGB in a band; see `band_pass`. NaN if nothing is seen."""
    if np.sum(mask) < _MIN_WEIGHT:
        return ColorSpread(np.full((3, 3), np.nan), np.full(3, np.nan), np.eye(3), float("nan"))
    detail = band_pass(log_rgb(texture), mask, band, texel)
    covariance = np.einsum("ijc,ijd,ij->cd", detail, detail, mask) / np.sum(mask)
    values, vectors = np.linalg.eigh(covariance)
    axes = vectors.T[::-1]
    axes = axes * np.where(axes[:, :1] < 0, -1.0, 1.0)
    along = np.diag(OPPONENT_AXES @ covariance @ OPPONENT_AXES.T)
    return ColorSpread(
        covariance=covariance,
        deviations=np.sqrt(np.maximum(values[::-1], 0.0)),
        axes=axes,
        gray_ratio=float(along[0] / max(along[1:].sum(), 1e-12)),
    )


def radial_spectrum(
    field: np.ndarray,
    mask: np.ndarray,
    texel: float,
    *,
    window: float = 36.0,
    region: np.ndarray | None = None,
    num_bins: int = 12,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean power over direction in the square windows that lie in the mask.

    Each window loses its plane and is weighted with a Hann window; windows overlap by
    three quarters.

    Args:
        field: (R, R), e.g. log luminance.
        mask: (R, R) in [0, 1].
        texel: Millimetres per texel.
        window: Side of the windows in millimetres.
        region: (R, R) in [0, 1]; only windows whose centre is more in it than out of it.
        num_bins: Of frequency, evenly spaced in its logarithm.

    Returns:
        Frequencies (N,) in cycles per millimetre, and the mean power spectral density there
        (in mm^2, NaN where there is no window or no frequency).
    """
    side = round(window / texel)
    corners = _windows(mask, side, region)
    # The odd hole in a window takes the mean of its surroundings.
    field = np.where(mask > 0.5, field, masked_blur(field, mask, 2.0))
    hann = np.hanning(side + 1)[:-1]
    taper = hann[:, None] * hann[None, :]
    axis = np.linspace(-1.0, 1.0, side)
    x, y = np.meshgrid(axis, axis)
    plane = np.stack([np.ones_like(x), x, y], -1).reshape(-1, 3)
    solve = np.linalg.pinv(plane)
    frequency = np.fft.fftfreq(side, texel)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    # Lower ones are shaped by the window.
    edges = np.geomspace(1.9 / (side * texel), 0.5 / texel, num_bins + 1)
    power = np.zeros((side, side))
    for row, column in corners:
        patch = field[row : row + side, column : column + side].reshape(-1)
        patch = (patch - plane @ (solve @ patch)).reshape(side, side)
        power += np.abs(np.fft.fft2(patch * taper)) ** 2
    power *= texel**2 / np.sum(taper**2) / max(len(corners), 1)
    found = np.digitize(radius, edges) - 1
    counts = np.array([(found == i).sum() for i in range(num_bins)])
    sums = np.array([power[found == i].sum() for i in range(num_bins)])
    empty = (counts == 0) | (len(corners) == 0)
    density = np.where(empty, np.nan, sums / np.maximum(counts, 1))
    return np.sqrt(edges[1:] * edges[:-1]), density


def spectral_slope(
    frequencies: np.ndarray, density: np.ndarray, band: tuple[float, float]
) -> float:
    """Exponent of the power law that fits a spectrum best, negative where it falls.

    Args:
        frequencies: (N,) cycles per millimetre.
        density: (N,) mean power there; NaN are left out.
        band: Lowest and highest frequency of the fit.

    Returns:
        d log power / d log frequency; NaN with fewer than three points.
    """
    use = (frequencies >= band[0]) & (frequencies <= band[1]) & (density > 0)
    if use.sum() < 3:
        return float("nan")
    return float(np.polyfit(np.log(frequencies[use]), np.log(density[use]), 1)[0])


def regional_contrast(
    texture: np.ndarray,
    mask: np.ndarray,
    regions: Mapping[str, np.ndarray],
    reference: str = "cheeks",
) -> dict[str, np.ndarray]:
    """Mean log RGB of each region relative to that of `reference`.

    Args:
        texture: (R, R, 3) linear RGB.
        mask: (R, R) in [0, 1].
        regions: (R, R) weights in [0, 1] by name.
        reference: Name of the region that the others are compared with.

    Returns:
        (3,) differences along `OPPONENT_AXES` by name, NaN where a region is not seen: grey,
        red against green, both against blue.

    Raises:
        ValueError: If `reference` is not among the regions.
    """
    if reference not in regions:
        raise ValueError(f"There is no region {reference!r} among {', '.join(regions)}.")
    color = log_rgb(texture) @ OPPONENT_AXES.T

    def mean(region: np.ndarray) -> np.ndarray:
        weight = region * mask
        if np.sum(weight) < _MIN_WEIGHT:
            return np.full(3, np.nan)
        return np.average(color.reshape(-1, 3), axis=0, weights=weight.reshape(-1))

    base = mean(regions[reference])
    return {name: mean(area) - base for name, area in regions.items() if name != reference}


def gradient_kurtosis(
    texture: np.ndarray, mask: np.ndarray, shortest: float, texel: float
) -> float:
    """Excess kurtosis of the slopes of log luminance: 0 if Gaussian, more with sharp edges.

    Args:
        texture: (R, R, 3) linear RGB.
        mask: (R, R) in [0, 1].
        shortest: Wavelength in millimetres that is kept at half amplitude; finer is blurred.
        texel: Millimetres per texel.

    Returns:
        The mean of the two directions; NaN if nothing is seen.
    """
    smooth = masked_blur(log_luminance(texture), mask, _HALVING * shortest / texel)
    inside = ndimage.binary_erosion(mask > 0.5, iterations=2)
    if inside.sum() < _MIN_WEIGHT:
        return float("nan")
    found = []
    for slope in np.gradient(smooth):
        values = slope[inside] - slope[inside].mean()
        found.append(np.mean(values**4) / max(np.mean(values**2) ** 2, 1e-30) - 3)
    return float(np.mean(found))


def describe_texture(
    texture: np.ndarray,
    mask: np.ndarray,
    bare: np.ndarray,
    regions: Mapping[str, np.ndarray],
    texel: float,
    finest: float = 0.0,
) -> dict[str, float]:
    """Every statistic of this module, by name.

    Args:
        texture: (R, R, 3) linear RGB.
        mask: (R, R) in [0, 1], what is seen.
        bare: (R, R) in [0, 1], skin without hair, lips and eyes.
        regions: (R, R) weights in [0, 1] by name, "cheeks" among them.
        texel: Millimetres per texel.
        finest: Shortest wavelength in millimetres that the texture resolves; what needs
            finer ones is NaN.

    Raises:
        ValueError: If shapes differ or there are no cheeks.
    """
    shapes = {x.shape for x in (mask, bare, *regions.values())} | {np.shape(texture)[:2]}
    if len(shapes) != 1:
        raise ValueError(f"Texture, masks and regions must be of one size, got {shapes}.")
    inner = ndimage.binary_erosion(mask > 0.5, iterations=max(round(_BORDER / texel), 1))
    seen = inner.astype(np.float64)
    skin = seen * bare
    finest = max(finest, 2 * texel)
    field = log_luminance(texture)
    found = {}
    for band in BANDS:
        name = f"{band[0]:g}-{band[1]:g} mm"
        sharp = band[0] >= finest
        spread = color_spread(texture, skin * sharp, band, texel)
        detail = band_pass(field, skin, band, texel) if sharp else field
        found[f"contrast {name}"] = _deviation(detail, skin * sharp)
        found[f"grey over chroma variance {name}"] = spread.gray_ratio
        found[f"second over first deviation {name}"] = float(
            spread.deviations[1] / max(spread.deviations[0], 1e-12)
        )
        for channel, weight in zip("RGB", spread.axes[0], strict=True):
            found[f"main axis {channel} {name}"] = float(weight if sharp else np.nan)
        if band[1] < 20:  # Broader ones do not fit into a region.
            for region, area in regions.items():
                if np.any(bare * area):
                    found[f"contrast {name} {region}"] = _deviation(detail, skin * area * sharp)
    for place, area in (("all", np.ones_like(skin)), ("cheeks", regions["cheeks"])):
        spectrum = radial_spectrum(field, skin, texel, window=_WINDOW, region=area)
        for low, high in SLOPE_BANDS:
            name = f"slope {low:g}-{high:g} per mm {place}"
            found[name] = spectral_slope(*spectrum, (low, high if high * finest <= 1 else 0.0))
    for region, color in regional_contrast(texture, seen, regions).items():
        for axis, value in zip(_AXIS_NAMES, color, strict=True):
            found[f"{region} against cheeks, {axis}"] = float(value)
    for shortest in (2.3, 5.0):
        weight = skin * (shortest >= finest)
        found[f"kurtosis of slopes {shortest:g} mm"] = gradient_kurtosis(
            texture, weight, shortest, texel
        )
    return found


def _deviation(detail: np.ndarray, weight: np.ndarray) -> float:
    """Root mean square, NaN if next to nothing is seen."""
    if np.sum(weight) < _MIN_WEIGHT:
        return float("nan")
    return float(np.sqrt(np.average(detail**2, weights=weight)))


def _windows(mask: np.ndarray, side: int, region: np.ndarray | None) -> np.ndarray:
    """Upper left corners (N, 2) of the windows of `side` texels that are all but full."""
    size = mask.shape[0]
    if side > size:
        return np.zeros((0, 2), int)
    total = np.pad(np.cumsum(np.cumsum(mask, 0), 1), ((1, 0), (1, 0)))
    stride = max(side // 4, 1)
    first = np.arange(0, size - side + 1, stride)
    row, column = (x.reshape(-1) for x in np.meshgrid(first, first, indexing="ij"))
    below, right = row + side, column + side
    filled = total[below, right] - total[row, right] - total[below, column] + total[row, column]
    keep = filled > 0.99 * side * side
    if region is not None:
        keep &= region[row + side // 2, column + side // 2] > 0.5
    return np.stack([row[keep], column[keep]], -1)

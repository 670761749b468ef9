"""Statistics of textures: recovered from fields that were made with known ones."""

import numpy as np
import pytest

from relightify_jax.evaluation import texture_statistics as statistics

_SIZE, _TEXEL = 256, 0.6


def power_law(exponent, seed=0):
    """A field (R, R) of unit variance whose power falls as frequency ** -exponent."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).normal(size=(_SIZE, _SIZE)))
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(_SIZE)] * 2))
    field = np.fft.ifft2(spectrum * np.maximum(f, 1 / _SIZE) ** (-exponent / 2)).real
    return (field - field.mean()) / field.std()


def gray(log):
    """A texture (R, R, 3) of the log luminance."""
    return np.repeat(0.3 * np.exp(log)[..., None], 3, axis=-1)


def disc(radius=0.45):
    axis = (np.arange(_SIZE) + 0.5) / _SIZE - 0.5
    return (np.hypot(axis[:, None], axis) < radius).astype(float)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_slope_of_a_power_law_is_its_exponent(exponent):
    frequency, power = statistics.radial_spectrum(power_law(exponent), disc(), _TEXEL)
    slope = statistics.spectral_slope(frequency, power, (0.08, 0.6))
    assert slope == pytest.approx(-exponent, abs=0.2)


def test_power_adds_up_to_the_variance():
    noise = np.random.default_rng(1).normal(size=(_SIZE, _SIZE))
    _, power = statistics.radial_spectrum(noise, np.ones_like(noise), _TEXEL)
    # White noise of unit variance: all of it spread over (1 / texel)^2 of frequency.
    np.testing.assert_allclose(power, _TEXEL**2, rtol=0.15)


def test_spectrum_ignores_what_the_mask_and_the_region_leave_out():
    field, mask = power_law(2.0), disc()
    spoiled = np.where(mask > 0, field, 50.0)
    expected = statistics.radial_spectrum(field, mask, _TEXEL)[1]
    np.testing.assert_allclose(statistics.radial_spectrum(spoiled, mask, _TEXEL)[1], expected)
    left = np.zeros_like(mask)
    left[:, : _SIZE // 2] = 1
    rough = field + (1 - left) * np.random.default_rng(2).normal(size=field.shape)
    whole = statistics.radial_spectrum(rough, mask, _TEXEL, window=24)[1]
    part = statistics.radial_spectrum(rough, mask, _TEXEL, window=24, region=left)[1]
    assert part[-1] < 0.9 * whole[-1]


def test_without_a_window_the_spectrum_is_unknown():
    frequency, power = statistics.radial_spectrum(power_law(2.0), disc(0.05), _TEXEL)
    assert np.all(np.isnan(power))
    assert np.isnan(statistics.spectral_slope(frequency, power, (0.05, 0.5)))


@pytest.mark.parametrize(("wavelength", "share"), [(8.0, 0.85), (2.0, 0.0), (80.0, 0.0)])
def test_contrast_is_that_of_waves_inside_the_band(wavelength, share):
    x = np.arange(_SIZE) * _TEXEL
    wave = 0.1 * np.sqrt(2) * np.sin(2 * np.pi * x / wavelength)
    texture = gray(np.broadcast_to(wave, (_SIZE, _SIZE)))
    found = statistics.band_contrast(texture, disc(), (4.0, 16.0), _TEXEL)
    assert found == pytest.approx(0.1 * share, abs=0.012)


def test_contrast_ignores_exposure_and_what_is_masked():
    texture, mask = gray(0.1 * power_law(2.0)), disc()
    expected = statistics.band_contrast(texture, mask, (4.0, 16.0), _TEXEL)
    spoiled = np.where(mask[..., None] > 0, 2 * texture, 0.0)
    found = statistics.band_contrast(spoiled, mask, (4.0, 16.0), _TEXEL)
    assert found == pytest.approx(expected, rel=1e-6)
    assert np.isnan(statistics.band_contrast(texture, 0 * mask, (4.0, 16.0), _TEXEL))


def test_color_spread_finds_the_axes():
    red, common = power_law(2.0, 3), power_law(2.0, 4)
    axes = statistics.OPPONENT_AXES
    log = 0.10 * common[..., None] * axes[0] + 0.02 * red[..., None] * axes[1]
    spread = statistics.color_spread(0.3 * np.exp(log), disc(), (2.0, 30.0), _TEXEL)
    np.testing.assert_allclose(np.abs(spread.axes[:2] @ axes[:2].T), np.eye(2), atol=0.03)
    assert spread.deviations[1] / spread.deviations[0] == pytest.approx(0.2, rel=0.15)
    assert spread.gray_ratio == pytest.approx(25, rel=0.3)
    np.testing.assert_allclose(spread.covariance, spread.covariance.T)


def test_regional_contrast_is_a_log_ratio():
    cheeks, lips = np.zeros((2, _SIZE, _SIZE))
    cheeks[:100], lips[150:] = 1, 1
    color = np.array([0.4, 0.25, 0.15])
    texture = np.where(lips[..., None] > 0, color * [1.0, 0.5, 0.5], color)
    found = statistics.regional_contrast(
        texture, np.ones_like(lips), {"cheeks": cheeks, "lips": lips, "ear": 0 * lips}
    )
    expected = statistics.OPPONENT_AXES @ np.log([1.0, 0.5, 0.5])
    np.testing.assert_allclose(found["lips"], expected, atol=1e-6)
    assert np.all(np.isnan(found["ear"])) and "cheeks" not in found
    with pytest.raises(ValueError, match="no region 'cheeks' among lips"):
        statistics.regional_contrast(texture, lips, {"lips": lips})


def test_kurtosis_tells_edges_from_noise():
    smooth = statistics.gradient_kurtosis(gray(0.1 * power_law(1.0)), disc(), 3.0, _TEXEL)
    edges = 0.3 * (power_law(3.0) > 0.5)
    sharp = statistics.gradient_kurtosis(gray(edges), disc(), 3.0, _TEXEL)
    assert abs(smooth) < 0.4 and sharp > 4


def test_description_leaves_out_what_is_not_resolved():
    texture, mask = gray(0.1 * power_law(2.0)), disc()
    regions = {"cheeks": mask, "nose": disc(0.2)}
    sharp = statistics.describe_texture(texture, mask, mask, regions, _TEXEL)
    blunt = statistics.describe_texture(texture, mask, mask, regions, _TEXEL, finest=4.0)
    assert list(sharp) == list(blunt)
    assert all(np.isfinite(value) for value in sharp.values())
    missing = {name for name, value in blunt.items() if np.isnan(value)}
    assert missing == {name for name in sharp if "2.3" in name or "0.1-0.35" in name}
    with pytest.raises(ValueError, match="one size"):
        statistics.describe_texture(texture[:9], mask, mask, regions, _TEXEL)

"""The blur under the skin: widths in millimetres, energy, borders and colour."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.geometry.uv_atlas import build_uv_atlas
from relightify_jax.rendering import subsurface
from relightify_jax.rendering.subsurface import SKIN_PROFILE, ScatterProfile, scatter_irradiance

pytestmark = pytest.mark.usefixtures("quick_compilation")

# Standard deviation along one axis of the whole profile, per colour.
PROFILE_SIGMA = np.sqrt(np.sum(SKIN_PROFILE.variance[:, None] * SKIN_PROFILE.weight, axis=0))


def open_chart(size, millimetres):
    """Mask and size of texels of a chart that fills the map."""
    extent = np.broadcast_to(np.float32(millimetres), (size, size, 2))
    return np.ones((size, size, 1), np.float32), extent


def response(size, millimetres, axis):
    """Normalised response (size, 3) across a line of light, and the places in mm."""
    line = np.zeros((size, size, 3), np.float32)
    line[(slice(None), size // 2) if axis == 1 else size // 2] = 1
    out = np.asarray(scatter_irradiance(line, *open_chart(size, millimetres)))
    across = out.mean(axis=1 - axis)
    return across / across.sum(0), (np.arange(size) - size // 2) * millimetres[1 - axis]


def test_profile_is_normalised_and_red_goes_furthest():
    np.testing.assert_allclose(SKIN_PROFILE.weight.sum(0), 1.0, atol=1e-6)
    np.testing.assert_allclose(PROFILE_SIGMA, [1.176, 0.261, 0.157], atol=1e-3)


@pytest.mark.parametrize(
    ("size", "millimetres", "axis"),
    [(64, (1.6, 1.6), 1), (128, (0.8, 0.8), 1), (128, (0.8, 0.8), 0), (128, (0.5, 1.3), 1),
     (128, (0.5, 1.3), 0)],
)  # fmt: skip
def test_line_spreads_by_the_profile_on_texels_of_any_size(size, millimetres, axis):
    across, place = response(size, millimetres, axis)
    sigma = np.sqrt(np.sum(across * place[:, None] ** 2, axis=0))
    np.testing.assert_allclose(sigma, PROFILE_SIGMA, rtol=0.005)
    assert np.all(np.diff(across[size // 2 :], axis=0) <= 1e-7)  # No rings, no gaps.


def test_response_has_the_shape_of_the_profile_at_any_resolution():
    """Light within r of a line, against the error function, for fine and coarse texels."""
    for size, texel in ((128, 0.8), (256, 0.4)):
        across, place = response(size, (texel, texel), 1)
        for reach in (2.0, 4.0, 6.0):
            inside = np.abs(place) < reach + 1e-3
            # The outermost texels count by half: they are cut in the middle.
            edge = np.isclose(np.abs(place), reach, atol=1e-3)
            got = across[inside].sum(0) - across[edge].sum(0) / 2
            erf = jax.scipy.special.erf(reach / np.sqrt(2 * SKIN_PROFILE.variance))
            np.testing.assert_allclose(got, erf @ SKIN_PROFILE.weight, atol=0.015)


def stretched_chart(size):
    """A chart with a hole whose texels are 0.4 to 1.6 mm wide."""
    y, x = np.mgrid[:size, :size] / size
    mask = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.2) & (np.abs(x - 0.4) + np.abs(y - 0.6) > 0.1)
    extent = np.stack([0.4 * 4**x, 0.4 * 4**y * (1 + 0.3 * np.sin(9 * x))], -1)
    return mask[..., None].astype(np.float32), extent.astype(np.float32)


def test_energy_is_kept_and_even_light_stays():
    mask, extent = stretched_chart(128)
    area = mask * extent[..., :1] * extent[..., 1:]
    light = np.random.default_rng(0).random((128, 128, 3)).astype(np.float32) ** 4
    light[(mask == 0)[..., 0]] = 1e3  # Must not leak in.
    out = np.asarray(scatter_irradiance(light, mask, extent))
    np.testing.assert_allclose((out * area).sum((0, 1)), (light * area).sum((0, 1)), rtol=1e-4)
    assert np.std(out[mask[..., 0] > 0], axis=0)[0] < 0.5 * np.std(light[mask[..., 0] > 0])
    assert out[mask[..., 0] > 0].max() <= 1

    albedo = np.random.default_rng(1).uniform(0.1, 0.9, light.shape).astype(np.float32)
    even = np.broadcast_to(np.float32([3, 2, 1]), light.shape)
    for colors in (None, albedo):
        out = scatter_irradiance(even, mask, extent, colors)
        np.testing.assert_allclose(out, even, rtol=1e-4)


@pytest.mark.parametrize(("left", "right"), [(0.3, 0.6), (0.6, 0.3), (0.3, 1.5), (1.5, 0.3)])
def test_light_does_not_overshoot_where_texels_change_in_size(left, right):
    along = np.where(np.arange(64) < 32, left, right)[None, :, None]
    extent = np.broadcast_to(along, (64, 64, 2)).astype(np.float32)
    light = np.zeros((64, 64, 3), np.float32)
    light[:, 32:] = 1
    out = np.asarray(scatter_irradiance(light, np.ones((64, 64, 1), np.float32), extent))
    assert out.min() >= 0 and out.max() <= 1 + 1e-6
    if left + right < 1:  # A ramp; from one texel to the next charts hardly stretch as much.
        assert np.all(np.diff(out[32], axis=0) >= -1e-6)


def test_gap_between_charts_stops_the_light():
    mask, extent = open_chart(64, (0.5, 0.5))
    mask = mask.copy()
    mask[:, 32] = 0  # A gap of one texel, narrower than the reach of the profile.
    light = np.zeros((64, 64, 3), np.float32)
    light[:, :32] = 1
    out = np.asarray(scatter_irradiance(light, mask, extent))
    np.testing.assert_allclose(out[:, :32], 1, atol=1e-5)
    np.testing.assert_allclose(out[:, 33:], 0, atol=1e-5)


def test_texels_round_a_chart_continue_it():
    mask, extent = open_chart(64, (0.5, 0.5))
    mask = mask.copy()
    mask[:, :20] = 0
    light = np.ones((64, 64, 3), np.float32) * np.linspace(0, 1, 64)[:, None, None]
    light[:, :20] = 7
    out = np.asarray(scatter_irradiance(light.astype(np.float32), mask, extent))
    np.testing.assert_allclose(out[:, 18], out[:, 20], atol=0.03)
    np.testing.assert_array_equal(out[:, 5], 7)


def test_shadow_edge_turns_red():
    mask, extent = open_chart(128, (0.4, 0.4))
    light = np.zeros((128, 128, 3), np.float32)
    light[:, 64:] = 1
    out = np.asarray(scatter_irradiance(light, mask, extent))[64]
    dark, bright = out[61], out[66]  # A millimetre into the shadow and into the light.
    assert dark[0] > 3 * dark[1] > 0 and dark[1] >= dark[2]
    assert bright[0] < bright[1] < bright[2] + 1e-6
    np.testing.assert_allclose(out[64 - 30], 0, atol=1e-3)
    np.testing.assert_allclose(out[64 + 30], 1, atol=1e-3)


def test_detail_of_the_albedo_is_not_blurred():
    """A dark spot keeps its edge; it only gives less light to what is around it."""
    mask, extent = open_chart(64, (0.5, 0.5))
    albedo = np.full((64, 64, 3), 0.6, np.float32)
    albedo[20:40, 20:40] = 0.1
    light = np.linspace(0.5, 1.5, 64, dtype=np.float32)[:, None, None] * np.ones((64, 64, 3))
    out = np.asarray(albedo * scatter_irradiance(light.astype(np.float32), mask, extent, albedo))
    np.testing.assert_allclose(out[4:-4], (albedo * light)[4:-4], rtol=0.05)


def test_gaussian_of_the_callers_choice_and_its_gradient():
    mask, extent = open_chart(32, (1.0, 1.0))
    light = np.zeros((32, 32, 3), np.float32)
    light[16, 16] = 1

    def width(variance):
        profile = ScatterProfile(variance[None], jnp.ones((1, 3)))
        out = scatter_irradiance(light, mask, extent, profile=profile)
        return jnp.sum(out[..., 0] * (jnp.arange(32) - 16.0) ** 2)

    value, slope = jax.value_and_grad(width)(jnp.float32(1.7))
    np.testing.assert_allclose([value, slope], [1.7, 1.0], rtol=1e-3)


def test_maps_of_a_batch_are_blurred_alike():
    mask, extent = stretched_chart(32)
    light = np.random.default_rng(2).random((2, 32, 32, 3)).astype(np.float32)
    both = jax.vmap(lambda x: scatter_irradiance(x, mask, extent))(light)
    np.testing.assert_allclose(both[1], scatter_irradiance(light[1], mask, extent), atol=1e-6)


def test_millimetres_follow_the_uv_jacobian():
    """A cylinder of 8 cm: its arc along u, twice as much stretched along v."""
    line = np.linspace(0.1, 0.9, 25)
    v, u = np.meshgrid(line, line, indexing="ij")
    angle = 2.0 * u
    points = np.stack([0.08 * np.sin(angle), -0.3 * v, 0.08 * np.cos(angle)], -1)
    corner = (np.arange(24)[:, None] * 25 + np.arange(24)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, 25, 1], corner + [1, 25, 26]]).astype(np.int32)
    uv = np.stack([u, v], -1).reshape(-1, 2)
    for size in (32, 64):
        atlas = build_uv_atlas(uv, faces, size)
        got = np.asarray(
            subsurface.millimetres_per_texel(
                atlas, faces, jnp.asarray(points.reshape(-1, 3), jnp.float32)
            )
        )
        inside = np.asarray(atlas.inside)
        want = np.array([160.0, 300.0]) / size
        np.testing.assert_allclose(got[inside], np.broadcast_to(want, got[inside].shape), rtol=0.01)
        np.testing.assert_array_equal(got[~inside], 0)

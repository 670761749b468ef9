"""Near lights against closed forms, and their shadows against the geometry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.numerics import normalize
from relightify_jax.rendering import area_lights, brdf
from relightify_jax.rendering.area_lights import RectangleLights, SphereLights

pytestmark = pytest.mark.usefixtures("quick_compilation")

# A soft box of 60 x 40 cm, half a metre above the origin, off to a side and tilted towards it.
TILT = np.array([[0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
BOX = RectangleLights(
    center=jnp.array([[-0.25, 0.5, 0.1]]),
    half_u=jnp.asarray(0.3 * TILT[:1], jnp.float32),
    half_v=jnp.asarray(0.2 * TILT[1:], jnp.float32),
    radiance=jnp.array([[3.0, 2.0, 1.0]]),
)
UP = np.float32([0, 1, 0])


def lambert(lamps, positions, normals, visibility=None):
    """Irradiance (..., 3), by shading white paint without a gloss."""
    lit = area_lights.lamp_irradiance(positions, lamps)
    cosine = jnp.maximum(jnp.sum(lit[0] * normals, -1, keepdims=True), 0)
    weight = 1.0 if visibility is None else visibility[..., None]
    return np.pi * np.asarray(jnp.sum(cosine * lit[1] * weight, axis=0))


def polygon_irradiance(corners, position, normal):
    """Lambert's formula for a polygon of radiance 1 (Baum et al. 1989, eq. 8)."""
    rays = corners - position
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    following = np.roll(rays, -1, axis=0)
    axis = np.cross(rays, following)
    angle = np.arccos(np.sum(rays * following, -1))
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    return abs(np.sum(angle * (axis @ normal))) / 2


def box_corners(box):
    center, u, v = (np.asarray(x[0], np.float64) for x in box[:3])
    return np.stack([center - u - v, center + u - v, center + u + v, center - u + v])


def test_irradiance_of_a_rectangle_is_lamberts_formula():
    normals = normalize(jnp.array([[0.0, 1, 0], [-0.5, 1, 0.3], [-1, 0.5, 0], [0, 1, 0]]))
    positions = jnp.array([[0.0, 0, 0], [0.1, 0, -0.1], [0.2, -0.1, 0.1], [-0.3, 0.05, 0]])
    want = [
        polygon_irradiance(box_corners(BOX), np.float64(p), np.float64(n))
        for p, n in zip(positions, normals, strict=True)
    ]
    want = np.array(want)[:, None] * BOX.radiance[0]
    for num, tolerance in ((16, 0.025), (64, 0.01)):
        got = lambert(area_lights.sample_rectangles(BOX, num), positions, normals)
        np.testing.assert_allclose(got, want, rtol=tolerance)


def test_rectangles_are_dark_behind():
    turned = BOX._replace(half_u=-BOX.half_u)
    got = lambert(area_lights.sample_rectangles(turned, 4), jnp.zeros((1, 3)), UP)
    np.testing.assert_array_equal(got, 0)


def test_sphere_obeys_the_inverse_square_law_at_any_distance():
    center = jnp.array([[0.0, 0.5, 0.0], [0.0, 1.2, 0.0], [0.0, 0.6, 0.0]])
    radius, intensity = jnp.array([0.15, 0.15, 0.0]), jnp.ones((3, 3))
    for num in (1, 16):
        for k in range(3):
            light = SphereLights(center[k : k + 1], radius[k : k + 1], intensity[k : k + 1])
            lamps = area_lights.sample_spheres(light, jnp.zeros(3), num)
            got = lambert(lamps, jnp.zeros((1, 3)), UP)
            np.testing.assert_allclose(got[0], 1 / center[k, 1] ** 2, rtol=1e-4)
            # Beside the target a sphere is still the same from everywhere.
            beside = jnp.array([[0.08, 0.0, 0.0]])
            away = center[k] - beside[0]
            want = away[1] / jnp.sum(away**2) ** 1.5
            np.testing.assert_allclose(lambert(lamps, beside, UP)[0], want, rtol=0.02)


def test_far_light_is_a_directional_one():
    """A small soft box far away renders as a beam of the same irradiance."""
    direction = normalize(jnp.array([0.3, 0.5, 0.8]))
    u = normalize(jnp.cross(direction, jnp.array(UP)))
    box = RectangleLights(
        100.0 * direction[None], u[None], jnp.cross(u, -direction)[None], jnp.full((1, 3), 5.0)
    )
    box = box._replace(half_u=-box.half_u) if jnp.cross(u, box.half_v[0]) @ direction > 0 else box
    lamps = area_lights.sample_rectangles(box, 4)
    normals = normalize(jnp.array([[0.1, 0.2, 1], [0.5, 0.5, 0.5], [-1, 0.4, 0.4]]))
    positions, view = 0.05 * normals, jnp.array([0.0, 0, 1]) + 0 * normals
    albedo, specular = jnp.full((3, 3), 0.5), jnp.full((3, 1), 0.35)
    got = area_lights.shade_lamps(
        albedo, specular, positions, normals, view, lamps, 0.4, scatter=(0.2, 0.1, 0.0)
    )
    beam = brdf.directional_response(
        albedo, specular, normals, view, direction, jnp.full((3, 1), 0.4), jnp.array([0.2, 0.1, 0])
    )
    irradiance = 5.0 * 4 / 100.0**2
    np.testing.assert_allclose(got, beam * irradiance / np.pi, rtol=3e-3)
    assert np.min(got[:2]) > 0


def plates(height, num=8):
    """A floor of 60 cm and a plate at `height` over its left half."""
    s = np.linspace(0, 1, num + 1)
    y, x = np.meshgrid(s, s, indexing="ij")
    corner = (np.arange(num)[:, None] * (num + 1) + np.arange(num)).reshape(-1, 1)
    quads = np.concatenate([corner + [0, num + 1, 1], corner + [1, num + 1, num + 2]])
    floor = np.stack([0.6 * x - 0.3, 0 * x, 0.6 * y - 0.3], -1).reshape(-1, 3)
    plate = np.stack([0.3 * x - 0.3, 0 * x + height, 0.6 * y - 0.3], -1).reshape(-1, 3)
    points = np.concatenate([floor, plate]).astype(np.float32)
    return points, np.concatenate([quads, quads + len(floor)]).astype(np.int32)


@pytest.mark.parametrize("height", [0.05, 0.1])
def test_penumbra_is_as_wide_as_the_geometry_says(height):
    """An edge at `height` under a light of half-width a at H: 2 a height / (H - height)."""
    points, faces = plates(height)
    half, top = 0.1, 0.6
    box = RectangleLights(
        jnp.array([[0.0, top, 0.0]]),
        jnp.array([[half, 0.0, 0.0]]),
        jnp.array([[0.0, 0.0, half]]),
        jnp.ones((1, 3)),
    )
    lamps = area_lights.sample_rectangles(box, 32)
    x = np.linspace(-0.1, 0.1, 161)
    query = np.stack([x, 0 * x, 0 * x + 0.013], -1).astype(np.float32)
    normals = np.broadcast_to(UP, query.shape)
    visibility = area_lights.lamp_visibility(points, faces, lamps, query, normals, size=512, blur=1)
    lit = np.mean(visibility, axis=0)
    width = 2 * half * height / (top - height)
    ramp = np.clip(0.5 + x / width, 0, 1)
    pixel = 1.0 / 512
    # One pixel of position error at the most, and no shadow or light elsewhere.
    np.testing.assert_allclose(lit, ramp, atol=1.5 * pixel / width + 1 / 32)
    np.testing.assert_allclose(
        np.interp(0.75, lit, x) - np.interp(0.25, lit, x), width / 2, rtol=0.08
    )
    np.testing.assert_allclose(np.interp(0.5, lit, x), 0.0, atol=pixel)


def test_flat_surface_does_not_shadow_itself():
    points, faces = plates(0.0)
    floor = len(points) // 2
    points, faces = points[:floor], faces[: len(faces) // 2]
    light = SphereLights(
        jnp.array([[0.5, 0.15, 0.2], [0.0, 1.0, 0.0], [-0.3, 0.6, 2.0]]),
        jnp.zeros(3),
        jnp.ones((3, 3)),
    )
    lamps = area_lights.sample_spheres(light, jnp.zeros(3), 1)
    x, z = np.meshgrid(*[np.linspace(-0.29, 0.29, 40)] * 2)
    query = np.stack([x, 0 * x, z], -1).astype(np.float32)
    visibility = area_lights.lamp_visibility(
        points, faces, lamps, query, np.broadcast_to(UP, query.shape), size=64
    )
    assert visibility.shape == (3, 40, 40)
    assert np.min(visibility) > 0.999


def test_gradient_reaches_light_position_and_albedo():
    def brightness(center, albedo):
        lamps = area_lights.sample_rectangles(BOX._replace(center=center), 4)
        color = area_lights.shade_lamps(
            albedo, jnp.full((2, 1), 0.3), jnp.zeros((2, 3)), jnp.array([UP, UP]),
            jnp.array([UP, UP]), lamps, 0.5,
        )  # fmt: skip
        return jnp.sum(color)

    albedo = jnp.full((2, 3), 0.5)
    gradient = jax.grad(brightness, (0, 1))(BOX.center, albedo)
    step = 1e-3 * jnp.array([[0.0, 1.0, 0.0]])
    slope = (brightness(BOX.center + step, albedo) - brightness(BOX.center - step, albedo)) / 2e-3
    np.testing.assert_allclose(gradient[0][0, 1], slope, rtol=0.01)
    assert np.min(gradient[1]) > 0

"""The light stage as a whole: against shading per pixel, and properties of masks and textures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.core.numerics import normalize
from relightify_jax.geometry.camera import Camera, camera_position
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.light_stage import camera, masks, posing
from relightify_jax.light_stage import stage as light_stage
from relightify_jax.light_stage.illumination import Illumination
from relightify_jax.rendering.area_lights import LampSamples, lamp_visibility, shade_lamps
from relightify_jax.rendering.interpolate import interpolate
from relightify_jax.rendering.lighting import Light, disc_sh, uniform_sh
from relightify_jax.rendering.occlusion import (
    compute_occlusion,
    fibonacci_directions,
    receive_light,
    shadowed_irradiance,
)
from relightify_jax.rendering.renderer import head_mesh, render_surface
from relightify_jax.rendering.shading import SKIN_SCATTER, shade
from relightify_jax.rendering.texture import sample_texture

pytestmark = pytest.mark.usefixtures("quick_compilation")

NO_EXPRESSION = jnp.zeros(52)
AVERAGE = jnp.zeros(8)


def two_lamps(center):
    """A wide sky, a lamp from the upper left and a dark one."""
    positions = center + jnp.array([[0.7, 0.6, 0.9], [-0.4, 0.0, 0.6]])
    lamps = LampSamples(positions, jnp.zeros((2, 3)), jnp.array([[4.0, 3.5, 3.0], [0.0, 0.0, 0.0]]))
    sky = uniform_sh([0.2, 0.2, 0.25], 4) + disc_sh([-1.0, 0.6, 0.5], 1.2, [0.4, 0.4, 0.45], 4)
    return Illumination(Light(sky, jnp.zeros((0, 3)), jnp.zeros((0, 3))), lamps, jnp.full(2, 0.01))


def look_at(center, viewpoint, pixels):
    """A camera of `pixels` per side at `viewpoint` (in front: no turn), its axis along -Z."""
    distance = viewpoint[2] - center[2]
    focal = 0.9 * pixels * distance / 0.24
    shift = (viewpoint - center)[:2] * focal / distance * jnp.array([1.0, -1.0])
    return Camera(jnp.float32(focal), pixels / 2 + shift, jnp.zeros(3), -viewpoint)


def test_texels_shine_like_the_pixels_that_show_them(stage, plain_face, embedded_model):
    center, pixels = stage.center, 128
    viewpoint = center + jnp.array([0.12, 0.03, 0.8])
    illumination = two_lamps(center)
    expression = jnp.zeros(52).at[embedded_model.expression_names.index("jawOpen")].set(0.2)
    pose = light_stage.pose_before_camera(stage, AVERAGE, expression, illumination, viewpoint)
    texture = light_stage.light_pose(stage, plain_face, pose, illumination, viewpoint)

    mesh = head_mesh(embedded_model)
    points = embedded_model.mean + jnp.einsum("e,evc->vc", expression, embedded_model.expression)
    view = look_at(center, viewpoint, pixels)
    np.testing.assert_allclose(camera_position(view), viewpoint, atol=1e-5)
    surface = render_surface(mesh, points, view, height=pixels, width=pixels)
    normals = vertex_normals(embedded_model.mean, mesh.faces)
    transfer = compute_occlusion(
        embedded_model.mean, mesh.faces, embedded_model.mean, normals,
        jnp.asarray(fibonacci_directions(64)), order=4,
    )  # fmt: skip
    received = receive_light(transfer.transfer, illumination.light.sh)
    received = jnp.concatenate([received, normals, transfer.openness[:, None]], axis=-1)
    received = interpolate(received, mesh.faces, surface.fragments)
    irradiance = shadowed_irradiance(
        received[..., :4], illumination.light.sh, normalize(received[..., 4:7]), surface.normals
    )
    towards = normalize(viewpoint - surface.position)
    even = [jnp.broadcast_to(x[0, 0], (pixels, pixels, x.shape[-1])) for x in plain_face]
    material = even[0], even[2]
    # The truth casts its shadow with every triangle.
    lit = lamp_visibility(
        points, mesh.faces, illumination.lamps, surface.position, surface.normals, size=512, blur=3
    )

    def lamp(visibility):
        return shade_lamps(
            *material, surface.position, surface.normals, towards, illumination.lamps, even[3],
            scatter=SKIN_SCATTER, visibility=visibility,
        )  # fmt: skip

    want = lamp(lit) + shade(
        *material, surface.normals, towards, illumination.light, even[3], scatter=SKIN_SCATTER,
        occlusion=received[..., 7:], irradiance=irradiance, specular="split_sum",
    )  # fmt: skip

    got = sample_texture(texture, surface.uv)
    facing = jnp.sum(towards * surface.normals, axis=-1)
    # Beyond, the texture shows what another camera sees.
    seen = np.asarray((surface.part == 0) & (facing > 0.47))
    assert seen.mean() > 0.25
    error = (np.abs(got - want) / np.mean(want[seen]))[seen]
    # Texels of 3 mm against pixels of 2 mm, and edges of shadows 1 mm softer.
    assert np.median(error) < 0.01
    assert np.quantile(error, 0.9) < 0.06
    # The lamp's shadow is there, at the same place.
    dark = np.asarray((lit[0] < 0.1) & (jnp.sum(surface.normals * normalize(
        illumination.lamps.position[0] - surface.position), -1) > 0.3))[seen]  # fmt: skip
    assert 0.01 < dark.mean() < 0.5
    depth = np.asarray(lamp(jnp.ones_like(lit)) - lamp(lit))[seen] / np.mean(want[seen])
    assert np.median(error[dark]) < 0.15 * np.median(depth[dark])


def test_normals_turn_with_the_surface():
    keys = jax.random.split(jax.random.key(0), 3)
    before, after, detail = (normalize(jax.random.normal(k, (50, 3))) for k in keys)
    after = normalize(before + 0.5 * after)
    np.testing.assert_allclose(posing.turn_normals(before, before, after), after, atol=1e-5)
    turned = posing.turn_normals(detail, before, after)
    np.testing.assert_allclose(jnp.linalg.norm(turned, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(jnp.sum(turned * after, -1), jnp.sum(detail * before, -1), atol=1e-5)


def test_the_coarse_mesh_is_the_head(stage):
    points = np.asarray(stage.shape.mean)
    coarse = points[np.asarray(stage.shape.shadow_vertices)]
    assert len(stage.shape.shadow_faces) < 0.4 * len(stage.shape.faces)
    used = points[np.unique(np.asarray(stage.shape.faces))]
    np.testing.assert_allclose(coarse.min(0), used.min(0), atol=5e-3)
    np.testing.assert_allclose(coarse.max(0), used.max(0), atol=5e-3)


def test_expressions_are_mild_and_nearly_symmetric(stage, embedded_model):
    draw = jax.vmap(lambda key: posing.draw_expression(key, stage.shape))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 200)))
    assert drawn.min() >= 0 and drawn.max() <= 1 and 0.01 < drawn.mean() < 0.1
    names = embedded_model.expression_names
    left, right = names.index("mouthSmileLeft"), names.index("mouthSmileRight")
    assert np.corrcoef(drawn[:, left], drawn[:, right])[0, 1] > 0.95
    assert abs(np.corrcoef(drawn[:, left], drawn[:, names.index("jawOpen")])[0, 1]) < 0.3


def test_less_is_seen_from_aside(stage):
    covered = []
    for yaw in (0.0, 30.0, 60.0):
        viewpoint = stage.center + camera.viewpoint_at(yaw, 0.0, 1.0)
        pose = light_stage.pose_before_camera(
            stage, AVERAGE, NO_EXPRESSION, two_lamps(stage.center), viewpoint
        )
        confidence = masks.view_confidence(pose, viewpoint)
        assert confidence.shape == stage.openness.shape[:2]
        on_face = np.asarray(stage.zones.outline < 0) & np.asarray(stage.zones.openings > 1)
        covered.append(float(np.mean(np.asarray(confidence)[on_face])))
        if yaw == 60.0:  # From the subject's left, the right cheek is hidden.
            left, right = (
                on_face & np.asarray(side) for side in (stage.zones.x > 30, stage.zones.x < -30)
            )
            assert np.mean(confidence[left]) > 3 * np.mean(confidence[right])
    assert covered[0] > 0.75 and covered[0] > covered[1] + 0.03 > covered[2] + 0.1


def test_masks_are_like_those_of_photographs(stage):
    viewpoint = stage.center + camera.viewpoint_at(5.0, 0.0, 1.0)
    pose = light_stage.pose_before_camera(
        stage, AVERAGE, NO_EXPRESSION, two_lamps(stage.center), viewpoint
    )
    draw = jax.jit(jax.vmap(lambda key: masks.draw_observed(key, stage.zones, pose, viewpoint)))
    observed = np.asarray(draw(jax.random.split(jax.random.key(2), 64)))[..., 0]
    covered = np.mean(observed > 0.5, axis=(1, 2))
    # Six portraits that were unwrapped show 0.28 to 0.34 of the map.
    assert 0.18 < np.median(covered) < 0.36 and 0.05 < covered.std() / covered.mean() < 0.5
    assert np.max(observed[:, np.asarray(stage.zones.openings < -1)]) == 0
    zones = stage.zones
    cheek = np.asarray((zones.y > 25) & (zones.y < 40) & (jnp.abs(zones.x) < 35))
    forehead = np.asarray((zones.hairline > 3) & (zones.hairline < 12) & (zones.outline < -3))
    assert np.mean(observed[:, cheek]) > 0.75
    # Hair hangs over some foreheads.
    assert 0.2 < np.mean(observed[:, forehead] > 0.5) < 0.9


def test_zones_know_the_face(stage):
    zones = stage.zones
    place = jnp.stack([zones.x, zones.y])
    assert place.shape == (2, *stage.openness.shape[:2])
    assert 55 < zones.eye_distance < 75
    inside = np.asarray(zones.outline < 0)
    assert 0.15 < inside.mean() < 0.45
    middle = np.unravel_index(np.argmin(np.abs(zones.x) + np.abs(zones.y)), inside.shape)
    assert inside[middle] and zones.openings[middle] > 10 and zones.hairline[middle] > 30
    eyes = np.asarray(
        (jnp.abs(jnp.abs(zones.x) - zones.eye_distance / 2) < 3) & (jnp.abs(zones.y) < 2)
    )
    assert np.all(np.asarray(zones.openings)[eyes] < 1)


def test_faces_are_photographed(stage, plain_face):
    shape = plain_face.diffuse_albedo.shape
    stripes = 0.5 + 0.5 * jnp.sign(jnp.sin(jnp.arange(shape[0]) / 3))[:, None, None]
    extreme = plain_face._replace(diffuse_albedo=jnp.broadcast_to(stripes, shape))
    batch = jax.tree.map(lambda *x: jnp.stack(x), plain_face, extreme, plain_face)
    identity = jax.random.normal(jax.random.key(5), (3, 8))

    def light(**options):
        return light_stage.light_faces(jax.random.key(7), stage, batch, identity, **options)

    by_map, again = light(), light()
    assert by_map.texture.shape == (3, *shape) and by_map.observed.shape == (3, *shape[:2], 1)
    for leaf in by_map:
        assert np.all(np.isfinite(leaf)) and np.min(leaf) >= 0 and np.max(leaf) <= 1
    np.testing.assert_array_equal(again.texture, by_map.texture)
    np.testing.assert_array_equal(again.observed, by_map.observed)
    # Another key, another picture.
    assert np.mean(np.abs(by_map.texture[0] - by_map.texture[2])) > 0.01
    # As exposed as photographs are.
    skin = np.asarray(stage.zones.meter[..., 0] > 0)
    brightness = np.asarray(by_map.texture)[:, skin].mean((1, 2))
    assert np.all((brightness > 0.05) & (brightness < 0.7))
    assert np.all(np.mean(by_map.observed, axis=(1, 2, 3)) > 0.02)

    by_vmap = light(batch_size=3)
    # JPEG rounds: where the last bit of a coefficient differs, so does a step.
    assert np.mean(np.abs(by_vmap.texture - by_map.texture)) < 2e-3
    np.testing.assert_allclose(by_vmap.observed, by_map.observed, atol=1e-3)


def test_radiance_is_linear_in_the_light_and_black_skin_only_shines(stage, plain_face):
    viewpoint = stage.center + jnp.array([0.0, 0.0, 1.0])
    illumination = two_lamps(stage.center)
    pose = light_stage.pose_before_camera(stage, AVERAGE, NO_EXPRESSION, illumination, viewpoint)

    def light(maps, illumination):
        return np.asarray(light_stage.light_pose(stage, maps, pose, illumination, viewpoint))

    one = light(plain_face, illumination)
    twice = illumination._replace(
        light=illumination.light._replace(sh=2 * illumination.light.sh),
        lamps=illumination.lamps._replace(intensity=2 * illumination.lamps.intensity),
    )
    np.testing.assert_allclose(light(plain_face, twice), 2 * one, rtol=1e-4, atol=1e-5)
    scattered = light_stage.light_pose(
        stage, plain_face, pose, illumination, viewpoint, subsurface=True
    )
    face = np.asarray(stage.zones.outline < 0)
    np.testing.assert_allclose(np.mean(scattered[face]), np.mean(one[face]), rtol=0.05)
    black = light(plain_face._replace(diffuse_albedo=0 * plain_face.diffuse_albedo), illumination)
    matte = light(plain_face._replace(specular_albedo=0 * plain_face.specular_albedo), illumination)
    assert np.all(black >= 0) and np.all(black <= one + 1e-6)
    assert 0.005 < np.mean(black) < 0.2 * np.mean(one)
    # The sheen takes its share of what the base would have returned.
    assert np.mean(matte) < np.mean(one) < np.mean(matte) + np.mean(black)
    darker = light(
        plain_face._replace(diffuse_albedo=0.5 * plain_face.diffuse_albedo), illumination
    )
    assert np.all(darker <= one + 1e-6)


def test_what_does_not_fit_is_said(stage, plain_face, embedded_model):
    with pytest.raises(InputError, match="at least 16"):
        light_stage.build_stage(embedded_model, 8)
    small = jax.tree.map(lambda x: x[:32, :32], plain_face)
    with pytest.raises(ValueError, match="96"):
        light_stage.light_face(jax.random.key(0), stage, small, AVERAGE)
    with pytest.raises(ValueError, match="200"):
        posing.pose_head(
            stage.shape, stage.places, jnp.zeros(200), NO_EXPRESSION, two_lamps(stage.center).lamps
        )

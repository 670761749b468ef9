"""Shading per texel against the renderer that shades per pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.numerics import normalize
from relightify_jax.geometry.camera import Camera, camera_position, project
from relightify_jax.geometry.mesh import tangent_from_object, vertex_normals
from relightify_jax.geometry.uv_atlas import build_uv_atlas
from relightify_jax.rendering import renderer, uv_renderer
from relightify_jax.rendering.area_lights import RectangleLights, lamp_visibility, sample_rectangles
from relightify_jax.rendering.lighting import Light, disc_sh, uniform_sh
from relightify_jax.rendering.occlusion import (
    cast_shadows,
    compute_occlusion,
    fibonacci_directions,
    mesh_occlusion,
)
from relightify_jax.rendering.shading import SKIN_SCATTER
from relightify_jax.rendering.subsurface import SKIN_PROFILE
from relightify_jax.rendering.texture import sample_image

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZE = 32


def nosy_sheet(num=28):
    """A curved "face" of 16 cm with a bump that casts a shadow, one chart of the whole tile."""
    line = np.linspace(0, 1, num + 1)
    v, u = np.meshgrid(line, line, indexing="ij")
    x, y = 0.16 * (u - 0.5), 0.16 * (0.5 - v)
    bump = 0.05 * np.exp(-((x / 0.018) ** 2) - ((y / 0.03) ** 2))
    points = np.stack([x, y, bump - 3 * x * x - 2 * y * y], -1).reshape(-1, 3)
    corner = (np.arange(num)[:, None] * (num + 1) + np.arange(num)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, num + 1, 1], corner + [1, num + 1, num + 2]])
    faces = jnp.asarray(faces, jnp.int32)
    uv = jnp.asarray(np.stack([u, v], -1).reshape(-1, 2), jnp.float32)
    part = jnp.zeros(faces.shape[0], jnp.int32)
    return renderer.HeadMesh(faces, uv, faces, part), jnp.asarray(points, jnp.float32)


def smooth_maps(size):
    """Albedo, specular albedo and tangent-space normals that vary over centimetres."""
    y, x = np.mgrid[:size, :size] / size * 2 * np.pi
    albedo = 0.4 + 0.15 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)
    normals = np.stack([0.2 * np.sin(2 * x), 0.2 * np.cos(2 * y), 1 + 0 * x], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    specular = 0.35 + 0.2 * np.cos(x - y)[..., None]
    return (jnp.asarray(m, jnp.float32) for m in (albedo, specular, normals))


MESH, POINTS = nosy_sheet()
ATLAS = build_uv_atlas(np.asarray(MESH.uv), np.asarray(MESH.uv_faces), SIZE)
ALBEDO, SPECULAR, TANGENT_NORMALS = smooth_maps(SIZE)
LIGHT = Light(
    uniform_sh([0.2, 0.2, 0.25]) + disc_sh([-1.0, 0.5, 0.5], 1.2, [0.5, 0.4, 0.3]),
    normalize(jnp.array([[0.9, 0.3, 0.6], [0.0, 1.0, 0.5]])),
    jnp.array([[0.8, 0.7, 0.6], [0.0, 0.0, 0.0]]),
)
VIEWPOINT = jnp.array([0.1, 0.05, 0.6])


def light(points=POINTS, normals=TANGENT_NORMALS, **options):
    surface = uv_renderer.texel_surface(MESH, ATLAS, points)
    options = dict(normal_space="tangent", specular="split_sum") | options
    return uv_renderer.light_texture(
        ALBEDO, SPECULAR, normals, surface, LIGHT, VIEWPOINT, **options
    )


def look_at_sheet(pixels):
    """A camera at `VIEWPOINT`, parallel to the sheet, which it shows in the middle."""
    offset = 3.0 * pixels * VIEWPOINT[:2] / VIEWPOINT[2]
    return Camera(
        focal=jnp.float32(3.0 * pixels),
        center=pixels / 2 + offset * jnp.array([1.0, -1.0]),
        rotation=jnp.zeros(3),
        translation=-VIEWPOINT,
    )


def test_texels_get_the_color_of_the_pixels_that_show_them():
    pixels = 96
    camera = look_at_sheet(pixels)
    np.testing.assert_allclose(camera_position(camera), VIEWPOINT, atol=1e-6)
    assets = renderer.plain_assets()._replace(
        face_diffuse=ALBEDO, face_specular=SPECULAR, face_normal=TANGENT_NORMALS
    )
    openness = mesh_occlusion(POINTS, MESH.faces, num_directions=32, size=64)
    picture = renderer.render_head(
        MESH, assets, POINTS, camera, LIGHT, height=pixels, width=pixels, samples=3,
        occlusion=openness, specular="split_sum",
    )  # fmt: skip
    surface = uv_renderer.texel_surface(MESH, ATLAS, POINTS)
    occlusion = uv_renderer.sample_atlas(ATLAS, MESH.faces, openness[:, None])
    shadows = cast_shadows(POINTS, MESH.faces, LIGHT, surface.position, surface.normals)
    texture = light(occlusion=occlusion, visibility=shadows, scatter=SKIN_SCATTER)

    xy, _ = project(camera, surface.position)
    seen = sample_image(picture.image, xy)
    alpha = sample_image(picture.alpha, xy)[..., 0]
    view = normalize(VIEWPOINT - surface.position)
    well_seen = np.asarray((alpha > 0.99) & (jnp.sum(view * surface.normals, -1) > 0.5))
    assert well_seen.mean() > 0.6
    error = np.abs(texture - seen)[well_seen] / np.mean(seen[well_seen])
    assert np.median(error) < 0.01
    assert np.quantile(error, 0.9) < 0.05
    # Also in the shadow that the bump casts.
    unshadowed = light(occlusion=occlusion, scatter=SKIN_SCATTER)
    darkened = np.asarray(unshadowed - texture).mean(-1)[well_seen] > 0.1
    assert 0.01 < darkened.mean() < 0.5
    assert np.median(error[darkened]) < 0.02


def test_object_space_normals_are_those_of_the_tangent_space():
    surface = uv_renderer.texel_surface(MESH, ATLAS, POINTS)
    in_object = uv_renderer.object_from_tangent(TANGENT_NORMALS, surface.normals, surface.tangents)
    want = light()
    np.testing.assert_allclose(light(normals=in_object, normal_space="object"), want, atol=1e-5)
    # Maps of the rest pose follow when the skin bends.
    bent = POINTS.at[:, 2].add(-4 * (POINTS[:, 0] - 0.03) ** 2)
    got = light(bent, in_object, normal_space="object", rest=surface)
    np.testing.assert_allclose(got, light(bent), atol=1e-4)
    assert np.max(np.abs(got - want)) > 0.05
    posed = uv_renderer.texel_surface(MESH, ATLAS, bent)
    carried = uv_renderer.pose_normals(in_object, surface, posed)
    local = tangent_from_object(carried, posed.normals, posed.tangents)
    np.testing.assert_allclose(local, TANGENT_NORMALS, atol=1e-5)
    with pytest.raises(ValueError, match="normal_space"):
        light(normal_space="world")


def test_transfer_shadows_and_openness_agree_under_even_light():
    surface = uv_renderer.texel_surface(MESH, ATLAS, POINTS)
    seen = compute_occlusion(
        POINTS, MESH.faces, surface.position, surface.normals,
        jnp.asarray(fibonacci_directions(64)), order=2, size=128,
    )  # fmt: skip
    even = Light(uniform_sh([0.5, 0.5, 0.5]), LIGHT.directions, 0 * LIGHT.radiance)
    openness = seen.openness[..., None]
    flat = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), TANGENT_NORMALS.shape)

    def texture(**options):
        return uv_renderer.light_texture(
            ALBEDO, 0 * SPECULAR, flat, surface, even, VIEWPOINT, normal_space="tangent",
            specular="split_sum", **options,
        )  # fmt: skip

    bounced, plain = texture(occlusion=openness), texture()
    by_transfer = texture(occlusion=openness, transfer=seen.transfer)
    assert np.min(openness) < 0.95
    np.testing.assert_allclose(by_transfer, bounced, atol=0.01)
    assert np.min(bounced / plain) < 0.97


def test_subsurface_light_softens_the_shadow_and_keeps_the_albedo():
    small = 0.25 * POINTS  # Texels of 0.8 mm.
    surface = uv_renderer.texel_surface(MESH, ATLAS, small)
    shadows = cast_shadows(small, MESH.faces, LIGHT, surface.position, surface.normals)
    hard = light(small, visibility=shadows)
    soft = light(small, visibility=shadows, profile=SKIN_PROFILE)
    area = np.prod(surface.millimetres, axis=-1)[..., None]
    np.testing.assert_allclose(np.sum(soft * area), np.sum(hard * area), rtol=0.01)
    steps = lambda x: np.abs(np.diff(x / ALBEDO, axis=1)).max((0, 1))  # noqa: E731
    assert steps(soft)[0] < 0.8 * steps(hard)[0]  # Red; blue hardly goes anywhere.
    assert steps(soft)[2] > 0.97 * steps(hard)[2]
    # Where the light is even, nothing changes: the corner is open and far from the bump.
    np.testing.assert_allclose(soft[2:6, 2:6], hard[2:6, 2:6], rtol=0.01)


def test_near_lamps_add_to_the_light():
    surface = uv_renderer.texel_surface(MESH, ATLAS, POINTS)
    box = RectangleLights(
        center=jnp.array([[0.4, 0.0, 0.15]]),
        half_u=jnp.array([[0.0, 0.05, 0.0]]),
        half_v=jnp.array([[0.015, 0.0, -0.04]]),
        radiance=jnp.full((1, 3), 20.0),
    )
    lamps = sample_rectangles(box, 4)
    shadows = lamp_visibility(
        POINTS, MESH.faces, lamps, surface.position, surface.normals, size=128
    )
    plain, lit = light(), light(lamps=lamps)
    shadowed = light(lamps=lamps, lamp_visibility=shadows)
    assert np.mean(lit - plain) > 0.03
    assert np.all(shadowed <= lit + 1e-5) and np.all(shadowed >= plain - 1e-5)
    assert 0.004 < np.mean(shadowed < lit - 0.02) < 0.5


def test_gradients_reach_everything_and_batches_agree():
    surface = uv_renderer.texel_surface(MESH, ATLAS, POINTS)

    def brightness(albedo, points, lamp):
        surface = uv_renderer.texel_surface(MESH, ATLAS, points)
        texture = uv_renderer.light_texture(
            albedo, SPECULAR, TANGENT_NORMALS, surface, lamp, VIEWPOINT, normal_space="tangent",
            specular="split_sum", profile=SKIN_PROFILE,
        )  # fmt: skip
        return jnp.mean(texture * surface.mask)

    gradients = jax.jit(jax.grad(brightness, (0, 1, 2)))(ALBEDO, POINTS, LIGHT)
    for leaf in jax.tree.leaves(gradients):
        assert np.all(np.isfinite(leaf)) and np.any(leaf != 0)
    # Radiance is linear: its gradient is the answer to a light of 1.
    one = LIGHT._replace(radiance=LIGHT.radiance.at[0, 0].add(1.0))
    more = brightness(ALBEDO, POINTS, one) - brightness(ALBEDO, POINTS, LIGHT)
    np.testing.assert_allclose(gradients[2].radiance[0, 0], more, rtol=1e-3)

    albedos = jnp.stack([ALBEDO, 0.5 * ALBEDO])
    many = jax.vmap(
        lambda albedo: uv_renderer.light_texture(
            albedo,
            SPECULAR,
            TANGENT_NORMALS,
            surface,
            LIGHT,
            VIEWPOINT,
            normal_space="tangent",
            specular="split_sum",
            profile=SKIN_PROFILE,
        )  # fmt: skip
    )(albedos)
    np.testing.assert_allclose(many[0], light(profile=SKIN_PROFILE), atol=1e-5)


def test_surface_has_the_vertices_at_their_texels():
    surface = uv_renderer.texel_surface(MESH, ATLAS, POINTS)
    texel = (np.arange(SIZE) + 0.5) / SIZE
    np.testing.assert_allclose(
        surface.position[..., 0], 0.16 * (texel - 0.5) + np.zeros((SIZE, 1)), atol=1e-4
    )
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=-1), 1, atol=1e-5)
    normals = vertex_normals(POINTS, MESH.faces)
    assert np.min(surface.normals[..., 2]) >= np.min(normals[:, 2]) - 0.02
    assert np.all(surface.mask == 1)
    # Along u a texel is 5 mm wide, and wider on the flanks of the bump.
    np.testing.assert_allclose(np.min(surface.millimetres[..., 0]), 160 / SIZE, rtol=0.01)
    assert np.max(surface.millimetres[..., 0]) > 1.5 * 160 / SIZE

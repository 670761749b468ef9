"""The head renderer on a sphere with the parts of a head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.rendering import renderer
from relightify_jax.rendering.area_lights import LampSamples
from relightify_jax.rendering.lighting import (
    Light,
    environment_to_sh,
    latlong_directions,
    named_lights,
    sh_basis,
    uniform_sh,
)
from relightify_jax.rendering.occlusion import mesh_occlusion

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZE = 24
CAMERA = Camera(
    focal=jnp.float32(60.0),
    center=jnp.array([SIZE / 2, SIZE / 2]),
    rotation=jnp.zeros(3),
    translation=jnp.array([0.0, 0.0, -0.5]),
)
WHITE = Light(uniform_sh([1.0, 1.0, 1.0]), jnp.eye(3)[2:], jnp.zeros((1, 3)))


def ball(num=16):
    """A sphere of 8 cm: its front half is "face", the back "head"."""
    v, u = np.meshgrid(np.linspace(0, 1, num), np.linspace(0, 1, 2 * num), indexing="ij")
    theta, phi = v * np.pi, (u - 0.5) * 2 * np.pi
    points = np.stack([np.sin(phi) * np.sin(theta), np.cos(theta), np.cos(phi) * np.sin(theta)], -1)
    index = np.arange(v.size).reshape(v.shape)
    a, b, c, d = (
        q.ravel() for q in (index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:])
    )
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
    is_head = points.reshape(-1, 3)[faces].mean(1)[:, 2] < 0
    order = np.argsort(is_head, kind="stable")
    uv = np.stack([u, v], -1).reshape(-1, 2)
    points, faces = 0.08 * points.reshape(-1, 3), faces[order]
    # A plate that is folded away into one point until a test spreads it; see `spread_plate`.
    points = np.concatenate([points, np.zeros((4, 3))])
    plate = len(points) - 4 + np.array([[0, 1, 2], [0, 2, 3]])
    mesh = renderer.HeadMesh(
        faces=jnp.asarray(np.concatenate([faces, plate]), jnp.int32),
        uv=jnp.asarray(uv, jnp.float32),
        uv_faces=jnp.asarray(np.concatenate([faces, [[0, 1, 2]] * 2]), jnp.int32),
        face_part=jnp.asarray(np.append(is_head[order], [1, 1]), jnp.int32),
    )
    return mesh, jnp.asarray(points, jnp.float32)


def spread_plate(points):
    """Puts a plate of 4 cm before the ball, to its front left, outside of the picture."""
    across, up = np.array([1, 0, -1]) / np.sqrt(2) * 0.02, np.array([0, 0.02, 0])
    center = np.array([1, 0, 1]) / np.sqrt(2) * 0.2
    corners = [
        center - across - up,
        center + across - up,
        center + across + up,
        center - across + up,
    ]
    return points.at[-4:].set(jnp.array(np.stack(corners), jnp.float32))


MESH, POINTS = ball()
ASSETS = renderer.plain_assets()


OPEN = jnp.ones(POINTS.shape[0])


def render(light=WHITE, **options):
    """Always the same set of arguments, so that most tests share one program."""
    values = dict(assets=ASSETS, points=POINTS, camera=CAMERA, occlusion=OPEN)
    values |= dict(background=(0.0, 0.0, 0.0), height=SIZE, width=SIZE) | options
    return renderer.render_head(MESH, light=light, **values)


def test_white_ball_in_white_light_disappears_before_a_white_background():
    """A furnace: with albedo 1 and no specular map the picture is 1 everywhere."""
    white = renderer.plain_assets(skin=(1.0, 1.0, 1.0))
    white = white._replace(face_specular=jnp.zeros_like(white.face_specular))
    out = render(assets=white, background=(1.0, 1.0, 1.0))
    np.testing.assert_allclose(out.image, 1.0, atol=0.02)
    # The outline is a circle of 0.08 / sqrt(0.5^2 - 0.08^2) * 60 pixels radius.
    np.testing.assert_allclose(out.alpha.sum(), np.pi * (0.08 / 0.4936 * 60) ** 2, rtol=0.02)


def test_edges_are_blended_with_the_background():
    alpha = np.asarray(render().alpha)
    assert np.any((alpha > 0) & (alpha < 1))
    np.testing.assert_allclose(render(background=(0.0, 0.0, 1.0)).image[0, 0], [0, 0, 1])


def test_light_from_the_subjects_left_brightens_the_right_of_the_picture():
    beam = Light(jnp.zeros((9, 3)), jnp.array([[1.0, 0.0, 0.0]]), jnp.ones((1, 3)))
    image = np.asarray(render(beam).image).mean(-1)
    assert image[:, SIZE // 2 :].sum() > 3 * image[:, : SIZE // 2].sum()


def test_camera_behind_sees_the_head_part():
    behind = CAMERA._replace(rotation=jnp.array([0.0, np.pi, 0.0]))
    for camera, part in ((CAMERA, "face"), (behind, "head")):
        surface = renderer.render_surface(MESH, POINTS, camera, height=SIZE, width=SIZE)
        seen = np.asarray(surface.part)
        assert set(np.unique(seen)) == {-1, PARTS.index(part)}


def test_tangent_space_normals_tilt_the_shading():
    """A map that leans up (+Y in glTF) brightens under light from above."""
    above = Light(jnp.zeros((9, 3)), jnp.array([[0.0, 0.6, 0.8]]), jnp.ones((1, 3)))
    lean = jnp.broadcast_to(jnp.array([0.0, 0.5, 0.866]), (4, 4, 3))
    level, up, down = (
        render(above, assets=ASSETS._replace(face_normal=normal)).image[SIZE // 2, SIZE // 2]
        for normal in (ASSETS.face_normal, lean, lean * jnp.array([1, -1, 1]))
    )
    assert np.all(up > level) and np.all(level > down)


def test_object_space_normals_are_taken_as_they_are():
    """All normals to the subject's left: the whole face is lit from there, and evenly."""
    left = Light(jnp.zeros((9, 3)), jnp.array([[1.0, 0.0, 0.0]]), jnp.ones((1, 3)))
    normal = jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0]), (4, 4, 3))
    matt = ASSETS._replace(face_normal=normal, face_specular=jnp.zeros_like(ASSETS.face_specular))
    image = np.asarray(render(left, assets=matt, normal_space="object", shadows=False).image)
    row = image[SIZE // 2, SIZE // 2 - 6 : SIZE // 2 + 7]
    assert row.min() > 0.1 and np.ptp(row, axis=0).max() < 0.25 * row.mean()


def test_transfer_of_an_open_convex_head_changes_nothing_and_of_a_closed_one_darkens():
    light = named_lights()["window left"]
    light = light._replace(radiance=0 * light.radiance)
    normals = vertex_normals(POINTS, MESH.faces)
    unshadowed = sh_basis(normals) * np.repeat([1, 2 / 3, 1 / 4], [1, 3, 5])
    fast = dict(shadows=False, specular="split_sum")
    plain = np.asarray(render(light, **fast).image)
    same = np.asarray(render(light, transfer=unshadowed, **fast).image)
    np.testing.assert_allclose(same, plain, atol=0.01)
    half = np.asarray(render(light, transfer=0.5 * unshadowed, **fast).image)
    assert half.sum() < 0.75 * plain.sum()
    with pytest.raises(ValueError, match="4 coefficients for a light of 9"):
        render(light, transfer=jnp.zeros((POINTS.shape[0], 4)))


def test_environment_is_seen_in_the_sheen():
    """A bright spot high above shows on black skin, where the mirror direction meets it."""
    directions = latlong_directions(32, 64)[0]
    spot = jnp.asarray(directions @ np.float32([0, 0.8, 0.6]) > 0.97)[..., None] * jnp.ones(3)
    light = Light(environment_to_sh(spot, 4), WHITE.directions, WHITE.radiance)
    black = renderer.plain_assets(skin=(0.0, 0.0, 0.0))
    image = np.asarray(render(light, assets=black, environment=spot, shadows=False).image[..., 0])
    row, column = np.unravel_index(np.argmax(image), image.shape)
    # Half way between the spot and the viewer: 26.6 degrees up on a ball of 10 pixels.
    assert abs(row - (SIZE / 2 - 9.7 * np.sin(np.radians(26.6)))) < 2
    assert abs(column - SIZE / 2) < 2
    bright = np.asarray(render(light, assets=black, environment=2 * spot, shadows=False).image)
    np.testing.assert_allclose(bright[..., 0], 2 * image, rtol=1e-3, atol=1e-6)


def test_texture_is_rendered_where_its_uv_say():
    """The ball's u runs along +X and v down, so a u, v ramp shows both directions."""
    ramp = (jnp.arange(64.0) + 0.5) / 64
    texture = jnp.stack(jnp.meshgrid(ramp, ramp), axis=-1)
    out = renderer.render_texture(
        MESH, texture, POINTS, CAMERA, height=SIZE, width=SIZE, samples=1, background=(0.0, 0.0)
    )
    surface = renderer.render_surface(MESH, POINTS, CAMERA, height=SIZE, width=SIZE)
    mask = np.asarray(surface.fragments.mask)
    np.testing.assert_allclose(out.image[mask], surface.uv[mask], atol=1e-3)
    middle = np.asarray(out.image[SIZE // 2, SIZE // 2])
    np.testing.assert_allclose(middle, [0.5, 0.5], atol=0.03)


def test_occlusion_darkens():
    light = named_lights()["overcast"]
    openness = mesh_occlusion(POINTS, MESH.faces, num_directions=16, size=64)
    plain, occluded = render(light), render(light, occlusion=openness * 0.5)
    inside = np.asarray(plain.alpha[..., 0]) == 1
    assert np.all(occluded.image <= plain.image + 1e-5)
    assert occluded.image[inside].mean() < 0.9 * plain.image[inside].mean()


def test_plate_casts_a_shadow_on_the_ball_and_only_there():
    beam = Light(jnp.zeros((9, 3)), jnp.array([[0.7071, 0.0, 0.7071]]), jnp.ones((1, 3)))
    lit = np.asarray(render(beam, shadows=False).image).mean(-1)
    unshadowed = np.asarray(render(beam).image).mean(-1)
    shadowed = np.asarray(render(beam, points=spread_plate(POINTS)).image).mean(-1)
    middle = SIZE // 2
    assert lit[middle, middle + 7] > 0.2 > 0.02 > shadowed[middle, middle + 7]
    np.testing.assert_allclose(shadowed[middle - 7], lit[middle - 7], atol=0.02)
    np.testing.assert_allclose(unshadowed, lit, atol=0.05)  # A ball casts none on itself.


def test_distant_lamp_is_a_directional_light_and_casts_its_shadow():
    direction, distance = np.float32([0.7071, 0.0, 0.7071]), 30.0
    dark = Light(jnp.zeros((9, 3)), jnp.asarray(direction[None]), jnp.zeros((1, 3)))
    beam = dark._replace(radiance=jnp.ones((1, 3)))
    lamp = LampSamples(
        position=jnp.asarray(distance * direction)[None],
        axis=jnp.zeros((1, 3)),
        intensity=jnp.full((1, 3), np.pi * distance**2),
    )
    for points in (POINTS, spread_plate(POINTS)):
        lit, expected = (
            np.asarray(render(light, points=points, specular="split_sum", **options).image)
            for light, options in ((dark, dict(lamps=lamp)), (beam, {}))
        )
        assert np.median(np.abs(lit - expected)) < 2e-3
        assert np.mean(np.abs(lit - expected)) < 0.01 < 0.05 < expected.mean()


@pytest.mark.slow
def test_gradients_with_respect_to_vertices_textures_and_light_are_finite():
    def loss(points, assets, light):
        out = renderer.render_head(
            MESH, assets, points, CAMERA, light, height=12, width=12, samples=1
        )
        return jnp.sum(out.image**2)

    gradients = jax.grad(loss, argnums=(0, 1, 2))(POINTS, ASSETS, named_lights()["studio"])
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    assert np.any(gradients[1].face_diffuse != 0)


def test_swapping_values_does_not_recompile():
    render(named_lights()["studio"])
    before = renderer.render_head.__wrapped__._cache_size(), rasterize_cache()
    turned = CAMERA._replace(rotation=jnp.array([0.0, 0.3, 0.0]))
    darker = renderer.plain_assets(skin=(0.1, 0.06, 0.04))
    render(named_lights()["neon"], camera=turned, assets=darker)
    assert (renderer.render_head.__wrapped__._cache_size(), rasterize_cache()) == before


def rasterize_cache():
    from relightify_jax.rendering import rasterize as module

    return module._draw._cache_size()


def test_nonsense_is_refused_before_it_is_drawn():
    broken = CAMERA._replace(focal=jnp.float32(jnp.nan))
    with pytest.raises(ValueError, match="focal is not finite"):
        render(camera=broken)
    uv_faces = np.array(MESH.uv_faces)
    uv_faces[3, 1] = 10**6
    with pytest.raises(ValueError, match="1000000"):
        renderer.render_head(
            MESH._replace(uv_faces=uv_faces), ASSETS, POINTS, CAMERA, WHITE, height=8, width=8
        )


def test_assets_of_the_wrong_rank_are_refused():
    with pytest.raises(Exception, match="rank|shape|dimension|concatenate"):
        render(assets=ASSETS._replace(face_specular=jnp.zeros((4, 4))))

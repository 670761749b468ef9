"""What is painted on a head, photographed and unwrapped comes back, and nothing else does."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from relightify_jax.fitting.unwrap import Observation, UnwrapConfig, unwrap_texture
from relightify_jax.geometry.camera import Camera, project, scale_image, shift_image
from relightify_jax.geometry.uv_atlas import build_uv_atlas
from relightify_jax.rendering.interpolate import compute_fragments, interpolate
from relightify_jax.rendering.rasterize import rasterize
from relightify_jax.rendering.renderer import head_mesh, render_texture
from relightify_jax.rendering.texture import sample_texture

SIZE = 128  # Texels.
CONFIG = UnwrapConfig(zbuffer_size=512)


@pytest.fixture(scope="module")
def atlas(tiny_model):
    return build_uv_atlas(np.asarray(tiny_model.uv), np.asarray(tiny_model.uv_faces), SIZE)


def speckle(size, sigma):
    """Blobs of about `sigma` texels: (size, size, 3)."""
    noise = np.random.default_rng(0).random((size, size, 3))
    smooth = ndimage.gaussian_filter(noise, (sigma, sigma, 0))
    return (0.5 + (smooth - smooth.mean()) / smooth.std() * 0.15).clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def paint():
    """A texture (R, R, 3) with detail of a few texels."""
    return speckle(SIZE, 1.5)


def frontal(yaw=0.0, pixels=400.0):
    rotation = jnp.array([0.0, yaw, 0.0])
    half = pixels / 2
    return Camera(
        jnp.float32(pixels * 4.0),
        jnp.array([half, half]),
        rotation,
        jnp.array([0.0, 0.0, -1.0]),
    )


def photograph(model, camera, texture, size=400, finer=3):
    """Renders `texture` on the mean head, antialiased: (size, size, 3)."""
    camera = scale_image(camera, float(finer))
    xy, depth = project(camera, model.mean)
    side = size * finer
    visibility = rasterize(xy, depth, model.faces, height=side, width=side, cull="back")
    fragments = compute_fragments(xy, depth, model.faces, visibility)
    uv = interpolate(model.uv, model.uv_faces, fragments)
    image = jnp.where(fragments.mask[..., None], sample_texture(jnp.asarray(texture), uv), 0.0)
    return np.asarray(image).reshape(size, finer, size, finer, 3).mean(axis=(1, 3))


def psnr(observation: Observation, paint):
    seen = np.asarray(observation.mask[..., 0]) > 0
    return -10 * np.log10(np.mean((np.asarray(observation.texture)[seen] - paint[seen]) ** 2))


@pytest.mark.parametrize("yaw", [0.0, 0.6])
def test_round_trip_is_faithful_and_notices_half_a_pixel(tiny_model, atlas, paint, yaw):
    camera = frontal(yaw)
    photo = photograph(tiny_model, camera, paint)
    args = tiny_model.mean, tiny_model.faces, atlas
    good = unwrap_texture(photo, camera, *args, config=CONFIG)
    shifted = shift_image(camera, jnp.array([0.5, 0.5]))
    off = unwrap_texture(photo, shifted, *args, config=CONFIG)
    assert 0.3 < float(good.mask.mean()) < 0.95
    assert psnr(good, paint) > 30
    assert psnr(off, paint) < psnr(good, paint) - 3


@pytest.mark.parametrize(
    "size", [256, *(pytest.param(n, marks=pytest.mark.slow) for n in (512, 1024))]
)
def test_a_whole_face_comes_back_at_every_size(embedded_model, size):
    """A photograph about as large as the atlas returns its texels, and only in their place."""
    model = embedded_model
    on_face = np.asarray(model.face_part) == 0
    atlas = build_uv_atlas(np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], size)
    paint = speckle(size, 2.5)
    # The face is 24 cm high and fills the picture.
    camera = frontal(0.2, 1.0)
    camera = camera._replace(center=jnp.array([0.5, 0.4]))
    camera = scale_image(camera, float(size))
    rendering = render_texture(
        head_mesh(model), jnp.asarray(paint), model.mean, camera,
        height=size, width=size, samples=3,
    )  # fmt: skip
    photo = np.asarray(rendering.image)
    found = []
    for shift in (0.0, 0.5):
        moved = shift_image(camera, jnp.array([shift, shift]))
        seen = unwrap_texture(
            photo, moved, model.mean, model.faces, atlas, face_part=model.face_part
        )
        found.append(psnr(seen, paint))
    assert 0.4 < float(seen.mask.mean()) < 0.8
    assert found[0] > 36
    assert found[1] < found[0] - 4


def test_confidence_is_between_zero_and_one_and_falls_with_the_angle(tiny_model, atlas, paint):
    camera = frontal(0.8)
    photo = photograph(tiny_model, camera, paint)
    seen = unwrap_texture(photo, camera, tiny_model.mean, tiny_model.faces, atlas, config=CONFIG)
    confidence = np.asarray(seen.confidence)[..., 0]
    assert confidence.min() == 0 and confidence.max() <= 1
    # Turned to +X in the image: its own right side, low u, faces the camera.
    assert confidence[40:90, :40].mean() > confidence[40:90, -40:].mean() + 0.3
    np.testing.assert_array_equal(seen.mask[..., 0], confidence > CONFIG.threshold)


def test_border_outside_the_photo_is_never_observed(tiny_model, atlas):
    camera = shift_image(frontal(), jnp.array([-150.0, 0.0]))
    photo = np.full((400, 400, 3), 0.5, np.float32)
    seen = unwrap_texture(photo, camera, tiny_model.mean, tiny_model.faces, atlas, config=CONFIG)
    position, _ = project(camera, tiny_model.mean)
    outside = np.asarray(position[:, 0]) < 0
    uv = (np.asarray(tiny_model.uv)[outside] * SIZE).astype(int)
    assert outside.sum() > 20
    assert np.asarray(seen.confidence)[uv[:, 1], uv[:, 0]].max() == 0
    assert float(seen.mask.mean()) > 0.1


def plane_with_occluder(part):
    """A wall with a small square 3 cm before it, the square of index `part`."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    wall = np.concatenate([0.1 * corners, np.zeros((4, 1))], axis=1)
    square = np.concatenate([0.03 * corners, np.full((4, 1), 0.03)], axis=1)
    points = jnp.asarray(np.concatenate([wall, square]), jnp.float32)
    faces = jnp.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    uv = corners * [0.5, -0.5] + 0.5
    atlas = build_uv_atlas(uv, np.array([[0, 1, 2], [0, 2, 3]]), SIZE)
    return points, faces, jnp.array([0, 0, part, part]), atlas


def red_square_on_green(points, faces, camera, size=400):
    xy, depth = project(camera, points)
    face = np.asarray(rasterize(xy, depth, faces, height=size, width=size).face)
    colors = np.array([[0, 1, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    return colors[face]  # -1 is the blue background.


def test_nothing_that_hides_the_part_is_painted_on_it():
    points, faces, _, atlas = plane_with_occluder(1)
    camera = frontal()
    photo = red_square_on_green(points, faces, camera)
    seen = unwrap_texture(photo, camera, points, faces, atlas, config=CONFIG)
    mask, texture = np.asarray(seen.mask[..., 0]) > 0, np.asarray(seen.texture)
    assert np.abs(texture[mask] - [0, 1, 0]).max() < 0.05
    # 3 cm of 10 at 0.97 of the distance, and little more.
    hidden = 1 - mask[8:-8, 8:-8].mean()
    assert 0.09 < hidden < 0.18


def test_texels_beside_an_eye_are_not_believed():
    camera = frontal()
    covers = []
    for part in (1, 2):  # Head, left eye; here it lies before the wall.
        points, faces, face_part, atlas = plane_with_occluder(part)
        photo = red_square_on_green(points, faces, camera)
        wide = CONFIG._replace(opening_metres=8e-3)
        seen = unwrap_texture(photo, camera, points, faces, atlas, face_part=face_part, config=wide)
        covers.append(float(seen.mask.mean()))
    assert covers[1] < covers[0] - 0.03


def test_a_texel_gets_the_mean_of_the_pixels_it_covers():
    points, faces, _, atlas = plane_with_occluder(1)
    points, faces = points[:4], faces[:2]
    camera = frontal(pixels=1600.0)
    stripes = np.zeros((1600, 1600, 3), np.float32)
    stripes[:, ::2] = 1.0
    seen = unwrap_texture(stripes, camera, points, faces, atlas, config=CONFIG)
    mask = np.asarray(seen.mask[..., 0]) > 0
    assert np.abs(np.asarray(seen.texture)[mask] - 0.5).max() < 0.05

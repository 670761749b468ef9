"""Several photographs make one texture in the light of the first, without a seam."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from relightify_jax.core.numerics import normalize
from relightify_jax.fitting.fuse import fuse_observations
from relightify_jax.fitting.unwrap import Observation, UnwrapConfig, unwrap_texture
from relightify_jax.geometry.camera import Camera, project, scale_image
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.uv_atlas import build_uv_atlas, sample_atlas
from relightify_jax.rendering.interpolate import compute_fragments, interpolate
from relightify_jax.rendering.lighting import shade_sh
from relightify_jax.rendering.rasterize import rasterize
from relightify_jax.rendering.texture import sample_texture

SIZE = 128
X, Y = np.meshgrid((np.arange(SIZE) + 0.5) / SIZE, (np.arange(SIZE) + 0.5) / SIZE)


def speckle(seed, sigma=1.5, strength=0.1):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(SIZE, SIZE)), sigma)
    return np.exp(strength * noise / noise.std())[..., None]


def observe(texture, confidence):
    confidence = np.broadcast_to(confidence, (SIZE, SIZE)).astype(np.float32)[..., None]
    texture = jnp.asarray(np.broadcast_to(texture, (SIZE, SIZE, 3)), jnp.float32)
    return Observation(texture, jnp.asarray(confidence > 0.5, jnp.float32), jnp.asarray(confidence))


def ramp(start, end):
    return np.clip((X - start) / (end - start), 0, 1)


def log_error(seen, truth):
    return np.abs(np.log(np.asarray(seen) + 0.01) - np.log(np.asarray(truth) + 0.01)).mean(-1)


SKIN = np.array([0.45, 0.3, 0.22])


def test_one_observation_stays_as_it_is_and_sizes_must_fit():
    one = observe(SKIN, 1.0)
    assert fuse_observations([one]) is one
    with pytest.raises(ValueError, match="at least one"):
        fuse_observations([])
    small = Observation(jnp.zeros((64, 64, 3)), jnp.zeros((64, 64, 1)), jnp.zeros((64, 64, 1)))
    with pytest.raises(ValueError, match="one size"):
        fuse_observations([one, small])


def test_the_second_photo_is_brought_to_the_light_of_the_first():
    paint = SKIN * speckle(0)
    first = observe(paint, ramp(0.7, 0.5))
    # Darker, bluer and lit from the other side.
    tint = np.array([0.5, 0.6, 0.8]) * np.exp(0.8 * (X - 0.5))[..., None]
    second = observe(paint * tint, ramp(0.2, 0.4))
    fused = fuse_observations([first, second])
    assert np.asarray(fused.mask).mean() == 1
    error = log_error(fused.texture, paint)
    assert error[:, :50].max() < 0.02  # The first's own.
    assert error[:, 80:].mean() < 0.06
    assert log_error(second.texture, paint)[:, 80:].mean() > 0.25


def test_detail_is_not_averaged_away():
    paint = SKIN * speckle(1, 1.0)
    half = observe(paint, 0.5 + 0.5 * ramp(0.9, 0.1))
    moved = observe(np.roll(paint, 2, axis=0), 0.5 + 0.5 * ramp(0.1, 0.9))
    fused = np.log(np.asarray(fuse_observations([half, moved]).texture))

    def roughness(image):
        return (image - ndimage.gaussian_filter(image, (2, 2, 0)))[10:-10, 10:-10].std()

    assert roughness(fused) > 0.93 * roughness(np.log(paint))
    average = np.log(0.5 * (np.asarray(half.texture) + np.asarray(moved.texture)))
    assert roughness(average) < 0.85 * roughness(np.log(paint))


def test_what_two_photos_disagree_on_is_not_believed_unless_a_third_decides():
    paint = SKIN * speckle(2)
    spot = (np.hypot(X - 0.5, Y - 0.5) < 0.12)[..., None]
    clean, hand = observe(paint, 1.0), observe(np.where(spot, 0.03, paint), 1.0)
    inner = np.hypot(X - 0.5, Y - 0.5) < 0.08
    for two in ([clean, hand], [hand, clean]):
        fused = fuse_observations(two)
        assert np.asarray(fused.confidence)[inner].max() < 0.5
        assert np.asarray(fused.confidence)[:, :30].min() > 0.95
    fused = fuse_observations([hand, clean, clean])
    assert np.asarray(fused.confidence)[inner].min() > 0.9
    assert log_error(fused.texture, paint)[inner].mean() < 0.05


def camera_at(yaw):
    rotation = jnp.array([0.0, np.radians(yaw), 0.0], jnp.float32)
    center = jnp.array([200.0, 200.0])
    return Camera(jnp.float32(1500.0), center, rotation, jnp.array([0.0, 0.0, -1.0]))


def photograph(model, camera, texture, size=400, finer=2):
    """The texture on the mean head, as it is: (size, size, 3)."""
    xy, depth = project(scale_image(camera, float(finer)), model.mean)
    side = size * finer
    visibility = rasterize(xy, depth, model.faces, height=side, width=side, cull="back")
    fragments = compute_fragments(xy, depth, model.faces, visibility)
    uv = interpolate(model.uv, model.uv_faces, fragments)
    image = jnp.where(fragments.mask[..., None], sample_texture(jnp.asarray(texture), uv), 0.0)
    return np.asarray(image).reshape(size, finer, size, finer, 3).mean(axis=(1, 3))


def light_from(direction, color):
    """SH (9, 3) of an environment that is brighter on one side."""
    sh = np.zeros((9, 3))
    sh[0] = 3.0 * np.asarray(color)
    sh[[3, 1, 2]] = 1.6 * np.asarray(direction)[:, None] * color
    return jnp.asarray(sh, jnp.float32)


def test_three_views_in_three_lights_make_one_face(tiny_model):
    atlas = build_uv_atlas(np.asarray(tiny_model.uv), np.asarray(tiny_model.uv_faces), SIZE)
    points, faces = tiny_model.mean, tiny_model.faces
    normals = sample_atlas(atlas, faces, vertex_normals(points, faces))
    albedo = SKIN * speckle(3, 2.0)
    observations, shadings = [], []
    views = (
        (0, (0, 0, 1), (1, 1, 1)),
        (-40, (-1, 0, 0.3), (1, 0.8, 0.6)),
        (40, (1, 0.3, 0), (0.6, 0.7, 0.9)),
    )
    for yaw, direction, color in views:
        shading = jnp.maximum(shade_sh(normalize(normals), light_from(direction, color)), 0.02)
        camera = camera_at(yaw)
        photo = photograph(tiny_model, camera, albedo * shading)
        config = UnwrapConfig(zbuffer_size=512, facing_low=0.3, facing_high=0.8)
        observations.append(unwrap_texture(photo, camera, points, faces, atlas, config=config))
        shadings.append(shading)
    truth = albedo * np.asarray(shadings[0])
    single = np.asarray(observations[0].mask[..., 0]) > 0
    plain = fuse_observations(observations)
    guided = fuse_observations(observations, shadings=shadings)
    union = np.asarray(guided.mask[..., 0]) > 0
    new = union & ~single
    assert new.mean() > 0.1
    # What the single photo must leave to guessing: here its own median colour.
    median = np.median(np.asarray(observations[0].texture)[single], axis=0)
    guess = np.where(single[..., None], observations[0].texture, median)
    alone = log_error(guess, truth)[union].mean()
    assert log_error(plain.texture, truth)[union].mean() < 0.7 * alone
    error = log_error(guided.texture, truth)
    assert error[union].mean() < 0.4 * alone and error[single].mean() < 0.03

    # Across the border of the first photo the error changes no faster than elsewhere.
    ratio = np.log(np.asarray(guided.texture) + 0.01) - np.log(truth + 0.01)
    step = np.abs(np.diff(ratio, axis=1)).mean(-1)
    border = ndimage.binary_dilation(single[:, 1:] != single[:, :-1], iterations=2)
    inner = ndimage.binary_erosion(union, iterations=6)[:, 1:]
    assert step[border & inner].mean() < 2.0 * step[~border & inner & new[:, 1:]].mean() + 0.005

"""The camera of the light stage: JPEG against Pillow's, tone curves, exposure, noise."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from relightify_jax.core.color import luminance
from relightify_jax.light_stage import camera, jpeg


def picture(size):
    """Smooth shades, an edge and fine texture, (size, size, 3) sRGB."""
    y, x = np.mgrid[:size, :size] / size
    shades = np.stack(
        [0.5 + 0.4 * np.sin(5 * x), 0.4 + 0.3 * np.cos(4 * y + x), 0.3 + 0.4 * x * y], -1
    )
    shades[y + 0.3 * x > 0.8] *= 0.5
    noise = np.random.default_rng(0).normal(0, 0.03, (size, size, 1))
    return np.clip(shades + noise, 0, 1).astype(np.float32)


def save_and_read(image, quality):
    levels = np.round(255 * image).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(file), np.float32) / 255


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_jpeg_is_that_of_a_codec(quality):
    image = picture(64)
    got, want = (
        np.asarray(jpeg.compress(jnp.asarray(image), quality)),
        save_and_read(image, quality),
    )
    # The codec computes in integers: a level here and there, and where a coefficient lies
    # between two steps, a wave of one step.
    difference = 255 * np.abs(got - want)
    assert np.mean(difference) < 1 and np.quantile(difference, 0.99) < 8
    lost, really_lost = got - image, want - image
    np.testing.assert_allclose(np.std(lost), np.std(really_lost), rtol=0.05)
    assert np.corrcoef(lost.ravel(), really_lost.ravel())[0, 1] > 0.9


def test_jpeg_of_finer_pixels_loses_less():
    image = jnp.asarray(picture(32))
    errors = [
        float(jnp.mean((jpeg.compress(image, 50.0, f) - image) ** 2)) for f in (1.0, 2.0, 8.0)
    ]
    assert errors[0] > 1.2 * errors[1] > 2 * errors[2]
    # Sides that are no multiple of a block.
    odd, even = jpeg.compress(image[:24, :20], 98.0), jpeg.compress(image[:16, :16], 98.0)
    np.testing.assert_allclose(odd[:14, :14], even[:14, :14], atol=1e-5)


def test_tone_curves_rise_from_black_to_white():
    x = jnp.linspace(0, 1, 200)
    for key in jax.random.split(jax.random.key(0), 16):
        look = camera.draw_look(key)
        y = camera.respond(x, look)
        assert np.all(np.diff(y) > 0) and abs(y[0]) < 1e-5
        np.testing.assert_allclose(y[-1], 1, rtol=1e-5)
        np.testing.assert_allclose(camera._invert_response(y, look), x, atol=1e-4)
    np.testing.assert_allclose(camera.respond(jnp.array(3.0), look), 1, rtol=1e-5)


def perfect_look(**changes):
    return camera.draw_look(jax.random.key(3))._replace(
        contrast=jnp.float32(1.0), shoulder=jnp.float32(1e4), saturation=jnp.float32(1.0),
        flare=jnp.float32(0.0), electrons=jnp.float32(1e8), smoothing=jnp.float32(0.0),
        sharpening=jnp.float32(0.0), **changes,
    )  # fmt: skip


def test_exposure_does_not_depend_on_the_scale_of_light_and_follows_the_skin():
    radiance = jnp.asarray(picture(16))
    meter = jnp.ones((16, 16, 1))
    bright, dark = jnp.full((16, 16, 3), 0.4), jnp.full((16, 16, 3), 0.05)
    look = perfect_look()
    exposed = [
        camera.expose(jax.random.key(0), c * radiance, bright, meter, look)
        for c in (1.0, 1e3, 1e-3)
    ]
    np.testing.assert_allclose(exposed[1], exposed[0], rtol=1e-3)
    np.testing.assert_allclose(exposed[2], exposed[0], rtol=1e-3)
    darker = camera.expose(jax.random.key(0), radiance, dark, meter, look)
    ratio = jnp.mean(luminance(darker)) / jnp.mean(luminance(exposed[0]))
    assert 0.15 < ratio < 0.45  # The skin is an eighth as bright, the picture a quarter.


def test_white_balance_takes_most_of_a_tint():
    skin = jnp.full((16, 16, 3), 0.3)
    lamp = jnp.array([1.6, 0.9, 0.3])
    exposed = camera.expose(
        jax.random.key(0), skin * lamp, skin, jnp.ones((16, 16, 1)), perfect_look()
    )
    tint = exposed[0, 0] / exposed[0, 0, 1]
    assert 1.0 < tint[0] < 1.25 and 0.6 < tint[2] < 1.0


def test_noise_has_the_variance_of_photons():
    for level in (0.05, 0.6):
        flat = jnp.full((128, 128, 3), level)
        look = perfect_look()._replace(electrons=jnp.float32(1000.0), read_noise=jnp.float32(3.0))
        noise = np.asarray(camera._add_noise(jax.random.key(0), flat, look, 1.0)) - level
        photons = np.sqrt(level / 1000 + (3 / 1000) ** 2)
        # Interpolation between the sensor's colours takes some of it.
        assert 0.4 * photons < noise.std() < photons
        assert abs(noise.mean()) < 0.1 * photons
        neighbours = np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var()
        assert 0.2 < neighbours < 0.8


def test_a_good_camera_returns_what_it_sees():
    albedo = jnp.asarray(picture(64)) ** 2
    shrink, enlarge = camera._resamplers(64, jnp.float32(1.0), jnp.float32(0.0))
    same = camera._resample(enlarge, camera._resample(shrink, albedo))
    assert np.mean(np.abs(same - albedo)) < 0.003
    np.testing.assert_allclose(camera._process(albedo, perfect_look()), albedo, atol=1e-6)
    # A photograph of larger pixels is a blurred one, at the same place.
    shrink, enlarge = camera._resamplers(64, jnp.float32(2.6), jnp.float32(0.0))
    coarse = camera._resample(enlarge, camera._resample(shrink, albedo))
    assert np.mean(np.abs(coarse - albedo)) < 0.03
    gradient = jnp.broadcast_to(jnp.linspace(0, 1, 64)[:, None, None], (64, 64, 3))
    moved = camera._resample(enlarge, camera._resample(shrink, gradient)) - gradient
    np.testing.assert_allclose(moved[8:-8], 0, atol=2e-3)


def test_halos_stand_at_edges_only():
    look = perfect_look()._replace(sharpening=jnp.float32(0.8), smoothing=jnp.float32(0.6))
    edge = jnp.broadcast_to(jnp.where(jnp.arange(32) < 16, 0.3, 0.6)[None, :, None], (32, 32, 3))
    sharp = np.asarray(camera._process(edge, look))
    assert sharp[5, 15, 0] < 0.29 and sharp[5, 16, 0] > 0.61
    np.testing.assert_allclose(sharp[:, :12], 0.3, atol=1e-5)
    faint = 0.5 + 0.004 * np.random.default_rng(0).normal(size=(32, 32, 3)).astype(np.float32)
    assert np.std(camera._process(jnp.asarray(faint), look)) < 0.8 * np.std(faint)


def test_the_camera_stands_where_it_is_told():
    place = camera.viewpoint_at(30.0, 20.0, 2.0)
    np.testing.assert_allclose(np.linalg.norm(place), 2, rtol=1e-5)
    assert place[0] > 0 and place[1] > 0 and place[2] > 0  # The subject's left, above, in front.
    draw = jax.vmap(lambda key: camera.draw_viewpoint(key, jnp.zeros(3)))
    places = np.asarray(draw(jax.random.split(jax.random.key(0), 256)))
    distance = np.linalg.norm(places, axis=-1)
    assert 0.34 < distance.min() and distance.max() < 2.51
    yaw = np.degrees(np.arctan2(places[:, 0], places[:, 2]))
    assert 35 < np.abs(yaw).max() < 60.1 and np.median(np.abs(yaw)) < 25

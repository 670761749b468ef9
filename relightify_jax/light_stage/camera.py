"""From radiance to a photograph: what lens, sensor, camera and JPEG leave of it.

The face is taken to the pixels of a photograph of random size, exposed and balanced as an
automatic camera would, given the noise of a sensor, a tone curve, the noise reduction and
sharpening of a telephone and JPEG, and unwrapped again. The result is what
`fitting.unwrap` finds in a real one: the file's values, taken for sRGB.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.core.color import linear_from_srgb, luminance, srgb_from_linear
from relightify_jax.core.numerics import matmul
from relightify_jax.light_stage import jpeg

_MAX_YAW, _MAX_PITCH = 60.0, 25.0  # Degrees.
_FRONTAL = 0.6  # Share of the pictures that are taken from about the front.
_DISTANCE = 0.35, 2.5  # Metres.
# Millimetres on the face that one pixel covers: a portrait, a face in a group.
_PIXEL = 0.1, 1.7
_ELECTRONS = 900.0, 30000.0  # At saturation: a dim room, a bright day.
_EXPOSED, _SKIN = 0.34, 0.22  # Luminance that skin of that albedo usually gets.
_DARKER = 0.65  # How brightness follows albedo: dark skin is exposed somewhat darker.
_LEAST_EXPOSED, _MOST_EXPOSED = 0.06, 0.55


class Look(NamedTuple):
    """How a camera renders; scalars unless said otherwise."""

    pixel: jax.Array  # Millimetres of the face that a pixel of the photograph covers.
    lens: jax.Array  # Millimetres, standard deviation of the blur.
    contrast: jax.Array  # Exponent of the tone curve.
    shoulder: jax.Array  # Less = an earlier and softer roll-off of highlights.
    saturation: jax.Array
    flare: jax.Array  # Share of the mean light that veils everything.
    electrons: jax.Array  # That saturate a pixel; few in the dark.
    read_noise: jax.Array  # Electrons.
    smoothing: jax.Array  # Share of fine faint detail that noise reduction takes.
    sharpening: jax.Array  # Share of strong detail that is added.
    quality: jax.Array  # Of the JPEG.


def draw_viewpoint(key: jax.Array, center: jax.Array) -> jax.Array:
    """Where the camera stands (3,): most look at the face from the front, some from aside."""
    u = jax.random.uniform(rng.stream(key, "uniform"), (3,))
    normal = jax.random.normal(rng.stream(key, "normal"), (2,))
    yaw = jnp.where(u[0] < _FRONTAL, 14.0 * normal[0], _MAX_YAW * (2 * u[1] - 1))
    pitch = 8.0 * normal[1]
    return center + viewpoint_at(
        yaw.clip(-_MAX_YAW, _MAX_YAW),
        pitch.clip(-_MAX_PITCH, _MAX_PITCH),
        _between(*_DISTANCE, u[2]),
    )


def viewpoint_at(
    yaw: jax.Array | float, pitch: jax.Array | float, distance: jax.Array | float
) -> jax.Array:
    """Offset (3,) from the face: degrees to the subject's left, degrees up, metres."""
    yaw, pitch = jnp.radians(yaw), jnp.radians(pitch)
    direction = [jnp.sin(yaw) * jnp.cos(pitch), jnp.sin(pitch), jnp.cos(yaw) * jnp.cos(pitch)]
    return distance * jnp.stack(direction)


def draw_look(key: jax.Array) -> Look:
    """A random camera in random conditions."""
    u = jax.random.uniform(rng.stream(key, "uniform"), (7,))
    normal = jax.random.normal(rng.stream(key, "normal"), (4,)).clip(-2.5, 2.5)
    electrons = _between(*_ELECTRONS, u[0])
    contrast = 1.18 * jnp.exp(0.09 * normal[0])
    return Look(
        pixel=_between(*_PIXEL, u[1]),
        lens=0.3 * jnp.exp(0.5 * normal[1]),
        contrast=contrast,
        shoulder=jnp.exp(0.6 + 0.7 * normal[2]),
        # The tone curve of each channel has added some already.
        saturation=(1.12 + 0.08 * normal[3]) / contrast,
        flare=0.025 * u[2] ** 2,
        electrons=electrons,
        read_noise=2.0 + 4.0 * u[3],
        # The noisier a picture, the more it is smoothed.
        smoothing=u[4] * jnp.clip(1.25 - jnp.log(electrons) / 10.0, 0.2, 0.7),
        sharpening=0.9 * u[5] ** 1.5,
        quality=98.0 - 58.0 * u[6] ** 2,
    )


def photograph(
    key: jax.Array, radiance: jax.Array, albedo: jax.Array, meter: jax.Array, texel: jax.Array
) -> jax.Array:
    """The texture that a photograph of a face unwraps to.

    Args:
        key: Random key, consumed.
        radiance: (R, R, 3) linear, of any scale.
        albedo: (R, R, 3) of the face: a camera knows neither, but balances and exposes so
            that faces look like faces.
        meter: (R, R, 1) weight of each texel in exposure.
        texel: Scalar, millimetres.

    Returns:
        (R, R, 3) linear RGB in [0, 1].
    """
    look = draw_look(rng.stream(key, "look"))
    exposed = expose(rng.stream(key, "exposure"), radiance, albedo, meter, look)
    # Pixels finer than texels stay texels, and only their errors average out.
    step = jnp.maximum(look.pixel / texel, 1.0)
    fineness = jnp.maximum(texel / look.pixel, 1.0)
    shrink, enlarge = _resamplers(radiance.shape[0], step, look.lens / texel)
    photo = _resample(shrink, exposed)
    photo = _add_noise(rng.stream(key, "noise"), photo, look, fineness)
    photo = srgb_from_linear(_saturate(respond(photo, look), look.saturation))
    photo = _process(photo, look)
    # Blocks begin anywhere.
    shift = jax.random.randint(rng.stream(key, "shift"), (2,), 0, 16)
    photo = jpeg.compress(jnp.roll(photo, shift, (0, 1)), look.quality, fineness)
    photo = linear_from_srgb(jnp.roll(photo, -shift, (0, 1)))
    return jnp.clip(_resample(enlarge, photo), 0.0, 1.0)


def expose(
    key: jax.Array, radiance: jax.Array, albedo: jax.Array, meter: jax.Array, look: Look
) -> jax.Array:
    """Balances and scales radiance so that `respond` shows a face as bright as cameras do.

    The tint that the light gives a white face is mostly, not fully, balanced away.
    """
    normal = jax.random.normal(key, (4,)).clip(-2.2, 2.2)
    share = meter / jnp.maximum(jnp.sum(meter), 1e-6)
    lit, skin = (jnp.sum(x * share, axis=(0, 1)) for x in (radiance, albedo))
    tint = jnp.maximum(lit, 1e-6) / jnp.maximum(skin, 0.02)
    tint = jnp.clip(tint / jnp.maximum(luminance(tint), 1e-9), 0.1, 10.0)
    # Errors of warmth are common, those between green and purple small.
    error = jnp.array([0.035, 0.0, -0.035]) * normal[1] + jnp.array([0.0, 0.012, 0.0]) * normal[2]
    balance = tint ** -(0.88 + 0.08 * normal[0]).clip(0.7, 1.0) * jnp.exp(error)
    wanted = _EXPOSED * (luminance(skin) / _SKIN) ** _DARKER * jnp.exp(0.27 * normal[3])
    wanted = jnp.clip(wanted, _LEAST_EXPOSED, _MOST_EXPOSED)
    # Between the mean and a mean of high power, so that the lit side of a face half in
    # shadow does not burn out.
    brightness = luminance(radiance * balance / jnp.maximum(jnp.sum(lit), 1e-9))[..., None]
    peak = jnp.sum(share * brightness**4) ** 0.25
    mean = jnp.sum(share * brightness)
    level = jnp.maximum(mean**0.7 * peak**0.3 * jnp.sum(lit), 1e-9)
    exposed = radiance * balance * (_invert_response(wanted, look) / level)
    veil = look.flare * jnp.sum(exposed * share, axis=(0, 1))
    return jnp.maximum(exposed, 0.0) * (1 - look.flare) + veil


def respond(exposed: jax.Array, look: Look) -> jax.Array:
    """The camera's tone curve: exposure 0 to 1 (saturation) to linear RGB 0 to 1.

    Naka and Rushton's response (1966; as in Reinhard and Devlin, "Dynamic range reduction
    inspired by photoreceptor physiology", 2005), (1 + k) x^g / (x^g + k): the exponent g
    sets the contrast, k how early highlights roll off.
    """
    power = jnp.clip(exposed, 1e-7, 1.0) ** look.contrast
    return (1 + look.shoulder) * power / (power + look.shoulder)


def _invert_response(value: jax.Array, look: Look) -> jax.Array:
    return (look.shoulder * value / (1 + look.shoulder - value)) ** (1 / look.contrast)


def _saturate(rgb: jax.Array, saturation: jax.Array) -> jax.Array:
    grey = luminance(rgb)[..., None]
    return jnp.clip(grey + saturation * (rgb - grey), 0.0, 1.0)


def _add_noise(key: jax.Array, exposed: jax.Array, look: Look, fineness: jax.Array) -> jax.Array:
    """Photon and read noise of a sensor with one colour per pixel.

    Red and blue are interpolated from a quarter of the pixels, green from half of them,
    which blurs their noise.
    """
    noise = _binomial(jax.random.normal(key, exposed.shape), jnp.array([0.3, 0.15, 0.3]))
    noise = noise * jnp.array([1.8, 1.4, 1.8])
    shot = jnp.clip(exposed, 0.0, 1.0) / look.electrons
    variance = shot + (look.read_noise / look.electrons) ** 2
    return exposed + noise * jnp.sqrt(variance) / fineness


def _process(photo: jax.Array, look: Look) -> jax.Array:
    """Noise reduction and sharpening: faint fine detail fades, strong edges get halos."""
    smooth = _binomial(_binomial(photo, 0.25), 0.25)
    detail = photo - smooth
    strength = detail * detail / (detail * detail + 0.03**2)
    gain = 1 - look.smoothing + strength * (look.smoothing + look.sharpening)
    return jnp.clip(smooth + gain * detail, 0.0, 1.0)


def _binomial(image: jax.Array, side: jax.Array | float) -> jax.Array:
    """Blurs the first two axes with weights side, 1 - 2 side, side; edges repeat."""
    for axis in (0, 1):
        ends = [(1, 1) if a == axis else (0, 0) for a in range(image.ndim)]
        padded = jnp.pad(image, ends, mode="edge")
        size = image.shape[axis]
        before = jax.lax.slice_in_dim(padded, 0, size, axis=axis)
        after = jax.lax.slice_in_dim(padded, 2, size + 2, axis=axis)
        image = (1 - 2 * side) * image + side * (before + after)
    return image


def _resamplers(size: int, step: jax.Array, blur: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Matrices (R, R) that take texels to pixels `step` texels wide, and back.

    The photograph fills the first R / step rows; the others repeat its border.

    Args:
        size: Texels per side R.
        step: Texels per pixel, 1 or more.
        blur: Of the lens, standard deviation in texels.
    """
    index = jnp.arange(size, dtype=jnp.float32)
    center = jnp.minimum((index + 0.5) * step - 0.5, size - 1.0)
    # A pixel gathers light over about its width.
    sigma = jnp.sqrt((0.4 * step) ** 2 + blur**2) - 0.1
    shrink = jnp.exp(-0.5 * ((center[:, None] - index) / sigma) ** 2)
    place = (index + 0.5) / step - 0.5
    enlarge = jnp.maximum(1 - jnp.abs(place[:, None] - index), 0.0)
    return _to_mean(shrink), _to_mean(enlarge)


def _to_mean(weights: jax.Array) -> jax.Array:
    return weights / jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1e-6)


def _resample(matrix: jax.Array, image: jax.Array) -> jax.Array:
    """Applies a matrix (R, R) to the rows and the columns of an image (R, R, C)."""
    rows = matmul(matrix, image.reshape(image.shape[0], -1)).reshape(image.shape)
    return matmul(matrix, rows)


def _between(low: float, high: float, share: jax.Array) -> jax.Array:
    """From `low` to `high`, as a geometric progression."""
    return low * (high / low) ** share

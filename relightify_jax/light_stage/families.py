"""Kinds of surroundings in which people are photographed, painted at random on the host.

Each painter returns the radiance of what surrounds the head, a small latlong map, and up to
`NUM_LAMPS` small lights that cast shadows. Scales are relative within one scene; the main
light comes from the front (+Z), for the stage turns every scene. Ratios follow photographic
practice and outdoor measurements (a clear sky gives a fifth of the sun's light at noon, a half
when the sun is low); the overcast sky is that of Moon and Spencer (1942), L ~ 1 + 2 sin h.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from relightify_jax.light_stage.illuminants import rgb_of_temperature
from relightify_jax.rendering.lighting import latlong_directions

NUM_LAMPS = 2
_DIRECTIONS, _SOLID_ANGLE = latlong_directions(16, 32)
_X, _Y, _Z = np.moveaxis(_DIRECTIONS, -1, 0)
_FAR = 30.0  # Metres; the rays of such a lamp are parallel on a head.


class Lamp(NamedTuple):
    """A small light; its irradiance over pi is `radiance` on a surface that faces it."""

    direction: np.ndarray  # (3,) unit, from the head.
    distance: float  # Metres.
    softness: float  # Radians: half the angle that it fills, seen from the head.
    radiance: np.ndarray  # (3,) linear RGB.


class Scene(NamedTuple):
    """What surrounds a head; any scale."""

    radiance: np.ndarray  # (16, 32, 3) latlong.
    lamps: tuple[Lamp, ...]


def paint_overcast(rng: np.random.Generator) -> Scene:
    """A grey sky over ground, darker towards some houses or trees."""
    sky = (1 + 2 * np.maximum(_Y, 0)) / 3 * _spread(rng, 0.15)
    scene = _over_ground(rng, sky[..., None] * _kelvin(rng, 5800, 7500), (0.06, 0.3))
    return Scene(_block_horizon(rng, scene, 0.35), ())


def paint_sunny(rng: np.random.Generator) -> Scene:
    """A clear or hazy sky with the sun well above the horizon."""
    height = rng.uniform(18, 62)
    sun = _towards(rng.normal(0, 45), height)
    haze = rng.uniform() ** 2
    sky = _clear_sky(rng, sun, haze)
    warmth = 3600 + 2000 * np.sin(np.radians(height))
    # Of the light on the ground, the sun gives this many times what the sky does.
    ratio = (1 - 0.8 * haze) * rng.uniform(2.0, 4.5)
    direct = ratio * _irradiance(sky) / max(sun[1], 0.2) * rgb_of_temperature(warmth)
    ground = rng.uniform(0.08, 0.3) * (_irradiance(sky) + sun[1] * direct)
    scene = np.where(_Y[..., None] > 0, sky, ground * rgb_of_temperature(5200))
    softness = 0.01 + 0.15 * haze
    return Scene(_block_horizon(rng, scene, 0.4), (Lamp(sun, _FAR, softness, direct),))


def paint_low_sun(rng: np.random.Generator) -> Scene:
    """The golden hour: a warm sun near the horizon, a blue sky above."""
    sun = _towards(rng.normal(0, 60), rng.uniform(4, 16))
    sky = _clear_sky(rng, sun, rng.uniform(0.1, 0.6))
    direct = rng.uniform(1.2, 3.2) * _irradiance(sky) * _kelvin(rng, 2700, 4200)
    scene = _over_ground(rng, sky, (0.08, 0.2))
    return Scene(scene, (Lamp(sun, _FAR, rng.uniform(0.01, 0.04), direct),))


def paint_open_shade(rng: np.random.Generator) -> Scene:
    """Under a roof or beside a wall: half a sky, a sunlit street."""
    sky = (0.5 + 0.5 * np.maximum(_Y, 0))[..., None] * _kelvin(rng, 6500, 10000)
    scene = _over_ground(rng, sky, (0.25, 0.7))
    wall = _soft_edge(-_Z + rng.normal(0, 0.4) * _X, rng.uniform(-0.3, 0.5), 0.2)[..., None]
    brick = rng.uniform(0.08, 0.4) * _kelvin(rng, 4300, 6000)
    return Scene(scene * (1 - wall) + brick * wall, ())


def paint_window(rng: np.random.Generator) -> Scene:
    """A room by day: one or two windows, pale walls, perhaps a lamp."""
    daylight = _kelvin(rng, 5200, 8500)
    scene = _room(rng, daylight, rng.uniform(0.03, 0.16))
    azimuth = rng.choice([-1, 1]) * rng.uniform(5, 80)
    lamps: list[Lamp] = []
    for turn, power in ((0.0, 1.0), (rng.uniform(80, 200), 0.6 * (rng.uniform() < 0.35))):
        window = _towards(azimuth + turn, rng.uniform(0, 28))
        size = rng.uniform(0.3, 0.6)
        scene = scene + power * 2.0 * _disc(window, size)[..., None] * daylight
        if not lamps:  # What throws shadows is the brighter middle of the window.
            radiance = rng.uniform(0.15, 0.5) * np.sin(size) ** 2 * 2.0 * daylight
            lamps.append(Lamp(window, rng.uniform(1.0, 3.0), rng.uniform(0.12, 0.25), radiance))
    if rng.uniform() < 0.35:
        bulb = _towards(rng.uniform(-150, 150), rng.uniform(20, 60))
        lamps.append(Lamp(bulb, 2.0, 0.06, rng.uniform(0.05, 0.3) * _kelvin(rng, 2500, 3200)))
    return Scene(scene, tuple(lamps))


def paint_studio(rng: np.random.Generator) -> Scene:
    """A portrait's key light, with fill, hair light and a backdrop."""
    white = _kelvin(rng, 5000, 6000)
    side = rng.choice([-1, 1])
    key = _towards(side * rng.uniform(10, 60), rng.uniform(10, 45))
    size = rng.uniform(0.08, 0.35)
    distance = rng.uniform(0.9, 2.0)
    lamps = [Lamp(key, distance, size, rng.uniform(0.3, 0.9) * white)]
    scene = rng.uniform(0.02, 0.12) * np.ones_like(_DIRECTIONS) * white
    backdrop = _soft_edge(-_Z, 0.5, 0.2) * rng.choice([0.03, 0.2, 0.8])
    scene = scene + backdrop[..., None] * white
    scene = scene + 0.6 * _wide_light(key, 0.5, white)
    fill = _towards(-side * rng.uniform(10, 60), rng.uniform(-20, 25))
    scene = scene + _wide_light(fill, 0.6, rng.uniform(0.05, 0.6) * white)
    if rng.uniform() < 0.5:
        rim = _towards(-side * rng.uniform(115, 155), rng.uniform(20, 50))
        lamps.append(Lamp(rim, 1.5, 0.2, rng.uniform(0.3, 1.2) * white))
    return Scene(scene, tuple(lamps))


def paint_flash(rng: np.random.Generator) -> Scene:
    """A flash or ring light beside the lens, in a dim room."""
    white = _kelvin(rng, 4800, 6200)
    room = _room(rng, _kelvin(rng, 2800, 4500), rng.uniform(0.05, 0.3))
    front = _towards(rng.normal(0, 8), rng.uniform(-3, 18))
    ring = rng.uniform() < 0.5
    distance, softness = (rng.uniform(0.45, 0.9), 0.22) if ring else (rng.uniform(0.5, 2.0), 0.02)
    return Scene(room, (Lamp(front, distance, softness, white),))


def paint_office(rng: np.random.Generator) -> Scene:
    """Panels in a ceiling above, bright walls, perhaps a screen."""
    white = _kelvin(rng, 3600, 5200) * np.array([1.0, rng.uniform(1.0, 1.06), 1.0])
    scene = _room(rng, white, rng.uniform(0.1, 0.4))
    rows = np.cos(rng.uniform(3, 7) * _X / np.maximum(_Y, 0.2) + rng.uniform(0, 6)) > 0.2
    scene = scene + (rng.uniform(1.5, 5) * rows * (_Y > 0.45))[..., None] * white
    above = _towards(rng.normal(0, 50), rng.uniform(45, 75))
    lamps = [Lamp(above, 1.8, rng.uniform(0.1, 0.25), rng.uniform(0.1, 0.7) * white)]
    if rng.uniform() < 0.4:
        screen = _towards(rng.normal(0, 15), rng.uniform(-35, -5))
        scene = scene + _wide_light(screen, 0.35, rng.uniform(0.05, 0.3) * _kelvin(rng, 6000, 9000))
    return Scene(scene, tuple(lamps))


def paint_home(rng: np.random.Generator) -> Scene:
    """An evening at home: one or two warm lamps nearby."""
    warm = _kelvin(rng, 2300, 3300)
    scene = _room(rng, warm, rng.uniform(0.06, 0.3))
    lamps = []
    for power in (1.0, rng.uniform(0, 0.6)):
        bulb = _towards(rng.uniform(-100, 100), rng.uniform(-10, 60))
        tint = _kelvin(rng, 2300, 4200)
        size = rng.uniform(0.04, 0.2)
        lamps.append(Lamp(bulb, rng.uniform(0.6, 2.5), size, 0.7 * power * tint))
        scene = scene + _wide_light(bulb, 0.45, 0.4 * power * tint)
    return Scene(scene, tuple(lamps))


def paint_night(rng: np.random.Generator) -> Scene:
    """A street at night: lamps high up, lit windows, dark sky."""
    scene = _over_ground(
        rng, 0.02 * np.ones_like(_DIRECTIONS) * _kelvin(rng, 2500, 5000), (0.2, 0.5)
    )
    for _ in range(4):
        shop = _towards(rng.uniform(-180, 180), rng.uniform(-5, 20))
        scene = scene + _wide_light(shop, 0.35, rng.uniform(0, 0.4) * _kelvin(rng, 2400, 6500))
    lamps = []
    for power in (1.0, rng.uniform(0, 0.7)):
        street = _towards(rng.normal(0, 60), rng.uniform(20, 60))
        tint = _kelvin(rng, 2000, 4500)
        lamps.append(Lamp(street, rng.uniform(4, 9), 0.03, 0.8 * power * tint))
    return Scene(scene, tuple(lamps))


def paint_screen(rng: np.random.Generator) -> Scene:
    """The face lit by a telephone or a computer from slightly below."""
    white = _kelvin(rng, 5500, 9500)
    scene = _room(rng, _kelvin(rng, 3200, 5000), rng.uniform(0.04, 0.3))
    screen = _towards(rng.normal(0, 15), rng.uniform(-40, -5))
    scene = scene + _wide_light(screen, 0.5, 0.6 * white)
    lamp = Lamp(screen, rng.uniform(0.4, 0.7), rng.uniform(0.12, 0.3), 0.5 * white)
    return Scene(scene, (lamp,))


def paint_stage(rng: np.random.Generator) -> Scene:
    """Coloured lights of a stage or a club over a little white one."""
    scene = 0.08 * np.ones_like(_DIRECTIONS) * _kelvin(rng, 3000, 6000)
    front = _towards(rng.normal(0, 30), rng.uniform(0, 45))
    lamps = [Lamp(front, 5.0, 0.05, 0.7 * _kelvin(rng, 2900, 5600))]
    side = _towards(rng.choice([-1, 1]) * rng.uniform(50, 130), rng.uniform(-5, 40))
    color = _saturated(rng, 0.5)
    lamps.append(Lamp(side, 4.0, 0.08, rng.uniform(0.2, 0.7) * color))
    scene = scene + _wide_light(side, 0.5, 0.4 * color)
    other = _towards(rng.uniform(-180, 180), rng.uniform(-30, 50))
    return Scene(scene + _wide_light(other, 0.6, 0.3 * _saturated(rng, 0.5)), tuple(lamps))


def paint_flat(rng: np.random.Generator) -> Scene:
    """Even light, as of a passport photograph."""
    white = _kelvin(rng, 4500, 6500)
    even = 0.6 + 0.4 * _Z + rng.normal(0, 0.08) * _X + rng.uniform(0, 0.25) * _Y
    return Scene(np.maximum(even, 0.05)[..., None] * white, ())


# Every painter with its share of the pictures.
FAMILIES: dict[str, tuple[Callable[[np.random.Generator], Scene], float]] = {
    "overcast": (paint_overcast, 0.09),
    "sunny": (paint_sunny, 0.12),
    "low sun": (paint_low_sun, 0.06),
    "open shade": (paint_open_shade, 0.09),
    "window": (paint_window, 0.14),
    "studio": (paint_studio, 0.13),
    "flash": (paint_flash, 0.08),
    "office": (paint_office, 0.09),
    "home": (paint_home, 0.07),
    "night": (paint_night, 0.03),
    "screen": (paint_screen, 0.02),
    "stage": (paint_stage, 0.015),
    "flat": (paint_flat, 0.06),
}


def _kelvin(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    """Colour (3,) of luminance 1; even in reciprocal temperature, as eyes see steps."""
    return rgb_of_temperature(1 / rng.uniform(1 / high, 1 / low))


def _saturated(rng: np.random.Generator, saturation: float) -> np.ndarray:
    """A strongly coloured light (3,) of luminance 1."""
    hue = np.abs((rng.uniform(0, 6) + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    color = 1 - saturation * (1 - np.clip(hue, 0, 1))
    return color / (color @ np.array([0.2126, 0.7152, 0.0722]))


def _towards(azimuth: float, height: float) -> np.ndarray:
    """Unit direction (3,) at degrees to the subject's left of the front and above it."""
    a, h = np.radians(azimuth), np.radians(height)
    return np.array([np.sin(a) * np.cos(h), np.sin(h), np.cos(a) * np.cos(h)])


def _soft_edge(x: np.ndarray, threshold: float, width: float) -> np.ndarray:
    t = np.clip((x - threshold) / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _disc(direction: np.ndarray, half_angle: float) -> np.ndarray:
    """A disc of 1 in the map, its edge as soft as the texels are large."""
    angle = np.arccos(np.clip(_DIRECTIONS @ direction, -1, 1))
    return _soft_edge(-angle, -half_angle, 0.2)


def _wide_light(direction: np.ndarray, half_angle: float, radiance: np.ndarray) -> np.ndarray:
    """A disc that lights a surface facing it with `radiance`, like a `Lamp`."""
    disc = _disc(direction, half_angle)
    facing = np.maximum(_DIRECTIONS @ direction, 0)
    return (disc / (np.sum(disc * facing * _SOLID_ANGLE) / np.pi))[..., None] * radiance


def _irradiance(radiance: np.ndarray) -> float:
    """Luminance that a white surface facing up has under a map."""
    luminance = radiance @ np.array([0.2126, 0.7152, 0.0722])
    return float(np.sum(luminance * np.maximum(_Y, 0) * _SOLID_ANGLE) / np.pi)


def _spread(rng: np.random.Generator, strength: float) -> np.ndarray:
    """A slow variation around 1 over the sphere (16, 32)."""
    wave = rng.normal(size=3)
    phase = rng.uniform(0, 6)
    return np.exp(strength * np.sin(_DIRECTIONS @ wave * 2 + phase))


def _clear_sky(rng: np.random.Generator, sun: np.ndarray, haze: float) -> np.ndarray:
    """Radiance (16, 32, 3): blue, paler at the horizon, brighter round the sun."""
    height = np.maximum(_Y, 0)
    round_sun = np.exp(-3.0 * np.arccos(np.clip(_DIRECTIONS @ sun, -1, 1)))
    level = 0.45 + 0.55 * (1 - height) ** 3 + (1.5 + 3 * haze) * round_sun
    pale = np.clip((1 - height) ** 4 + haze + 0.5 * round_sun, 0, 1)[..., None]
    blue = _kelvin(rng, 8500, 15000)
    return level[..., None] * (blue * (1 - pale) + rgb_of_temperature(6300) * pale)


def _over_ground(
    rng: np.random.Generator, sky: np.ndarray, albedo: tuple[float, float]
) -> np.ndarray:
    """The sky above, what the ground returns of it below."""
    returned = rng.uniform(*albedo) * _irradiance(sky) * rgb_of_temperature(rng.uniform(4800, 6500))
    return np.where(_Y[..., None] > 0, sky, returned)


def _block_horizon(rng: np.random.Generator, scene: np.ndarray, chance: float) -> np.ndarray:
    """Perhaps a dark mass, houses or trees, over some directions."""
    if rng.uniform() > chance:
        return scene
    middle = _towards(rng.uniform(40, 320), rng.uniform(0, 25))
    mass = _soft_edge(_DIRECTIONS @ middle, rng.uniform(0.0, 0.6), 0.3)[..., None]
    return scene * (1 - mass * rng.uniform(0.5, 0.9))


def _room(rng: np.random.Generator, white: np.ndarray, level: float) -> np.ndarray:
    """Walls, ceiling and floor (16, 32, 3) that return some of a light."""
    paint = rgb_of_temperature(rng.uniform(4600, 6300))
    up = 0.8 + 0.4 * _soft_edge(_Y, 0.5, 0.4) - 0.45 * _soft_edge(-_Y, 0.3, 0.4)
    return level * (up * _spread(rng, 0.3))[..., None] * white * paint

"""A procedural eyeball texture: what the photo cannot show and every head needs.

The tile is an azimuthal map around the gaze axis (see `geometry.embedded`): its centre is
the pupil, distance from the centre grows with the angle from the gaze axis and the tile's
upper side is the upper side of the eye. The colours may be measured, see `core.part_looks`;
fibres and veins are invented.
"""

import numpy as np

from relightify_jax.core.part_looks import SCLERA
from relightify_jax.geometry.embedded import EYE_IRIS_RADIUS, EYE_PUPIL_RADIUS

IRIS_BROWN = (0.070, 0.030, 0.013)
IRIS_HAZEL = (0.140, 0.085, 0.030)
IRIS_BLUE = (0.110, 0.190, 0.270)


def paint_eye(
    size: int,
    *,
    iris_rgb: tuple[float, float, float] = IRIS_BROWN,
    sclera_rgb: tuple[float, float, float] = SCLERA,
    iris_radius: float = EYE_IRIS_RADIUS,
    pupil_radius: float = EYE_PUPIL_RADIUS,
    lid_shade: float = 0.35,
    seed: int = 0,
) -> np.ndarray:
    """Paints the texture of one eyeball.

    Args:
        size: Texels per side.
        iris_rgb: Linear RGB of the middle of the iris.
        sclera_rgb: Linear RGB of the white of the eye.
        iris_radius: Radius of the iris in UV units (the tile is 1 wide).
        pupil_radius: Radius of the pupil in UV units.
        lid_shade: How much darker the top of the eyeball is, in [0, 1]: the soft shadow
            of the upper lid.
        seed: Of the fibres and veins.

    Returns:
        (size, size, 3) float32 linear RGB in [0, 1].
    """
    rng = np.random.default_rng(seed)
    grid = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(grid, grid)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    relative = radius / iris_radius  # 1 at the limbus.

    iris = _iris(relative, angle, np.asarray(iris_rgb), pupil_radius / iris_radius, rng)
    sclera = _sclera(radius, angle, np.asarray(sclera_rgb), iris_radius, rng)
    color = _blend(iris, sclera, _smoothstep(0.97, 1.07, relative))
    color = _blend(np.full(3, 0.002), color, _smoothstep(0.94, 1.06, radius / pupil_radius))
    shade = 1.0 - lid_shade * _smoothstep(0.5 * iris_radius, -1.6 * iris_radius, y)
    return np.clip(color * shade[..., None], 0.0, 1.0).astype(np.float32)


def _iris(
    relative: np.ndarray,
    angle: np.ndarray,
    base: np.ndarray,
    pupil: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Radial fibres, a lighter collarette around the pupil and a dark limbal ring."""
    # Fibres bend a little on their way out, so the noise is looked up along a swirl.
    swirl = angle + 0.04 * np.sin(7.0 * relative + _periodic_noise(angle, 5, rng) * 3.0)
    fibres = sum(_periodic_noise(swirl, n, rng) * w for n, w in ((23, 0.5), (61, 0.5), (113, 0.4)))
    crypts = _periodic_noise(angle + 1.7 * relative, 9, rng) * _bump(relative, 0.72, 0.16)
    ragged = relative + 0.03 * _periodic_noise(angle, 17, rng)
    tone = 1.0 + 0.45 * fibres + 0.35 * np.minimum(crypts, 0.0)
    tone = tone * (1.0 + 0.7 * _bump(ragged, pupil + 0.17, 0.11))
    tone = tone * (1.0 - 0.72 * _smoothstep(0.78, 1.0, relative))
    warm = np.array([1.35, 0.95, 0.6])  # The collarette is yellower than the rest.
    tint = _blend(np.ones(3), warm, 0.6 * _bump(ragged, pupil + 0.14, 0.12))
    return base * tint * np.clip(tone, 0.08, 3.0)[..., None]


def _sclera(
    radius: np.ndarray,
    angle: np.ndarray,
    base: np.ndarray,
    iris_radius: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Off-white, pinker toward the corners, with faint veins that stop before the iris."""
    outward = _smoothstep(1.0 * iris_radius, 2.6 * iris_radius, radius)
    # The corners of the eye lie left and right of the iris.
    corner = outward * np.cos(angle) ** 2
    color = base * _blend(np.ones(3), np.array([1.0, 0.84, 0.80]), 0.5 * corner)
    veins = np.zeros_like(radius)
    for _ in range(26):
        center = rng.uniform(-np.pi, np.pi)
        reach = iris_radius * rng.uniform(1.25, 2.0)
        wobble = sum(
            rng.normal() * 1.2 / frequency * np.sin(radius * frequency + rng.uniform(0, 6.3))
            for frequency in (15.0, 40.0, 90.0)
        )
        offset = np.abs(np.angle(np.exp(1j * (angle - center - wobble)))) * radius
        width = 0.0012 + 0.0012 * outward
        veins += np.exp(-((offset / width) ** 2)) * _smoothstep(reach, reach + 0.1, radius)
    return color * _blend(np.ones(3), np.array([0.9, 0.55, 0.5]), 0.35 * np.clip(veins, 0, 1))


def _periodic_noise(angle: np.ndarray, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in about [-1, 1] around the circle with `cells` random values."""
    values = rng.uniform(-1.0, 1.0, cells)
    position = (angle / (2 * np.pi)) % 1.0 * cells
    index = np.floor(position).astype(int)
    blend = _smoothstep(0.0, 1.0, position - index)
    return values[index % cells] * (1 - blend) + values[(index + 1) % cells] * blend


def _smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high` (reversed if low > high), smooth between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _bump(x: np.ndarray, center: float, width: float) -> np.ndarray:
    return np.exp(-(((x - center) / width) ** 2))


def _blend(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """a where weight is 0, b where it is 1; weight (H, W) against colours (..., 3)."""
    weight = np.asarray(weight)[..., None]
    return a * (1 - weight) + b * weight

"""Photographs of rendered heads: light, background, things in the way, and a camera's flaws."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from relightify_jax.core import facemesh
from relightify_jax.core.color import linear_from_srgb, luminance
from relightify_jax.core.photo import srgb_bytes_from_linear
from relightify_jax.evaluation.fitting_cases import Case, stream
from relightify_jax.evaluation.fitting_heads import (
    Casting,
    Head,
    Skin,
    draw_light,
    landmark_pixels,
    make_head,
    place_camera,
)
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.rendering.environment import (
    Environment,
    backdrop,
    environment_light,
    read_environment,
    shrink_environment,
    skin_exposure,
    split_suns,
    turn_environment,
)
from relightify_jax.rendering.lighting import scale_light
from relightify_jax.rendering.occlusion import mesh_occlusion
from relightify_jax.rendering.renderer import render_head, render_surface

_SAMPLES = 2  # Per pixel and axis.
_GRID = (32, 64)  # Of environment maps.
_SENSOR_NOISE = 0.004  # Standard deviation, linear.
_LENS_BLUR = 0.5  # Pixels.
_MEAN_SKIN = 0.72  # Luminance of lit skin over that of its albedo.
_SKIN_TONES = ((0.55, 0.34, 0.26), (0.3, 0.16, 0.1), (0.12, 0.06, 0.04))
_DARK_TONES = ((0.02, 0.02, 0.022), (0.06, 0.05, 0.05), (0.1, 0.03, 0.03))


class Truth(NamedTuple):
    """A photograph and everything that a fit should find in it."""

    case: Case
    photo: np.ndarray  # (W, W, 3) float32 linear RGB.
    camera: Camera
    points: np.ndarray  # (V, 3) metres.
    neutral_points: np.ndarray  # (V, 3).
    landmark_pixels: np.ndarray  # (468, 2) where the landmarks truly are.
    uv: np.ndarray  # (W, W, 2) canonical coordinates at pixel centres, 0 where none.
    is_face: np.ndarray  # (W, W) bool: uncovered skin of the part "face".
    is_head: np.ndarray  # (W, W) bool: anything of the bare head.


def take_photo(
    casting: Casting,
    skin: Skin,
    case: Case,
    *,
    environments: Sequence[str] = (),
    hair: bool = True,
    num_modes: int | None = None,
) -> Truth:
    """Draws, lights and photographs the person of a case.

    Args:
        casting: Of the truth's face model.
        skin: What the face wears.
        case: What to vary; the same case gives the same photo.
        environments: Paths of environment maps to light with instead of `case.light`.
        hair: Whether there is a cap of hair.
        num_modes: Leading identity modes to draw; all if None.

    Raises:
        InputError: If an environment map cannot be read.
    """
    head = make_head(casting, skin, case, hair=hair, num_modes=num_modes)
    camera, width = place_camera(casting.model, head.points, case)
    image, alpha = _render(casting, head, case, camera, width, environments)
    image = _expose(image, alpha, head, case)
    pixels = np.asarray(landmark_pixels(casting.model, head.points, camera), np.float64)
    covered = np.zeros((width, width))
    if case.occlusion == "some":
        image, covered = put_in_the_way(image, pixels, case.seed)
    surface = render_surface(casting.mesh, head.points, camera, height=width, width=width)
    shown = render_surface(casting.mesh, head.shown_points, camera, height=width, width=width)
    hairy = _hair_in_view(casting, head, shown)
    part = np.asarray(surface.part)
    is_face = (part == PARTS.index("face")) & (covered < 0.5) & (hairy < 0.5)
    return Truth(
        case=case,
        photo=_develop(image, stream(case.seed, "camera")),
        camera=camera,
        points=np.asarray(head.points),
        neutral_points=np.asarray(head.neutral_points),
        landmark_pixels=pixels,
        uv=np.where(is_face[..., None], np.asarray(surface.uv), 0.0),
        is_face=is_face,
        is_head=part >= 0,
    )


def put_in_the_way(
    image: np.ndarray, landmark_pixels: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lays a hand- or microphone-like thing, or a pair of glasses, over the face.

    Args:
        image: (H, W, 3) linear.
        landmark_pixels: (468, 2).
        seed: Of the case.

    Returns:
        The new image, and how much of each pixel is covered (H, W).
    """
    generator = stream(seed, "occluder")
    if generator.random() < 0.3:
        cover = _glasses(image.shape[:2], landmark_pixels, generator)
        color = np.array(_DARK_TONES[generator.integers(len(_DARK_TONES))])
    else:
        cover = _blob(image.shape[:2], landmark_pixels, generator)
        tones = _SKIN_TONES if generator.random() < 0.5 else _DARK_TONES
        color = np.array(tones[generator.integers(len(tones))])
    height, width = image.shape[:2]
    shade = ndimage.gaussian_filter(generator.standard_normal((height, width)), width / 24)
    shade = 1 + 0.25 * shade / max(shade.std(), 1e-9)
    painted = np.clip(color * shade[..., None], 0, 1)
    return image + cover[..., None] * (painted - image), cover


def _blob(shape, pixels, generator) -> np.ndarray:
    """A rounded bar that reaches over the lower face or a cheek from outside the head."""
    oval = pixels[list(facemesh.FACE_OVAL)]
    middle, size = oval.mean(axis=0), np.ptp(oval[:, 1])
    angle = generator.uniform(0.1, 0.9) * np.pi  # Downwards: image y points down.
    outwards = np.array([np.cos(angle), np.sin(angle)])
    tip = middle + outwards * size * generator.uniform(0.28, 0.42)
    radius = size * generator.uniform(0.09, 0.15)
    rows, columns = np.indices(shape)
    offset = np.stack([columns + 0.5 - tip[0], rows + 0.5 - tip[1]], axis=-1)
    along = np.maximum(offset @ outwards, 0.0)
    distance = np.linalg.norm(offset - along[..., None] * outwards, axis=-1)
    ripple = 1 + 0.08 * np.sin(along / size * generator.uniform(8, 20))
    return np.clip((radius * ripple - distance) / 1.5 + 0.5, 0.0, 1.0)


def _glasses(shape, pixels, generator) -> np.ndarray:
    """Two rims, a bridge and the temples, drawn as lines."""
    outer = [pixels[i] for i in facemesh.EYE_OUTER]
    eyes = [pixels[list(ring)].mean(axis=0) for ring in (facemesh.EYE_RIGHT, facemesh.EYE_LEFT)]
    across = eyes[1] - eyes[0]
    size = np.linalg.norm(outer[1] - outer[0]) + 1e-6
    along = across / max(np.linalg.norm(across), 1e-6)
    down = np.array([-along[1], along[0]])
    span = np.linalg.norm(across)
    turn = np.linspace(0, 2 * np.pi, 33)
    squareness = generator.uniform(0.5, 1.0)

    def rounded(x):
        return np.sign(x) * np.abs(x) ** squareness

    radii = (0.42 * span, max(0.36 * span, 0.2 * size) * generator.uniform(0.8, 1.05))
    lines = []
    for eye in eyes:
        place = eye + 0.1 * radii[1] * down
        ring = place + radii[0] * rounded(np.cos(turn))[:, None] * along
        lines.append(ring + radii[1] * rounded(np.sin(turn))[:, None] * down)
    lines.append(np.stack([eyes[0] + radii[0] * along, eyes[1] - radii[0] * along]))
    for eye, sign, oval in ((eyes[0], -1, 234), (eyes[1], 1, 454)):
        lines.append(np.stack([eye + sign * radii[0] * along, pixels[oval] - 0.1 * span * down]))
    thickness = max(span * generator.uniform(0.025, 0.06), 0.7)
    rows, columns = np.indices(shape)
    grid = np.stack([columns + 0.5, rows + 0.5], axis=-1).reshape(-1, 2)
    distance = np.full(len(grid), np.inf)
    for line in lines:
        for a, b in zip(line[:-1], line[1:], strict=True):
            step = b - a
            share = np.clip((grid - a) @ step / max(step @ step, 1e-9), 0, 1)
            distance = np.minimum(
                distance, np.linalg.norm(grid - a - share[:, None] * step, axis=1)
            )
    return np.clip(thickness - distance + 0.5, 0, 1).reshape(shape)


def _render(casting, head: Head, case: Case, camera, width, environments):
    """The lit head over its background: image (W, W, 3) and alpha (W, W)."""
    light, grid, behind = _surroundings(case, camera, width, environments)
    occlusion = mesh_occlusion(head.shown_points, casting.mesh.faces)
    rendered = render_head(
        casting.mesh,
        head.assets,
        head.shown_points,
        camera,
        light,
        height=width,
        width=width,
        samples=_SAMPLES,
        background=jnp.asarray(behind),
        occlusion=occlusion,
        environment=grid,
        specular="split_sum",
    )
    return np.asarray(rendered.image, np.float64), np.asarray(rendered.alpha)[..., 0]


def _surroundings(case: Case, camera: Camera, width: int, environments: Sequence[str]):
    """Light, environment grid or None, and the background (W, W, 3)."""
    generator = stream(case.seed, "background")
    if not environments:
        return draw_light(case), None, _background(generator, width)
    path = environments[int(generator.integers(len(environments)))]
    latlong = jnp.asarray(read_environment(pathlib.Path(path)))
    angle = generator.uniform(0, 2 * np.pi)
    sharp = turn_environment(split_suns(latlong), angle)
    small = Environment(
        shrink_environment(sharp.radiance, *_GRID), sharp.directions, sharp.sun_radiance
    )
    light = environment_light(small)
    exposure = skin_exposure(light)
    behind = backdrop(sharp.radiance * exposure, camera, height=width, width=width)
    blurred = ndimage.gaussian_filter(np.asarray(behind), (width / 80, width / 80, 0))
    return scale_light(light, exposure), small.radiance * exposure, np.clip(blurred, 0, 1)


def _background(generator: np.random.Generator, width: int) -> np.ndarray:
    """A blurred room: a gradient and blotches of several sizes (W, W, 3)."""
    base = np.exp(generator.uniform(np.log(0.03), np.log(0.6), 3) * 0.5) ** 2
    tint = np.exp(0.15 * generator.standard_normal(3))
    image = np.zeros((width, width, 3))
    for sigma, weight in ((width / 5, 0.6), (width / 16, 0.35), (width / 50, 0.12)):
        noise = generator.standard_normal((width, width, 3))
        noise = 0.9 * noise.mean(axis=-1, keepdims=True) * np.sqrt(3) + 0.25 * noise
        blurred = ndimage.gaussian_filter(noise, (sigma, sigma, 0), mode="wrap")
        image += weight * blurred / max(blurred.std(), 1e-9)
    return np.clip(base.mean() * tint * np.exp(0.7 * image), 0.0, 1.0)


def _expose(image: np.ndarray, alpha: np.ndarray, head: Head, case: Case) -> np.ndarray:
    """Sets the head's exposure as a camera's automatic would; the background keeps its own."""
    generator = stream(case.seed, "exposure")
    lit = np.asarray(luminance(jnp.asarray(image, jnp.float32)))[alpha > 0.99]
    albedo = float(np.median(np.asarray(luminance(head.assets.face_diffuse))))
    target = _MEAN_SKIN * albedo**0.75 * np.exp(0.15 * generator.standard_normal())
    gain = target / max(float(np.percentile(lit, 65)) if lit.size else 1.0, 1e-4)
    gain = 1 + alpha[..., None] * (gain - 1)
    return np.clip(image * gain, 0.0, 1.0)


def _hair_in_view(casting: Casting, head: Head, shown) -> np.ndarray:
    """(W, W): how much of what is seen there is hair."""
    fragments = shown.fragments
    corners = np.asarray(casting.mesh.faces)[np.maximum(np.asarray(fragments.face), 0)]
    weight = (np.asarray(head.is_hair)[corners] * np.asarray(fragments.bary)).sum(-1)
    return np.where(np.asarray(fragments.mask), weight, 0.0)


def _develop(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Lens blur, sensor noise and 8-bit sRGB, as the file of a photo has them; linear again."""
    blurred = ndimage.gaussian_filter(image, (_LENS_BLUR, _LENS_BLUR, 0))
    noisy = blurred + _SENSOR_NOISE * generator.standard_normal(image.shape)
    coded = srgb_bytes_from_linear(np.clip(noisy, 0, 1))
    return np.asarray(linear_from_srgb(jnp.asarray(coded, jnp.float32) / 255))

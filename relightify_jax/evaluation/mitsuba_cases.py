"""What is rendered by both: a sphere and a head, their materials and their lights."""

import math
import pathlib
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.evaluation.mitsuba_scene import Lighting, Material, Solid
from relightify_jax.evaluation.rasterizer_scenes import icosphere
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.rotations import matrix_from_axis_angle
from relightify_jax.rendering.area_lights import RectangleLights
from relightify_jax.rendering.environment import read_environment, shrink_environment
from relightify_jax.rendering.lighting import latlong_directions

_SKIN = (0.45, 0.28, 0.21)
_TEXELS = 256
_RADIUS = 0.1  # Metres.
_MAP_SIZE = (256, 512)

MATERIALS = ("matte", "sheen 0.25", "sheen 0.4", "sheen 0.6", "skin")
LIGHTS = ("sky", "studio", "sun", "beam", "soft box")


def load_solid(name: str) -> Solid:
    """The mesh "sphere:N" (20 4^N triangles) or "head:N" (N subdivisions).

    Raises:
        InputError: If there is no such mesh.
    """
    kind, _, level = name.partition(":")
    if kind not in ("sphere", "head") or not level.isdigit():
        raise InputError(f"There is no scene {name!r}; give sphere:6 or head:1.")
    if kind == "sphere":
        normals, faces = icosphere(int(level))
        uv = np.full((1, 2), 0.5, np.float32)  # Of one colour.
        return Solid(_RADIUS * normals, normals, faces, uv, np.zeros_like(faces))
    model = load_embedded_model(int(level))
    points, faces = np.asarray(model.mean), np.asarray(model.faces)
    normals = np.asarray(vertex_normals(model.mean, model.faces))
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    return Solid(points, normals, faces, np.asarray(model.uv), np.asarray(model.uv_faces))


def look_at(solid: Solid, size: int, yaw: float) -> Camera:
    """A camera that stands `yaw` radians to the subject's left and sees the whole solid."""
    radius = np.linalg.norm(solid.points, axis=-1).max()
    distance = 5 * radius
    rotation = jnp.array([0.0, -yaw, 0.0])
    turned = solid.points @ np.asarray(matrix_from_axis_angle(rotation)).T
    extent = np.abs(turned[:, :2] / (distance - turned[:, 2:])).max()
    return Camera(
        focal=jnp.float32(0.46 * size / extent),
        center=jnp.full(2, size / 2, jnp.float32),
        rotation=rotation,
        translation=jnp.array([0.0, 0.0, -distance], jnp.float32),
    )


def load_material(name: str) -> Material:
    """One of `MATERIALS`: Lambert, a GGX lobe of some roughness on black, or both coupled.

    Raises:
        InputError: If there is no such material.
    """
    kind, _, roughness = name.partition(" ")
    if name not in MATERIALS:
        raise InputError(f"There is no material {name!r}; choose from {', '.join(MATERIALS)}.")
    if kind == "matte":
        return Material(name, skin_pattern(_TEXELS), None)
    if kind == "sheen":
        black = np.zeros((2, 2, 3), np.float32)
        return Material(name, black, SKIN_SPECULAR_ALBEDO, float(roughness))
    return Material(name, skin_pattern(_TEXELS), SKIN_SPECULAR_ALBEDO)


def skin_pattern(size: int) -> np.ndarray:
    """A skin-coloured texture (size, size, 3) with bands and spots that cross parts and seams."""
    line = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(line, line)
    bands = 0.25 * np.sin(2 * np.pi * (4 * u + v)) * np.sin(2 * np.pi * 5 * v)
    spots = 0.5 * (np.sin(2 * np.pi * 9 * u) * np.sin(2 * np.pi * 9 * v) > 0.85)
    return ((1 + bands - spots)[..., None] * _SKIN).astype(np.float32)


def load_lights(names: Sequence[str], paths: Sequence[str]) -> list[Lighting]:
    """Lights by name, from `LIGHTS`, then environment maps from files.

    Maps of files are averaged to 256 x 512 texels and scaled to mean radiance 1.

    Raises:
        InputError: If there is no such light, or a file cannot be read.
    """
    unknown = sorted(set(names) - set(LIGHTS))
    if unknown:
        raise InputError(f"There is no light {unknown[0]!r}; choose from {', '.join(LIGHTS)}.")
    lights = [_make_light(name) for name in names]
    for path in paths:
        latlong = np.asarray(shrink_environment(jnp.asarray(read_environment(path)), *_MAP_SIZE))
        lights.append(Lighting(pathlib.Path(path).stem, latlong / latlong.mean()))
    return lights


def _make_light(name: str) -> Lighting:
    if name == "beam":
        color = np.array([[1.0, 0.95, 0.85]], np.float32)
        return Lighting(name, None, _unit(0.6, 0.5, 0.65)[None], color)
    if name == "soft box":
        return Lighting(name, boxes=_soft_box(_unit(-0.6, 0.45, 0.8), 0.6, 0.15))
    towards, solid_angle = latlong_directions(*_MAP_SIZE)
    if name == "sky":
        return Lighting(name, _sky(towards))
    if name == "studio":
        return Lighting(name, _studio(towards))
    # A disc of 1.4 degrees, two texels across, on top of the sky.
    is_sun = (towards @ _unit(0.6, 0.55, 0.6) > math.cos(0.012))[..., None]
    flux = np.sum(is_sun * solid_angle[..., None])
    sun = np.where(is_sun, math.pi / flux * np.array([2.0, 1.8, 1.5]), 0.0)
    return Lighting(name, (_sky(towards) + sun).astype(np.float32))


def _studio(towards: np.ndarray) -> np.ndarray:
    """A dark room (h, w, 3) with two far windows: a large white one and a narrow blue one."""
    room = np.full(towards.shape, 0.08, np.float32)
    for center, half_width, half_height, radiance in (
        (_unit(-0.7, 0.5, 0.8), 0.35, 0.5, (6.0, 6.0, 6.0)),
        (_unit(0.9, 0.1, 0.4), 0.2, 0.6, (3.0, 3.7, 4.4)),
    ):
        right, up = _across(center)
        ahead = np.maximum(towards @ center, 0.0)
        is_beside = np.abs(towards @ right) < half_width * ahead
        room[is_beside & (np.abs(towards @ up) < half_height * ahead)] = radiance
    return room


def _sky(towards: np.ndarray) -> np.ndarray:
    """An overcast gradient (h, w, 3): blue above, bright at the horizon, brown below."""
    height = towards[..., 1:2]
    zenith, horizon, ground = (0.5, 0.75, 1.2), (1.2, 1.15, 1.05), (0.25, 0.2, 0.15)
    above = horizon + np.clip(height, 0, 1) ** 0.6 * np.subtract(zenith, horizon)
    share = 1 / (1 + np.exp(-height / 0.05))  # A misty horizon.
    return (np.asarray(ground) + share * (above - ground)).astype(np.float32)


def _soft_box(direction: np.ndarray, distance: float, half: float) -> RectangleLights:
    """A square that faces the origin from `direction`, metres."""
    right, up = _across(direction)
    # Its front is along cross(half_u, half_v), towards the origin.
    fields = distance * direction, half * right, -half * up, np.array([12.0, 11.0, 10.0])
    return RectangleLights(*(jnp.asarray(x[None], jnp.float32) for x in fields))


def _across(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors to the right and up, at right angles to a direction that is not vertical."""
    right = np.cross([0.0, 1.0, 0.0], direction)
    right /= np.linalg.norm(right)
    return right, np.cross(direction, right)


def _unit(*vector: float) -> np.ndarray:
    return (np.array(vector) / np.linalg.norm(vector)).astype(np.float32)

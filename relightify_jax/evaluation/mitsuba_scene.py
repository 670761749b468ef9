"""Scenes of ours in Mitsuba 3: the same mesh, texture, material, camera and light.

Mitsuba (Jakob et al., BSD licence, https://mitsuba-renderer.org) is an independent path
tracer. It is optional: `pip install "relightify_jax[validate]"`.
"""

import importlib
import math
import subprocess
import sys
import time
from typing import Any, NamedTuple

import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import F0_AT_SPECULAR_ONE
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.rotations import matrix_from_axis_angle
from relightify_jax.rendering.area_lights import RectangleLights

# The vectorised variant is a hundred times faster with a material written in Python, but
# needs an LLVM library, and an old one ends the process. So it is tried in another one.
_FAST, _SURE = "llvm_ad_rgb", "scalar_rgb"
_PROBE = (
    f"import mitsuba as mi; mi.set_variant({_FAST!r}); import numpy as np;"
    "np.array(mi.render(mi.load_dict({'type': 'scene', 'light': {'type': 'constant'},"
    "'integrator': {'type': 'path'}, 'shape': {'type': 'sphere'}, 'camera': {'type':"
    "'perspective', 'film': {'type': 'hdrfilm', 'width': 8, 'height': 8}}}), spp=1))"
)
_PROBE_SECONDS = 120
_SAMPLES_AT_ONCE = 2**24
COVERED = 0.999  # Pixels above this alpha are compared.


class Solid(NamedTuple):
    """A textured mesh in metres around the origin."""

    points: np.ndarray  # (V, 3) float32.
    normals: np.ndarray  # (V, 3) unit, of the smoothed surface.
    faces: np.ndarray  # (F, 3) int32.
    uv: np.ndarray  # (T, 2) float32, v down from the top.
    uv_faces: np.ndarray  # (F, 3) int32 into `uv`.


class Material(NamedTuple):
    """What the mesh is made of."""

    name: str
    albedo: np.ndarray  # (R, R, 3) linear RGB texture of the diffuse part.
    specular: float | None  # Specular albedo, F0 = 0.08 times it; None = no lobe at all.
    roughness: float = 0.5


class Lighting(NamedTuple):
    """What shines on it: an environment, beams and soft boxes."""

    name: str
    latlong: np.ndarray | None = None  # (h, w, 3) radiance, suns and all.
    directions: np.ndarray = np.zeros((0, 3), np.float32)  # (D, 3) unit, towards the light.
    radiance: np.ndarray = np.zeros((0, 3), np.float32)  # (D, 3) irradiance / pi.
    boxes: RectangleLights | None = None


class Reference(NamedTuple):
    """What Mitsuba drew."""

    image: np.ndarray  # (H, W, 3) linear RGB, black background.
    alpha: np.ndarray  # (H, W) share of each pixel that is covered.
    noise: float  # Mean absolute error of `image` that is left of the sampling, over its mean.
    seconds: float


def start_mitsuba(variant: str = "auto") -> Any:
    """Imports Mitsuba and sets its variant, for the whole process; returns the module.

    Args:
        variant: E.g. "scalar_rgb", which runs everywhere, or "llvm_ad_rgb", which needs an
            LLVM library (environment variable DRJIT_LIBLLVM_PATH); "auto" is the second
            where it works.

    Raises:
        InputError: If Mitsuba is not installed or lacks the variant.
    """
    try:
        mi = importlib.import_module("mitsuba")
    except ImportError:
        raise InputError(
            "The comparison needs Mitsuba 3, which is not installed: "
            'pip install "relightify_jax[validate]".'
        ) from None
    if variant == "auto":
        variant = _FAST if _works() else _SURE
    try:
        mi.set_variant(variant)
    except ImportError as error:
        raise InputError(
            f"Mitsuba's variant {variant!r} cannot be used ({error}); take {_SURE!r}."
        ) from None
    register = importlib.import_module("relightify_jax.evaluation.mitsuba_bsdf").register_skin
    register(mi, importlib.import_module("drjit"))
    return mi


def _works() -> bool:
    """Whether the vectorised variant renders."""
    command = [sys.executable, "-c", _PROBE]
    try:
        return subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def build_scene(
    mi: Any,
    solid: Solid,
    material: Material,
    kind: str,
    camera: Camera,
    light: Lighting,
    size: int,
) -> Any:
    """Returns a Mitsuba scene that gathers direct light, with shadows.

    Args:
        mi: From `start_mitsuba`.
        solid: Mesh.
        material: Its look.
        kind: "diffuse", "same" (our own BRDF) or "principled" (Disney's); see `describe`.
        camera: In pixels of the picture.
        light: Light.
        size: Pixels per side.
    """
    description = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 2, "hide_emitters": True},
        "sensor": _describe_camera(mi, camera, size),
        "mesh": _build_mesh(mi, solid, describe(mi, material, kind)),
    }
    if light.latlong is not None:
        # Their middle column lies along +Z, ours along -Z.
        turned = mi.ScalarTransform4f().rotate([0, 1, 0], 180)
        bitmap = mi.Bitmap(np.ascontiguousarray(light.latlong, np.float32))
        description["around"] = {"type": "envmap", "bitmap": bitmap, "to_world": turned}
    for i, (direction, radiance) in enumerate(zip(light.directions, light.radiance, strict=True)):
        description[f"beam_{i}"] = {
            "type": "directional",
            "direction": [-float(x) for x in direction],  # The way that the light travels.
            "irradiance": _rgb(math.pi * np.asarray(radiance)),
        }
    if light.boxes is not None:
        for i, fields in enumerate(zip(*(np.asarray(x, float) for x in light.boxes), strict=True)):
            description[f"box_{i}"] = _describe_box(mi, *fields)
    return mi.load_dict(description)


def describe(mi: Any, material: Material, kind: str) -> dict[str, Any]:
    """Mitsuba's description of a material.

    Raises:
        ValueError: If there is no such kind, or it has no lobe and the material has one.
    """
    albedo = {
        "type": "bitmap",
        "bitmap": mi.Bitmap(np.ascontiguousarray(material.albedo, np.float32)),
        "raw": True,
        "wrap_mode": "clamp",
    }
    specular, roughness = material.specular, material.roughness
    if kind == "diffuse" and specular is None:
        return {"type": "diffuse", "reflectance": albedo}
    if kind == "same" and specular is not None:
        f0 = F0_AT_SPECULAR_ONE * specular
        surface = {"specular_f0": f0, "roughness": roughness}
        return {"type": "relightify_skin", "albedo": albedo, **surface}
    if kind == "principled" and specular is not None:
        surface = {"specular": specular, "roughness": roughness}
        return {"type": "principled", "base_color": albedo, **surface}
    raise ValueError(f"No Mitsuba material of kind {kind!r} for specular albedo {specular}.")


def draw(mi: Any, scene: Any, num_samples: int) -> Reference:
    """Renders a scene twice, with about `num_samples` / 2 paths a pixel each, and averages."""
    height, width = scene.sensors()[0].film().size()
    # The sampler stratifies squares.
    side = math.isqrt(max(1, min(num_samples // 2, _SAMPLES_AT_ONCE // (height * width))))
    num_passes = max(1, round(num_samples / 2 / side**2))

    def render_half(half):
        seeds = range(num_passes * half, num_passes * (half + 1))
        passes = [np.array(mi.render(scene, spp=side**2, seed=seed)) for seed in seeds]
        return np.mean(passes, axis=0, dtype=np.float64)

    start = time.perf_counter()
    one, two = render_half(0), render_half(1)
    seconds = time.perf_counter() - start
    mean = (one + two) / 2
    color, alpha = mean[..., :3], mean[..., 3]
    # Half the difference of two halves is distributed as the error of their mean.
    inside = alpha > COVERED
    noise = np.abs(one - two)[inside, :3].mean() / 2
    level = max(float(color[inside].mean()), 1e-12)
    return Reference(color.astype(np.float32), alpha, float(noise) / level, seconds)


def _describe_camera(mi: Any, camera: Camera, size: int) -> dict[str, Any]:
    """Their camera looks along +Z with +X to the left, ours along -Z with +X to the right."""
    rotation = np.asarray(matrix_from_axis_angle(camera.rotation), float)
    to_world = np.eye(4)
    to_world[:3, :3] = rotation.T * [-1, 1, -1]
    to_world[:3, 3] = -rotation.T @ np.asarray(camera.translation, float)
    offset = np.asarray(camera.center, float) / size - 0.5
    return {
        "type": "perspective",
        "fov_axis": "x",
        "fov": math.degrees(2 * math.atan(size / 2 / float(camera.focal))),
        "principal_point_offset_x": -float(offset[0]),
        "principal_point_offset_y": -float(offset[1]),
        "near_clip": 1e-3,
        "sampler": {"type": "multijitter"},
        "to_world": mi.ScalarTransform4f(to_world),
        "film": {
            "type": "hdrfilm",
            "width": size,
            "height": size,
            "rfilter": {"type": "box"},
            "pixel_format": "rgba",
            "component_format": "float32",
        },
    }


def _build_mesh(mi: Any, solid: Solid, material: dict[str, Any]) -> Any:
    """One vertex for every pair of a point and a texture coordinate."""
    pairs = np.stack([solid.faces, solid.uv_faces], axis=-1).reshape(-1, 2)
    pairs, corner = np.unique(pairs, axis=0, return_inverse=True)
    properties = mi.Properties()
    properties["mesh_bsdf"] = mi.load_dict(material)
    mesh = mi.Mesh(
        "mesh",
        vertex_count=len(pairs),
        face_count=len(solid.faces),
        props=properties,
        has_vertex_normals=True,
        has_vertex_texcoords=True,
    )
    parameters = mi.traverse(mesh)
    for name, values in {
        "vertex_positions": solid.points[pairs[:, 0]],
        "vertex_normals": solid.normals[pairs[:, 0]],
        "vertex_texcoords": solid.uv[pairs[:, 1]],
        "faces": corner,
    }.items():
        parameters[name] = type(parameters[name])(np.ravel(values))
    parameters.update()
    return mesh


def _describe_box(mi: Any, center, half_u, half_v, radiance) -> dict[str, Any]:
    """Their rectangle is [-1, 1]^2 and shines along +Z."""
    across = np.cross(half_u, half_v)
    to_world = np.eye(4)
    columns = [half_u, half_v, across / np.linalg.norm(across), center]
    to_world[:3] = np.stack(columns, axis=-1)
    return {
        "type": "rectangle",
        "to_world": mi.ScalarTransform4f(to_world),
        "emitter": {"type": "area", "radiance": _rgb(radiance)},
    }


def _rgb(values) -> dict[str, Any]:
    return {"type": "rgb", "value": [float(x) for x in values]}

"""Our renderer's pictures for the comparison with Mitsuba: what is seen, then how it is shaded."""

import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.evaluation.mitsuba_cases import look_at
from relightify_jax.evaluation.mitsuba_scene import Lighting, Material, Solid
from relightify_jax.geometry.camera import Camera, camera_position, scale_image
from relightify_jax.rendering.area_lights import (
    LampSamples,
    lamp_visibility,
    sample_rectangles,
    shade_lamps,
)
from relightify_jax.rendering.brdf import ONE_LOBE, Lobes
from relightify_jax.rendering.environment import environment_light, shrink_environment, split_suns
from relightify_jax.rendering.interpolate import Fragments, interpolate
from relightify_jax.rendering.lighting import Light
from relightify_jax.rendering.occlusion import (
    Occlusion,
    compute_occlusion,
    directional_visibility,
    fibonacci_directions,
)
from relightify_jax.rendering.renderer import HeadMesh, render_surface
from relightify_jax.rendering.shading import shade
from relightify_jax.rendering.texture import sample_texture

_MATTE = Lobes((0.0,), (1.0,))  # Takes the lobe out, and its share of the diffuse part.
_SUPERSAMPLING = 2
_NUM_DIRECTIONS = 256
_SHADOW_SIZE, _SHADOW_BLUR = 512, 3  # As in `renderer`.


class Method(NamedTuple):
    """A way to draw a picture with our renderer."""

    name: str
    order: int = 4  # Of the spherical harmonics.
    grid: tuple[int, int] = (32, 64)  # Texels of the environment.
    diffuse: Literal["sh", "quadrature"] = "sh"
    specular: Literal["quadrature", "split_sum"] = "quadrature"
    has_transfer: bool = False  # Diffuse light with self-shadow.
    has_occlusion: bool = False  # Ambient occlusion of the sheen.
    num_emitters: int = 0  # Of a soft box.


class Stage(NamedTuple):
    """A solid as the camera sees it, `_SUPERSAMPLING` times as large as the picture."""

    name: str
    solid: Solid
    camera: Camera
    size: int  # Of the picture.
    mask: jax.Array  # (H, W).
    uv: jax.Array  # (H, W, 2).
    fragments: Fragments
    position: jax.Array  # (H, W, 3).
    normals: jax.Array  # (H, W, 3), zero at background.
    view: jax.Array  # (H, W, 3).
    occlusion: Occlusion | None  # At the vertices; None for a convex solid.


def set_stage(name: str, solid: Solid, size: int, yaw: float) -> Stage:
    """Puts a solid before the camera."""
    camera = look_at(solid, size, yaw)
    points, faces = jnp.asarray(solid.points), jnp.asarray(solid.faces)
    part = jnp.zeros(len(solid.faces), jnp.int32)
    mesh = HeadMesh(faces, jnp.asarray(solid.uv), jnp.asarray(solid.uv_faces), part)
    large = size * _SUPERSAMPLING
    surface = render_surface(
        mesh, points, scale_image(camera, _SUPERSAMPLING), height=large, width=large
    )
    mask = surface.fragments.mask
    occlusion = None
    if not name.startswith("sphere"):
        directions = jnp.asarray(fibonacci_directions(_NUM_DIRECTIONS))
        normals = jnp.asarray(solid.normals)
        occlusion = compute_occlusion(points, faces, points, normals, directions)
    return Stage(
        name=name.partition(":")[0],
        solid=solid,
        camera=camera,
        size=size,
        mask=mask,
        uv=surface.uv,
        fragments=surface.fragments,
        position=surface.position,
        normals=surface.normals * mask[..., None],
        view=normalize(camera_position(camera) - surface.position),
        occlusion=occlusion,
    )


class OurLight(NamedTuple):
    """A light as our renderer takes it."""

    light: Light
    environment: jax.Array | None
    lamps: LampSamples | None


def prepare_light(light: Lighting, method: Method) -> OurLight:
    """Splits the suns off and coarsens the rest."""
    if light.boxes is not None:
        dark = Light(jnp.zeros((1, 3)), jnp.zeros((0, 3)), jnp.zeros((0, 3)))
        return OurLight(dark, None, sample_rectangles(light.boxes, method.num_emitters))
    if light.latlong is None:
        beams = jnp.asarray(light.directions), jnp.asarray(light.radiance)
        return OurLight(Light(jnp.zeros((1, 3)), *beams), None, None)
    around = split_suns(jnp.asarray(light.latlong))
    coarse = shrink_environment(around.radiance, *method.grid)
    return OurLight(environment_light(around, method.order), coarse, None)


def render(
    stage: Stage, material: Material, ours: OurLight, method: Method
) -> tuple[jax.Array, jax.Array]:
    """Our picture (H, W, 3), linear RGB on black, and its coverage (H, W)."""
    albedo = sample_texture(jnp.asarray(material.albedo), stage.uv)
    lobes = _MATTE if material.specular is None else ONE_LOBE
    specular = jnp.full((*stage.mask.shape, 1), material.specular or 0.0)
    points, faces = jnp.asarray(stage.solid.points), jnp.asarray(stage.solid.faces)
    query = stage.position, stage.normals
    is_convex = stage.occlusion is None
    visibility = None
    if ours.lamps is not None:
        if not is_convex:
            visibility = lamp_visibility(points, faces, ours.lamps, *query)
        color = shade_lamps(
            albedo, specular, *query, stage.view, ours.lamps, material.roughness,
            visibility=visibility, lobes=lobes,
        )  # fmt: skip
        return _resolve(color, stage.mask)
    if not is_convex:
        seen = directional_visibility(
            points, faces, ours.light.directions, *query, size=_SHADOW_SIZE, blur=_SHADOW_BLUR
        )
        visibility = jnp.moveaxis(seen, 0, -1)
    irradiance = openness = None
    if stage.occlusion is not None and ours.environment is not None:
        if method.has_transfer:
            num = ours.light.sh.shape[0]
            arriving = matmul(stage.occlusion.transfer[:, :num], ours.light.sh)
            irradiance = interpolate(arriving, faces, stage.fragments)
        if method.has_occlusion:
            openness = interpolate(stage.occlusion.openness[:, None], faces, stage.fragments)
    color = _shade(
        albedo, specular, stage.normals, stage.view, ours, visibility, irradiance, openness,
        material.roughness,
        diffuse=method.diffuse, specular=method.specular, lobes=lobes,
    )  # fmt: skip
    return _resolve(color, stage.mask)


@functools.partial(jax.jit, static_argnames=("diffuse", "specular", "lobes"))
def _shade(
    albedo, specular_albedo, normals, view, ours, visibility, irradiance, openness, roughness,
    *, diffuse, specular, lobes,
) -> jax.Array:  # fmt: skip
    """`shade`, whose occlusion dims the sheen only: what bounces is not in the reference."""
    common: dict[str, Any] = dict(environment=ours.environment, specular=specular, lobes=lobes)
    color = shade(
        albedo, specular_albedo, normals, view, ours.light, roughness,
        visibility=visibility, irradiance=irradiance, diffuse=diffuse, **common,
    )  # fmt: skip
    if openness is None:
        return color
    # Where the base is black there is only the sheen.
    dark = jnp.zeros_like(albedo)
    still = Light(ours.light.sh, ours.light.directions, jnp.zeros_like(ours.light.radiance))
    sheen = functools.partial(
        shade, dark, specular_albedo, normals, view, still, roughness, **common
    )
    return color - sheen() + sheen(occlusion=openness)


def _resolve(color, mask):
    """Averages the samples of each pixel."""
    num = mask.shape[0] // _SUPERSAMPLING
    stacked = jnp.concatenate([color, jnp.ones_like(color[..., :1])], -1) * mask[..., None]
    blocks = stacked.reshape(num, _SUPERSAMPLING, num, _SUPERSAMPLING, 4)
    mean = blocks.mean(axis=(1, 3))
    return mean[..., :3], mean[..., 3]

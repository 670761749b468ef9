"""Our pictures beside those of Mitsuba 3: how far off each way of shading is, and how fast.

Both draw direct light only, with the shadows that the solid casts on itself. Mitsuba gets
the whole environment map, suns included; ours is split into suns and a coarse grid.
"""

import functools
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.core.photo import save_image
from relightify_jax.evaluation.mitsuba_cases import (
    load_lights,
    load_material,
    load_solid,
    look_at,
)
from relightify_jax.evaluation.mitsuba_scene import (
    COVERED,
    Lighting,
    Material,
    Reference,
    Solid,
    build_scene,
    draw,
    start_mitsuba,
)
from relightify_jax.evaluation.tables import Column
from relightify_jax.geometry.camera import Camera, camera_position, scale_image
from relightify_jax.rendering.area_lights import lamp_visibility, sample_rectangles, shade_lamps
from relightify_jax.rendering.brdf import ONE_LOBE, Lobes
from relightify_jax.rendering.environment import (
    Environment,
    environment_light,
    shrink_environment,
    split_suns,
)
from relightify_jax.rendering.interpolate import interpolate
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

COLUMNS = (
    Column("scene", "scene"),
    Column("material", "material"),
    Column("light", "light"),
    Column("method", "ours"),
    Column("reference", "Mitsuba material"),
    Column("error", "relMAE", ".2%"),
    Column("ratio", "mean ratio", ".4f"),
    Column("noise", "Mitsuba noise", ".2%"),
    Column("ours_s", "ours s", ".2f"),
    Column("mitsuba_s", "Mitsuba s", ".1f"),
)
NOTES = (
    "relMAE: mean |ours - Mitsuba| over the mean of Mitsuba, over RGB and the pixels that are "
    "wholly covered in both; mean ratio: mean of ours over mean of Mitsuba, there. It holds "
    "Mitsuba's own noise, estimated from the difference of its two halves.",
    "`same`: our BRDF, written anew as a material of Mitsuba, so that only the transport of "
    "light differs. `diffuse`: Mitsuba's Lambert. `principled`: Mitsuba's Disney material of "
    "the same parameters, with the exact Fresnel term of a dielectric where we have Schlick's, "
    "separable masking where ours is height-correlated, and a diffuse part that brightens at "
    "grazing angles and does not share its energy with the lobe.",
    "Direct light on both sides: no bounces between the walls of a crease, and no scatter "
    "round the terminator, which our directional lights have by default.",
    "SH2, SH4: diffuse light as spherical harmonics of that order, without shadows but for "
    "those of suns; PRT: with self-shadow from 256 directions, at the vertices; `GGX 32x64`: "
    "the sheen summed over so many texels, without self-shadow; `+ occlusion`: attenuated by "
    "the ambient occlusion.",
    "Seconds of ours are of a second call on the same shapes, with the shadow maps of suns "
    "but without compiling and without the transfer, which is made once per pose.",
    "Pictures: ours, Mitsuba, and 0.5 + 5 (ours - Mitsuba), where grey is agreement.",
)

_MATTE = Lobes((0.0,), (1.0,))  # Takes the lobe out, and its share of the diffuse part.
_SUPERSAMPLING = 2
_NUM_DIRECTIONS = 256
_SCALAR_SLOWDOWN = 16  # Paths are saved where each calls Python.
_SHADOW_SIZE, _SHADOW_BLUR = 512, 3  # As in `renderer`.
_GREY = 0.35  # Linear mean of a picture as it is shown.
# What the renderer is to reach.
_DIFFUSE_TARGET, _SHEEN_TARGET = 0.03, 0.05


class Plan(NamedTuple):
    """What to compare."""

    scenes: Sequence[str]  # See `load_solid`.
    sizes: Sequence[int]  # Pixels per side, one per scene.
    materials: Sequence[str]  # See `mitsuba_cases.MATERIALS`.
    lights: Sequence[str]  # See `mitsuba_cases.LIGHTS`.
    environments: Sequence[str]  # Paths of .hdr or .exr files.
    num_samples: int  # Paths per pixel, at least 2.
    yaw: float  # Radians that the camera stands to the subject's left.
    variant: str  # See `start_mitsuba`.


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
    fragments: Any
    position: jax.Array  # (H, W, 3).
    normals: jax.Array  # (H, W, 3), zero at background.
    view: jax.Array  # (H, W, 3).
    occlusion: Occlusion | None  # At the vertices; None for a convex solid.


def measure(
    plan: Plan, folder: pathlib.Path, track: Callable[[list[Any]], Iterator[Any]] = iter
) -> tuple[list[dict[str, Any]], list[str]]:
    """Draws everything with both and compares.

    Args:
        plan: What to compare.
        folder: Gets one picture per row.
        track: Wraps the list of pieces of work, e.g. in a progress bar.

    Returns:
        Rows by the keys of `COLUMNS`, and sentences for below the table.

    Raises:
        InputError: If Mitsuba is not there, or the plan names something that is not.
    """
    if len(plan.scenes) != len(plan.sizes):
        raise InputError(f"Give one size per scene, got {plan.sizes} for {plan.scenes}.")
    materials = [load_material(name) for name in plan.materials]
    lights = load_lights(plan.lights, plan.environments)
    solids = [load_solid(name) for name in plan.scenes]
    mi = start_mitsuba(plan.variant)
    stages = [
        set_stage(name, solid, size, plan.yaw)
        for name, solid, size in zip(plan.scenes, solids, plan.sizes, strict=True)
    ]
    pieces = [
        (stage, material, light, kind)
        for stage in stages
        for material in materials
        if not (stage.occlusion and material.name.startswith("sheen"))
        for light in lights
        for kind in (["diffuse"] if material.specular is None else ["same", "principled"])
    ]
    rows = []
    for stage, material, light, kind in track(pieces):
        scene = build_scene(mi, stage.solid, material, kind, stage.camera, light, stage.size)
        is_slow = kind == "same" and mi.variant().startswith("scalar")
        num_samples = max(2, plan.num_samples // (_SCALAR_SLOWDOWN if is_slow else 1))
        reference = draw(mi, scene, num_samples)
        for method in methods(stage, material, light):
            row, pictures = compare(stage, material, light, method, reference)
            row["reference"] = kind
            rows.append(row)
            parts = (row["scene"], material.name, light.name, kind, method.name)
            save_image(folder / f"{_slug(*parts)}.png", pictures, srgb=True)
    what = f"Mitsuba {mi.__version__}, {mi.variant()}, {plan.num_samples} paths a pixel."
    return rows, [what, *targets(rows)]


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


def methods(stage: Stage, material: Material, light: Lighting) -> list[Method]:
    """The ways to draw a case, the simplest first."""
    if light.boxes is not None:
        return [Method("16 emitters", num_emitters=16), Method("64 emitters", num_emitters=64)]
    if light.latlong is None:
        return [Method("beam" if stage.occlusion is None else "shadow map")]
    if material.name.startswith("sheen"):
        coarse = Method("GGX 16x32", grid=(16, 32))
        return [Method("split-sum", specular="split_sum"), coarse, Method("GGX 32x64")]
    if stage.occlusion is None:
        if material.specular is None:
            return [Method("SH2", 2), Method("SH4"), Method("sum 32x64", diffuse="quadrature")]
        return [
            Method("SH4, split-sum", specular="split_sum"),
            Method("SH4, GGX 32x64"),
            Method("sum 32x64, GGX 32x64", diffuse="quadrature"),
        ]
    if material.specular is None:
        shadowed = functools.partial(Method, has_transfer=True)
        return [Method("SH4"), shadowed("PRT-SH2", 2), shadowed("PRT-SH4")]
    both = functools.partial(Method, has_transfer=True, has_occlusion=True)
    return [
        Method("PRT-SH4, GGX 32x64", has_transfer=True),
        both("PRT-SH4, split-sum + occlusion", specular="split_sum"),
        both("PRT-SH4, GGX 32x64 + occlusion"),
    ]


def compare(
    stage: Stage, material: Material, light: Lighting, method: Method, reference: Reference
) -> tuple[dict[str, Any], np.ndarray]:
    """Draws a case with one method: its row but for `reference`, and the pictures in a row."""
    draw_ours = functools.partial(render, stage, material, prepare_light(light, method), method)
    jax.block_until_ready(draw_ours())
    start = time.perf_counter()
    ours, alpha = jax.block_until_ready(draw_ours())
    seconds = time.perf_counter() - start
    image, theirs = np.asarray(ours), reference.image
    is_covered = (np.asarray(alpha) > COVERED) & (reference.alpha > COVERED)
    level = max(float(theirs[is_covered].mean()), 1e-12)
    row = {
        "scene": stage.name,
        "material": material.name,
        "light": light.name,
        "method": method.name,
        "error": float(np.abs(image - theirs)[is_covered].mean()) / level,
        "ratio": float(image[is_covered].mean()) / level,
        "noise": reference.noise,
        "ours_s": seconds,
        "mitsuba_s": reference.seconds,
    }
    exposure = _GREY / level
    # Grey in sRGB's middle once it is encoded.
    difference = 0.214 + 5 * exposure * (image - theirs)
    return row, np.clip(np.hstack([exposure * image, exposure * theirs, difference]), 0, 1)


class OurLight(NamedTuple):
    """A light as our renderer takes it."""

    light: Light
    environment: jax.Array | None
    lamps: Any  # `LampSamples` or None.


def prepare_light(light: Lighting, method: Method) -> OurLight:
    """Splits the suns off and coarsens the rest."""
    if light.boxes is not None:
        dark = Light(jnp.zeros((1, 3)), jnp.zeros((0, 3)), jnp.zeros((0, 3)))
        return OurLight(dark, None, sample_rectangles(light.boxes, method.num_emitters))
    if light.latlong is None:
        beams = jnp.asarray(light.directions), jnp.asarray(light.radiance)
        return OurLight(Light(jnp.zeros((1, 3)), *beams), None, None)
    around: Environment = split_suns(jnp.asarray(light.latlong))
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
    if ours.lamps is not None:
        visibility = lamp_visibility(points, faces, ours.lamps, *query)
        color = shade_lamps(
            albedo, specular, *query, stage.view, ours.lamps, material.roughness,
            visibility=visibility, lobes=lobes,
        )  # fmt: skip
        return _resolve(color, stage.mask)
    visibility = directional_visibility(
        points, faces, ours.light.directions, *query, size=_SHADOW_SIZE, blur=_SHADOW_BLUR
    )
    irradiance = openness = None
    if stage.occlusion is not None and ours.environment is not None:
        if method.has_transfer:
            num = ours.light.sh.shape[0]
            arriving = matmul(stage.occlusion.transfer[:, :num], ours.light.sh)
            irradiance = interpolate(arriving, faces, stage.fragments)
        if method.has_occlusion:
            openness = interpolate(stage.occlusion.openness[:, None], faces, stage.fragments)
    color = _shade(
        albedo, specular, stage.normals, stage.view, ours, jnp.moveaxis(visibility, 0, -1),
        irradiance, openness, material.roughness,
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


def targets(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Whether the diffuse part and the summed sheen are as close as they are to be."""
    soft = [
        row
        for row in rows
        if row["light"] == "sky" and (row["scene"], row["method"]) in _DIFFUSE_METHODS
        and row["reference"] == "diffuse"
    ]  # fmt: skip
    sheen = [
        row
        for row in rows
        if row["material"].startswith("sheen")
        and row["reference"] == "same"
        and row["method"] == "GGX 32x64"
    ]
    return [
        *_judge("Target of diffuse light from the sky", soft, _DIFFUSE_TARGET),
        *_judge("Target of GGX summed over 32 x 64 texels", sheen, _SHEEN_TARGET),
    ]


_DIFFUSE_METHODS = (("sphere", "SH4"), ("sphere", "sum 32x64"), ("head", "PRT-SH4"))


def _judge(what: str, rows: Sequence[dict[str, Any]], limit: float) -> list[str]:
    if not rows:
        return []
    told = ", ".join(
        f"{row['scene']} {row['material']} {row['light']} {row['error']:.2%} "
        f"({'met' if row['error'] < limit else 'missed'})"
        for row in rows
    )
    return [f"{what}, under {limit:.0%}: {told}."]


def _slug(*parts: str) -> str:
    return "-".join(
        "".join(c if c.isalnum() or c in "._" else "_" for c in part) for part in parts
    )

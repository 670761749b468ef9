"""Our pictures beside those of Mitsuba 3: how far off each way of shading is, and how fast.

Both draw direct light only, with the shadows that the solid casts on itself. Mitsuba gets
the whole environment map, suns included; ours is split into suns and a coarse grid.
"""

import functools
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.photo import save_image
from relightify_jax.evaluation.mitsuba_cases import load_lights, load_material, load_solid
from relightify_jax.evaluation.mitsuba_ours import (
    Method,
    Stage,
    prepare_light,
    render,
    set_stage,
)
from relightify_jax.evaluation.mitsuba_scene import (
    COVERED,
    Lighting,
    Material,
    Reference,
    build_scene,
    draw,
    start_mitsuba,
)
from relightify_jax.evaluation.tables import Column

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
    "wholly covered in both; mean ratio: mean of ours over mean of Mitsuba, there. relMAE holds "
    "Mitsuba's own noise, which is the same measure between its two halves, halved.",
    "`same`: our BRDF, written anew as a material of Mitsuba, so that only the transport of "
    "light differs, and the albedo of the lobe, which ours takes from polynomials that are off "
    "by 0.5 % of it. `diffuse`: Mitsuba's Lambert. `principled`: Mitsuba's Disney material of the "
    "same parameters. Its lobe has the exact Fresnel term of a dielectric; Schlick's, which we "
    "and glTF have, is a fifth lower at 60 degrees and a tenth higher beyond 75. Its masking is "
    "separable, ours height-correlated. Its diffuse part brightens at grazing angles and gives "
    "nothing to the lobe.",
    "Where each path calls Python, as with `same` in a scalar variant, there are 16 times fewer.",
    "Direct light on both sides: no bounces between the walls of a crease, and no scatter "
    "round the terminator, which our directional lights have by default.",
    "SH2, SH4: diffuse light as spherical harmonics of that order, without shadows but for "
    "those that suns cast on the head; PRT: with self-shadow from 256 directions, at the "
    "vertices; `GGX 32x64`: the sheen summed over so many texels, without self-shadow; `+ "
    "occlusion`: attenuated by the ambient occlusion.",
    "Seconds of ours are of a second call on the same shapes, with the shadow maps of suns "
    "but without compiling and without the transfer, which is made once per pose.",
    "Pictures, from left to right: ours, Mitsuba, five times the difference on grey.",
)

_CASE = ("scene", "material", "light", "reference", "method")
_SCALAR_SLOWDOWN = 16  # Paths are saved where each calls Python.
_GREY = 0.35  # Linear mean of a picture as it is shown.
_MIDDLE = 0.214  # Linear value that is shown as the middle grey.
# What the renderer is to reach.
_DIFFUSE_TARGET, _SHEEN_TARGET = 0.03, 0.05
_DIFFUSE_METHODS = (("sphere", "SH4"), ("head", "PRT-SH4"))


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


class Drawing(NamedTuple):
    """What our renderer drew."""

    method: str
    image: np.ndarray  # (H, W, 3) linear RGB, black background.
    alpha: np.ndarray  # (H, W) share of each pixel that is covered.
    seconds: float


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
        (stage, material, light)
        for stage in stages
        for material in materials
        if not (stage.occlusion and material.name.startswith("sheen"))
        for light in lights
    ]
    rows = []
    for stage, material, light in track(pieces):
        ours = [draw_ours(stage, material, light, how) for how in methods(stage, material, light)]
        for kind in ("diffuse",) if material.specular is None else ("same", "principled"):
            scene = build_scene(mi, stage.solid, material, kind, stage.camera, light, stage.size)
            is_slow = kind == "same" and mi.variant().startswith("scalar")
            num_samples = max(2, plan.num_samples // (_SCALAR_SLOWDOWN if is_slow else 1))
            reference = draw(mi, scene, num_samples)
            for drawing in ours:
                case = [stage.name, material.name, light.name, kind, drawing.method]
                row, pictures = compare(drawing, reference)
                named = zip(
                    ("scene", "material", "light", "reference", "method"), case, strict=True
                )
                rows.append(dict(named) | row)
                save_image(folder / f"{_slug(*case)}.png", pictures, srgb=True)
    what = f"Mitsuba {mi.__version__}, {mi.variant()}, {plan.num_samples} paths a pixel."
    return rows, [what, *targets(rows)]


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


def draw_ours(stage: Stage, material: Material, light: Lighting, method: Method) -> Drawing:
    """Draws a case with our renderer, twice, to time it without compiling."""
    draw_once = functools.partial(render, stage, material, prepare_light(light, method), method)
    jax.block_until_ready(draw_once())
    start = time.perf_counter()
    image, alpha = jax.block_until_ready(draw_once())
    seconds = time.perf_counter() - start
    return Drawing(method.name, np.asarray(image), np.asarray(alpha), seconds)


def compare(ours: Drawing, reference: Reference) -> tuple[dict[str, Any], np.ndarray]:
    """Measures how far apart two pictures are.

    Returns:
        The numbers of a row, and both pictures with their difference (H, 3 W, 3), linear.
    """
    theirs = reference.image
    is_covered = (ours.alpha > COVERED) & (reference.alpha > COVERED)
    level = max(float(theirs[is_covered].mean()), 1e-12)
    row = {
        "error": float(np.abs(ours.image - theirs)[is_covered].mean()) / level,
        "ratio": float(ours.image[is_covered].mean()) / level,
        "noise": reference.noise,
        "ours_s": ours.seconds,
        "mitsuba_s": reference.seconds,
    }
    exposure = _GREY / level
    difference = _MIDDLE + 5 * exposure * (ours.image - theirs)
    pictures = np.hstack([exposure * ours.image, exposure * theirs, difference])
    return row, np.clip(pictures, 0, 1)


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


def _judge(what: str, rows: Sequence[dict[str, Any]], limit: float) -> list[str]:
    if not rows:
        return []

    def verdict(row):
        if row["error"] < limit:
            return "met"
        return "open: Mitsuba's noise hides it" if row["noise"] > limit / 2 else "missed"

    told = ", ".join(
        f"{row['scene']} {row['material']} in {row['light']} {row['error']:.2%} ({verdict(row)})"
        for row in rows
    )
    return [f"{what}, under {limit:.0%}: {told}."]


def _slug(*parts: str) -> str:
    return "-".join("".join(c if c.isalnum() or c in "._" else "_" for c in part) for part in parts)

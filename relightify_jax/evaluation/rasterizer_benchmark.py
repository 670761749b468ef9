"""Speed, memory and agreement of the rasterizer, beside its peers on the same pictures.

Every row is one program on one scene. Ours takes arrays that lie on the device and ends
when the result does; see `rasterizer_peers` for what a peer's time holds.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core.errors import InputError
from relightify_jax.evaluation.rasterizer_peers import PEERS, Unavailable
from relightify_jax.evaluation.rasterizer_scenes import Mesh, Scene, load_mesh, pose, pose_many
from relightify_jax.evaluation.tables import Column
from relightify_jax.evaluation.timing import Timing, time_calls, time_compiled
from relightify_jax.geometry.topology import build_topology
from relightify_jax.rendering.antialias import antialias
from relightify_jax.rendering.fixed_point import GUARD_PIXELS
from relightify_jax.rendering.interpolate import compute_fragments, interpolate, list_pixels
from relightify_jax.rendering.rasterize import rasterize

COLUMNS = (
    Column("mesh", "mesh"),
    Column("triangles", "triangles", ","),
    Column("size", "px"),
    Column("program", "program"),
    Column("min_ms", "min ms", ".3f"),
    Column("median_ms", "median ms", ".3f"),
    Column("per_opengl", "x OpenGL", ".2f"),
    Column("setup_s", "compile or set-up s", ".2f"),
    Column("temp_mb", "temp MB", ".1f"),
    Column("differing", "pixels that differ", ".4%"),
)
NOTES = (
    "min and median are over repeated calls, each waited for; inputs lie on the device.",
    "Nothing reaches behind the camera here, and `visibility` is drawn with clip=False.",
    "`attributes`: visibility and 6 interpolated attributes; `gradient` adds the gradient of "
    "their sum of squares with respect to pixels, depth and attributes; `of the foreground`: the "
    "same on a list of the pixels that show the mesh.",
    "`antialias` takes that picture and its fragments; `antialias gradient` adds the gradient "
    "of its sum of squares with respect to picture and pixels.",
    "x OpenGL: the time over that of OpenGL's row of the same scene (visibility and read-back).",
    "Pixels that differ from `visibility` in their triangle: vertices are snapped to 1/64 pixel "
    "here, to another fraction by OpenGL and not at all by embree.",
)
# What the rasterizer is to reach on two CPU cores, against Mesa's software OpenGL.
_TARGET_PER_LLVMPIPE = 1.5


class Plan(NamedTuple):
    """What to measure."""

    meshes: Sequence[str]  # See `load_mesh`.
    sizes: Sequence[int]  # Pixels per side.
    batch: int  # Heads of the batch rows, 0 for none; of the first mesh.
    batch_size: int  # Pixels per side of the batch rows.
    yaw: float  # Radians that the mesh is turned by.
    peers: Sequence[str]  # Keys of `PEERS`.
    num_repeats: int
    max_seconds: float  # No further repeat begins after this time; see `time_calls`.


def measure(
    plan: Plan, track: Callable[[list[Any]], Iterator[Any]] = iter
) -> tuple[list[dict[str, Any]], list[str]]:
    """Runs the benchmark.

    Args:
        plan: What to measure.
        track: Wraps the list of pieces of work, e.g. in a progress bar.

    Returns:
        Rows by the keys of `COLUMNS`, and sentences on what the peers were.

    Raises:
        InputError: If there is no such mesh or peer, or a size that cannot be drawn.
    """
    _check(plan)
    meshes = [load_mesh(name) for name in plan.meshes]
    pieces: list[tuple[Mesh, int, bool]] = [
        (mesh, size, False) for mesh in meshes for size in plan.sizes
    ]
    if plan.batch:
        pieces.append((meshes[0], plan.batch_size, True))
    rows: list[dict[str, Any]] = []
    notes: dict[str, str] = {}
    for mesh, size, is_batch in track(pieces):
        if is_batch:
            rows += _batch_rows(mesh, size, plan)
        else:
            rows += _scene_rows(pose(mesh, size, plan.yaw), plan, notes)
    return rows, [*notes.values(), *targets(rows, notes)]


def targets(rows: Sequence[Mapping[str, Any]], notes: Mapping[str, str]) -> list[str]:
    """Whether visibility is as fast as it is to be; empty unless llvmpipe took part."""
    if "llvmpipe" not in notes.get("opengl", ""):
        return []
    ratios = [
        f"{row['mesh']} at {row['size']} px {row['per_opengl']:.2f} "
        f"({'met' if row['per_opengl'] <= _TARGET_PER_LLVMPIPE else 'missed'})"
        for row in rows
        if row["program"] == "visibility"
    ]
    limit = f"Target on the CPU, visibility within {_TARGET_PER_LLVMPIPE} x llvmpipe"
    return [f"{limit}: {', '.join(ratios)}."]


def _check(plan: Plan) -> None:
    unknown = sorted(set(plan.peers) - set(PEERS))
    if unknown:
        raise InputError(f"There is no peer {unknown[0]!r}; choose from {', '.join(PEERS)}.")
    if not plan.meshes or not plan.sizes:
        raise InputError("There is nothing to measure; give at least one mesh and one size.")
    wrong = [size for size in (*plan.sizes, plan.batch_size) if not 1 <= size <= GUARD_PIXELS]
    if wrong:
        raise InputError(f"Sizes are 1 to {GUARD_PIXELS} pixels a side, got {wrong[0]}.")


def _rasterize(xy, depth, faces, *, size, clip=False, **options):
    options = dict(height=size, width=size, cull="back", clip=clip, **options)
    return rasterize(xy, depth, faces, **options)


def _visibility(*mesh, **options):
    return _rasterize(*mesh, **options).face


def _picture(xy, depth, faces, attributes, *, size, max_pixels=None):
    """Six attributes on the visible surface, and its fragments: images, or lists of pixels."""
    visible = _rasterize(xy, depth, faces, size=size)
    if max_pixels is not None:
        visible = list_pixels(visible, max_pixels)
    fragments = compute_fragments(xy, depth, faces, visible)
    return interpolate(attributes, faces, fragments), fragments


def _attributes(*arguments, **options):
    return _picture(*arguments, **options)[0]


def _gradient(xy, depth, faces, attributes, **options):
    def total(xy, depth, attributes):
        return jnp.sum(_attributes(xy, depth, faces, attributes, **options) ** 2)

    return jax.grad(total, (0, 1, 2))(xy, depth, attributes)


def _antialias(image, fragments, xy, depth, topology):
    return antialias(image, fragments, xy, depth, topology, cull="back")


def _antialias_gradient(image, fragments, xy, depth, topology):
    def total(image, xy):
        return jnp.sum(_antialias(image, fragments, xy, depth, topology) ** 2)

    return jax.grad(total, (0, 1))(image, xy)


def _scene_rows(scene: Scene, plan: Plan, notes: dict[str, str]) -> list[dict[str, Any]]:
    """Rows of one mesh at one size; `notes` as in `_peer_rows`."""
    time_program = functools.partial(
        time_compiled, num_repeats=plan.num_repeats, max_seconds=plan.max_seconds
    )
    at_size = functools.partial(functools.partial, size=scene.size)
    mesh = scene.xy, scene.depth, scene.faces

    timing, result = time_program(at_size(_visibility), *mesh)
    face = np.asarray(result)
    rows = [_row(scene, "visibility", timing)]
    # Straight after, so that both see the same load of the machine.
    rows += _peer_rows(scene, face, plan, notes)

    timing, result = time_program(at_size(_visibility, mode="sort"), *mesh)
    differing = float(np.mean(np.asarray(result) != face))
    rows.append(_row(scene, "visibility, sort mode", timing, differing=differing))
    timing, result = time_program(at_size(_visibility, clip=True), *mesh)
    differing = float(np.mean(np.asarray(result) != face))
    rows.append(_row(scene, "visibility, with clipping", timing, differing=differing))
    # A list as a program would declare it that knows its heads, with a tenth to spare.
    max_pixels = int(1.1 * np.sum(face >= 0)) + 1
    programs = {"attributes": _attributes, "gradient": _gradient}
    for name, program in programs.items():
        for place, limit in {"": None, " of the foreground": max_pixels}.items():
            measured = at_size(program, max_pixels=limit)
            timing, _ = time_program(measured, *mesh, scene.attributes)
            rows.append(_row(scene, name + place, timing))

    image, fragments = jax.jit(at_size(_picture))(*mesh, scene.attributes)
    topology = build_topology(scene.faces, scene.attributes[:, :3])
    picture = image, fragments, scene.xy, scene.depth, topology
    timing, _ = time_program(_antialias, *picture)
    rows.append(_row(scene, "antialias", timing))
    timing, _ = time_program(_antialias_gradient, *picture)
    rows.append(_row(scene, "antialias gradient", timing))
    return _with_ratios(rows)


def _batch_rows(mesh: Mesh, size: int, plan: Plan) -> list[dict[str, Any]]:
    """Many poses in one program, one after another and all at once."""
    xy, depth = pose_many(mesh, size, plan.batch)
    scene = pose(mesh, size, plan.yaw)

    def one_by_one(one, xy, depth, *shared):
        return lax.map(lambda pair: one(*pair, *shared), (xy, depth))

    def at_once(one, xy, depth, *shared):
        return jax.vmap(one, (0, 0) + (None,) * len(shared))(xy, depth, *shared)

    programs = {
        "visibility": (functools.partial(_visibility, size=size), (scene.faces,)),
        "gradient": (functools.partial(_gradient, size=size), (scene.faces, scene.attributes)),
    }
    rows = []
    for name, (one, shared) in programs.items():
        for how, many in {"lax.map": one_by_one, "vmap": at_once}.items():
            timing, _ = time_compiled(
                functools.partial(many, one), xy, depth, *shared,
                num_repeats=plan.num_repeats, max_seconds=plan.max_seconds,
            )  # fmt: skip
            rows.append(_row(scene, f"{name}, {plan.batch} by {how}", timing, batch=plan.batch))
    return rows


def _peer_rows(
    scene: Scene, face: np.ndarray, plan: Plan, notes: dict[str, str]
) -> list[dict[str, Any]]:
    """Rows of the peers that are there; `notes` gets what each is or why it is missing."""
    rows = []
    for name in plan.peers:
        start = time.perf_counter()
        try:
            with PEERS[name](scene) as peer:
                setup_seconds = time.perf_counter() - start
                seconds = time_calls(peer.draw, plan.num_repeats, plan.max_seconds)
                differing = float(np.mean(peer.draw() != face))
        except Unavailable as error:
            notes[name] = f"{name}: not measured, {error}"
            continue
        notes[name] = f"{name}: {peer.description}."
        timing = Timing(seconds, setup_seconds, None)
        rows.append(_row(scene, name, timing, differing=differing))
    return rows


def _row(scene: Scene, program: str, timing: Timing, **more: Any) -> dict[str, Any]:
    memory = timing.temp_bytes
    return {
        "mesh": scene.mesh,
        "triangles": len(scene.faces),
        "size": scene.size,
        "program": program,
        "min_ms": 1e3 * timing.min,
        "median_ms": 1e3 * timing.median,
        "setup_s": timing.setup_seconds,
        "temp_mb": None if memory is None else memory / 1e6,
        "repeats": len(timing.seconds),
        **more,
    }


def _with_ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds each row's time over that of OpenGL, if it took part."""
    reference = [row["min_ms"] for row in rows if row["program"] == "opengl"]
    if not reference:
        return rows
    return [row | {"per_opengl": row["min_ms"] / reference[0]} for row in rows]

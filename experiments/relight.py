"""Shows a finished head under other light.

    python -m experiments.relight --head=out --out=relit
    python -m experiments.relight --head=out --out=relit --light=neon --light=rim
    python -m experiments.relight --head=out/head.glb --out=relit --size=768 --yaw=-30
    python -m experiments.relight --head=out --out=relit --environment=park.hdr --turn=90

Writes one picture a light, a strip of all of them, and a turntable under the first.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from tqdm import tqdm

from experiments import cli
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import staged_folder
from relightify_jax.core.photo import save_image
from relightify_jax.export.glb_reader import read_glb
from relightify_jax.export.turntable import contact_strip, write_animation
from relightify_jax.export.views import Studio, portrait_camera
from relightify_jax.geometry.mesh import vertex_normals
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
from relightify_jax.rendering.lighting import named_lights, scale_light
from relightify_jax.rendering.occlusion import compute_occlusion, fibonacci_directions
from relightify_jax.rendering.renderer import render_head

_GRID = (32, 64)  # Texels that the sheen is summed over; the suns are apart.
_SWING = np.radians(55.0)  # Largest yaw of the turntable.


class Options(NamedTuple):
    """What to show; angles in degrees. See `define_flags`."""

    head: str
    out: str
    lights: Sequence[str] = ()
    environments: Sequence[str] = ()
    turn: float = 0.0
    exposure: float | None = None
    size: int = 512
    yaw: float = 12.0
    frames: int = 36


class Stage(NamedTuple):
    """A head and its surroundings."""

    studio: Studio
    transfer: jax.Array  # (V, 25), see `compute_occlusion`.
    sharp: Environment  # At the resolution of the file, for the backdrop.
    coarse: Environment  # On `_GRID`, for the light.
    fixed_exposure: float | None

    def exposure(self, turn: float) -> float:
        """The factor that was asked for, or one that suits the face in the map turned by `turn`."""
        if self.fixed_exposure is not None:
            return self.fixed_exposure
        return float(skin_exposure(environment_light(turn_environment(self.coarse, turn))))

    def render(self, size: int, yaw: float, turn: float, exposure: float) -> np.ndarray:
        """A picture (size, size, 3) with the camera at `yaw` and the map turned by `turn`."""
        mesh, assets, points, openness = self.studio
        camera = portrait_camera(points, size, yaw)
        around = turn_environment(self.coarse, turn)
        behind = turn_environment(self.sharp, turn).radiance
        rendering = render_head(
            mesh,
            assets,
            points,
            camera,
            scale_light(environment_light(around), exposure),
            height=size,
            width=size,
            background=exposure * backdrop(behind, camera, height=size, width=size),
            occlusion=openness,
            environment=exposure * around.radiance,
            transfer=self.transfer,
        )
        return np.asarray(rendering.image)

    def turntable(self, size: int, num_frames: int, turn: float) -> Iterator[np.ndarray]:
        """Frames (size, size, 3): the head swings while its surroundings circle once."""
        phases = np.linspace(0, 2 * np.pi, num_frames, endpoint=False)
        # One exposure for all: the sun must not burn out the face when it comes round.
        exposure = min(self.exposure(turn + phase) for phase in phases)
        for phase in phases:
            yield self.render(size, _SWING * np.sin(phase), turn + phase, exposure)


def set_stage(
    studio: Studio, transfer: jax.Array, latlong: np.ndarray, exposure: float | None
) -> Stage:
    """The head in a map (h, w, 3): suns apart, the rest sharp to see and coarse to sum."""
    environment = split_suns(jnp.asarray(latlong))
    coarse = environment._replace(radiance=shrink_environment(environment.radiance, *_GRID))
    return Stage(studio, transfer, environment, coarse, exposure)


def run(options: Options) -> None:
    """Renders and writes the pictures.

    Raises:
        InputError: If the head, a light or a map is not there or cannot be used.
    """
    path = pathlib.Path(options.head)
    lights = named_lights()
    names = list(options.lights) or ([] if options.environments else list(lights))
    unknown = sorted(set(names) - set(lights))
    if unknown:
        raise InputError(f"There is no light {unknown[0]!r}; choose from {', '.join(lights)}.")
    maps = {pathlib.Path(name).stem: read_environment(name) for name in options.environments}
    cli.use_compile_cache()
    stored = read_glb(path / "head.glb" if path.is_dir() else path)
    points = jnp.asarray(stored.points)
    normals = vertex_normals(points, stored.mesh.faces)
    directions = jnp.asarray(fibonacci_directions(256 if maps else 64))
    seen = compute_occlusion(points, stored.mesh.faces, points, normals, directions)
    studio = Studio(stored.mesh, stored.assets, points, seen.openness)
    size, yaw, turn = options.size, np.radians(options.yaw), np.radians(options.turn)

    with staged_folder(options.out) as folder:
        stages = {
            name: set_stage(studio, seen.transfer, latlong, options.exposure)
            for name, latlong in maps.items()
        }
        exposures = {name: stage.exposure(turn) for name, stage in stages.items()}
        pictures = {
            name: stage.render(size, yaw, turn, exposures[name]) for name, stage in stages.items()
        }
        pictures |= studio.relit({name: lights[name] for name in names}, size, yaw)
        for name, picture in pictures.items():
            save_image(folder / f"{name.replace(' ', '_')}.png", picture, srgb=True)
        save_image(folder / "strip.png", contact_strip(pictures), srgb=True)
        if options.frames:
            if stages:
                turning = next(iter(stages.values())).turntable(size, options.frames, turn)
            else:
                turning = studio.turntable(lights[names[0]], size, options.frames)
            frames = tqdm(turning, "turntable", options.frames, leave=False)
            write_animation(folder / "turntable.webp", np.stack(list(frames)), fps=15)
        facts = {"head": str(path), "lights": names, "exposures": exposures}
        cli.record_run(folder, None, facts)
    for name, exposure in exposures.items():
        print(f"{name}: --exposure={exposure:.3g}")
    print(f"Done. The pictures are in {options.out}.")


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    defaults = Options._field_defaults
    flags.DEFINE_string("head", None, "Folder of a finished run, or its head.glb.")
    flags.DEFINE_string("out", "relit", "Folder for the pictures.")
    flags.DEFINE_multi_string(
        "light", [], "Name of a light; may be repeated. Default: all, or none beside --environment."
    )
    flags.DEFINE_multi_string(
        "environment", [], "Latlong environment map, .hdr or .exr; may be repeated."
    )
    flags.DEFINE_float(
        "turn", defaults["turn"], "Degrees to turn environment maps by; 90 brings what is behind "
        "the camera to the right of the picture."
    )  # fmt: skip
    flags.DEFINE_float(
        "exposure", None, "Factor on environment maps. Default: such that the face is well lit.",
        lower_bound=0.0,
    )  # fmt: skip
    flags.DEFINE_integer("size", defaults["size"], "Pixels per side of a picture.", lower_bound=32)
    flags.DEFINE_float(
        "yaw", defaults["yaw"], "Degrees that the camera stands to the subject's left."
    )
    flags.DEFINE_integer(
        "frames", defaults["frames"], "Frames of the turntable, 0 for none.", lower_bound=0
    )


def main(argv: Sequence[str]) -> None:
    """Entry point."""
    del argv
    given = flags.FLAGS
    run(
        Options(
            head=cli.require(given.head, "head", "the folder of a finished run"),
            out=given.out,
            lights=given.light,
            environments=given.environment,
            turn=given.turn,
            exposure=given.exposure,
            size=given.size,
            yaw=given.yaw,
            frames=given.frames,
        )
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)

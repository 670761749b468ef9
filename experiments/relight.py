"""Shows a finished head under other light.

    python -m experiments.relight --head=out --out=relit
    python -m experiments.relight --head=out --out=relit --light=neon --light=rim
    python -m experiments.relight --head=out/head.glb --out=relit --size=768 --yaw=-30

Writes one picture a light, a strip of all of them, and a turntable under the first.
"""

import pathlib
from collections.abc import Sequence

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
from relightify_jax.export.views import Studio
from relightify_jax.rendering.lighting import named_lights
from relightify_jax.rendering.occlusion import mesh_occlusion

_HEAD = flags.DEFINE_string("head", None, "Folder of a finished run, or its head.glb.")
_OUT = flags.DEFINE_string("out", "relit", "Folder for the pictures.")
_LIGHT = flags.DEFINE_multi_string("light", [], "Name of a light; may be repeated. Default: all.")
_SIZE = flags.DEFINE_integer("size", 512, "Pixels per side of a picture.", lower_bound=32)
_YAW = flags.DEFINE_float("yaw", 12.0, "Degrees that the camera stands to the subject's left.")
_FRAMES = flags.DEFINE_integer("frames", 36, "Frames of the turntable, 0 for none.", lower_bound=0)


def main(argv: Sequence[str]) -> None:
    """Renders and writes the pictures."""
    del argv
    path = pathlib.Path(cli.require(_HEAD.value, "head", "the folder of a finished run"))
    lights = named_lights()
    names = _LIGHT.value or list(lights)
    unknown = sorted(set(names) - set(lights))
    if unknown:
        raise InputError(f"There is no light {unknown[0]!r}; choose from {', '.join(lights)}.")
    cli.use_compile_cache()
    stored = read_glb(path / "head.glb" if path.is_dir() else path)
    points = jnp.asarray(stored.points)
    studio = Studio(stored.mesh, stored.assets, points, mesh_occlusion(points, stored.mesh.faces))
    chosen = {name: lights[name] for name in names}
    with staged_folder(_OUT.value) as folder:
        pictures = studio.relit(chosen, _SIZE.value, np.radians(_YAW.value))
        for name, picture in pictures.items():
            save_image(folder / f"{name.replace(' ', '_')}.png", picture, srgb=True)
        save_image(folder / "strip.png", contact_strip(pictures), srgb=True)
        if _FRAMES.value:
            turning = studio.turntable(chosen[names[0]], _SIZE.value, _FRAMES.value)
            frames = tqdm(turning, "turntable", _FRAMES.value, leave=False)
            write_animation(folder / "turntable.webp", np.stack(list(frames)), fps=15)
        cli.record_run(folder, None, {"head": str(path), "lights": names})
    print(f"Done. The pictures are in {_OUT.value}.")


if __name__ == "__main__":
    cli.run(main)

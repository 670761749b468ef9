"""Rebuilds the statistics of skin colour that a fit compares photographs with.

python -m data_pipeline.build_skin_albedo --out=relightify_jax/assets/skin_albedo.npz

Mean and leading modes of the logarithm of the diffuse albedo of synthetic faces, in the
canonical UV layout; see `relightify_jax.fitting.skin_statistics`. Two minutes on two CPU cores.
"""

import pathlib
import sys

import jax
import numpy as np
from absl import app, flags
from tqdm import trange

from data_pipeline.synthetic.record import sample_face
from data_pipeline.synthetic.scene import build_scene
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.geometry.uv_atlas import build_uv_atlas

_FLOOR = 0.004  # Albedo; darker texels (nostrils) are noise in the logarithm.


def measure_skin(
    size: int, num_faces: int, num_modes: int, skins_dir: str | None, seed: int
) -> dict[str, np.ndarray]:
    """Draws faces and decomposes their albedo.

    Args:
        size: Texels per side, R.
        num_faces: Faces to draw; each counts together with its mirror image.
        num_modes: Modes to keep, M.
        skins_dir: Folder of painted skins, see `configs/data.py`, or None.
        seed: Of the faces.

    Returns:
        The arrays of the asset: "inside" (R, R) bool, "mean" (N, 3) float16 of the N texels
        inside, "modes" (M, N, 3) int8 and "scale" (M,) float32 that they are in units of.
    """
    model = load_face_model("embedded")
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    uv_faces = np.asarray(model.uv_faces)[on_face]
    inside = np.asarray(build_uv_atlas(np.asarray(model.uv), uv_faces, size, gutter=2).face) >= 0
    scene = build_scene(model, size, skins_dir)
    logs = []
    for index in trange(num_faces, desc="faces"):
        face = sample_face(jax.random.fold_in(jax.random.key(seed), index), scene)
        albedo = np.asarray(face.maps.diffuse_albedo)
        for view in (albedo, albedo[:, ::-1]):
            logs.append(np.log(np.maximum(view[inside], _FLOOR)))
    samples = np.stack(logs).reshape(len(logs), -1)
    mean = samples.mean(axis=0)
    # Snapshots are fewer than texels: the modes come from their Gram matrix.
    left, singular, _ = np.linalg.svd((samples - mean) @ (samples - mean).T)
    weights = left[:, :num_modes] / np.sqrt(singular[:num_modes])
    deviation = np.sqrt(singular[:num_modes] / len(samples))
    modes = (weights.T @ (samples - mean)) * deviation[:, None]  # Coefficients ~N(0, 1).
    scale = np.abs(modes).max(axis=1) / 127
    return {
        "inside": inside,
        "mean": mean.reshape(-1, 3).astype(np.float16),
        "modes": np.rint(modes / scale[:, None]).astype(np.int8).reshape(num_modes, -1, 3),
        "scale": scale.astype(np.float32),
    }


def main(argv: list[str]) -> None:
    """Entry point."""
    try:
        if len(argv) > 1:
            raise InputError(f"Unexpected argument {argv[1]!r}; everything is given by flags.")
        values = flags.FLAGS
        arrays = measure_skin(
            values.uv_size, values.num_faces, values.num_modes, values.skins_dir, values.seed
        )
        with atomic_path(pathlib.Path(values.out)) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(InputError.EXIT_CODE)


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    flags.DEFINE_string("out", None, "The .npz to write.", required=True)
    flags.DEFINE_integer("uv_size", 128, "Texels per side.")
    flags.DEFINE_integer("num_faces", 300, "Faces to draw.")
    flags.DEFINE_integer("num_modes", 16, "Modes to keep.")
    flags.DEFINE_string("skins_dir", None, "Folder of painted skins, if there is one.")
    flags.DEFINE_integer("seed", 7, "Of the faces.")


if __name__ == "__main__":
    define_flags()
    app.run(main)

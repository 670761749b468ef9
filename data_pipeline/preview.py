r"""A contact sheet of a data set: faces as maps, and lit.

    python -m data_pipeline.preview DIR --out=sheet.png --num=48

Columns of a face: lit, diffuse albedo, normals, specular albedo, roughness. --show=lit shows
the lit textures only, --show=heads the faces on their heads, many in a row.
"""

import pathlib
import sys
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from PIL import Image
from tqdm import tqdm

from data_pipeline.encoding import FaceRecord, decode_record
from data_pipeline.loaders import open_split, read_facts, record_of
from data_pipeline.preview_heads import render_heads
from relightify_jax.core import rng
from relightify_jax.core.color import srgb_from_linear
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.light_stage.stage import Reflectance, build_stage, light_face

SHOWS = ("maps", "lit", "heads")
_GREY = 0.5  # sRGB of what is unknown.
_GAP = 4  # Pixels between faces.


def spread_indices(count: int, num: int) -> list[int]:
    """At most `num` indices, evenly spread over `count` records."""
    return np.unique(np.linspace(0, count - 1, min(num, count)).round().astype(int)).tolist()


def tiles_of(record: FaceRecord, lit: np.ndarray) -> list[np.ndarray]:
    """The maps of a decoded record as images (R, R, 3) in [0, 1], ready to be shown.

    Args:
        record: Linear maps (R, R, .).
        lit: (R, R, 3) linear RGB.
    """

    def grey(image: np.ndarray) -> np.ndarray:
        return np.repeat(image, 3, axis=-1)

    known = record.valid
    images = [
        _shown(lit),
        _shown(record.diffuse_albedo),
        record.normals * 0.5 + 0.5,
        grey(record.specular_albedo),
        grey(record.roughness),
    ]
    return [np.clip(known * image + (1 - known) * _GREY, 0, 1) for image in images]


def light_records(
    records: Sequence[FaceRecord], face_model: str, seed: int
) -> Iterator[np.ndarray]:
    """Yields every face under a light of its own, (R, R, 3) linear RGB."""
    model = load_face_model(face_model)
    stage = build_stage(model, records[0].valid.shape[0])
    light = jax.jit(light_face)
    for number, record in enumerate(records):
        key = rng.stream(jax.random.key(seed), "preview", number)
        reflectance = Reflectance(*(jnp.asarray(x) for x in record[:4]))
        yield np.asarray(light(key, stage, reflectance, jnp.asarray(record.identity)).texture)


def _check_identity(record: FaceRecord, face_model: str) -> None:
    coefficients = load_face_model(face_model).identity.shape[0]
    if record.identity.shape[0] != coefficients:
        raise InputError(
            f"The records have {record.identity.shape[0]} identity coefficients, the face "
            f"model {coefficients}; give the data set's own with --face_model."
        )


def _shown(image: np.ndarray) -> np.ndarray:
    """Linear RGB as sRGB in [0, 1]."""
    return np.asarray(srgb_from_linear(jnp.asarray(image)))


def preview(
    data_dir: str,
    out: str,
    *,
    split: str = "train",
    num: int = 48,
    tile: int = 192,
    show: str = "maps",
    seed: int = 0,
    face_model: str | None = None,
) -> pathlib.Path:
    """Writes a contact sheet of records spread over a split.

    Args:
        data_dir: Folder of the data set.
        out: The .png to write; "" puts preview.png into the folder.
        split: Which records.
        num: At most how many.
        tile: Pixels per side of a map in the sheet.
        show: One of `SHOWS`.
        seed: Of the lights.
        face_model: By default that of the data set.

    Raises:
        InputError: If there is no data set or a number makes no sense.
    """
    if num < 1 or tile < 1:
        raise InputError(f"num is {num} and tile {tile}; give numbers of at least 1.")
    path = pathlib.Path(out) if out else pathlib.Path(data_dir) / "preview.png"
    if path.suffix.lower() != ".png":
        raise InputError(f"{path} does not end in .png; the sheet is written as PNG.")
    model = face_model or read_facts(data_dir)["face_model"]
    source = open_split(data_dir, split)
    stored = [source[i] for i in spread_indices(len(source), num)]
    records = [decode_record(record_of(record)) for record in stored]
    _check_identity(records[0], model)
    if show == "heads":
        pictures = ([_shown(head)] for head in render_heads(records, model, tile))
    else:
        pairs = zip(records, light_records(records, model, seed), strict=True)
        pictures = (
            [_shown(lit)] if show == "lit" else tiles_of(record, lit) for record, lit in pairs
        )
    faces = [
        [_resize(image, tile) for image in images]
        for images in tqdm(pictures, total=len(records), unit="face")
    ]
    write_sheet(path, faces, faces_per_row=2 if show == "maps" else 8)
    return path


def write_sheet(
    path: pathlib.Path, faces: Sequence[Sequence[np.ndarray]], faces_per_row: int
) -> None:
    """Writes tiles (T, T, 3) uint8, those of a face side by side, `faces_per_row` per row."""
    gap = ((_GAP, 0), (_GAP, 0), (0, 0))
    strips = [np.pad(np.concatenate(tiles, axis=1), gap) for tiles in faces]
    blank = np.full_like(strips[0], round(255 * _GREY))
    strips += [blank] * (-len(strips) % min(faces_per_row, len(strips)))
    per_row = min(faces_per_row, len(strips))
    rows = [np.concatenate(strips[i : i + per_row], axis=1) for i in range(0, len(strips), per_row)]
    with atomic_path(path) as partial:
        Image.fromarray(np.concatenate(rows, axis=0)).save(partial)


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    codes = Image.fromarray((image * 255 + 0.5).astype(np.uint8))
    return np.asarray(codes.resize((side, side), Image.Resampling.LANCZOS))


def main(argv: list[str]) -> None:
    """Entry point."""
    values = flags.FLAGS
    logging.set_verbosity(logging.WARNING)  # JAX's notes would break the progress bar.
    try:
        if len(argv) != 2:
            raise InputError("Give one folder: python -m data_pipeline.preview DIR")
        path = preview(
            argv[1],
            values.out,
            split=values.split,
            num=values.num,
            tile=values.tile,
            show=values.show,
            seed=values.seed,
            face_model=values.face_model,
        )
        print(path)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(InputError.EXIT_CODE)


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    flags.DEFINE_string("out", "", "The .png to write; by default DIR/preview.png.")
    flags.DEFINE_string("split", "train", "Split of the data set.")
    flags.DEFINE_integer("num", 48, "Faces to show.")
    flags.DEFINE_integer("tile", 192, "Pixels per side of a map.")
    flags.DEFINE_enum("show", "maps", SHOWS, "Maps beside the lit texture, that alone, or heads.")
    flags.DEFINE_integer("seed", 0, "Of the lights.")
    flags.DEFINE_string("face_model", None, "By default the one the data set was made with.")


if __name__ == "__main__":
    define_flags()
    app.run(main)

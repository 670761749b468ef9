"""The protocol "skin": statistics of generated textures beside those of photographed ones."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageDraw
from tqdm import tqdm

from relightify_jax.core import rng
from relightify_jax.core.color import srgb_from_linear
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path
from relightify_jax.core.photo import load_photo
from relightify_jax.evaluation import submissions
from relightify_jax.evaluation import texture_statistics as statistics
from relightify_jax.evaluation.tables import Column
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.fit import fit_photos
from relightify_jax.fitting.observe import observe_photos
from relightify_jax.geometry.camera import camera_position
from relightify_jax.geometry.canonical import landmark_uv
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.uv_atlas import build_uv_atlas
from relightify_jax.landmarks.faces import find_faces, select_face
from relightify_jax.landmarks.network import load_networks
from relightify_jax.skin.noise import MILLIMETRES_PER_UV
from relightify_jax.skin.regions import build_regions

_PIXELS_PER_WAVE = 2.9  # Of a photograph: finer waves are lens, noise and JPEG.
_CHART, _CHART_BORDER = (960, 640), (60, 60)  # Pixels.
_KINDS = ("real", "lit", "albedo")
_COLORS = {"real": (20, 20, 20), "lit": (200, 60, 30), "albedo": (40, 110, 200)}

COLUMNS = (
    Column("statistic", "statistic"),
    *(
        Column(f"{kind}_{key}", f"{kind} {title}", ".3f")
        for kind in _KINDS
        for key, title in (("median", "median"), ("low", "least"), ("high", "most"))
    ),
    Column("real_count", "photos", "d"),
)
NOTES = (
    "real: unwrapped photographs as they are lit; lit: generated faces under random light and a "
    "camera without pixels, noise or JPEG, seen through the photographs' masks; albedo: the "
    "diffuse albedo of the same faces.",
    "contrast: root mean square of log luminance in a band of wavelengths; a photograph counts "
    "only where it resolves the band.",
    "Colours are log ratios to the cheeks; grey holds light and gloss, too.",
)


class Texture(NamedTuple):
    """What one face shows; R texels per side."""

    name: str
    texture: np.ndarray  # (R, R, 3) linear RGB.
    mask: np.ndarray  # (R, R) in [0, 1].
    finest: float  # Shortest wavelength in millimetres that it resolves.


def evaluate_skin(config: ConfigDict, folder: pathlib.Path) -> list[dict[str, Any]]:
    """Compares photographs with generated faces.

    Args:
        config: See configs/evaluate.py:skin.
        folder: Gets the unwrapped photographs, textures.png and spectra.png. Photographs
            that are unwrapped already are not fitted again.

    Returns:
        A row a statistic, see `COLUMNS`.

    Raises:
        InputError: If there are no photos, no data set, or no face is found in any photo.
    """
    model = load_face_model(config.face_model)
    size = config.uv_size
    real = observe_photos_of(config, model, folder / f"observed_{size}")
    faces = list(tqdm(_faces(config, model), "faces", config.num))
    masks = [real[i % len(real)].mask for i in range(len(faces))]
    lit, plain = (
        [Texture(str(i), face[which], masks[i], 0.0) for i, face in enumerate(faces)]
        for which in (0, 1)
    )
    kinds = dict(zip(_KINDS, (real, lit, plain), strict=True))
    regions, bare = skin_regions(model, size)
    texel = MILLIMETRES_PER_UV / size
    found = {
        kind: [
            statistics.describe_texture(x.texture, x.mask, bare, regions, texel, x.finest)
            for x in tqdm(textures, f"statistics, {kind}")
        ]
        for kind, textures in kinds.items()
    }
    write_textures(folder / "textures.png", real, lit)
    write_spectra(folder / "spectra.png", kinds, bare, texel)
    return compare(found)


def compare(found: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Median, least and most of every statistic by kind of texture, a row a statistic."""
    rows = []
    for name in next(iter(found.values()))[0]:
        row: dict[str, Any] = {"statistic": name}
        for kind, faces in found.items():
            values = np.array([face[name] for face in faces])
            values = values[np.isfinite(values)]
            row[f"{kind}_count"] = len(values)
            for key, reduce in (("median", np.median), ("low", np.min), ("high", np.max)):
                row[f"{kind}_{key}"] = float(reduce(values)) if len(values) else None
        rows.append(row)
    return rows


def skin_regions(model: MorphableModel, size: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Regions (R, R) to compare, and bare skin (R, R): no lips, eyes, hair, ears or nostrils."""
    r = jax.tree.map(np.asarray, build_regions(landmark_uv(model), size))
    brow = (r.brow_along > -0.15) & (r.brow_along < 1.2) & (np.abs(r.brow_across) < 8)
    bare = (r.lip_distance < -3) & (r.eye_distance < -5) & (r.scalp_distance < -6) & ~brow
    bare = (bare & (r.nostrils < 0.3) & (r.ears < 0.3)).astype(np.float64)
    calm = (r.nasolabial > 13) & (r.lower_lid > 15)
    under = (r.lower_lid > 2) & (r.lower_lid < 10) & (r.eye_distance < -2) & ~brow
    regions = {name: getattr(r, name) * bare for name in ("cheeks", "forehead", "nose", "chin")}
    regions["calm cheeks"] = regions["cheeks"] * calm
    regions["under the eyes"] = under.astype(np.float64)
    regions["lips"] = ((r.lip_distance > 1) & (r.mouth_distance < -1)).astype(np.float64)
    return regions, bare


def observe_photos_of(
    config: ConfigDict, model: MorphableModel, folder: pathlib.Path
) -> list[Texture]:
    """Fits and unwraps every photo of `config.photos_dir`; keeps the results in `folder`.

    Raises:
        InputError: If there are none, or none shows a face.
    """
    if not config.photos_dir:
        raise InputError("No photos are given; name their folder with --config.photos_dir=DIR.")
    paths = submissions.find_photos(config.photos_dir)
    folder.mkdir(parents=True, exist_ok=True)
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    atlas = build_uv_atlas(
        np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], config.uv_size
    )
    networks, textures, trouble = load_networks(), [], ""
    for path in tqdm(paths, "photos"):
        kept = folder / ("_".join(path.with_suffix("").parts) + ".npz")
        if not kept.is_file():
            try:
                photo = load_photo(pathlib.Path(config.photos_dir) / path).linear
                landmarks = select_face(find_faces(networks, photo), None, photo.shape)
                fits = fit_photos(
                    model, [photo], [landmarks.points], FitConfig(),
                    landmark_deviations=[landmarks.deviation],
                )  # fmt: skip
            except InputError as error:
                trouble = f"{path}: {error}"
                tqdm.write(trouble)
                continue
            seen = observe_photos([photo], fits, model, atlas)
            away = np.asarray(fits[0].points - camera_position(fits[0].camera))
            pixel = 1e3 * np.median(np.linalg.norm(away, axis=1)) / float(fits[0].camera.focal)
            with atomic_path(kept) as partial, partial.open("wb") as file:
                mask = np.asarray(seen.mask)[..., 0] > 0
                np.savez_compressed(file, texture=seen.texture, mask=mask, pixel=pixel)
        with np.load(kept) as stored:
            finest = _PIXELS_PER_WAVE * float(stored["pixel"])
            mask = stored["mask"].astype(np.float64)
            textures.append(Texture(path.stem, stored["texture"], mask, finest))
    if not textures:
        raise InputError(f"No photo in {config.photos_dir} shows a usable face. {trouble}")
    return textures


def _faces(config: ConfigDict, model: MorphableModel) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Lit texture and albedo (R, R, 3) of `config.num` faces of the data set or generator."""
    # These rooms start slowly, and the statistics do not need them.
    from relightify_jax.light_stage.camera import draw_look, expose, respond
    from relightify_jax.light_stage.stage import Reflectance, Stage, build_stage, light_face

    @jax.jit
    def photograph(key: jax.Array, stage: Stage, maps: Reflectance, identity: jax.Array):
        radiance = light_face(rng.stream(key, "light"), stage, maps, identity, photo=False).texture
        look = draw_look(rng.stream(key, "look"))._replace(flare=jnp.float32(0.01))
        key, meter = rng.stream(key, "exposure"), stage.zones.meter
        return respond(expose(key, radiance, maps.diffuse_albedo, meter, look), look)

    stage = build_stage(model, config.uv_size)
    for index, record in enumerate(_records(config, model)):
        maps = Reflectance(*(jnp.asarray(x) for x in record[:4]))
        key = rng.stream(jax.random.key(config.seed), "photo", index)
        lit = photograph(key, stage, maps, jnp.asarray(record.identity))
        yield np.asarray(lit), np.asarray(record.diffuse_albedo)


def _records(config: ConfigDict, model: MorphableModel) -> Iterator[Any]:
    """`config.num` decoded records of the data set, or of the generator if none is given."""
    if config.data_dir:
        from data_pipeline.encoding import decode_record
        from data_pipeline.loaders import open_split, record_of

        source = open_split(config.data_dir, config.split)
        for index in range(min(config.num, len(source))):
            record = decode_record(record_of(source[index]))
            if record.valid.shape[0] != config.uv_size:
                raise InputError(
                    f"{config.data_dir} has maps of {record.valid.shape[0]} texels, not of "
                    f"{config.uv_size}; say --config.uv_size={record.valid.shape[0]}."
                )
            yield record
        return
    from data_pipeline.synthetic.record import sample_face
    from data_pipeline.synthetic.scene import build_scene

    scene = build_scene(model, config.uv_size, config.skins_dir or None)
    for index in range(config.num):
        yield sample_face(jax.random.fold_in(jax.random.key(config.seed), index), scene).maps


def write_textures(path: pathlib.Path, real: Sequence[Texture], made: Sequence[Texture]) -> None:
    """Photographed textures above generated ones, each through its mask."""
    rows = []
    for textures in (real, made):
        tiles = [
            np.asarray(srgb_from_linear(jnp.asarray(x.texture))) * (x.mask > 0.5)[..., None]
            for x in textures[: len(real)]
        ]
        tiles += [np.zeros_like(tiles[0])] * (len(real) - len(tiles))
        rows.append(np.concatenate(tiles, axis=1))
    image = np.clip(np.concatenate(rows), 0, 1) * 255
    with atomic_path(path) as partial:
        Image.fromarray(image.astype(np.uint8)).save(partial)


def write_spectra(
    path: pathlib.Path, kinds: Mapping[str, Sequence[Texture]], bare: np.ndarray, texel: float
) -> None:
    """Plots radial spectra of log luminance: thin lines are faces, thick ones their median."""
    found = {kind: _spectra(textures, bare, texel) for kind, textures in kinds.items()}
    u = np.log10(next(iter(found.values()))[0])
    everything = np.concatenate([lines.ravel() for _, lines in found.values()])
    everything = everything[np.isfinite(everything)]
    if not everything.size:
        return
    low, high = everything.min() - 0.1, everything.max() + 0.1
    (width, height), (left, bottom) = _CHART, _CHART_BORDER
    image = Image.new("RGB", _CHART, "white")
    draw = ImageDraw.Draw(image)

    def across(x: np.ndarray | float) -> Any:
        return left + (width - left - 20) * (x - u[0]) / (u[-1] - u[0])

    def down(y: np.ndarray | float) -> Any:
        return 20 + (height - bottom - 20) * (high - y) / (high - low)

    for number, (kind, (_, lines)) in enumerate(found.items()):
        middle = [np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else np.nan for c in lines.T]
        faint = tuple((c + 2 * 255) // 3 for c in _COLORS[kind])
        for line, color, thick in [*((x, faint, 1) for x in lines), (middle, _COLORS[kind], 4)]:
            points = [(across(a), down(b)) for a, b in zip(u, line, strict=True) if np.isfinite(b)]
            draw.line(points, fill=color, width=thick)
        draw.text((width - 160, 30 + 20 * number), f"{kind} ({len(lines)})", _COLORS[kind])
    for wavelength in (32, 16, 8, 4, 2):
        if u[0] <= -np.log10(wavelength) <= u[-1]:
            draw.text(
                (across(-np.log10(wavelength)) - 14, height - 44), f"{wavelength} mm", "black"
            )
    for power in range(int(np.ceil(low)), int(np.floor(high)) + 1):
        draw.text((10, down(power) - 6), f"1e{power}", "black")
    draw.text((left, height - 22), "power of log luminance in mm^2, over wavelength", "black")
    with atomic_path(path) as partial:
        image.save(partial)


def _spectra(
    textures: Sequence[Texture], bare: np.ndarray, texel: float
) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (N,) and log10 power (T, N), NaN where a texture does not resolve it."""
    lines = []
    for x in textures:
        field, mask = statistics.log_luminance(x.texture), (x.mask > 0.5) * bare
        frequency, power = statistics.radial_spectrum(field, mask, texel)
        power = np.where(frequency * max(x.finest, 2 * texel) <= 1, power, np.nan)
        lines.append(np.log10(np.maximum(power, 1e-12)))
    return frequency, np.array(lines)

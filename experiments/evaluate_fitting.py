"""The protocol "fitting": rendered heads with known truth, methods side by side."""

import functools
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from data_pipeline.synthetic.record import sample_face
from data_pipeline.synthetic.scene import build_scene
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path
from relightify_jax.core.numerics import normalize
from relightify_jax.core.photo import save_image
from relightify_jax.evaluation import fitting_protocol as protocol
from relightify_jax.evaluation.fitting_cases import FACTORS, Case, plan_cases
from relightify_jax.evaluation.fitting_heads import Casting, Skin, prepare_casting
from relightify_jax.evaluation.fitting_landmarks import (
    AS_68_LANDMARKS,
    LandmarkNoise,
    perturb_landmarks,
)
from relightify_jax.evaluation.fitting_metrics import Outcome, outer_triangles
from relightify_jax.evaluation.fitting_peers import EosFitter
from relightify_jax.evaluation.fitting_photos import Truth, take_photo
from relightify_jax.face_models.registry import load_face_model
from relightify_jax.fitting.config import FitConfig
from relightify_jax.fitting.fit import fit_image
from relightify_jax.geometry.mesh import tangent_from_object
from relightify_jax.geometry.morphable_model import MorphableModel
from relightify_jax.landmarks.faces import find_faces, select_face
from relightify_jax.landmarks.network import load_networks
from relightify_jax.rendering.renderer import head_mesh
from relightify_jax.rendering.uv_renderer import texel_surface
from relightify_jax.skin.noise import blur_map

_SMOOTH = 6.0  # Texels of 512; finer relief becomes the normal map.
_METHODS = ("mean", "landmarks", "full", "eos")
_LANDMARKS = ("correlated", "iid68", "iid", "network")
# Entries of the configuration that only say which rows there are.
_ADDITIVE = ("num", "headline", "factors", "methods", "landmarks", "num_pictures")


def evaluate_fitting(config: ConfigDict, folder: pathlib.Path) -> list[protocol.Row]:
    """Runs the protocol; finished rows of an interrupted run in `folder` are kept.

    Args:
        config: See configs/evaluate.py:fitting.
        folder: Gets rows.jsonl, a line as each photograph is done, and pictures.

    Returns:
        Every row.

    Raises:
        InputError: If a model, a map or a method cannot be had, or `folder` holds rows of
            another configuration.
    """
    _check_names(config)
    check_same_run(folder / "settings.json", config)
    truth_model = load_face_model(config.truth_model)
    casting = prepare_casting(truth_model, config.uv_size)
    cases = plan_cases(config.num, config.factors, headline=config.headline, seed=config.seed)
    draw_skin = skin_sampler(casting, config.uv_size, config.skins_dir or None)
    take = functools.partial(
        take_photo,
        environments=_environments(config.hdri_dir),
        hair=config.hair,
        num_modes=config.num_identity or None,
    )
    fit_model = truth_model
    if config.fit_model != config.truth_model:
        fit_model = load_face_model(config.fit_model)
    methods = make_methods(config, fit_model)
    referee = protocol.Referee(truth_model, outer_triangles(truth_model))
    path = folder / "rows.jsonl"
    rows = read_rows(path)
    done = {_key(row) for row in rows}
    pictured = 0

    def photograph(case: Case) -> Truth:
        nonlocal pictured
        truth = take(casting, draw_skin(case.seed), case)
        if pictured < config.num_pictures:
            name = case.name.replace("/", "_").replace(" ", "_")
            save_image(folder / f"{name}.png", truth.photo, srgb=True)
            pictured += 1
        return truth

    detectors = make_detectors(config, casting)
    total = len(cases) * len(methods) * len(detectors)
    with tqdm(total=total, initial=len(rows), desc="fits") as progress, path.open("a") as file:
        for row in protocol.evaluate(
            cases, photograph, detectors, methods, referee, lambda row: _key(row) in done
        ):
            file.write(json.dumps(row) + "\n")
            file.flush()
            rows.append(row)
            progress.update()
    return rows


def skin_sampler(casting: Casting, size: int, skins_dir: str | None) -> Callable[[int], Skin]:
    """Returns seed -> what the face of that person wears, with relief in tangent space."""
    model = casting.model
    scene = build_scene(model, size, skins_dir)
    tangents = texel_surface(head_mesh(model), casting.face_atlas, model.mean).tangents
    sigma = _SMOOTH * size / 512

    def sample(seed: int) -> Skin:
        maps = sample_face(jax.random.key(seed), scene).maps
        smooth = normalize(blur_map(maps.normals, sigma))
        relief = normalize(tangent_from_object(maps.normals, smooth, tangents))
        on_chart = jnp.linalg.norm(tangents[..., :3], axis=-1, keepdims=True) > 0.5
        flat = jnp.array([0.0, 0.0, 1.0])
        return Skin(maps.diffuse_albedo, maps.specular_albedo, jnp.where(on_chart, relief, flat))

    return sample


def make_detectors(
    config: ConfigDict, casting: Casting
) -> Mapping[str, Callable[[Truth], np.ndarray]]:
    """Sources of landmarks by the names in `config.landmarks`."""
    lengths = {"correlated": config.noise_length, "iid68": AS_68_LANDMARKS, "iid": 0.0}
    detectors: dict[str, Callable[[Truth], np.ndarray]] = {}
    for name in config.landmarks:
        if name in lengths:
            noise = LandmarkNoise(config.noise_pixels, lengths[name])
            detectors[name] = functools.partial(perturb_landmarks, casting=casting, noise=noise)
        else:
            detectors[name] = functools.partial(_detect, load_networks())
    return detectors


def make_methods(config: ConfigDict, model: MorphableModel) -> list[protocol.Method]:
    """Methods by the names in `config.methods`.

    Raises:
        InputError: If a peer is not installed.
    """
    known: dict[str, protocol.Fit] = {
        "mean": lambda photo, points: Outcome(np.asarray(model.mean), np.asarray(model.mean)),
        "landmarks": functools.partial(_fit, model, FitConfig(photometric_rounds=0)),
        "full": functools.partial(_fit, model, FitConfig()),
    }
    if "eos" in config.methods:
        known["eos"] = EosFitter(model)
    return [protocol.Method(name, known[name], model) for name in config.methods]


def check_same_run(path: pathlib.Path, config: ConfigDict) -> None:
    """Writes what decides a row's numbers to `path`, or compares it with what is there.

    Raises:
        InputError: If they differ.
    """
    settings = json.loads(config.to_json_best_effort())
    settings = {name: value for name, value in settings.items() if name not in _ADDITIVE}
    if path.is_file() and (before := json.loads(path.read_text(encoding="utf-8"))) != settings:
        changed = [name for name in settings if before.get(name) != settings[name]]
        raise InputError(
            f"{path.parent} holds rows made with another {', '.join(changed)}; give another --out."
        )
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def read_rows(path: pathlib.Path) -> list[protocol.Row]:
    """Rows of an earlier run; a last line that was cut short is dropped."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def _check_names(config: ConfigDict) -> None:
    """Fails before anything is computed."""
    choices = {"method": _METHODS, "landmarks": _LANDMARKS, "factor": tuple(FACTORS)}
    given = {"method": config.methods, "landmarks": config.landmarks, "factor": config.factors}
    for what, names in given.items():
        unknown = [name for name in names if name not in choices[what]]
        if unknown:
            raise InputError(f"Unknown {what} {unknown[0]!r}; have {', '.join(choices[what])}.")
    _environments(config.hdri_dir)


def _environments(folder: str) -> list[str]:
    """Paths of the environment maps in `folder`; none if no folder is given."""
    found = sorted(map(str, pathlib.Path(folder).glob("*.hdr"))) if folder else []
    if folder and not found:
        raise InputError(f"{folder} holds no .hdr files; give a folder with some.")
    return found


def _fit(model: MorphableModel, settings: FitConfig, photo: np.ndarray, points: np.ndarray):
    return protocol.as_outcome(fit_image(model, photo, points, settings))


def _detect(networks: Any, truth: Truth) -> np.ndarray:
    found = find_faces(networks, truth.photo)
    return np.asarray(select_face(found, None, truth.photo.shape).points)[:, :2]


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["method"], row["landmarks"], row["case"]

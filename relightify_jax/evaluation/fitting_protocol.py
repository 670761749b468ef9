"""Runs methods over cases and puts what they got wrong into tables."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.evaluation.fitting_cases import FACTORS, HEADLINE, Case
from relightify_jax.evaluation.fitting_metrics import Outcome, measure
from relightify_jax.evaluation.fitting_photos import Truth
from relightify_jax.evaluation.tables import Column
from relightify_jax.geometry.morphable_model import MorphableModel

# Photograph (H, W, 3) linear and landmarks (468, 2) in its pixels -> outcome.
Fit = Callable[[np.ndarray, np.ndarray], Outcome]
Row = dict[str, Any]

_IDENTITY = (
    Column("method", "method"),
    Column("landmarks", "landmarks"),
    Column("factor", "factor"),
    Column("value", "value"),
)
COLUMNS = (
    *_IDENTITY,
    Column("num", "n"),
    Column("failed", "failed"),
    Column("shape_mm", "shape mm", ".2f"),
    Column("identity_mm", "identity mm", ".2f"),
    Column("similar_median", "surface median", ".2f"),
    Column("similar_mean", "mean", ".2f"),
    Column("similar_std", "std", ".2f"),
    Column("rigid_mean", "rigid mean", ".2f"),
    Column("neutral_median", "neutral median", ".2f"),
    Column("neutral_mean", "neutral mean", ".2f"),
    Column("nose_mean", "nose", ".2f"),
    Column("mouth_mean", "mouth", ".2f"),
    Column("forehead_mean", "forehead", ".2f"),
    Column("cheeks_mean", "cheeks", ".2f"),
    Column("pose_degrees", "pose deg", ".1f"),
    Column("focal_log", "log focal", ".2f"),
    Column("landmark_pixels", "landmark px", ".2f"),
    Column("uv_median", "uv median", ".2f"),
    Column("uv_p90", "uv p90", ".2f"),
    Column("uv_whole", "uv whole", ".2f"),
    Column("seconds", "s", ".2f"),
)
NOTES = (
    "Lengths in mm. shape and identity: corresponding vertices of the narrow face (95 mm round "
    "the tip of the nose) after a similarity, with expression and at rest, where the fitted model "
    "is the one that rendered the photo. surface: distance from truth to fit on what the NoW "
    "benchmark measures, median, mean and standard deviation over the face, after seven landmarks "
    "and closest points with scale; rigid: without scale; neutral: at rest. Regions: mean of "
    "surface.",
    "landmark px: of a photo of 256 pixels with a face 150 high. uv: texels of 256 between what "
    "truth and fit show at a pixel of the narrow face; whole: median with ears and neck. Every "
    "entry is the mean over n photographs.",
)


class Method(NamedTuple):
    """A way to fit, and the model that its outcomes are vertices of."""

    name: str
    fit: Fit
    model: MorphableModel


class Referee(NamedTuple):
    """What outcomes are compared with."""

    model: MorphableModel  # The truth's.
    outer: np.ndarray  # `fitting_metrics.outer_triangles` of it.


def judge(truth: Truth, points: np.ndarray, method: Method, referee: Referee) -> Row:
    """Runs one method on one photograph; a failure becomes a row that says so.

    Args:
        truth: The photograph.
        points: (468, 2) landmarks for the method.
        method: To run.
        referee: Of the truth.
    """
    case = truth.case
    row: Row = {"method": method.name, "case": case.name, "factor": case.factor}
    row |= {"value": case.value, "seed": case.seed}
    row |= {"yaw": case.yaw, "light": case.light, "expression": case.expression}
    start = time.perf_counter()
    try:
        outcome = method.fit(truth.photo, points)
        row["seconds"] = time.perf_counter() - start
        row |= measure(truth, referee.model, referee.outer, outcome, method.model)
    except (InputError, ValueError, FloatingPointError, np.linalg.LinAlgError) as error:
        row["error"] = str(error)
    return row


def evaluate(
    cases: Iterable[Case],
    photograph: Callable[[Case], Truth],
    detectors: Mapping[str, Callable[[Truth], np.ndarray]],
    methods: Sequence[Method],
    referee: Referee,
    is_done: Callable[[Row], bool] = lambda row: False,
) -> Iterator[Row]:
    """Yields a row per case, source of landmarks and method, as each is finished.

    Args:
        cases: What to photograph.
        photograph: Takes the photo of a case.
        detectors: Sources of landmarks by name; one may raise `InputError`.
        methods: To compare.
        referee: Of the truth.
        is_done: Whether the row with these entries (method, landmarks, case) is there already.
    """
    for case in cases:
        todo = [
            (source, method)
            for source in detectors
            for method in methods
            if not is_done({"method": method.name, "landmarks": source, "case": case.name})
        ]
        if not todo:
            continue
        truth = photograph(case)
        for source in dict.fromkeys(source for source, _ in todo):
            try:
                points = detectors[source](truth)
            except InputError as error:
                blank = {"case": case.name, "factor": case.factor, "value": case.value}
                for method in (method for name, method in todo if name == source):
                    failed = {"method": method.name, "landmarks": source, "error": str(error)}
                    yield failed | blank
                continue
            for method in (method for name, method in todo if name == source):
                yield judge(truth, points, method, referee) | {"landmarks": source}


def summarise_rows(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Means over the photographs of each factor's value, method and landmarks; plain order."""
    order = {HEADLINE: -1} | {name: i for i, name in enumerate(FACTORS)}
    keys = [column.key for column in _IDENTITY]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    table = []
    for names, group in groups.items():
        good = [row for row in group if not row.get("error")]
        summary: Row = dict(zip(keys, names, strict=True))
        summary |= {"num": len(good), "failed": len(group) - len(good)}
        for column in COLUMNS[len(_IDENTITY) + 2 :]:
            values = [row[column.key] for row in good if row.get(column.key) is not None]
            if values:
                summary[column.key] = float(np.mean(values))
        if any("seconds" in row for row in good):  # The first one compiles.
            summary["seconds"] = float(np.median([row["seconds"] for row in good]))
        table.append(summary)
    return sorted(table, key=lambda row: order.get(row["factor"], len(order)))


def as_outcome(fit: Any) -> Outcome:
    """The outcome of anything with the fields of `fitting.fit.FitResult`."""
    points, neutral = jax.device_get((fit.points, fit.neutral_points))
    return Outcome(points, neutral, fit.camera)

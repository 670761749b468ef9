"""Which photographs a fit is judged on: the plan, and what is random about each.

One factor is varied at a time around an easy default, with the same people for every value
of a factor, so that rows of a table differ in that factor alone. The "headline" set draws
everything that an ordinary photograph varies in at once. A case's seed decides all the rest.
"""

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from relightify_jax.geometry.morphable_model import MorphableModel

LIGHTS = ("soft", "side", "sun")
EXPRESSIONS = ("neutral", "random", "open mouth")
OCCLUSIONS = ("none", "some")
FACTORS: dict[str, tuple[Any, ...]] = {
    "yaw": (0.0, 15.0, 30.0, 45.0, 60.0, 90.0),
    "light": LIGHTS,
    "expression": EXPRESSIONS,
    "occlusion": OCCLUSIONS,
    "face_pixels": (100, 150, 300),
    "focal": (1.6, 2.5, 5.0),
}
HEADLINE = "headline"

_FOCAL_RANGE = (1.6, 5.0)  # Of the photo's width.
_MAX_COEFFICIENT = 2.2  # Identity coefficients are ~N(0, 1); beyond this heads look odd.
_NUM_ACTIVE = (3, 7)  # Blend shapes of a random expression.
# What nobody sees, or what only makes sense beside another shape.
_LEFT_OUT = ("eyelook", "tongue", "mouthclose")


class Case(NamedTuple):
    """One photograph to take; everything else follows from `seed`."""

    factor: str  # Of `FACTORS`, or `HEADLINE`.
    value: str  # Of that factor, as text.
    seed: int
    yaw: float = 15.0  # Degrees to one side; the seed decides to which.
    light: str = "soft"
    expression: str = "random"
    occlusion: str = "none"
    face_pixels: int = 150  # Height of the face.
    focal: float = 0.0  # Of the photo's width; 0 = unknown, drawn from 1.6 to 5.

    @property
    def name(self) -> str:
        """What tells the case from all others."""
        return f"{self.factor}/{self.value}/{self.seed}"


def plan_cases(
    num: int, factors: Sequence[str] = tuple(FACTORS), *, headline: int = 0, seed: int = 0
) -> list[Case]:
    """Lists the photographs of an evaluation.

    Args:
        num: People per value of a factor.
        factors: Which of `FACTORS` to vary.
        headline: Photographs of the headline set.
        seed: Of the first person.

    Raises:
        ValueError: If there is no such factor.
    """
    unknown = [name for name in factors if name not in FACTORS]
    if unknown:
        raise ValueError(f"There is no factor {unknown[0]!r}; have {', '.join(FACTORS)}.")
    cases = [headline_case(seed + i) for i in range(headline)]
    for factor in factors:
        for value in FACTORS[factor]:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            base = {factor: value}
            cases += [Case(factor, text, seed + i, **base) for i in range(num)]
    return cases


def headline_case(seed: int) -> Case:
    """A photograph as people take them: any light and focal length, something in the way."""
    generator = stream(seed, "headline")
    return Case(
        HEADLINE,
        "all",
        seed,
        yaw=float(generator.uniform(0.0, 45.0)),
        light=str(generator.choice(LIGHTS)),
        expression=str(generator.choice(EXPRESSIONS, p=(0.25, 0.6, 0.15))),
        occlusion="some",
    )


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one purpose: adding another purpose changes none of them."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def draw_identity(model: MorphableModel, seed: int, num_modes: int | None = None) -> np.ndarray:
    """Identity coefficients (k,), standard normal, of the first `num_modes` modes."""
    count = model.identity.shape[0] if num_modes is None else num_modes
    coefficients = stream(seed, "identity").standard_normal(min(count, model.identity.shape[0]))
    return np.clip(coefficients, -_MAX_COEFFICIENT, _MAX_COEFFICIENT).astype(np.float32)


def draw_expression(model: MorphableModel, kind: str, seed: int) -> np.ndarray:
    """Expression coefficients (E,) of one of `EXPRESSIONS`.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in EXPRESSIONS:
        raise ValueError(f"There is no expression {kind!r}; have {', '.join(EXPRESSIONS)}.")
    names = [name.lower() for name in model.expression_names]
    coefficients = np.zeros(len(names), np.float32)
    if kind == "neutral" or not names:
        return coefficients
    generator = stream(seed, "expression")
    if "jawopen" not in names:  # Modes of a statistical model, in standard deviations.
        scale = 0.7 if kind == "random" else 1.2
        return (scale * generator.standard_normal(len(names))).astype(np.float32)
    count = int(generator.integers(*_NUM_ACTIVE))
    usable = sorted({_side_free(name) for name in names if not name.startswith(_LEFT_OUT)})
    for chosen in generator.choice(usable, count, replace=False):
        strength = generator.uniform(0.15, 0.7)
        for i, name in enumerate(names):
            if _side_free(name) == chosen:  # Nearly the same on both sides.
                coefficients[i] = np.clip(strength * generator.uniform(0.8, 1.2), 0, 1)
    jaw = names.index("jawopen")
    opened = generator.uniform(0.45, 0.75)
    coefficients[jaw] = opened if kind == "open mouth" else min(coefficients[jaw], 0.3)
    return coefficients


def draw_focal(case: Case) -> float:
    """Focal length over the photo's width."""
    low, high = np.log(_FOCAL_RANGE)
    drawn = float(np.exp(stream(case.seed, "focal").uniform(low, high)))
    return case.focal or drawn


def draw_angles(case: Case) -> np.ndarray:
    """Yaw, pitch and roll (3,) of the head in degrees."""
    generator = stream(case.seed, "pose")
    side = generator.choice((-1.0, 1.0))
    return np.array([side * case.yaw, generator.uniform(-12, 12), generator.uniform(-10, 10)])


def _side_free(name: str) -> str:
    return name.removesuffix("left").removesuffix("right")

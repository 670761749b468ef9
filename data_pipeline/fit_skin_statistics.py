"""Recomputes the constants of `relightify_jax.skin.population` from measured spectra.

python -m data_pipeline.fit_skin_statistics --issa=ISSA_17_Jan_2025_Yan_Lu.xlsx

The International Skin Spectra Archive (Lu, Xiao et al. 2025, CC BY 4.0) holds reflectance
spectra of 2,107 people. The file is its workbook, or the sheet "ISSA" saved as .csv. For
every person melanin and blood of each site of the face, and one amount of scattering and
oxygenation, are fitted at once; prints constants to paste, and a table of the albedo that people
drawn from them have against the measured one. One minute on two CPU cores. docs/SKIN.md.
"""

import csv
import itertools
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from tqdm import tqdm

from relightify_jax.core.errors import InputError
from relightify_jax.core.numerics import matmul
from relightify_jax.skin import optics, population

# Codes of the archive.
_SITES = {"cheek": 2, "forehead": 6, "cheekbone": 3, "chin": 4, "ear": 5, "neck": 8, "nose": 9}
_GROUPS = {
    "caucasian": "CA", "chinese": "CN", "japanese": "JP", "thai": "TH",
    "iraqi": "IQ", "arabian": "AB", "pakistani": "SA", "african": "AF",
}  # fmt: skip
_AGES = {1: 18.0, 2: 25.0, 3: 35.0, 4: 45.0, 5: 55.0, 6: 68.0}  # Years, by age group.
_SURFACE = 0.03  # Reflection at the surface, which the instruments include.

# Weights of the fit: deviations that are as bad as each other.
_SPECTRUM_ERROR, _COLOR_ERROR = 0.01, 0.005
_STEPS = 40
# What is expected of log scatter, logit of oxygenation, log melanin and log blood: only decides
# where the spectrum does not, as in very dark skin.
_EXPECTED = {"scatter": (0.4, 0.5), "oxygenation": (0.8, 0.7)}
_EXPECTED_SITE = {"melanin": (-2.5, 1.0), "blood": (-3.8, 0.8)}


class People(NamedTuple):
    """Spectra by person and site; N people, S sites in the order of `_SITES`."""

    reflectance: np.ndarray  # (N, S, 16) at 400, 420, ... 700 nm.
    seen: np.ndarray  # (N, S) 1 where there is a spectrum.
    group: np.ndarray  # (N,) names.
    male: np.ndarray  # (N,) 0 or 1, NaN if not known.
    age: np.ndarray  # (N,) years, NaN if not known.


class Pigments(NamedTuple):
    """What the spectra of N people say."""

    log_scatter: np.ndarray  # (N,)
    oxygenation: np.ndarray  # (N,) logit.
    log_melanin: np.ndarray  # (N, S)
    log_blood: np.ndarray  # (N, S)
    error: np.ndarray  # (N, S, 16) of the reflectance.


def read_archive(path: pathlib.Path) -> People:
    """Reads the spectra of faces; several of one site and person are averaged.

    Raises:
        InputError: If the file cannot be read or is another one.
    """
    sums: dict[tuple[str, str, str], np.ndarray] = {}
    facts: dict[tuple[str, str, str], tuple[str, str]] = {}
    codes = {str(code): index for index, code in enumerate(_SITES.values())}
    names = {code: name for name, code in _GROUPS.items()}
    for row in tqdm(_rows(path), desc="spectra", unit=""):
        origin, subject, group, sex, age, site = (str(value).strip() for value in row[1:7])
        spectrum = np.array([_number(value) for value in row[17:48:2]]) / 100
        if group not in names or site not in codes or np.isnan(spectrum).any():
            continue
        total = sums.setdefault((origin, subject, group), np.zeros((len(codes), 17)))
        total[codes[site]] += [*spectrum, 1.0]
        facts[origin, subject, group] = sex, age
    if not sums:
        raise InputError(f"{path} holds no spectra of faces; give the workbook of the archive.")
    stack = np.stack(list(sums.values()))
    ages = {str(code): years for code, years in _AGES.items()}
    return People(
        reflectance=stack[..., :16] / np.maximum(stack[..., 16:], 1),
        seen=(stack[..., 16] > 0).astype(float),
        group=np.array([names[key[2]] for key in sums]),
        male=np.array([{"M": 1.0, "F": 0.0}.get(facts[key][0], np.nan) for key in sums]),
        age=np.array([ages.get(facts[key][1], np.nan) for key in sums]),
    )


def _rows(path: pathlib.Path) -> Iterator[Iterable[Any]]:
    """Rows of data: twelve codes, an empty cell, then per cent at 360, 370, ... nm."""
    try:
        if path.suffix == ".csv":
            with path.open(newline="", encoding="utf-8-sig") as file:
                yield from (row for row in csv.reader(file) if row and row[0].strip().isdigit())
            return
        import openpyxl  # Only this script reads workbooks.

        book = openpyxl.load_workbook(path, read_only=True)
        yield from (
            row
            for row in book["ISSA"].iter_rows(max_col=52, values_only=True)
            if isinstance(row[0], int)
        )
    except ImportError as error:
        raise InputError("openpyxl is missing; pip install openpyxl, or save a .csv.") from error
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be read as the archive: {error}") from error


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


@jax.jit
def _fit(reflectance: jax.Array, seen: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Levenberg-Marquardt for each person; parameters (N, 2 + 2 S) and errors (N, S, 16)."""
    sites = seen.shape[1]
    means, deviations = (
        jnp.array(
            [_EXPECTED["scatter"][i], _EXPECTED["oxygenation"][i]]
            + [_EXPECTED_SITE["melanin"][i]] * sites
            + [_EXPECTED_SITE["blood"][i]] * sites
        )
        for i in (0, 1)
    )

    def misfit(p: jax.Array, measured: jax.Array, weight: jax.Array) -> jax.Array:
        melanin, blood = jnp.exp(p[2 : 2 + sites]), jnp.exp(p[2 + sites :])
        spectrum = optics.reflectance_spectrum(melanin, blood, jax.nn.sigmoid(p[1]), jnp.exp(p[0]))
        color = optics.rgb_from_spectrum(spectrum) - optics.rgb_from_spectrum(measured)
        error = jnp.concatenate(
            [(spectrum - measured) / _SPECTRUM_ERROR, color / _COLOR_ERROR], axis=-1
        )
        return jnp.concatenate([(error * weight[:, None]).ravel(), (p - means) / deviations])

    def person(measured: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(state: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, None]:
            p, damping = state
            error, slope = misfit(p, measured, weight), jax.jacfwd(misfit)(p, measured, weight)
            normal = matmul(slope.T, slope)
            normal = normal + damping * jnp.diag(jnp.diag(normal))
            new = p - jnp.clip(jnp.linalg.solve(normal, matmul(slope.T, error)), -0.7, 0.7)
            better = jnp.sum(misfit(new, measured, weight) ** 2) < jnp.sum(error**2)
            damping = jnp.where(better, 0.3 * damping, 5.0 * damping)
            return (jnp.where(better, new, p), damping), None

        (p, _), _ = jax.lax.scan(step, (means, jnp.float32(1e-2)), None, length=_STEPS)
        error = misfit(p, measured, weight)[: 19 * sites].reshape(sites, 19)
        return p, error[:, :16] * _SPECTRUM_ERROR

    return jax.vmap(person)(reflectance, seen)


def fit_pigments(people: People) -> Pigments:
    """Fits the optics to every person."""
    reflectance = jnp.asarray(people.reflectance - _SURFACE, jnp.float32)
    found, error = map(np.asarray, _fit(reflectance, jnp.asarray(people.seen, jnp.float32)))
    sites = people.seen.shape[1]
    return Pigments(found[:, 0], found[:, 1], found[:, 2 : 2 + sites], found[:, 2 + sites :], error)


def states(people: People, pigments: Pigments) -> tuple[np.ndarray, np.ndarray]:
    """The vector of `population.PigmentGroup` (N, 6), and who has all of it (N,)."""
    cheek, forehead = (list(_SITES).index(name) for name in ("cheek", "forehead"))
    melanin, blood = pigments.log_melanin, pigments.log_blood
    vector = [
        melanin[:, cheek], blood[:, cheek], pigments.log_scatter, pigments.oxygenation,
        melanin[:, forehead] - melanin[:, cheek], blood[:, forehead] - blood[:, cheek],
    ]  # fmt: skip
    return np.stack(vector, -1), (people.seen[:, cheek] * people.seen[:, forehead]) > 0


def effects(people: People, vector: np.ndarray, complete: np.ndarray) -> np.ndarray:
    """Effects (7, 6) of being male and of the age groups, within the groups.

    The second age group is the reference.
    """
    use = complete & np.isfinite(people.male) & np.isfinite(people.age)
    groups = [people.group[use] == name for name in np.unique(people.group[use])]
    ages = [people.age[use] == years for years in _AGES.values() if years != _AGES[2]]
    design = np.stack([*groups, people.male[use], *ages], -1).astype(float)
    solution = np.linalg.lstsq(design, vector[use], rcond=None)[0][len(groups) :]
    return np.insert(solution, 2, 0.0, axis=0)


def group_constants(
    people: People, vector: np.ndarray, complete: np.ndarray, found: np.ndarray
) -> dict[str, population.PigmentGroup]:
    """Mean and spread of each group; what age and sex add is not part of the spread."""
    added = 0.25 * np.outer(found[0], found[0]) * np.outer(*[[1, 1, 1, 0, 0, 0]] * 2)
    years = population.age_at(np.linspace(0, 1, 1001))
    added[0, 0] += np.interp(years, list(_AGES.values()), found[1:, 0]).var()
    cheek = optics.rgb_from_spectrum(jnp.asarray(people.reflectance[:, 0] - _SURFACE, jnp.float32))
    angle = np.asarray(optics.typology_angle(cheek))
    groups = {}
    for name in _GROUPS:
        use = (people.group == name) & complete
        factor = np.linalg.cholesky(np.cov(vector[use].T) - added)
        groups[name] = population.PigmentGroup(
            mean=tuple(vector[use].mean(0)),
            factor=tuple(tuple(row[: i + 1]) for i, row in enumerate(factor)),
            tone=float(angle[use].mean()),
            tone_sd=float(angle[use].std()),
        )
    return groups


def print_constants(
    groups: dict[str, population.PigmentGroup], found: np.ndarray, people: People, p: Pigments
) -> None:
    """Prints what to paste into relightify_jax/skin/population.py."""
    for name, group in groups.items():
        mean, *factor = (
            tuple(round(float(v), 3) for v in row) for row in (group.mean, *group.factor)
        )
        print(f'    "{name}": PigmentGroup(')
        print(f"        {mean}, {tuple(factor)}, {group.tone:.1f}, {group.tone_sd:.1f}),")
    print("men minus women:", np.round(found[0], 3))
    for years, effect in zip(_AGES.values(), found[1:], strict=True):
        print(f"age {years:.0f}:", np.round(effect, 3))
    for index, site in enumerate(_SITES):
        both = (people.seen[:, 0] * people.seen[:, index]) > 0
        offsets = [x[both, index] - x[both, 0] for x in (p.log_melanin, p.log_blood)]
        by_group = [[x[people.group[both] == name] for name in np.unique(people.group[both])]
                    for x in offsets]  # fmt: skip
        # Every group counts the same.
        means = [np.mean([x.mean() for x in parts]) for parts in by_group]
        spreads = [np.sqrt(np.mean([x.var() for x in parts])) for parts in by_group]
        numbers = ", ".join(f"{v:.2f}" for v in itertools.chain(*zip(means, spreads, strict=True)))
        print(f'    "{site}": SiteOffset({numbers}),')


def print_checks(people: People, complete: np.ndarray, pigments: Pigments) -> None:
    """Prints drawn against measured albedo, with the constants that the library holds."""
    residual = np.sqrt((pigments.error**2).sum() / (people.seen.sum() * 16))
    print(f"{int(people.seen.sum())} spectra of {len(people.seen)} people, RMS {residual:.4f}")
    print("| group (people) | site | measured mean | drawn mean | measured SD | drawn SD |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in _GROUPS:
        use = (people.group == name) & complete
        keys = jax.random.split(jax.random.key(0), 4000)
        drawn = jax.vmap(lambda key, name=name: population.sample_group(key, name))(keys)
        for index, site in enumerate(("cheek", "forehead")):
            spectrum = jnp.asarray(people.reflectance[use, index] - _SURFACE, jnp.float32)
            true = np.asarray(optics.rgb_from_spectrum(spectrum))
            ours = np.asarray(population.site_albedo(drawn, site))
            cells = [true.mean(0), ours.mean(0), true.std(0), ours.std(0)]
            text = " | ".join(" ".join(f"{v:.3f}"[1:] for v in cell) for cell in cells)
            print(f"| {name} ({use.sum()}) | {site} | {text} |")


def main(argv: list[str]) -> None:
    """Entry point."""
    try:
        if len(argv) > 1:
            raise InputError(f"Unexpected argument {argv[1]!r}; everything is given by flags.")
        people = read_archive(pathlib.Path(flags.FLAGS.issa))
        pigments = fit_pigments(people)
        vector, complete = states(people, pigments)
        found = effects(people, vector, complete)
        print_constants(group_constants(people, vector, complete, found), found, people, pigments)
        print_checks(people, complete, pigments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(InputError.EXIT_CODE)


def define_flags() -> None:
    """Defines the options; not at import, where those of two programs would clash."""
    flags.DEFINE_string("issa", None, "The archive: .xlsx or .csv.", required=True)


if __name__ == "__main__":
    define_flags()
    app.run(main)

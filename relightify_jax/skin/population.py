"""Who the synthetic people are: pigments, age and sex, balanced over skin tones.

The tables hold statistics of pigments that the optics of `relightify_jax.skin.optics` need
to look like the spectra of the International Skin Spectra Archive (ISSA; Lu, Xiao et al.
2025, CC BY 4.0): 2,107 people of eight groups. `data_pipeline.fit_skin_statistics` computes
them; docs/SKIN.md compares drawn people with measured ones. Groups are the archive's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import rng
from relightify_jax.core.numerics import matmul
from relightify_jax.skin import optics


class Person(NamedTuple):
    """Scalars () float32 of one person; pigments are those of the cheek."""

    log_melanin: jax.Array  # Natural log of the volume fraction in the epidermis.
    log_blood: jax.Array  # Natural log of the volume fraction in the dermis.
    scatter: jax.Array  # Multiplier of the scattering coefficients.
    oxygenation: jax.Array  # In [0, 1].
    age: jax.Array  # Years, 18 to 80.
    male: jax.Array  # 0 or 1.
    eumelanin: jax.Array  # Share of melanin that is eumelanin.
    forehead_melanin: jax.Array  # Log melanin of the forehead minus that of the cheek.
    forehead_blood: jax.Array  # Log blood of the forehead minus that of the cheek.


class PigmentGroup(NamedTuple):
    """Statistics of one group of ISSA.

    The vector is log melanin, log blood, log scatter, logit of oxygenation, and the offsets
    of log melanin and log blood from cheek to forehead.
    """

    mean: tuple[float, ...]  # (6,)
    factor: tuple[tuple[float, ...], ...]  # Rows of the lower Cholesky factor of the covariance.
    tone: float  # Mean typology angle of the cheek in degrees.
    tone_sd: float


class SiteOffset(NamedTuple):
    """Log pigments of a site minus those of the cheek, mean and deviation between people.

    The deviations include what the fit of a single spectrum is uncertain by.
    """

    melanin: float
    melanin_sd: float
    blood: float
    blood_sd: float


# fmt: off
GROUPS = {
    "caucasian": PigmentGroup(
        (-2.848, -3.476, 0.648, 2.005, 0.040, -0.118),
        ((0.327,), (-0.128, 0.732), (0.327, 0.264, 0.312), (-0.106, 0.074, 0.046, 1.058),
         (-0.019, 0.011, 0.040, -0.001, 0.210), (0.016, -0.377, 0.147, -0.054, -0.186, 0.529)),
        37.7, 13.7),
    "chinese": PigmentGroup(
        (-2.836, -3.620, 0.525, 1.098, 0.242, -0.136),
        ((0.285,), (-0.136, 0.518), (0.247, 0.052, 0.251), (-0.358, -0.157, 0.207, 0.918),
         (-0.117, -0.016, 0.068, -0.050, 0.106), (0.026, -0.425, -0.052, 0.009, -0.213, 0.452)),
        34.5, 10.6),
    "japanese": PigmentGroup(
        (-3.103, -3.585, 0.560, 1.698, 0.319, -0.214),
        ((0.124,), (-0.372, 0.447), (0.034, 0.107, 0.281), (0.264, 0.260, 0.110, 0.625),
         (-0.134, -0.087, 0.010, 0.017, 0.169), (0.124, -0.310, 0.076, 0.023, -0.277, 0.291)),
        42.7, 10.1),
    "thai": PigmentGroup(
        (-2.545, -4.537, 0.409, 1.112, 0.220, 0.319),
        ((0.228,), (-0.076, 0.506), (0.154, 0.058, 0.365), (-0.121, -0.169, 0.176, 0.719),
         (-0.103, -0.005, 0.033, -0.042, 0.213), (0.032, -0.251, 0.027, -0.029, -0.272, 0.393)),
        24.6, 13.6),
    "iraqi": PigmentGroup(
        (-2.455, -3.910, 0.712, 2.238, 0.140, -0.153),
        ((0.237,), (-0.063, 0.667), (0.175, 0.096, 0.281), (-0.176, 0.108, 0.247, 0.740),
         (-0.139, -0.038, 0.090, -0.032, 0.197), (0.131, -0.357, -0.104, 0.013, -0.309, 0.536)),
        25.7, 13.9),
    "arabian": PigmentGroup(
        (-2.921, -3.592, 0.278, 1.944, 0.256, -0.354),
        ((0.299,), (-0.198, 0.502), (-0.084, 0.027, 0.209), (-0.554, -0.021, 0.050, 0.776),
         (-0.045, -0.020, -0.041, -0.025, 0.161), (0.094, -0.316, 0.109, -0.081, -0.123, 0.279)),
        28.0, 16.5),
    "pakistani": PigmentGroup(
        (-2.253, -4.677, 0.402, 1.110, -0.017, 0.624),
        ((0.383,), (-0.201, 0.550), (-0.028, -0.011, 0.261), (0.120, -0.095, 0.147, 0.799),
         (-0.262, -0.103, 0.006, -0.034, 0.200), (0.288, -0.387, 0.008, 0.121, -0.254, 0.530)),
        11.7, 22.2),
    "african": PigmentGroup(
        (-1.611, -4.111, 0.095, 0.367, 0.022, 0.120),
        ((0.317,), (0.222, 0.427), (0.085, -0.029, 0.109), (-0.006, -0.141, 0.075, 0.352),
         (-0.023, 0.061, -0.022, 0.002, 0.175), (-0.070, -0.107, -0.153, -0.071, -0.042, 0.334)),
        -34.9, 22.2),
}
# fmt: on

# Sites of which `Person` holds nothing; every group counts the same.
SITES = {
    "cheekbone": SiteOffset(-0.16, 0.22, 0.29, 0.53),
    "chin": SiteOffset(0.06, 0.30, 0.36, 0.80),
    "ear": SiteOffset(0.11, 0.40, -0.03, 0.76),
    "neck": SiteOffset(0.26, 0.23, -0.86, 0.68),
    "nose": SiteOffset(-0.12, 0.28, 0.53, 0.65),
}

# Men minus women, of log melanin, log blood and log scatter.
_SEX = (0.17, 0.30, -0.19)
# Log melanin over age. What is added has mean zero over `sample_person`'s ages.
_AGE_YEARS = (18.0, 25.0, 35.0, 45.0, 55.0, 68.0)
_AGE_MELANIN = (-0.015, 0.0, 0.061, 0.138, 0.223, 0.370)
_AGE_RANGE, _AGE_POWER = (18.0, 78.0), 1.6
_MEAN_AGEING = float(
    np.interp(
        _AGE_RANGE[0] + np.ptp(_AGE_RANGE) * np.linspace(0, 1, 201) ** _AGE_POWER,
        _AGE_YEARS,
        _AGE_MELANIN,
    ).mean()
)

_FURTHEST = 2.3  # Standard deviations; the tails of a fit are not people.
_TONES = (-63.0, 63.0)  # Typology angles in degrees that are drawn evenly.
_SCATTER_LIMITS = (-0.7, 1.6)  # Log.
# Log; beyond, people are sallow or scalded. The lightest skin shows its blood the most.
_BLOOD_LIMITS, _LIGHTEST_BLOOD_LIMITS = (-4.9, -2.6), (-3.85, -3.1)
_LIGHTEST_TONES = (40.0, 58.0)  # Degrees between which the limits narrow.
_TONE_SPREAD = 1.3  # How much wider than measured groups may be to serve a tone.
# Of how foreheads differ between the people of a group, this much is kept: the rest is
# uncertainty of the two fits, which would show as a mask that ends at the brows.
_FOREHEAD_SHARE = 0.45
_FOREHEAD_LIMITS = 0.32, 0.40  # Log melanin and log blood.
_MELANIN_GRID = np.linspace(-5.5, -0.65, 48).astype(np.float32)  # Log melanin.

# Skin of red-haired and freckled people has more pheomelanin: chosen, not measured, within
# what optics fits of others use (0.61 of Alotaibi & Smith 2019 to 0.76 of Aliaga et al. 2022).
_EUMELANIN_SD = 0.012
_RED_SHARE, _RED_EUMELANIN = 0.12, (0.60, 0.68)
_RED_TONES = (25.0, 45.0)  # Degrees: nobody darker than the first, the share lighter than the last.


def sample_person(key: jax.Array) -> Person:
    """Draws one person; typology angles from -60 to +60 degrees are about equally frequent.

    A tone is drawn first, then a group among whose people it is found, then the rest of
    that group's pigments, and melanin such that the cheek has the tone. Age and sex change
    the melanin of a tone as they do within the groups.
    """
    uniform, normal = _draw(key)
    tone = _TONES[0] + np.ptp(_TONES) * uniform[4]
    groups = _stack_groups()
    distance = (tone - groups.tone) / (_TONE_SPREAD * groups.tone_sd)
    share = jnp.cumsum(jax.nn.softmax(-0.5 * distance**2 - jnp.log(groups.tone_sd)))
    index = jnp.sum(uniform[5] * share[-1] > share[:-1])
    group = jax.tree.map(lambda x: x[index], groups)

    age, male = age_at(uniform[0]), (uniform[1] < 0.5).astype(jnp.float32)
    state = group.mean + matmul(group.factor, normal[:6])
    state = _condition(state, group, tone) + _effect_of_sex(male)
    state = state.at[1].set(_limit_blood(state[1], tone))
    eumelanin = _eumelanin(tone, uniform[2:4], normal[6])
    melanin = _melanin_of_tone(tone, state, eumelanin)
    melanin += _SEX[0] * (male - 0.5) + _ageing(age)
    return _person(state.at[0].set(melanin), age, male, eumelanin)


def sample_group(key: jax.Array, group: str | jax.Array | int) -> Person:
    """Draws one person of a group of ISSA, as frequent as they were there.

    Args:
        key: Random key, consumed.
        group: Name of the group, or () int32, its number in `GROUPS`.

    Raises:
        ValueError: If there is no group of that name.
    """
    if isinstance(group, str) and group not in GROUPS:
        raise ValueError(f"There is no group {group!r}; have {', '.join(GROUPS)}.")
    index = list(GROUPS).index(group) if isinstance(group, str) else group
    uniform, normal = _draw(key)
    statistics = jax.tree.map(lambda x: x[index], _stack_groups())
    age, male = age_at(uniform[0]), (uniform[1] < 0.5).astype(jnp.float32)
    state = statistics.mean + matmul(statistics.factor, normal[:6]) + _effect_of_sex(male)
    state = state.at[0].add(_SEX[0] * (male - 0.5) + _ageing(age))
    return _person(state, age, male, _eumelanin(_tone(state), uniform[2:4], normal[6]))


def site_albedo(person: Person, site: str = "cheek") -> jax.Array:
    """Albedo (..., 3), linear RGB, of the clear skin of "cheek" or "forehead".

    Raises:
        ValueError: If the site is another one.
    """
    if site not in ("cheek", "forehead"):
        raise ValueError(f"The site is {site!r}; must be 'cheek' or 'forehead'.")
    melanin, blood = person.log_melanin, person.log_blood
    if site == "forehead":
        melanin, blood = melanin + person.forehead_melanin, blood + person.forehead_blood
    return optics.albedo_from_chromophores(
        jnp.exp(melanin),
        jnp.exp(blood),
        person.oxygenation,
        person.scatter,
        eumelanin=person.eumelanin,
    )


def age_at(quantile: jax.Array) -> jax.Array:
    """Years that this share of people, in [0, 1], has not reached; more are young than old."""
    return _AGE_RANGE[0] + np.ptp(_AGE_RANGE) * quantile**_AGE_POWER


def _draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """All that is random about a person: uniform (6,) and normal (7,) numbers."""
    normal = jax.random.normal(rng.stream(key, "normal"), (7,)).clip(-_FURTHEST, _FURTHEST)
    return jax.random.uniform(rng.stream(key, "uniform"), (6,)), normal


class _Groups(NamedTuple):
    """`GROUPS` as arrays; G groups."""

    mean: jax.Array  # (G, 6)
    factor: jax.Array  # (G, 6, 6)
    tone: jax.Array  # (G,)
    tone_sd: jax.Array  # (G,)


def _stack_groups() -> _Groups:
    groups = GROUPS.values()
    factors = np.array([[(*row, *(0.0,) * (6 - len(row))) for row in g.factor] for g in groups])
    factors[:, 4:] *= _FOREHEAD_SHARE
    return _Groups(
        jnp.asarray([group.mean for group in groups], jnp.float32),
        jnp.asarray(factors, jnp.float32),
        jnp.asarray([group.tone for group in groups], jnp.float32),
        jnp.asarray([group.tone_sd for group in groups], jnp.float32),
    )


def _condition(state: jax.Array, group: _Groups, tone: jax.Array) -> jax.Array:
    """Moves a state (6,) of the group to what is likely of its people of that tone.

    The conditional of a Gaussian, to first order; tones far from the group's are approached
    only, as nobody knows its people there.
    """
    slope = jax.grad(_tone)(group.mean)
    covariance = matmul(group.factor, group.factor.T)
    likely = matmul(covariance, slope)
    spread = jnp.sqrt(matmul(slope, likely))
    missing = tone - _tone(group.mean) - matmul(slope, state - group.mean)
    return state + likely / spread**2 * jnp.clip(missing, -2 * spread, 2 * spread)


def _tone(state: jax.Array) -> jax.Array:
    """Typology angle () of the cheek."""
    blood, scatter = jnp.exp(state[1]), jnp.exp(state[2])
    melanin, oxygenation = jnp.exp(state[0]), jax.nn.sigmoid(state[3])
    return optics.typology_angle(
        optics.albedo_from_chromophores(melanin, blood, oxygenation, scatter)
    )


def _melanin_of_tone(tone: jax.Array, state: jax.Array, eumelanin: jax.Array) -> jax.Array:
    """Log melanin () that gives the cheek a typology angle; the other pigments are `state`'s."""
    angle = optics.typology_angle(
        optics.albedo_from_chromophores(
            jnp.exp(_MELANIN_GRID),
            jnp.exp(state[1]),
            jax.nn.sigmoid(state[3]),
            jnp.exp(state[2]),
            eumelanin=eumelanin,
        )
    )
    # The angle falls with melanin, and interpolation wants it to rise.
    return jnp.interp(tone, angle[::-1], _MELANIN_GRID[::-1])


def _effect_of_sex(male: jax.Array) -> jax.Array:
    """What sex adds to a state (6,), but for melanin."""
    return (male - 0.5) * jnp.array([0.0, _SEX[1], _SEX[2], 0.0, 0.0, 0.0])


def _ageing(age: jax.Array) -> jax.Array:
    """What age adds to log melanin."""
    return jnp.interp(age, jnp.array(_AGE_YEARS), jnp.array(_AGE_MELANIN)) - _MEAN_AGEING


def _limit_blood(log_blood: jax.Array, tone: jax.Array) -> jax.Array:
    start, end = _LIGHTEST_TONES
    light = jnp.clip((tone - start) / (end - start), 0.0, 1.0)
    low, high = (
        usual + light * (lightest - usual)
        for usual, lightest in zip(_BLOOD_LIMITS, _LIGHTEST_BLOOD_LIMITS, strict=True)
    )
    return jnp.clip(log_blood, low, high)


def _eumelanin(tone: jax.Array, uniform: jax.Array, normal: jax.Array) -> jax.Array:
    """Share of eumelanin () from random numbers (2,) and (); lower in some light people."""
    low, high = _RED_TONES
    red = uniform[0] < _RED_SHARE * jnp.clip((tone - low) / (high - low), 0.0, 1.0)
    reddish = _RED_EUMELANIN[0] + np.ptp(_RED_EUMELANIN) * uniform[1]
    return jnp.where(red, reddish, optics.EUMELANIN_SHARE + _EUMELANIN_SD * normal)


def _person(state: jax.Array, age: jax.Array, male: jax.Array, eumelanin: jax.Array) -> Person:
    melanin, blood = _FOREHEAD_LIMITS
    return Person(
        log_melanin=state[0],
        log_blood=state[1],
        scatter=jnp.exp(jnp.clip(state[2], *_SCATTER_LIMITS)),
        oxygenation=jax.nn.sigmoid(state[3]),
        age=age,
        male=male,
        eumelanin=eumelanin,
        forehead_melanin=jnp.clip(state[4], -melanin, melanin),
        forehead_blood=jnp.clip(state[5], -blood, blood),
    )

"""Who the synthetic people are: pigments, age and sex, balanced over skin tones.

The table holds natural-log means and standard deviations of a chromophore fit to the
9,195 facial spectra of ISSA (International Skin Spectra Archive, CC BY 4.0) with the
optics of `relightify_jax.skin.optics`. Groups are those of the archive.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import rng


class Person(NamedTuple):
    """Scalars (float32) of one person; pigments are those of the cheek."""

    log_melanin: jax.Array
    log_blood: jax.Array
    scatter: jax.Array  # Multiplier of the scattering coefficients.
    oxygenation: jax.Array  # In [0, 1].
    age: jax.Array  # Years, 18 to 80.
    male: jax.Array  # 0 or 1.


class PigmentGroup(NamedTuple):
    """Cheek statistics of one group of ISSA (means, standard deviations, correlation)."""

    log_melanin: float
    log_melanin_sd: float
    log_blood: float
    log_blood_sd: float
    log_scatter: float
    log_scatter_sd: float
    oxygenation: float
    correlation: float  # Of log melanin and log blood.


GROUPS = {
    "caucasian": PigmentGroup(-2.95, 0.27, -3.27, 0.70, 0.64, 0.35, 0.71, -0.53),
    "chinese": PigmentGroup(-2.85, 0.23, -3.51, 0.51, 0.58, 0.36, 0.52, -0.30),
    "japanese": PigmentGroup(-3.07, 0.18, -3.47, 0.64, 0.65, 0.35, 0.83, -0.30),
    "thai": PigmentGroup(-2.61, 0.29, -4.53, 0.60, 0.27, 0.49, 0.58, 0.00),
    "iraqi": PigmentGroup(-2.58, 0.27, -3.83, 0.65, 0.51, 0.45, 0.54, -0.15),
    "arabian": PigmentGroup(-2.91, 0.34, -3.67, 0.57, 0.24, 0.26, 0.88, -0.30),
    "pakistani": PigmentGroup(-2.37, 0.42, -4.42, 0.71, 0.37, 0.36, 0.48, 0.00),
    "african": PigmentGroup(-1.65, 0.35, -4.08, 0.81, 0.04, 0.20, 0.47, 0.60),
}

# The groups alone would leave few people between and beyond them: this share of people
# has log melanin uniform over the range, the rest interpolated along melanin.
_UNIFORM_SHARE = 0.5
_UNIFORM_RANGE = (-4.1, -1.2)
_NODES = (-3.0, -2.6, -2.3, -1.65)
_NODE_VALUES = {
    "log_blood": (-3.45, -3.7, -3.9, -3.9),
    "log_scatter": (0.62, 0.40, 0.37, 0.04),
    "oxygenation": (0.72, 0.58, 0.50, 0.47),
}


def sample_person(key: jax.Array) -> Person:
    """Draws one person; the population covers typology angles of about -60 to +60."""
    table = jnp.asarray(np.array(list(GROUPS.values())), jnp.float32)
    row = table[jax.random.randint(rng.stream(key, "group"), (), 0, len(GROUPS))]
    group = PigmentGroup(*row)
    normal = jax.random.normal(rng.stream(key, "normal"), (4,)).clip(-2.2, 2.2)
    uniform = jax.random.uniform(rng.stream(key, "uniform"), (4,))

    is_uniform = uniform[0] < _UNIFORM_SHARE
    low, high = _UNIFORM_RANGE
    spread = low + (high - low) * uniform[1]
    melanin = group.log_melanin + group.log_melanin_sd * normal[0]
    rho = jnp.where(is_uniform, 0.0, group.correlation)
    mixed = rho * normal[0] + jnp.sqrt(1 - rho**2) * normal[1]

    def along_melanin(name: str, grouped: jax.Array | float) -> jax.Array:
        values = jnp.asarray(_NODE_VALUES[name])
        return jnp.where(is_uniform, jnp.interp(spread, jnp.asarray(_NODES), values), grouped)

    age = 18 + 60 * uniform[2] ** 1.6
    male = (uniform[3] < 0.5).astype(jnp.float32)
    sex = male - 0.5
    ageing = jnp.interp(age, jnp.array([18.0, 35.0, 55.0, 70.0]), jnp.array([-0.03, 0, 0.15, 0.25]))
    return Person(
        log_melanin=jnp.where(is_uniform, spread, melanin) + 0.14 * sex + ageing,
        log_blood=along_melanin("log_blood", group.log_blood)
        + jnp.where(is_uniform, 0.55, group.log_blood_sd) * mixed
        + 0.22 * sex,
        scatter=jnp.exp(
            along_melanin("log_scatter", group.log_scatter)
            + jnp.where(is_uniform, 0.3, group.log_scatter_sd) * normal[2]
            - 0.22 * sex
        ),
        oxygenation=jnp.clip(
            along_melanin("oxygenation", group.oxygenation) + 0.08 * normal[3], 0.3, 0.95
        ),
        age=age,
        male=male,
    )

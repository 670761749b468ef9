"""From the pigments of one person's skin to its colour."""

import jax
import jax.numpy as jnp

from relightify_jax.skin import optics
from relightify_jax.skin.population import Person


def skin_colour(
    person: Person,
    log_melanin: jax.Array,
    log_blood: jax.Array,
    thickness: jax.Array | float = optics.EPIDERMIS_THICKNESS,
    freshest: float = 0.96,
) -> jax.Array:
    """Diffuse albedo of skin.

    Args:
        person: Whose skin.
        log_melanin: (...,) natural log of the volume fraction in the epidermis.
        log_blood: (...,) natural log of the volume fraction in the dermis.
        thickness: () of the epidermis in cm.
        freshest: Oxygenation of skin that is full of blood.

    Returns:
        (..., 3) linear RGB.
    """
    # Blood beyond the person's usual amount is fresh: flushed skin is red, not purple.
    columns = optics.BLOOD_MAX * jnp.linspace(1e-3, 1.0, optics.TABLE_SIZE) ** 4
    surplus = jnp.maximum(jnp.log(columns) - person.log_blood, 0.0)
    full = jnp.maximum(person.oxygenation, freshest)
    oxygenation = full + jnp.exp(-surplus / 0.5) * (person.oxygenation - full)
    table = optics.build_albedo_table(oxygenation, person.scatter, thickness, person.eumelanin)
    melanin = jnp.exp(jnp.clip(log_melanin, -5.5, -0.7))
    blood = jnp.exp(jnp.clip(log_blood, -7.5, -1.4))
    return optics.look_up_albedo(table, melanin, blood)


def melanin_sensitivity(person: Person) -> jax.Array:
    """Factor () on changes of log melanin that keeps them about equally visible.

    The darker the skin, the more a relative change of melanin shows.
    """
    return jnp.clip(jnp.exp(-0.6 * (person.log_melanin + 3.0)), 0.35, 1.5)

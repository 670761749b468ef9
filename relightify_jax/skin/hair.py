"""Hair on the face: brows, lashes, beard and hairline over skin, with one person's colours.

The hairs are those of `brows`, `beard` and `scalp`; here they get their colour, from black
to blond, red and grey, and are laid over the albedo of bare skin.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.skin.beard import draw_beard
from relightify_jax.skin.brows import draw_brows, draw_lashes
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.hair_growth import HairGrowth
from relightify_jax.skin.noise import smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.scalp import draw_scalp
from relightify_jax.skin.strands import HairLayer, draw_follicles

# Albedo of hair, linear RGB, by lightness from black to light blond; plausible choices.
_PALETTE = (
    (0.012, 0.010, 0.009),
    (0.024, 0.016, 0.011),
    (0.050, 0.030, 0.018),
    (0.105, 0.062, 0.034),
    (0.200, 0.125, 0.063),
    (0.320, 0.215, 0.115),
)
_RED = (0.150, 0.052, 0.018)
_WHITE = (0.42, 0.39, 0.345)


class Hair(NamedTuple):
    """Skin with hair on it."""

    albedo: jax.Array  # (R, R, 3) linear RGB.
    covered: jax.Array  # (R, R) share of the skin that is hidden by hair.
    height: jax.Array  # (R, R) mm of the strands above the skin.


class HairColour(NamedTuple):
    """Colours of one person's hair; scalars but for the albedos (3,), linear RGB."""

    head: jax.Array
    brows: jax.Array
    lashes: jax.Array
    beard: jax.Array
    fine: jax.Array  # 0 coarse and dark, 1 fine and light.
    grey_head: jax.Array  # Shares of grey hairs.
    grey_brows: jax.Array
    grey_beard: jax.Array


def sample_hair_colour(key: jax.Array, person: Person) -> HairColour:
    """Draws the colours of the hair; the darker the skin, the darker the hair.

    Grey comes with age, first on the chin, last in the brows. Some dye the hair of the
    head and keep brows and beard.
    """
    u = jax.random.uniform(key, (9,))
    light_skin = smooth_step(-2.45, -2.95, person.log_melanin)
    # Black hair is common with any skin, all else with light skin only.
    lightness = 0.12 * u[0] + light_skin * jnp.where(u[1] < 0.35, 0.0, 0.9 * u[0] ** 1.3)
    palette = jnp.array(_PALETTE)
    steps = jnp.linspace(0.0, 1.0, len(_PALETTE))
    colour = jnp.stack([jnp.interp(lightness, steps, channel) for channel in palette.T])
    # Of those with reddish melanin two in three are red-haired.
    reddish = smooth_step(0.70, 0.67, person.eumelanin)
    red = jnp.maximum(reddish * (u[2] < 0.67), 0.7 * light_skin * (u[2] > 0.98))
    colour = colour + red * (jnp.array(_RED) * (0.5 + 0.8 * u[3]) - colour)
    fine = jnp.clip(1.1 * lightness + 0.3 * red - 0.1, 0.0, 1.0)
    grey = smooth_step(32.0, 82.0, person.age) * (0.05 + 1.2 * u[4])
    grey = jnp.clip(grey, 0.0, 1.0)
    dyed = (u[5] < 0.7 * (1 - person.male)).astype(jnp.float32)
    beard = colour * jnp.array([1.25, 1.0, 0.9]) * (0.85 + 0.4 * u[6])
    # Brows and lashes of the fair are darker than their hair, but for a few.
    dark = colour * jnp.array([0.85, 0.80, 0.78]) * (1 - 0.45 * fine * u[7])
    return HairColour(
        head=colour,
        brows=dark,
        lashes=0.55 * dark + 0.003,
        beard=beard,
        fine=fine,
        grey_head=grey * (1 - dyed),
        grey_brows=0.8 * grey**2 * (1 - 0.6 * dyed) * u[8],
        grey_beard=grey,
    )


def add_hair(
    key: jax.Array,
    person: Person,
    regions: Regions,
    growth: HairGrowth,
    fields: SkinFields,
    albedo: jax.Array,
) -> Hair:
    """Covers skin with hair.

    Args:
        key: Random key, consumed.
        person: Age, sex and pigments.
        regions: The regions, (R, R) each.
        growth: Directions and borders of growth, (R, R) each.
        fields: Noise of the skin.
        albedo: (R, R, 3) of bare skin, linear RGB.
    """
    c = sample_hair_colour(rng.stream(key, "colour"), person)
    follicles = draw_follicles(rng.stream(key, "follicles"))
    common = follicles, person, regions, growth, fields, c.fine
    scalp = draw_scalp(rng.stream(key, "scalp"), *common, c.grey_head)
    beard = draw_beard(rng.stream(key, "beard"), *common, c.grey_beard)
    brows, brow_shade = draw_brows(rng.stream(key, "brows"), *common, c.grey_brows)
    lashes, lash_line = draw_lashes(
        rng.stream(key, "lashes"), follicles, person, regions, growth, c.fine
    )

    albedo = _shine_through(albedo, 1.3 * scalp.shadow, c.head, c.grey_head)
    albedo = _shine_through(albedo, beard.shadow, c.beard, c.grey_beard)
    layers = [
        (_shade(scalp.ground), _mix(0.65 * c.head, 0.7 * c.grey_head), 0.0),
        (scalp.strands, c.head, 0.12),
        (_shade(beard.undergrowth), _mix(0.6 * c.beard, 0.6 * c.grey_beard), 0.0),
        (beard.strands, c.beard, 0.10),
        (_shade(brow_shade), 0.9 * c.brows, 0.0),
        (brows, c.brows, 0.08),
        (_shade(lash_line), c.lashes, 0.0),
        (lashes, c.lashes, 0.03),
    ]
    bare = jnp.ones_like(scalp.ground)
    height = jnp.zeros_like(bare)
    for layer, colour, thickness in layers:
        coverage = 1 - jnp.exp(-layer.depth)
        # What lies deeper among the hairs gets less light.
        brightness = jnp.exp(layer.tone + 0.6 * (layer.rank - 0.7))[..., None]
        white = layer.grey[..., None]
        hairs = brightness * (colour + white * (jnp.array(_WHITE) - colour))
        albedo = albedo + coverage[..., None] * (hairs - albedo)
        bare = bare * (1 - coverage)
        height = height + thickness * coverage * (0.2 + layer.rank)
    return Hair(albedo, 1 - bare, height)


def _shade(depth: jax.Array) -> HairLayer:
    """A layer (R, R) of hair in which no single hairs are seen."""
    zero = jnp.zeros_like(depth)
    return HairLayer(depth, zero, zero, zero + 0.7)


def _mix(colour: jax.Array, grey: jax.Array) -> jax.Array:
    """Colour (3,) of hair of which a share is white."""
    return colour + grey * (jnp.array(_WHITE) - colour)


def _shine_through(
    albedo: jax.Array, depth: jax.Array, colour: jax.Array, grey: jax.Array
) -> jax.Array:
    """Hair under the surface: dark hair dims the skin, red most, which leaves it bluish.

    Args:
        albedo: (R, R, 3) of the skin.
        depth: (R, R) amount of hair in it.
        colour: (3,) of the hair.
        grey: Share of white hair, which does not show.
    """
    contrast = jnp.clip(1 - 4 * jnp.mean(colour), 0.0, 1.0) * (1 - 0.8 * grey)
    # Dark skin hides it.
    contrast = contrast * smooth_step(0.0, 0.25, jnp.mean(albedo, axis=-1))
    dimming = 0.42 * (contrast * depth)[..., None] * jnp.array([1.0, 0.90, 0.72])
    return albedo * jnp.exp(-dimming)

"""Hair on the face: brows, lashes, beard and hairline over skin, with one person's colours.

The hairs are those of `brows`, `beard` and `scalp`; here they get their colour, from black
to blond, red and grey, and are laid over the albedo of bare skin.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core import rng
from relightify_jax.skin import beard, brows, scalp
from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.hair_growth import HairGrowth
from relightify_jax.skin.noise import smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.strands import (
    HairLayer,
    draw_follicles,
    draw_strands,
    pick_roots,
    soften,
)

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
    step = lightness * (len(_PALETTE) - 1)
    near = jnp.clip(1 - jnp.abs(step - jnp.arange(len(_PALETTE))), 0.0, 1.0)
    colour = jnp.sum(near[:, None] * palette, axis=0)
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
    maps = _map_hair(key, person, regions, growth, fields, c.fine)
    roots = pick_roots(
        draw_follicles(rng.stream(key, "follicles")),
        [kind.density for kind in maps],
        [scalp.SCALP_BED, beard.BEARD_BED, brows.BROW_BED, brows.LASH_BED],
    )
    bundles = [
        scalp.scalp_strands(maps.scalp, roots[0], growth, fields, c.fine, c.grey_head),
        beard.beard_strands(maps.beard, roots[1], growth, fields, c.grey_beard),
        brows.brow_strands(maps.brows, roots[2], growth, fields, c.grey_brows),
        brows.lash_strands(maps.lashes, roots[3], regions, growth, c.fine),
    ]
    drawn = draw_strands(bundles, albedo.shape[0])
    grown, shaven, brushed, lashes = (HairLayer(*maps) for maps in zip(*drawn, strict=True))
    blurred = soften(
        jnp.stack([*drawn.depth[:3], maps.scalp.density, maps.beard.share, maps.beard.share]),
        (1.3, 1.3, 1.5, 4.0, 1.2, 2.5),
    )
    ground, cropped = scalp.scalp_ground(maps.scalp, blurred[0], blurred[3])
    undergrowth, stubble = beard.beard_ground(
        maps.beard, blurred[1], blurred[4], blurred[5], c.fine
    )
    shade = brows.brow_shade(maps.brows, blurred[2], fields)

    albedo = _shine_through(albedo, 1.3 * cropped, c.head, c.grey_head)
    albedo = _shine_through(albedo, stubble, c.beard, c.grey_beard)
    layers = [
        (
            _shade(ground, 0.12 * (fields.mid_2 + fields.fine + fields.grain)),
            _mix(0.65 * c.head, 0.7 * c.grey_head),
            0.0,
        ),
        (grown, c.head, 0.12),
        (_shade(undergrowth), _mix(0.6 * c.beard, 0.6 * c.grey_beard), 0.0),
        (shaven, c.beard, 0.10),
        (_shade(shade), 0.9 * c.brows, 0.0),
        (brushed, c.brows, 0.08),
        (_shade(maps.lashes.line), c.lashes, 0.0),
        (lashes, c.lashes, 0.03),
    ]
    return _lay(albedo, layers)


class _HairMaps(NamedTuple):
    """All kinds of hair of one person, in the order in which they are laid."""

    scalp: scalp.ScalpMaps
    beard: beard.BeardMaps
    brows: brows.BrowMaps
    lashes: brows.LashMaps


def _map_hair(
    key: jax.Array,
    person: Person,
    regions: Regions,
    growth: HairGrowth,
    fields: SkinFields,
    fine_hair: jax.Array,
) -> _HairMaps:
    """How and where each kind of hair grows."""
    head = scalp.sample_scalp_style(rng.stream(key, "scalp"), person)
    style = beard.sample_beard_style(rng.stream(key, "beard"), person, fine_hair)
    shape = brows.sample_brow_shape(rng.stream(key, "brows"), person, fine_hair)
    return _HairMaps(
        scalp.map_scalp(head, regions, growth, fields),
        beard.map_beard(style, regions, growth, fields),
        brows.map_brows(shape, regions, growth, fields),
        brows.map_lashes(rng.stream(key, "lashes"), person, regions, growth, fine_hair),
    )


def _lay(albedo: jax.Array, layers: list[tuple[HairLayer, jax.Array, float]]) -> Hair:
    """Lays layers, each with the colour (3,) and the thickness in mm of its hairs, in turn."""
    bare = jnp.ones(albedo.shape[:2])
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


def _shade(depth: jax.Array, tone: jax.Array | float = 0.0) -> HairLayer:
    """A layer (R, R) of hair in which no single hairs are seen."""
    zero = jnp.zeros_like(depth)
    return HairLayer(depth, zero + tone, zero, zero + 0.7)


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

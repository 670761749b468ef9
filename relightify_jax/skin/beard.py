"""Beards: from the shadow of shaven hair over stubble to moustaches and full beards.

One map of density serves all of them. Shaven hair shows through the skin as a smooth
blue-grey darkening with a dot at each follicle; longer hair is drawn as strands over an
undergrowth that is too dense to tell hairs apart.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.skin.fields import SkinFields
from relightify_jax.skin.hair_growth import HairGrowth
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, smooth_step
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.strands import (
    HairLayer,
    Strands,
    draw_numbers,
    draw_strands,
    pick_roots,
    sample_maps,
    soften,
)

_BOX = (4.0, 98.0, 291.0, 262.0)  # mm; cheeks, chin and the front of the neck.
_SPACING = 1.05
_NUM_HAIRS = 20_000
_POINTS_PER_MAP = 150  # Points of strands per texel of the map's side.
_DENSEST = 0.85  # Hairs per square millimetre.


class BeardStyle(NamedTuple):
    """Scalars of one person's beard; lengths in mm."""

    amount: jax.Array  # 0 none at all (women), 1 a man's.
    length: jax.Array  # Of the hairs where they are longest; under 0.5 it is shaven.
    sides: jax.Array  # Lengths elsewhere relative to that: cheeks and jaws,
    moustache: jax.Array
    chin: jax.Array
    neck: jax.Array
    cheek_line: jax.Array  # Shift of the upper border downwards.
    neck_line: jax.Array  # Shift of the lower border upwards.
    crisp: jax.Array  # 0 natural borders, 1 shaven to a line.
    cheek_growth: jax.Array  # Density on the cheeks, 0 to 1.
    patchy: jax.Array
    bare: jax.Array  # 1 little grows beside the soul patch, 0 as much as elsewhere.
    philtrum: jax.Array  # The same for the middle of the upper lip.
    curl: jax.Array  # 0 straight, 1 coils.
    width: jax.Array  # Of a hair.


# Lengths (mm) of hair: longest, and on sides, moustache, chin and neck relative to it.
_STYLES = {
    "shaven": (0.15, 1.0, 1.0, 1.0, 1.0),
    "stubble": (1.2, 0.9, 1.0, 1.0, 0.8),
    "short": (4.5, 0.8, 0.9, 1.0, 0.12),
    "full": (14.0, 0.8, 0.75, 1.0, 0.6),
    "goatee": (7.0, 0.03, 0.8, 1.0, 0.03),
    "moustache": (7.5, 0.02, 1.0, 0.02, 0.02),
    "chin strap": (5.0, 1.0, 0.10, 1.0, 0.1),
}
_STYLE_WEIGHTS = (0.46, 0.22, 0.10, 0.07, 0.07, 0.06, 0.02)


def sample_beard_style(key: jax.Array, person: Person, fine_hair: jax.Array) -> BeardStyle:
    """Draws whether and how a beard is worn.

    Args:
        key: Random key, consumed.
        person: Age, sex and pigment; women have down at most.
        fine_hair: 0 for coarse dark hair, 1 for fine light hair.
    """
    u, n = draw_numbers(key, 13, 3)
    choice = jnp.sum(u[12] > jnp.cumsum(jnp.array(_STYLE_WEIGHTS[:-1])))
    length, sides, moustache, chin, neck = jnp.array(list(_STYLES.values()))[choice]
    is_shaven, is_stubble = choice == 0, choice == 1
    young = smooth_step(32.0, 18.0, person.age)
    dark = smooth_step(-2.6, -1.6, person.log_melanin)
    length = length * jnp.where(is_stubble, 0.35 + 1.6 * u[0] ** 1.5, 0.7 + 0.7 * u[0])
    groomed = jnp.where(is_shaven | is_stubble, 0.0, u[1])
    # Down on the upper lip of some women, darker with dark hair.
    down = 1 - person.male
    is_downy = down * smooth_step(0.45, 1.0, u[2]) * (1 - 0.7 * fine_hair)
    grows = 0.55 + 0.45 * u[3] - 0.45 * young * u[4]
    return BeardStyle(
        amount=person.male * grows + 0.5 * is_downy,
        length=jnp.where(down > 0, 2.6, length),
        sides=jnp.where(down > 0, 0.0, sides),
        moustache=jnp.where(down > 0, 1.0, moustache),
        chin=jnp.where(down > 0, 0.0, chin),
        neck=jnp.where(down > 0, 0.0, neck * (1 - 0.5 * u[5])),
        cheek_line=4.0 * n[0] + 5.0 * young + 1.0 * groomed,
        neck_line=4.0 + 6.0 * n[1] + 5.0 * groomed,
        crisp=groomed**2,
        cheek_growth=jnp.clip(0.75 + 0.3 * n[2] - 0.5 * young, 0.1, 1.0),
        patchy=u[6] ** 1.5 * (0.35 + 0.65 * young),
        bare=0.75 * u[10],
        philtrum=0.7 * u[11] ** 1.5,
        curl=dark * u[7] ** 0.5 + (1 - dark) * 0.35 * u[8] ** 2,
        width=jnp.where(down > 0, 0.028, 0.105 - 0.035 * fine_hair) * (0.85 + 0.3 * u[9]),
    )


class Beard(NamedTuple):
    """A beard as maps, (R, R) each but for the strands."""

    strands: HairLayer
    undergrowth: jax.Array  # Optical depth of hair that is too dense to be told apart.
    shadow: jax.Array  # Optical depth of hair seen through the skin.


class _Parts(NamedTuple):
    density: jax.Array  # Share of the densest growth, (R, R) in [0, 1].
    length: jax.Array  # mm.


def _parts(b: BeardStyle, r: Regions, g: HairGrowth, f: SkinFields) -> _Parts:
    """Where the beard grows, and how long it is worn where."""
    ragged = 1.8 * f.low + 0.9 * f.mid
    natural = 1 - 0.85 * b.crisp
    above = g.cheek_line - b.cheek_line + natural * ragged
    below = g.neck_line - b.neck_line + natural * ragged
    soft = 1.0 + 7.0 * natural
    area = smooth_step(-0.3 * soft, 1.6 * soft, above)
    area *= smooth_step(-1.2 * soft, 1.2 * soft, below)
    off_lips = smooth_step(0.4, -1.3, r.lip_distance)
    area *= off_lips * smooth_step(0.6, 0.2, r.ears)
    lip = smooth_step(-0.5 - natural, 2.0 + 2.5 * natural, g.moustache + 0.4 * natural * ragged)
    lip *= 1 - b.philtrum * jnp.exp(-jnp.square(g.outward / 3.5))
    lip *= off_lips * smooth_step(-2.0, 2.0, g.cheek_line + 2.0)
    chin = smooth_step(-2.0 - 3.0 * natural, 3.0 + 3.0 * natural, g.goatee + 0.5 * ragged)
    # Hair thins out from chin and lip to the cheeks, and at both sides of the soul patch.
    middle = jnp.clip(chin + lip, 0, 1)
    jaw = smooth_step(34.0, 8.0, g.neck_line)
    cheeks = b.cheek_growth + (1 - b.cheek_growth) * jnp.maximum(middle, 0.75 * jaw)
    density = jnp.maximum(area * cheeks, lip * (0.8 + 0.2 * b.cheek_growth))
    density *= 1 - b.bare * jnp.clip(g.bare_patch, 0, 1) * (1 - g.soul_patch)
    holes = smooth_step(0.25, 1.3, f.low_2 + 0.6 * f.mid_2) * (1 - 0.6 * middle)
    density *= 1 - b.patchy * holes
    density *= 1 + 0.10 * f.mid
    neck = smooth_step(24.0, 10.0, g.neck_line) * (1 - chin)
    length = b.sides + (b.neck - b.sides) * neck
    length = length + (b.chin - length) * chin
    length = length + (b.moustache - length) * lip
    sideburn = smooth_step(30.0, 8.0, g.cheek_line) * smooth_step(85.0, 100.0, abs(g.outward))
    length = length * (1 - 0.5 * sideburn * (b.sides > 0.3))
    return _Parts(jnp.clip(b.amount * density, 0.0, 1.0), b.length * length)


def draw_beard(
    key: jax.Array,
    follicles: jax.Array,
    person: Person,
    regions: Regions,
    growth: HairGrowth,
    fields: SkinFields,
    fine_hair: jax.Array,
    grey: jax.Array,
) -> Beard:
    """Draws a man's beard or what is left of it; of women at most the down of the lip.

    Args:
        key: Random key, consumed.
        follicles: Table of `strands.draw_follicles`.
        person: Age, sex and pigment.
        regions: Regions of the face.
        growth: Directions and borders.
        fields: Shared noise.
        fine_hair: 0 for coarse dark hair, 1 for fine light hair.
        grey: Share of grey hairs.
    """
    size = fields.low.shape[0]
    texel = MILLIMETRES_PER_UV / size
    b = sample_beard_style(key, person, fine_hair)
    parts = _parts(b, regions, growth, fields)
    roots = pick_roots(follicles, _DENSEST * parts.density, _BOX, _SPACING, _NUM_HAIRS)
    stack = [growth.beard_u, growth.beard_v, parts.length, fields.mid, fields.mid_2]
    stack += [growth.goatee + 6.0 * (growth.moustache > 0), fields.low]
    u, v, length, mid, mid_2, in_front, low = sample_maps(jnp.stack(stack, -1), roots.place).T
    d = roots.traits
    # Neighbours lean the same way and so form locks.
    swirl = 0.10 + 0.25 * b.curl
    angle = jnp.arctan2(v, u) + swirl * (1.3 * mid + low) + 0.45 * (d[:, 0] + d[:, 1] - 1)
    length = length * (0.55 + 0.6 * d[:, 2])
    # A hair's own white comes first on the chin.
    greyness = jnp.clip(grey * (0.75 + 0.6 * smooth_step(-4.0, 6.0, in_front)), 0.0, 1.0)
    is_grey = (d[:, 6] < greyness).astype(jnp.float32)
    seen = 1 - 0.6 * is_grey * smooth_step(0.8, 0.3, length)  # White stubble is clear.
    strands = Strands(
        x=roots.place[:, 0],
        y=roots.place[:, 1],
        angle=angle,
        bend=0.5 * mid_2 + 0.8 * (d[:, 3] - 0.5) + 4.0 * b.curl * (d[:, 3] - 0.5),
        length=jnp.maximum(length, 0.22),
        width=(b.width + 0.004 * b.length) * (0.7 + 0.6 * d[:, 4]) * seen * roots.grows,
        taper=jnp.where(length > 5.0, 0.7, 0.2),
        wave=b.curl * 0.35 * smooth_step(1.5, 6.0, length),
        turns=length * 0.35 * b.curl,
        tone=0.6 * (d[:, 5] - 0.5),
        grey=is_grey,
        rank=d[:, 3],
    )
    longest = 1.15 * b.length * jnp.maximum(jnp.maximum(b.sides, b.moustache), b.chin)
    per_hair = jnp.maximum(jnp.ceil(longest / texel), 1.0).astype(jnp.int32)
    layer = draw_strands(strands, size, _POINTS_PER_MAP * size, per_hair)
    long = smooth_step(2.0, 11.0, parts.length)
    undergrowth = (0.25 + 1.2 * long) * soften(layer.depth, 1.3)
    undergrowth += 1.8 * long * soften(parts.density, 1.2) ** 3
    through = soften(parts.density, 2.5) * (1 - 0.6 * long) * smooth_step(0.03, 0.08, b.width)
    return Beard(layer, undergrowth, through * (1 - 0.55 * fine_hair))

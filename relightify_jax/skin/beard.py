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
    Bed,
    Bundle,
    Roots,
    Strands,
    draw_numbers,
    sample_maps,
    share_grey,
)

# Cheeks, chin and the front of the neck.
BEARD_BED = Bed(box=(4.0, 98.0, 291.0, 262.0), spacing=1.05, number=20_000)
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


class BeardMaps(NamedTuple):
    """One person's beard as maps, (R, R) each but for the style."""

    style: BeardStyle
    share: jax.Array  # Of the densest growth, in [0, 1].
    density: jax.Array  # Hairs per square millimetre.
    length: jax.Array  # mm.


def map_beard(b: BeardStyle, r: Regions, g: HairGrowth, f: SkinFields) -> BeardMaps:
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
    chin = smooth_step(-2.0 - 3.5 * natural, 3.5 + 5.5 * natural, g.goatee + 0.6 * ragged)
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
    share = jnp.clip(b.amount * density, 0.0, 1.0)
    return BeardMaps(b, share, _DENSEST * share, b.length * length)


def beard_strands(
    maps: BeardMaps, roots: Roots, growth: HairGrowth, fields: SkinFields, grey: jax.Array
) -> Bundle:
    """The hairs of the beard.

    Args:
        maps: Of `map_beard`.
        roots: Where hairs grow.
        growth: Directions and borders.
        fields: Shared noise.
        grey: Share of grey hairs.
    """
    size = maps.density.shape[0]
    b = maps.style
    looked_up = [growth.beard_u, growth.beard_v, maps.length, fields.mid, fields.mid_2]
    looked_up += [growth.goatee + 6.0 * (growth.moustache > 0), fields.low]
    u, v, length, mid, mid_2, in_front, low = sample_maps(looked_up, roots.place)
    d = roots.traits
    # Neighbours lean the same way and so form locks.
    swirl = 0.10 + 0.25 * b.curl
    angle = jnp.arctan2(v, u) + swirl * (1.3 * mid + low) + 0.45 * (d[:, 0] + d[:, 1] - 1)
    # Coils take the length up.
    length = length * (0.55 + 0.6 * d[:, 2]) * (1 - 0.35 * b.curl * smooth_step(2.0, 6.0, length))
    # A hair's own white comes first on the chin.
    greyness = jnp.clip(grey * (0.75 + 0.6 * smooth_step(-4.0, 6.0, in_front)), 0.0, 1.0)
    is_grey = share_grey(greyness, d[:, 6], 0.45 + 0.4 * b.curl)
    seen = 1 - 0.6 * is_grey * smooth_step(0.8, 0.3, length)  # White stubble is clear.
    strands = Strands(
        x=roots.place[:, 0],
        y=roots.place[:, 1],
        right=roots.scale[:, 0],
        down=roots.scale[:, 1],
        angle=angle,
        bend=0.5 * mid_2 + (0.8 + 2.6 * b.curl) * (d[:, 3] - 0.5),
        length=jnp.maximum(length, 0.22),
        width=(b.width + 0.004 * b.length) * (0.7 + 0.6 * d[:, 4]) * seen * roots.grows,
        taper=jnp.where(length > 5.0, 0.7, 0.2),
        wave=b.curl * 0.22 * smooth_step(1.5, 6.0, length),
        turns=length * 0.35 * b.curl,
        tone=0.6 * (d[:, 5] - 0.5),
        grey=is_grey,
        rank=d[:, 3],
    )
    longest = 1.15 * b.length * jnp.maximum(jnp.maximum(b.sides, b.moustache), b.chin)
    per_hair = jnp.maximum(jnp.ceil(longest * size / MILLIMETRES_PER_UV), 1.0).astype(jnp.int32)
    return Bundle(strands, _POINTS_PER_MAP * size, per_hair)


def beard_ground(
    maps: BeardMaps,
    soft_depth: jax.Array,
    soft_share: jax.Array,
    softer_share: jax.Array,
    fine_hair: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """What lies under the drawn hairs.

    Args:
        maps: Of `map_beard`.
        soft_depth: (R, R) optical depth of the drawn hairs, blurred.
        soft_share: (R, R) share of the densest growth, blurred.
        softer_share: The same, blurred more.
        fine_hair: 0 for coarse dark hair, 1 for fine light hair.

    Returns:
        Optical depths (R, R) of hair that is too dense to be told apart, and of hair that
        is seen through the skin.
    """  # fmt: skip
    long = smooth_step(2.0, 11.0, maps.length)
    undergrowth = (0.25 + 1.2 * long) * soft_depth + 1.8 * long * soft_share**3
    through = softer_share * (1 - 0.6 * long) * smooth_step(0.03, 0.08, maps.style.width)
    return undergrowth, through * (1 - 0.55 * fine_hair)

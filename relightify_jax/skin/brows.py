"""Eyebrows and eyelashes, hair by hair.

A brow is described in its own coordinates: `s` runs from 0 at the average inner end to 1
at the average outer one, `t` in mm above its axis. The shape (where it starts and ends,
how thick, arched, tilted, soft and dense it is) varies widely between people.
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

# Both brows and all that lies between them.
BROW_BED = Bed(box=(30.0, 18.0, 265.0, 84.0), spacing=0.55, number=3000)
LASH_BED = Bed(box=(76.0, 66.0, 219.0, 98.0), spacing=0.45, number=700)
_LONGEST_BROW_HAIR = 13.0  # mm.
_LONGEST_LASH = 9.0
_LENGTH = 62.0  # mm of the map from s = 0 to s = 1.


class BrowShape(NamedTuple):
    """Scalars of one person's brows; lengths in mm."""

    start: jax.Array  # s of the inner end.
    end: jax.Array  # s of the tail's end.
    rise: jax.Array  # Above the average place.
    tilt: jax.Array  # Rise of the outer end over the inner one.
    arch: jax.Array  # Height of the arch on top of the average one.
    peak: jax.Array  # s of the arch's highest point.
    angular: jax.Array  # 0 round, 1 bent at the peak.
    thick: jax.Array  # Thickness at the thickest place.
    tail: jax.Array  # Thickness of the tail relative to that.
    head: jax.Array  # Thickness of the inner end relative to that.
    soft: jax.Array  # Width of the edges.
    density: jax.Array  # Hairs per square millimetre where it is densest.
    sparse_head: jax.Array  # Share of hairs missing there,
    sparse_tail: jax.Array  # and here.
    gaps: jax.Array  # 0 even, 1 with bare patches.
    strays: jax.Array  # Hairs per square millimetre around the brow.
    bridge: jax.Array  # Hairs per square millimetre between the brows.
    long: jax.Array  # Length of the hairs.
    unruly: jax.Array  # Radians of scatter in their direction.
    upright: jax.Array  # Radians by which they stand up more than average.
    wide: jax.Array  # Width of the hairs.
    shadow: jax.Array  # Optical depth of fine hairs and shade relative to the drawn ones.
    filled: jax.Array  # Optical depth of pencil or powder.


def sample_brow_shape(key: jax.Array, person: Person, fine_hair: jax.Array) -> BrowShape:
    """Draws the shape of the brows.

    Args:
        key: Random key, consumed.
        person: Age and sex.
        fine_hair: 0 for coarse dark hair, 1 for fine light hair.
    """
    u, n = draw_numbers(key, 24, 6)
    male, female = person.male, 1 - person.male
    old = smooth_step(40.0, 75.0, person.age)
    # Plucked and trimmed: most women to some degree, a few men.
    groomed = jnp.clip(female * (0.15 + 0.95 * u[0]) + male * (u[0] ** 4), 0, 1)
    plucked = groomed * smooth_step(0.35, 0.95, u[1])
    bushy = male * old * smooth_step(0.45, 0.9, u[2])
    thick = (5.3 + 2.0 * male + 1.6 * n[0]) * (1 - 0.5 * plucked) * (1 + 0.12 * bushy)
    density = (0.95 + 1.3 * u[3] + 0.25 * male) * (1 - 0.45 * old * (1 - bushy) * u[4])
    return BrowShape(
        start=0.05 + 0.075 * n[1] / 2 + 0.05 * plucked * u[5],
        end=0.99 + 0.16 * (u[6] - 0.5) - 0.16 * u[7] ** 2 * (0.4 + 0.6 * old),
        rise=0.6 + 2.0 * n[2] + 1.0 * female - 0.8 * old * u[8],
        tilt=3.6 + 2.8 * n[3] - 3.0 * old * u[8],
        arch=0.2 + 2.0 * n[4] + 1.4 * female,
        peak=0.56 + 0.22 * u[9],
        angular=u[10],
        thick=jnp.clip(thick, 1.5, 11.0),
        tail=0.22 + 0.40 * u[11],
        head=0.55 + 0.40 * u[12],
        soft=0.45 + (1.0 + 1.3 * u[13]) * (1 - 0.85 * groomed),
        density=density * (1 - 0.25 * fine_hair * u[21]),
        sparse_head=(0.2 + 0.5 * u[14]) * (1 - 0.4 * groomed),
        sparse_tail=0.85 * u[15] ** 1.5 * (0.5 + 0.5 * old),
        gaps=u[16] ** 3,
        strays=(0.01 + 0.10 * u[17]) * (1 - 0.93 * groomed) * (0.5 + 0.5 * male),
        bridge=(0.02 + 0.30 * u[18] ** 4) * (1 - groomed) * (0.35 + 0.65 * male),
        long=(5.6 + 2.8 * u[19]) * (1 - 0.35 * groomed * u[1]) + 3.2 * bushy + 0.9 * male,
        unruly=0.10 + 0.12 * u[20] * (1 - 0.6 * groomed) + 0.28 * bushy,
        upright=0.22 * n[5],
        wide=(0.098 + 0.016 * male + 0.02 * bushy) * (1 - 0.35 * fine_hair),
        shadow=0.5 + 0.65 * u[22] + 0.15 * female,
        filled=female * smooth_step(0.65, 1.0, u[23]) * 0.9,
    )


class BrowMaps(NamedTuple):
    """One person's brows as maps, (R, R) each but for the shape."""

    shape: BrowShape
    along: jax.Array  # s.
    across: jax.Array  # From -1 at the lower edge to 1 at the upper one.
    body: jax.Array  # 1 inside the brow, 0 outside.
    density: jax.Array  # Hairs per square millimetre.


def map_brows(b: BrowShape, r: Regions, g: HairGrowth, f: SkinFields) -> BrowMaps:
    """Coordinates and density of either brow."""
    side = jnp.sign(g.outward)
    # The two are never quite alike.
    s = r.brow_along + 0.012 * side * b.unruly / 0.15
    start, end = b.start, b.end
    fall = jnp.abs(s - b.peak) * _LENGTH
    bend = 9.0 * (1 - b.angular) + 1.0
    ridge = (jnp.sqrt(fall**2 + bend**2) - bend) / (0.55 * _LENGTH)
    axis = b.rise + b.tilt * (s - 0.4) + b.arch * (0.45 - 1.35 * ridge) + 0.35 * f.low * side
    thick = smooth_step(start - 0.03, start + 0.26, s)
    thick = b.head + (1 - b.head) * thick
    thick *= b.tail + (1 - b.tail) * smooth_step(end + 0.02, b.peak - 0.22, s)
    half = 0.5 * b.thick * thick
    t = r.brow_across - axis
    # Edges fray, the upper one more; noise moves them by less than the width of the edge.
    fray = 0.35 * b.soft * f.mid + 0.25 * b.soft * f.fine
    upper = jax.nn.sigmoid((half - t + fray) / (0.34 * b.soft))
    lower = jax.nn.sigmoid((half + t - fray) / (0.26 * b.soft))
    # Ends are not cut straight: the inner one is round, and lower inside than outside.
    slope = 0.025 * f.mid + 0.05 * t / jnp.maximum(b.thick, 1.0)
    corner = 0.045 * jnp.square(t / jnp.maximum(half, 0.5))
    inner = smooth_step(start - 0.06, start + 0.13, s + slope - jnp.minimum(corner, 0.1))
    outer = smooth_step(end + 0.03, end - 0.10, s + slope)
    body = upper * lower * inner * outer
    density = body * (1 - b.sparse_head * smooth_step(start + 0.30, start, s))
    density *= 1 - b.sparse_tail * smooth_step(0.5, 0.95, s)
    density *= 1 - b.gaps * smooth_step(0.2, 1.2, f.mid_2)
    near = jnp.exp(-0.5 * jnp.square(jnp.maximum(jnp.abs(t) - half, 0) / 3.5))
    near *= smooth_step(start - 0.12, start + 0.05, s) * smooth_step(end + 0.15, end - 0.05, s)
    between = smooth_step(start + 0.05, start - 0.15, s) * jnp.exp(-jnp.square((t + 1) / 5.0))
    density = b.density * density + b.strays * near + b.bridge * between
    density = jnp.minimum(density, 1 / BROW_BED.spacing**2)
    return BrowMaps(b, s, t / jnp.maximum(half, 0.5), body, density)


def brow_strands(
    maps: BrowMaps, roots: Roots, growth: HairGrowth, fields: SkinFields, grey: jax.Array
) -> Bundle:
    """The hairs of the brows.

    Args:
        maps: Of `map_brows`.
        roots: Where hairs grow.
        growth: Directions of growth.
        fields: Shared noise.
        grey: Share of grey hairs.
    """
    size = maps.body.shape[0]
    b = maps.shape
    looked_up = [maps.along, maps.across, maps.body, growth.brow_u, growth.brow_v]
    looked_up += [fields.mid, fields.mid_2, fields.fine]
    s, t, body, u, v, mid, mid_2, fine = sample_maps(looked_up, roots.place)
    d = roots.traits
    side = jnp.where(u > 0, 1.0, -1.0)
    # Hairs stand up at the inner end and soon lie down along the brow; those above and
    # below it lean towards its middle.
    behind = jnp.maximum(s - b.start + 0.15, 0.0)
    standing = 1.75 * jnp.exp(-4.2 * behind**1.6)
    standing += b.upright - 0.34 * jnp.clip(t, -1.2, 1.2) * smooth_step(0.08, 0.3, s - b.start)
    scatter = (d[:, 0] + d[:, 1] - 1) * 2.2
    standing += b.unruly * (scatter + 0.8 * mid + 0.5 * fine)
    axis = jnp.arctan2(v, jnp.abs(u))
    up = axis - standing  # v points down.
    angle = jnp.where(side > 0, up, jnp.pi - up)
    # They curve over to the tail.
    bend = side * (0.25 + 0.35 * jnp.clip(standing, 0, 1.5) + 0.6 * (d[:, 2] - 0.5) + 0.2 * mid_2)
    short = 0.62 + 0.38 * smooth_step(0.0, 0.25, s - b.start) * smooth_step(1.15, 0.6, s)
    length = b.long * short * (0.5 + 0.65 * d[:, 3]) * (0.65 + 0.35 * body)
    is_fine = d[:, 4] < 0.18 + 0.3 * (1 - body)  # Some are down.
    strands = Strands(
        x=roots.place[:, 0],
        y=roots.place[:, 1],
        right=roots.scale[:, 0],
        down=roots.scale[:, 1],
        angle=angle,
        bend=bend,
        length=jnp.clip(length, 1.2, _LONGEST_BROW_HAIR),
        width=b.wide * (0.75 + 0.5 * d[:, 5]) * jnp.where(is_fine, 0.5, 1.0) * roots.grows,
        taper=jnp.full_like(s, 0.85),
        wave=jnp.zeros_like(s),
        turns=jnp.zeros_like(s),
        tone=0.55 * (d[:, 5] - 0.5) + 0.4 * is_fine,
        grey=share_grey(grey, d[:, 6], 0.35),
        rank=d[:, 7],
    )
    per_hair = max(4, round(_LONGEST_BROW_HAIR * size / MILLIMETRES_PER_UV))
    return Bundle(strands, BROW_BED.number * per_hair, per_hair)


def brow_shade(maps: BrowMaps, soft_depth: jax.Array, fields: SkinFields) -> jax.Array:
    """Optical depth (R, R) of fine hairs, shade and powder under the hairs.

    Args:
        maps: Of `map_brows`.
        soft_depth: (R, R) optical depth of the drawn hairs, blurred.
        fields: Shared noise.
    """
    b = maps.shape
    powder = maps.body * (1 - 0.6 * smooth_step(b.start + 0.2, b.start, maps.along))
    return b.shadow * soft_depth + b.filled * powder * (0.8 + 0.1 * fields.fine)


class LashMaps(NamedTuple):
    """One person's lashes."""

    numbers: jax.Array  # (7,) uniform random numbers.
    mascara: jax.Array  # 1 where it is worn.
    density: jax.Array  # (R, R) lashes per square millimetre.
    line: jax.Array  # (R, R) optical depth of the dark line of the roots.


def map_lashes(
    key: jax.Array, person: Person, r: Regions, g: HairGrowth, fine_hair: jax.Array
) -> LashMaps:
    """Where lashes grow: along the margins of the lids."""
    texel = MILLIMETRES_PER_UV / r.eye_distance.shape[0]
    u = jax.random.uniform(key, (7,))
    worn = (1 - person.male) * (u[0] < 0.4)
    is_upper = g.lash_v < 0
    upper_density = 2.6 * (0.6 + 0.5 * u[1])
    lower_density = 1.3 * (0.3 + 0.8 * u[2])
    # None grow at the tear duct.
    inner = g.lash_u * jnp.sign(g.outward)
    bare = smooth_step(-0.95, -0.6, inner) * smooth_step(0.99, 0.9, inner)
    density = jnp.where(is_upper, upper_density, lower_density) * bare
    density *= smooth_step(0.75, 0.35, jnp.abs(r.eye_distance))
    # The line of the roots is thinner than a texel: wider and fainter on coarse maps.
    width = 0.35 + 0.25 * u[5]
    seen = jnp.sqrt(width**2 + 0.3 * texel**2)
    strength = jnp.where(is_upper, 0.5 + 0.5 * u[6] + 1.1 * worn, 0.12 + 0.25 * u[6] + 0.4 * worn)
    line = strength * (1 - 0.35 * fine_hair) * width / seen
    line = line * bare * jnp.exp(-jnp.square(r.eye_distance / seen))
    return LashMaps(u, worn, density, line)


def lash_strands(
    maps: LashMaps, roots: Roots, regions: Regions, growth: HairGrowth, fine_hair: jax.Array
) -> Bundle:
    """Eyelashes, from the lid margins outwards."""
    u, worn = maps.numbers, maps.mascara
    looked_up = [growth.lash_u, growth.lash_v, growth.outward, regions.eye_distance]
    du, dv, outward, depth = sample_maps(looked_up, roots.place)
    d = roots.traits
    norm = jnp.sqrt(du**2 + dv**2 + 1e-6)
    upper = dv < 0
    length = jnp.where(upper, 5.0 + 4.0 * u[3] ** 1.5 + 1.5 * worn, 2.6 + 1.8 * u[4] + 0.5 * worn)
    outer = smooth_step(-0.6, 0.8, du * jnp.sign(outward))
    # Lashes fan: to the nose at the inner end of the lid, to the ear at the outer one.
    angle = jnp.arctan2(dv, 1.3 * du) + 0.30 * (d[:, 0] + d[:, 1] - 1)
    bend = -jnp.sign(du) * jnp.where(upper, 1, -1) * (0.5 * d[:, 2])
    strands = Strands(
        x=roots.place[:, 0] + depth * du / norm,
        y=roots.place[:, 1] + depth * dv / norm,
        right=roots.scale[:, 0],
        down=roots.scale[:, 1],
        angle=angle,
        bend=bend,
        length=jnp.minimum(length * (0.45 + 0.55 * d[:, 3]) * (0.6 + 0.5 * outer), _LONGEST_LASH),
        width=(0.075 + 0.06 * worn) * (1 - 0.3 * fine_hair) * (0.7 + 0.6 * d[:, 4]) * roots.grows,
        taper=jnp.full_like(du, 0.9),
        wave=jnp.zeros_like(du),
        turns=jnp.zeros_like(du),
        tone=0.3 * (d[:, 5] - 0.5),
        grey=jnp.zeros_like(du),
        rank=d[:, 5],
    )
    per_hair = max(4, round(_LONGEST_LASH * maps.density.shape[0] / MILLIMETRES_PER_UV))
    return Bundle(strands, LASH_BED.number * per_hair, per_hair)

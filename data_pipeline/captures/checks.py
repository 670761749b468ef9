"""Statistics that tell a map read the wrong way: normals by geometry, colours by skin.

Skin: linear sRGB of cheeks by group, means of 2,511 spectra of the ISSA collection (CC BY 4.0)
without their surface reflection; and two darker tones of `relightify_jax.skin.optics`.
"""

import itertools
import pathlib
from typing import NamedTuple

import numpy as np

from data_pipeline.captures.facts import Facts
from data_pipeline.captures.images import Picture
from relightify_jax.core.errors import InputError

_CHEEKS = np.array([
    [0.430, 0.237, 0.177], [0.408, 0.233, 0.164], [0.466, 0.266, 0.193], [0.371, 0.211, 0.126],
    [0.369, 0.201, 0.135], [0.420, 0.215, 0.142], [0.323, 0.182, 0.108], [0.161, 0.071, 0.034],
    [0.095, 0.035, 0.019], [0.052, 0.021, 0.014],
])  # fmt: skip
# Deviations within a group of ln R, ln R/G and ln G/B, rounded up.
_SPREAD = np.array([0.35, 0.12, 0.18])
_CLEAR = 0.5  # Deviations by which another reading has to be nearer to skin.
_ODD = 5.0  # Deviations from all groups beyond which no reading is skin.

_LENGTH = (0.75, 1.25)  # Of decoded normals, median.
_STRAY, _STRAY_SHARE = 0.35, 0.2  # Off unit length by more, and of how many pixels.
_FITS = 30.0  # Degrees, median: normals of the surface under them, or of a flat map.
# Another reading is preferred where its angle is less than this share, and not just alike.
_RIVAL, _ALIKE = 0.7, 2.0
FLIP_GREEN = np.array([1.0, -1.0, 1.0])
_CURL = 0.15  # Correlation from which on the sign of green is clear.


class Bearing(NamedTuple):
    """What a normal map looks like, in degrees and as a correlation."""

    to_surface: float  # Median angle to the mesh's normals, read in object space.
    to_flipped: float  # The same with green turned round.
    to_flat: float  # Median angle to +Z, as tangent space has it.
    axes: tuple[str, ...]  # In which the map, read in object space, is nearest to the mesh.
    to_axes: float  # Median angle then.


def check_sizes(pictures: dict[str, Picture]) -> tuple[int, int]:
    """Height and width that all maps of a capture share.

    Raises:
        InputError: If they differ.
    """
    sizes = {kind: picture.values.shape[:2] for kind, picture in pictures.items()}
    (first, size), *others = sizes.items()
    for kind, other in others:
        if other != size:
            raise InputError(
                "its maps differ in size: {} is {}x{} and {} is {}x{} pixels; scale them to one "
                "size.".format(first, *size[::-1], kind, *other[::-1])
            )
    return size


def decode_normals(path: pathlib.Path, picture: Picture, known: np.ndarray) -> np.ndarray:
    """Vectors (H, W, 3) of a normal map, not normalised.

    Args:
        path: Of the map.
        picture: Stored as (n + 1) / 2; float files may hold n itself.
        known: (H, W) bool, where the map says something.

    Raises:
        InputError: If they are no unit vectors.
    """
    values = picture.values
    if picture.bits < 32 or values.min() >= 0:
        values = 2 * values - 1
    length = np.linalg.norm(values[known], axis=-1)
    median, stray = float(np.median(length)), float(np.mean(np.abs(length - 1) > _STRAY))
    if not _LENGTH[0] < median < _LENGTH[1] or stray > _STRAY_SHARE:
        raise InputError(
            f"{path} holds no unit normals: their median length is {median:.2f} and {stray:.0%} "
            "are far from 1; store x, y and z as (n + 1) / 2, without gamma."
        )
    return values


def read_bearing(vectors: np.ndarray, surface: np.ndarray, to_ours: np.ndarray) -> Bearing:
    """Compares normals with the surface that they belong to.

    Args:
        vectors: (N, 3) as stored.
        surface: (N, 3) unit normals of the mesh there, our axes.
        to_ours: (3, 3) from the axes of the file, as stated, to ours.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)
    # The mean of the outer products scores every frame at once.
    moment = surface.T @ unit / len(unit)
    frames = [
        frame
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1.0, -1.0), repeat=3)
        if np.linalg.det(frame := np.eye(3)[list(order)] * np.array(signs)[:, None]) > 0
    ]
    best = max(frames, key=lambda frame: float((moment * frame).sum()))
    axes = tuple(
        f"{'+' if row.sum() > 0 else '-'}{'XYZ'[int(np.argmax(np.abs(row)))]}" for row in best
    )
    return Bearing(
        _median_angle(unit @ to_ours.T, surface),
        _median_angle(unit * FLIP_GREEN @ to_ours.T, surface),
        _median_angle(unit, np.array([0.0, 0.0, 1.0])),
        axes,
        _median_angle(unit @ best.T, surface),
    )


def check_space(path: pathlib.Path, facts: Facts, bearing: Bearing) -> str:
    """Whether normals are of "object" or "tangent" space.

    Args:
        path: Of the map.
        facts: What was declared.
        bearing: From `read_bearing`, green turned as declared.

    Raises:
        InputError: If what was declared contradicts the numbers, or nothing fits.
    """
    declared = facts.normal_space
    angles = {"object": bearing.to_surface, "tangent": bearing.to_flat}
    if facts.normal_green == "detect":
        angles["object"] = min(bearing.to_surface, bearing.to_flipped)
    best = min(angles, key=angles.__getitem__)
    chosen = best if declared == "detect" else declared
    # Where the surface itself is flat all readings fit; then the declaration stands.
    rivals = [*angles.values(), bearing.to_flipped if chosen == "object" else np.inf]
    if angles[chosen] < _FITS and angles[chosen] < min(rivals) / _RIVAL + _ALIKE:
        return chosen
    numbers = (
        f"{bearing.to_surface:.0f} degrees from the mesh in object space and "
        f"{bearing.to_flat:.0f} from +Z in tangent space (medians)"
    )
    if chosen == "object" and angles["tangent"] < min(_FITS, bearing.to_flipped):
        remedy = 'state "normal_space": "tangent"'
    elif chosen == "tangent" and angles["object"] < _FITS:
        remedy = 'state "normal_space": "object"'
    elif bearing.to_flipped < min(_FITS, bearing.to_axes + _ALIKE):
        other = "down" if facts.normal_green == "up" else "up"
        remedy = f'they fit with green turned round: state "normal_green": "{other}"'
    elif bearing.to_axes < _FITS:
        remedy = (
            f"with other axes, {list(bearing.axes)}, they would be {bearing.to_axes:.0f} degrees "
            "from the mesh: bring them to the frame of the mesh or state the axes of both"
        )
    else:
        remedy = "check that map, mesh and UVs belong together"
    raise InputError(
        f'{path} contradicts "normal_space": "{declared}": its normals are {numbers}; {remedy}.'
    )


def check_green(path: pathlib.Path, declared: str, correlation: float) -> str:
    """Whether green of a tangent-space map points "up" or "down".

    Args:
        path: Of the map.
        declared: "up", "down" or "detect".
        correlation: From `green_correlation`, green turned as declared.

    Raises:
        InputError: If what was declared contradicts the relief.
    """
    if declared == "detect":
        return "down" if correlation < 0 else "up"
    if correlation < -_CURL:
        other = "down" if declared == "up" else "up"
        raise InputError(
            f'{path} contradicts "normal_green": "{declared}": read so, its relief is no '
            f'surface (correlation {correlation:+.2f} of crossed slopes); state "normal_green": '
            f'"{other}".'
        )
    return declared


def green_correlation(vectors: np.ndarray, known: np.ndarray) -> float:
    """Correlation of the crossed slopes of a tangent-space map; positive if green is up.

    A relief h has h_uv = h_vu: the change of the slope along u with v is that of the slope
    along v with u, whatever the stretch of the layout.

    Args:
        vectors: (H, W, 3).
        known: (H, W) bool.
    """
    z = np.where(vectors[..., 2] > 0.2, vectors[..., 2], np.inf)
    along_u, along_v = -vectors[..., 0] / z, vectors[..., 1] / z  # Slopes, v down.
    crossed_u = (along_u[2:, 1:-1] - along_u[:-2, 1:-1]).ravel()
    crossed_v = (along_v[1:-1, 2:] - along_v[1:-1, :-2]).ravel()
    inside = known[2:, 1:-1] & known[:-2, 1:-1] & known[1:-1, 2:] & known[1:-1, :-2]
    a, b = crossed_u[inside.ravel()], crossed_v[inside.ravel()]
    if not len(a):
        return 0.0
    # Steps at the border of charts are no relief.
    a, b = (np.clip(x, *np.quantile(x, [0.01, 0.99])) for x in (a, b))
    return float((a * b).mean() / max(np.sqrt((a**2).mean() * (b**2).mean()), 1e-12))


def skin_distance(linear: np.ndarray) -> float:
    """Deviations of the median of linear RGB (N, 3) from the line of skins, dark to light."""
    tone = _shade(np.maximum(np.median(linear, axis=0), 1e-4)) / _SPREAD
    groups = _shade(_CHEEKS[np.argsort(_CHEEKS[:, 0])]) / _SPREAD
    start, step = groups[:-1], np.diff(groups, axis=0)
    along = np.clip(((tone - start) * step).sum(-1) / (step**2).sum(-1), 0.0, 1.0)
    return float(np.linalg.norm(start + along[:, None] * step - tone, axis=-1).min())


def colour_warning(path: pathlib.Path, encoding: str, readings: dict[str, np.ndarray]) -> str:
    """A sentence if the colours are unlike skin, else "".

    Args:
        path: Of the diffuse albedo.
        encoding: The one stated.
        readings: Linear RGB (N, 3) of the same texels by encoding; "linear" and "srgb".
    """
    distance = {name: skin_distance(linear) for name, linear in readings.items()}
    stated = "srgb" if encoding == "gamma2.2" else encoding
    other = "linear" if stated == "srgb" else "srgb"
    median = ", ".join(f"{x:.3f}" for x in np.median(readings[stated], axis=0))
    numbers = (
        f"the median is {median} in linear RGB, {distance[stated]:.1f} deviations from measured "
        f"skin; read as {other} it would be {distance[other]:.1f}"
    )
    if distance[other] + _CLEAR < distance[stated] and distance[other] < _ODD:
        return (
            f'{path} is stated to be "{encoding}" but looks like "{other}": {numbers}. State '
            f'"diffuse_encoding": "{other}" if that is so.'
        )
    if distance[stated] > _ODD:
        return f"{path} is unlike skin: {numbers}. Look at it; a mask leaves out what is no skin."
    return ""


def _shade(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(np.log(rgb), -1, 0)
    return np.stack([red, red - green, green - blue], axis=-1)


def _median_angle(unit: np.ndarray, other: np.ndarray) -> float:
    cosine = np.clip((unit * other).sum(-1), -1.0, 1.0)
    return float(np.rad2deg(np.median(np.arccos(cosine))))

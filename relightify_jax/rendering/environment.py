"""Light measured all around: environment maps from files, and their suns.

A map is latlong, (h, w, 3) linear RGB radiance, laid out as
`lighting.latlong_directions` says. Sun and lamps are smaller than the texels of any grid
that one can afford to sum over, and brighter by thousands: they are cut out and given as
directional lights, which are exact and cast sharp shadows. Nothing is lost on the way: what
is cut plus what stays has the flux of the map.
"""

import functools
import os
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core.color import LUMINANCE
from relightify_jax.core.errors import InputError
from relightify_jax.core.numerics import einsum, matmul, normalize
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.rotations import matrix_from_axis_angle
from relightify_jax.rendering.lighting import (
    Light,
    environment_to_sh,
    latlong_directions,
    rotation_about_y,
    shade_sh,
)
from relightify_jax.rendering.texture import overlap_shares, sample_image

_HOT_PERCENTILE = 99.5
_HOT = 8.0  # Over that percentile, a texel belongs to a sun.
_SUN_RADIUS = 0.2  # Radians round the brightest texel that one sun takes in.
# Irradiance / pi of a well exposed portrait: of a face's lit side, and of its brightest spot.
_LIT_SIDE, _BRIGHTEST = 0.9, 1.6


class Environment(NamedTuple):
    """An environment map whose suns are cut out; unused suns have radiance 0."""

    radiance: jax.Array  # (h, w, 3) latlong, without the suns.
    directions: jax.Array  # (D, 3) unit, towards the suns.
    sun_radiance: jax.Array  # (D, 3) irradiance / pi on a surface facing the sun.


@functools.partial(jax.jit, static_argnames="num_suns")
def split_suns(latlong: jax.Array, num_suns: int = 4) -> Environment:
    """Cuts the brightest spots out of a map (h, w, 3).

    Texels eight times as bright as the 99.5th percentile are hot; the brightest and the hot
    ones round it are a sun, and so on. A sun takes what they have beyond the threshold.
    Hot texels that no sun takes stay as they are. Use the full resolution of the file.
    """
    grid, area = latlong_directions(*latlong.shape[:2])
    towards, solid_angle = jnp.asarray(grid), jnp.asarray(area)
    luminance = matmul(latlong, jnp.asarray(LUMINANCE))
    threshold = _HOT * jnp.percentile(luminance, _HOT_PERCENTILE)
    share = 1 - threshold / jnp.maximum(luminance, jnp.maximum(threshold, 1e-20))
    excess = latlong * share[..., None]

    def cut(heat, _):
        brightest = jnp.argmax(heat)
        center = towards.reshape(-1, 3)[brightest]
        taken = (matmul(towards, center) > np.cos(_SUN_RADIUS)) & (heat > 0)
        flux = excess * (taken * solid_angle)[..., None]
        weight = matmul(flux, jnp.asarray(LUMINANCE))
        direction = einsum("hw,hwc->c", weight, towards)
        # Where nothing is hot any more, there is no sun, but still a direction.
        direction = jnp.where(heat.max() > 0, direction / jnp.maximum(weight.max(), 1e-20), center)
        sun = normalize(direction), jnp.sum(flux, axis=(0, 1)) / np.pi
        return jnp.where(taken, 0.0, heat), sun

    hot = luminance * (share > 0)
    rest, (directions, radiance) = lax.scan(cut, hot, length=num_suns)
    is_cut = (hot > 0) & (rest == 0)
    return Environment(latlong - excess * is_cut[..., None], directions, radiance)


def shrink_environment(latlong: jax.Array, height: int, width: int) -> jax.Array:
    """The map (height, width, 3) of texels that average (h, w, 3) over their solid angles.

    Exactly flux-preserving, for any two sizes.
    """
    num_rows, num_columns = latlong.shape[:2]
    heights = (np.cos(np.linspace(np.pi, 0, num + 1)) for num in (num_rows, height))
    rows = overlap_shares(*heights)
    columns = overlap_shares(*(np.linspace(0, 1, num + 1) for num in (num_columns, width)))
    return einsum("ih,hwc,jw->ijc", jnp.asarray(rows), latlong, jnp.asarray(columns))


def environment_light(environment: Environment, order: int = 4) -> Light:
    """The `Light` of an environment: its suns, and spherical harmonics of the rest."""
    sh = environment_to_sh(environment.radiance, order)
    return Light(sh, environment.directions, environment.sun_radiance)


def turn_environment(environment: Environment, angle: jax.Array | float) -> Environment:
    """The environment carried round +Y by `angle` radians; positive turns +Z towards +X.

    The map is interpolated between columns, which keeps its flux.
    """
    width = environment.radiance.shape[1]
    shift = jnp.asarray(angle, jnp.float32) / (2 * np.pi) * width
    whole = jnp.floor(shift)
    left = (jnp.arange(width) + whole.astype(jnp.int32)) % width
    near, far = (environment.radiance[:, (left + i) % width] for i in (0, 1))
    return Environment(
        radiance=near + (shift - whole) * (far - near),
        directions=matmul(environment.directions, rotation_about_y(angle).T),
        sun_radiance=environment.sun_radiance,
    )


def look_up(latlong: jax.Array, directions: jax.Array) -> jax.Array:
    """Radiance (..., 3) of a map (h, w, 3) seen along `directions` (..., 3), bilinear."""
    height, width = latlong.shape[:2]
    x, y, z = jnp.moveaxis(normalize(directions), -1, 0)
    column = (0.5 + jnp.arctan2(x, -z) / (2 * np.pi)) * width - 0.5
    row = jnp.arccos(jnp.clip(y, -1.0, 1.0)) / np.pi * height - 0.5
    # A column more on either side, so that the map closes round the back.
    closed = jnp.pad(latlong, ((0, 0), (1, 1), (0, 0)), mode="wrap")
    return sample_image(closed, jnp.stack([column + 1.5, row + 0.5], axis=-1))


def backdrop(latlong: jax.Array, camera: Camera, *, height: int, width: int) -> jax.Array:
    """The map as `camera` sees it behind the head: (height, width, 3)."""
    columns, rows = jnp.meshgrid(jnp.arange(width) + 0.5, jnp.arange(height) + 0.5)
    right = (columns - camera.center[0]) / camera.focal
    up = (camera.center[1] - rows) / camera.focal
    rays = jnp.stack([right, up, -jnp.ones_like(up)], axis=-1)
    return look_up(latlong, matmul(rays, matrix_from_axis_angle(camera.rotation)))


def skin_exposure(light: Light) -> jax.Array:
    """Factor () that exposes a face under `light` as a portrait; see `scale_light`.

    The scale of an environment map is arbitrary. Of the normals that a viewer in front
    sees, the 80th percentile gets what the lit side gets under `named_lights`, unless
    that burns out the brightest.
    """
    normals = jnp.asarray(latlong_directions(16, 32)[0]).reshape(-1, 3)
    cosine = jnp.maximum(matmul(normals, light.directions.T), 0.0)
    received = jnp.maximum(shade_sh(normals, light.sh), 0.0) + matmul(cosine, light.radiance)
    luminance = matmul(received, jnp.asarray(LUMINANCE))
    seen = jnp.where(normals[:, 2] > 0.3, luminance, jnp.nan)
    needed = jnp.maximum(jnp.nanpercentile(seen, 80) / _LIT_SIDE, jnp.nanmax(seen) / _BRIGHTEST)
    return 1 / jnp.maximum(needed, 1e-9)


def read_environment(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a latlong environment map from a Radiance .hdr or an OpenEXR .exr file.

    Returns:
        (H, W, 3) float32 linear RGB radiance of arbitrary scale, top row up.

    Raises:
        InputError: If there is no such file, it is damaged, of another layout, or its
            values are no radiance.
    """
    path = pathlib.Path(path)
    readers = {".hdr": _read_hdr, ".pic": _read_hdr, ".exr": _read_exr}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path} is neither .hdr nor .exr; give an environment map.")
    if not path.is_file():
        raise InputError(f"{path} does not exist; give an environment map (.hdr or .exr).")
    pixels = readers[path.suffix.lower()](path)
    height, width = pixels.shape[:2]
    if height < 4 or abs(width - 2 * height) > 0.05 * width:
        raise InputError(
            f"{path} is {width} x {height} pixels; give a latlong (equirectangular) map, "
            "which is twice as wide as high."
        )
    if not np.all(np.isfinite(pixels)) or pixels.min() < 0:
        raise InputError(f"{path} has negative or infinite pixels; export it as radiance.")
    if pixels.max() <= 0:
        raise InputError(f"{path} is black all over; give a map with light in it.")
    return pixels


def _read_hdr(path: pathlib.Path) -> np.ndarray:
    """Radiance RGBE (Ward, "Real pixels", 1991): flat or run-length encoded rows."""
    data = path.read_bytes()
    header, _, rest = data.partition(b"\n\n")
    size_line, _, body = rest.partition(b"\n")
    if not header.startswith(b"#?"):
        raise InputError(f"{path} is no Radiance .hdr file; its first line should begin with #?.")
    fields = [line.partition(b"=") for line in header.split(b"\n")]
    if any(key == b"FORMAT" and value != b"32-bit_rle_rgbe" for key, _, value in fields):
        raise InputError(f"{path} is not in RGB (32-bit_rle_rgbe); convert it.")
    words = size_line.split()
    if len(words) != 4 or words[0] not in (b"-Y", b"+Y") or words[2] not in (b"-X", b"+X"):
        raise InputError(
            f"{path} is stored in the order {size_line[:40].decode('latin1')!r}; "
            "convert it to rows from the top (-Y height +X width)."
        )
    try:
        height, width = int(words[1]), int(words[3])
        exposure = np.prod([float(value) for key, _, value in fields if key == b"EXPOSURE"])
        rgbe = _decode_rows(np.frombuffer(body, np.uint8), height, width)
    except (ValueError, IndexError):
        raise InputError(f"{path} is damaged or cut short; get the file again.") from None
    scale = np.ldexp(1.0, rgbe[..., 3:].astype(np.int32) - 136) / exposure
    pixels = (rgbe[..., :3] * scale).astype(np.float32)
    return pixels[:: 1 if words[0] == b"-Y" else -1, :: 1 if words[2] == b"+X" else -1]


def _decode_rows(data: np.ndarray, height: int, width: int) -> np.ndarray:
    """RGBE (height, width, 4) uint8; ValueError or IndexError if `data` is too short."""
    start = np.array([2, 2, width >> 8, width & 255])
    if not (8 <= width < 32768 and height > 0 and np.array_equal(data[:4], start)):
        if len(data) != 4 * width * height:
            raise ValueError("neither flat nor run-length encoded by channel")
        return data.reshape(height, width, 4)
    rows = np.empty((height, 4, width), np.uint8)
    place = 0
    for row in rows:
        if not np.array_equal(data[place : place + 4], start):
            raise ValueError("a row does not begin with its width")
        place += 4
        for channel in row:
            x = 0
            while x < width:
                count = int(data[place])
                if count > 128:  # A run of one value, else as many values as they are.
                    count -= 128
                    channel[x : x + count] = data[place + 1]
                    place += 2
                else:
                    channel[x : x + count] = data[place + 1 : place + 1 + count]
                    place += 1 + count
                if count == 0 or x + count > width:
                    raise ValueError("a run does not fit its row")
                x += count
    return rows.transpose(0, 2, 1)


def _read_exr(path: pathlib.Path) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError:
        raise InputError(
            f"Reading {path} takes the package OpenEXR; install it (pip install OpenEXR) "
            "or convert the map to .hdr."
        ) from None
    try:
        with OpenEXR.File(os.fspath(path)) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
    except Exception as error:  # The library raises its own, undocumented.
        raise InputError(f"{path} cannot be read as OpenEXR ({error}).") from None
    for name in ("RGB", "RGBA"):
        if name in channels:
            return np.asarray(channels[name][..., :3], np.float32)
    raise InputError(f"{path} has the channels {', '.join(channels)}; it takes R, G and B.")

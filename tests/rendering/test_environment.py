"""Environment maps: files, suns, sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.geometry.camera import Camera, project
from relightify_jax.rendering import environment
from relightify_jax.rendering.lighting import latlong_directions, named_lights, rotation_about_y

HEIGHT, WIDTH = 32, 64
GRID, AREA = latlong_directions(HEIGHT, WIDTH)


turn_environment = jax.jit(environment.turn_environment)
look_up = jax.jit(environment.look_up)
skin_exposure = jax.jit(environment.skin_exposure)
environment_light = jax.jit(environment.environment_light, static_argnames="order")


def flux(latlong):
    _, area = latlong_directions(*latlong.shape[:2])
    return np.sum(np.asarray(latlong, np.float64) * area[..., None], axis=(0, 1))


def sky(*suns, seed=0):
    """A smooth random map with texels (row, column) that are 1000 times as bright."""
    rng = np.random.default_rng(seed)
    latlong = 0.5 + 0.3 * np.sin(GRID @ rng.normal(size=(3, 3)))
    for row, column in suns:
        latlong[row, column] = 1000 * np.array([1.0, 0.8, 0.5])
    return latlong.astype(np.float32)


def test_suns_are_found_and_flux_is_kept_per_channel():
    latlong = sky((8, 10), (20, 50))
    split = environment.split_suns(jnp.asarray(latlong), num_suns=4)
    lit = np.asarray(split.sun_radiance)[:, 0] > 0
    assert lit.tolist() == [True, True, False, False]
    expected = [GRID[20, 50], GRID[8, 10]]  # The lower one covers more of the sky.
    found = np.asarray(split.directions)
    best = np.max(found[:2] @ np.array(expected).T, axis=0)
    np.testing.assert_allclose(best, 1.0, atol=1e-6)
    total = flux(split.radiance) + np.pi * np.asarray(split.sun_radiance, np.float64).sum(0)
    np.testing.assert_allclose(total, flux(latlong), rtol=1e-6)
    assert split.radiance.max() < 10 and split.radiance.min() >= 0
    # Where there is no sun, nothing changed.
    dim = latlong.max(-1) < 100
    np.testing.assert_array_equal(np.asarray(split.radiance)[dim], latlong[dim])


def test_a_sun_of_several_texels_is_one_and_its_direction_their_mean():
    latlong = sky((16, 30), (16, 31))
    split = environment.split_suns(jnp.asarray(latlong), num_suns=2)
    middle = GRID[16, 30] + GRID[16, 31]
    np.testing.assert_allclose(split.directions[0], middle / np.linalg.norm(middle), atol=1e-5)
    assert not np.any(split.sun_radiance[1])


def test_what_does_not_fit_the_number_of_suns_stays():
    latlong = sky((8, 10), (16, 30), (20, 50))
    split = environment.split_suns(jnp.asarray(latlong), num_suns=2)
    total = flux(split.radiance) + np.pi * np.asarray(split.sun_radiance, np.float64).sum(0)
    np.testing.assert_allclose(total, flux(latlong), rtol=1e-6)
    assert np.sum(np.asarray(split.radiance).max(-1) > 900) == 1


@pytest.mark.parametrize("latlong", [sky(), np.full((8, 16, 3), 0.3, np.float32)])
def test_a_map_without_suns_stays_as_it_is(latlong):
    split = environment.split_suns(jnp.asarray(latlong))
    np.testing.assert_array_equal(split.radiance, latlong)
    assert not np.any(split.sun_radiance)
    np.testing.assert_allclose(np.linalg.norm(split.directions, axis=-1), 1.0, atol=1e-6)


def test_splitting_compiles_once():
    before = environment.split_suns._cache_size()
    for seed in (1, 2):
        environment.split_suns(jnp.asarray(sky((9, 9), seed=seed)), num_suns=3)
    assert environment.split_suns._cache_size() == before + 1


@pytest.mark.parametrize("size", [(8, 16), (7, 13), (32, 64), (40, 90)])
def test_resizing_keeps_the_flux_and_the_light_from_every_side(size):
    latlong = jnp.asarray(sky((8, 10)))
    small = environment.shrink_environment(latlong, *size)
    assert small.shape == (*size, 3)
    np.testing.assert_allclose(flux(small), flux(latlong), rtol=1e-5)
    if size == (HEIGHT, WIDTH):
        np.testing.assert_allclose(small, latlong, rtol=1e-4, atol=1e-5)
    flat = environment.shrink_environment(jnp.full((9, 20, 3), 0.7), *size)
    np.testing.assert_allclose(flat, 0.7, rtol=1e-5)


def test_turning_carries_map_and_suns_like_a_rotation():
    split = environment.split_suns(jnp.asarray(sky((12, 40))))
    for angle in (2 * np.pi * 5 / WIDTH, -1.234):
        turned = turn_environment(split, angle)
        rotation = rotation_about_y(angle)
        np.testing.assert_allclose(turned.directions[0], rotation @ split.directions[0], atol=1e-6)
        expected = look_up(split.radiance, jnp.asarray(GRID) @ rotation)
        np.testing.assert_allclose(turned.radiance, expected, atol=2e-3)
        np.testing.assert_allclose(flux(turned.radiance), flux(split.radiance), rtol=1e-5)


def test_looking_up_the_texels_own_directions_returns_the_map():
    latlong = jnp.asarray(sky())
    np.testing.assert_allclose(look_up(latlong, 3 * jnp.asarray(GRID)), latlong, atol=1e-4)


def test_backdrop_shows_what_lies_behind_each_pixel():
    camera = Camera(
        jnp.float32(20.0), jnp.array([8.0, 6.0]), jnp.array([0.1, 0.7, 0.0]), jnp.zeros(3)
    )
    # A map that holds its own directions: each pixel shows its ray.
    backdrop = jax.jit(environment.backdrop, static_argnames=("height", "width"))
    picture = np.asarray(backdrop(jnp.asarray(GRID), camera, height=12, width=16))
    rays, _ = project(camera, 5 * jnp.asarray(picture))
    columns, rows = np.meshgrid(np.arange(16) + 0.5, np.arange(12) + 0.5)
    np.testing.assert_allclose(rays, np.stack([columns, rows], -1), atol=0.1)


def test_light_of_an_environment_and_its_exposure():
    split = environment.split_suns(jnp.asarray(sky((8, 50))))
    light = environment_light(split, order=3)
    assert light.sh.shape == (16, 3)
    np.testing.assert_array_equal(light.radiance, split.sun_radiance)
    for factor in (0.01, 1.0, 50.0):
        scaled = environment_light(
            split._replace(
                radiance=factor * split.radiance, sun_radiance=factor * split.sun_radiance
            )
        )
        gain = float(skin_exposure(scaled)) * factor
        np.testing.assert_allclose(gain, skin_exposure(environment_light(split)), rtol=1e-4)
    # The presets were exposed by eye.
    for name in ("studio", "window left", "overcast", "golden hour", "flat"):
        assert 0.5 < skin_exposure(named_lights()[name]) < 2, name


# ---- files ----------------------------------------------------------------------------


def rgbe(latlong):
    """Radiance's shared-exponent bytes (H, W, 4), and the values that they stand for."""
    _, exponent = np.frexp(latlong.max(-1))
    mantissa = np.floor(latlong * np.ldexp(1.0, 8 - exponent)[..., None])
    stored = np.concatenate([mantissa, (exponent + 128)[..., None]], -1).astype(np.uint8)
    return stored, mantissa * np.ldexp(1.0, exponent - 8)[..., None]


def encode(stored):
    """Run-length encoding of new Radiance rows."""
    out = bytearray()
    for row in stored:
        out += bytes([2, 2, stored.shape[1] >> 8, stored.shape[1] & 255])
        for channel in row.T:
            x = 0
            while x < len(channel):
                run = 1
                while x + run < len(channel) and run < 127 and channel[x + run] == channel[x]:
                    run += 1
                out += bytes([128 + run, channel[x]]) if run > 2 else bytes([1, channel[x]])
                x += run if run > 2 else 1
    return bytes(out)


HEADER = b"#?RADIANCE\n# made here\nFORMAT=32-bit_rle_rgbe\n\n"


def write_hdr(path, latlong, *, packed=True, header=HEADER, order=b"-Y %d +X %d\n"):
    stored, values = rgbe(latlong)
    body = encode(stored) if packed else stored.tobytes()
    path.write_bytes(header + order % latlong.shape[:2] + body)
    return values


@pytest.mark.parametrize("packed", [True, False])
def test_an_hdr_file_is_read_as_it_was_written(tmp_path, packed):
    latlong = sky((3, 5))
    latlong[:, 10:40] = 0.25  # Long runs.
    values = write_hdr(tmp_path / "sky.hdr", latlong, packed=packed)
    read = environment.read_environment(tmp_path / "sky.hdr")
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, values, rtol=1e-6)


def test_exposure_and_flips_of_the_header_are_undone(tmp_path):
    path = tmp_path / "sky.hdr"
    header = b"#?RGBE\nEXPOSURE=2\nEXPOSURE=4\nFORMAT=32-bit_rle_rgbe\n\n"
    values = write_hdr(path, sky(), header=header, order=b"+Y %d -X %d\n")
    np.testing.assert_allclose(
        environment.read_environment(path), values[::-1, ::-1] / 8, rtol=1e-6
    )


def test_an_exr_file_is_read_as_it_was_written(tmp_path):
    exr = pytest.importorskip("OpenEXR")
    pixels = sky()
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(header, {"RGB": pixels}).write(str(tmp_path / "sky.exr"))
    np.testing.assert_array_equal(environment.read_environment(tmp_path / "sky.exr"), pixels)
    exr.File(header, {"Y": pixels[..., 0]}).write(str(tmp_path / "grey.exr"))
    with pytest.raises(InputError, match="channels Y"):
        environment.read_environment(tmp_path / "grey.exr")
    pixels[0, 0] = -1
    exr.File(header, {"RGB": pixels}).write(str(tmp_path / "bad.exr"))
    with pytest.raises(InputError, match="negative"):
        environment.read_environment(tmp_path / "bad.exr")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sky.hdr", {"order": b"+X %d +Y %d\n"}, "order"),
        ("sky.hdr", {"order": b"%d by %d\n"}, "order"),
        ("sky.hdr", {"order": b"-Y %d +X %dx\n"}, "damaged"),
        ("sky.hdr", {"header": HEADER[2:]}, "#?"),
        ("sky.hdr", {"header": HEADER.replace(b"rgbe", b"xyze")}, "RGB"),
        ("sky.hdr", {"header": b"#?RADIANCE\n"}, "order"),
        ("sky.png", {}, "neither"),
    ],
)
def test_a_file_that_is_no_map_is_explained(tmp_path, name, options, message):
    write_hdr(tmp_path / name, sky(), **options)
    with pytest.raises(InputError, match=message) as caught:
        environment.read_environment(tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("keep", [0, 40, 70, 400, -1])
def test_a_file_that_was_cut_short_is_explained(tmp_path, keep, packed):
    path = tmp_path / "sky.hdr"
    write_hdr(path, sky(), packed=packed)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="sky.hdr"):
        environment.read_environment(path)


def test_a_damaged_run_is_explained(tmp_path):
    path = tmp_path / "sky.hdr"
    write_hdr(path, sky())
    data = bytearray(path.read_bytes())
    start = data.index(b"+X 64\n") + 6
    for value in (0, 255):  # No values at all; more than the row holds.
        data[start + 4] = value
        path.write_bytes(bytes(data))
        with pytest.raises(InputError, match="damaged"):
            environment.read_environment(path)


def test_maps_of_another_shape_or_without_light_are_refused(tmp_path):
    path = tmp_path / "square.hdr"
    write_hdr(path, sky()[:, :40])
    with pytest.raises(InputError, match="40 x 32.*twice as wide"):
        environment.read_environment(path)
    path.write_bytes(HEADER + b"-Y 8 +X 16\n" + bytes(8 * 16 * 4))
    with pytest.raises(InputError, match="black"):
        environment.read_environment(path)
    with pytest.raises(InputError, match="does not exist"):
        environment.read_environment(tmp_path / "none.hdr")


def test_real_maps_are_read(shared_assets):
    cv2 = pytest.importorskip("cv2")
    path = shared_assets / "hdri" / "park.hdr"
    ours = environment.read_environment(path)
    theirs = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    split = environment.split_suns(jnp.asarray(ours))
    total = flux(split.radiance) + np.pi * np.asarray(split.sun_radiance, np.float64).sum(0)
    np.testing.assert_allclose(total, flux(ours), rtol=1e-5)
    brightest = np.unravel_index(np.argmax(ours.sum(-1)), ours.shape[:2])
    sun = latlong_directions(*ours.shape[:2])[0][brightest]
    assert np.asarray(split.directions[0]) @ sun > np.cos(np.radians(2))
    assert jax.tree.all(jax.tree.map(lambda x: bool(np.isfinite(x).all()), split))

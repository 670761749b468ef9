import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from relightify_jax.core import photo
from relightify_jax.core.color import linear_from_srgb
from relightify_jax.core.errors import InputError

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
# Smooth, so that JPEG and resizing change it little.
RAMP = np.stack(np.broadcast_arrays(*np.ogrid[0:240:48j, 0:200:64j], 80), -1).astype(np.uint8)


def linear(coded):
    return np.asarray(linear_from_srgb(np.asarray(coded, np.float32) / 255))


def save(path, pixels, mode=None, **options):
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


def png_bytes(width, height, depth=8, color_type=2, body=b""):
    def chunk(name, data):
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "gif", "webp", "ppm", "jp2"])
def test_lossless_formats_load_exactly(tmp_path, suffix):
    pixels = COLORS if suffix != "gif" else (COLORS[:4, :8] // 64) * 64
    options = {"lossless": True} if suffix == "webp" else {}
    loaded = photo.load_photo(save(tmp_path / f"a.{suffix}", pixels, **options))
    np.testing.assert_allclose(loaded.linear, linear(pixels), atol=1e-6)
    assert loaded.linear.dtype == np.float32
    assert loaded.notes == ()


def test_8_bit_pixels_survive_linear_and_back():
    steps = np.arange(256)
    np.testing.assert_array_equal(photo.srgb_bytes_from_linear(linear(steps)), steps)
    np.testing.assert_array_equal(photo.srgb_bytes_from_linear(np.array([-1.0, 2.0])), [0, 255])


def test_digest_is_of_the_file(tmp_path):
    path = save(tmp_path / "a.png", COLORS)
    loaded = photo.load_photo(path)
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.path == str(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    # What a viewer has to do to the stored rows to show them upright (EXIF 2.3, table 6).
    upright = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
        8: lambda x: np.rot90(x),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    path = save(tmp_path / "a.png", COLORS, exif=exif)
    loaded = photo.load_photo(path)
    np.testing.assert_allclose(loaded.linear, linear(upright(COLORS)), atol=1e-6)
    assert loaded.notes == ()


def test_turned_and_reduced_photo_reports_the_upright_size(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = save(tmp_path / "a.jpg", np.zeros((40, 100, 3), np.uint8), exif=exif)
    loaded = photo.load_photo(path, max_side=50)
    assert loaded.linear.shape == (50, 20, 3)
    assert "downscaled from 40x100 to 20x50 pixels" in loaded.notes


def test_broken_exif_does_not_lose_the_photo(tmp_path):
    path = tmp_path / "a.jpg"
    save(path, RAMP, quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    np.testing.assert_allclose(photo.load_photo(path).linear, linear(RAMP), atol=0.05)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16", "I", "F"])
def test_grey_pictures_have_three_equal_channels(tmp_path, mode):
    ramp = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (4, 1))
    if mode == "1":
        ramp = np.where(ramp > 127, np.uint8(255), np.uint8(0))
    if mode in ("I;16", "I"):
        picture = Image.fromarray(ramp.astype(np.uint16) * 257)
        picture = picture.convert("I") if mode == "I" else picture
    elif mode == "F":
        picture = Image.fromarray(linear(ramp))
    else:
        picture = Image.fromarray(ramp).convert(mode)
    path = tmp_path / ("a.tiff" if mode in ("F", "I") else "a.png")
    picture.save(path)
    loaded = photo.load_photo(path)
    np.testing.assert_allclose(loaded.linear, linear(ramp)[..., None].repeat(3, -1), atol=1e-5)
    assert any("grey" in note for note in loaded.notes)


def test_colour_is_not_called_grey(tmp_path):
    assert photo.load_photo(save(tmp_path / "a.jpg", RAMP)).notes == ()


def test_16_bit_colour_loads(tmp_path):
    values = RNG.integers(0, 65536, (5, 7, 3)).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in values)
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(7, 5, depth=16, body=body))
    loaded = photo.load_photo(path)
    np.testing.assert_allclose(loaded.linear, linear(values / 257.0), atol=0.01)


def test_transparent_parts_become_white(tmp_path):
    rgba = np.dstack([COLORS, np.full(COLORS.shape[:2], 255, np.uint8)])
    rgba[:12, :, 3] = 0
    loaded = photo.load_photo(save(tmp_path / "a.png", rgba))
    np.testing.assert_allclose(loaded.linear[:12], 1.0)
    np.testing.assert_allclose(loaded.linear[12:], linear(COLORS[12:]), atol=1e-6)
    assert any("transparent" in note for note in loaded.notes)


def test_opaque_alpha_and_palettes_change_nothing(tmp_path):
    opaque = np.dstack([COLORS, np.full(COLORS.shape[:2], 255, np.uint8)])
    np.testing.assert_allclose(
        photo.load_photo(save(tmp_path / "a.png", opaque)).linear, linear(COLORS), atol=1e-6
    )
    few = (COLORS // 128) * 255
    palette = Image.fromarray(few).quantize(8)
    palette.save(tmp_path / "p.png")
    loaded = photo.load_photo(tmp_path / "p.png")
    np.testing.assert_allclose(loaded.linear, linear(palette.convert("RGB")), atol=1e-6)
    assert loaded.notes == ()


def test_transparent_palette_colour_becomes_white(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([200, 0, 0, 0, 200, 0])
    picture.save(tmp_path / "p.png", transparency=0)
    loaded = photo.load_photo(tmp_path / "p.png")
    np.testing.assert_allclose(loaded.linear[0], linear([[255, 255, 255], [0, 200, 0]]), atol=1e-6)


def test_cmyk_loads_with_a_warning(tmp_path):
    loaded = photo.load_photo(save(tmp_path / "a.jpg", RAMP, mode="CMYK", quality=95))
    np.testing.assert_allclose(loaded.linear, linear(RAMP), atol=0.05)
    assert any("CMYK" in note for note in loaded.notes)


def icc_profile(colorants, name=b"Test RGB"):
    """A minimal ICC version 2 matrix profile with gamma 2.2 (ICC.1:2001-04)."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def xyz(values):
        return b"XYZ \0\0\0\0" + fixed(values)

    text = struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(4 + 4 + 2 + 1 + 67)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + text,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
    }
    for channel, values in zip("rgb", colorants, strict=True):
        tags[channel.encode() + b"XYZ"] = xyz(values)
        tags[channel.encode() + b"TRC"] = curve
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data
    header = struct.pack(">I4xI", offset + len(body), 0x02100000) + b"mntrRGB XYZ "
    header += bytes(12) + b"acsp" + bytes(28) + fixed((0.9642, 1.0, 0.8249))
    return header + bytes(128 - len(header)) + table + body


# sRGB's primaries, adapted to D50.
RED, GREEN, BLUE = (0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)


def test_colour_profile_is_converted(tmp_path):
    # In a profile whose red is sRGB's green, the channels change places.
    profile = icc_profile((GREEN, RED, BLUE))
    path = save(tmp_path / "a.png", RAMP, icc_profile=profile)
    loaded = photo.load_photo(path)
    np.testing.assert_allclose(loaded.linear, linear(RAMP)[..., [1, 0, 2]], atol=0.02)
    assert any("Test RGB" in note for note in loaded.notes)


def test_srgb_profile_changes_nothing(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    loaded = photo.load_photo(save(tmp_path / "a.png", COLORS, icc_profile=profile))
    np.testing.assert_allclose(loaded.linear, linear(COLORS), atol=1e-6)
    assert loaded.notes == ()


def test_unusable_profile_is_reported(tmp_path):
    loaded = photo.load_photo(save(tmp_path / "a.png", COLORS, icc_profile=b"no profile"))
    np.testing.assert_allclose(loaded.linear, linear(COLORS), atol=1e-6)
    assert any("profile cannot be used" in note for note in loaded.notes)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    loaded = photo.load_photo(tmp_path / "a.gif")
    np.testing.assert_allclose(loaded.linear[0, 0], [1, 0, 0], atol=1e-6)
    assert "first of 2 pictures in the file" in loaded.notes


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("size", [(90, 120), (900, 1200)])
def test_large_photo_keeps_its_mean_light(tmp_path, suffix, size):
    # Fine stripes: a mean of sRGB steps instead of light would be a fifth, not a half.
    stripes = np.where(np.indices(size)[1] // 4 % 2 > 0, 255, 0).astype(np.uint8)
    pixels = stripes[..., None].repeat(3, -1)
    path = save(tmp_path / f"a.{suffix}", pixels, **({"quality": 95} if suffix == "jpg" else {}))
    loaded = photo.load_photo(path, max_side=60)
    assert loaded.linear.shape == (45, 60, 3)
    if size == (90, 120):
        np.testing.assert_allclose(loaded.linear.mean(), 0.5, atol=0.02)
    assert loaded.linear.min() >= 0 and loaded.linear.max() <= 1
    assert any(note.startswith(f"downscaled from {size[1]}x{size[0]}") for note in loaded.notes)


def test_a_strip_keeps_a_pixel_of_width(tmp_path):
    path = save(tmp_path / "a.png", np.zeros((1000, 1, 3), np.uint8))
    assert photo.load_photo(path, max_side=100).linear.shape == (100, 1, 3)


def heic_bytes():
    return b"\0\0\0\x18ftypheic" + bytes(64)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"hello, I am text", "not an image"),
        (bytes(1000), "not an image"),
        (b"%PDF-1.4 and so on", "not an image"),
        (heic_bytes(), "HEIC"),
        (b"\xff\xd8\xff\xe0 only the start", "."),
        (png_bytes(20000, 20000), "400 million pixels; scale it down below 200 million"),
        (png_bytes(0, 5), "."),
        (png_bytes(10, 10, body=b"\0" * 7), "damaged or cut off"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        photo.load_photo(path)
    text = str(caught.value)
    assert str(path) in text and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tiff"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, suffix, fraction):
    noise = RNG.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    data = save(tmp_path / f"a.{suffix}", noise).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(InputError):
        photo.load_photo(path)


def test_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        photo.load_photo(tmp_path)


def test_opening_leaves_pillows_own_guard_alone(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    photo.load_photo(save(tmp_path / "a.png", COLORS))
    assert Image.MAX_IMAGE_PIXELS == before


@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_saved_bytes_are_the_numbers_or_their_srgb_code(tmp_path, suffix, channels):
    values = np.linspace(0, 1, 6 * 7 * channels, dtype=np.float32).reshape(6, 7, channels)
    raw, coded = tmp_path / f"raw.{suffix}", tmp_path / f"coded.{suffix}"
    photo.save_image(raw, values, srgb=False)
    photo.save_image(coded, values, srgb=True)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]

    def read(path):
        pixels = np.asarray(Image.open(path).convert(mode))
        return pixels.reshape(6, 7, channels)

    # Alpha 0 lets WebP forget the colour; none here is 0 but the first pixel's.
    np.testing.assert_array_equal(read(raw)[1:], np.rint(values * 255)[1:])
    color = slice(0, min(channels, 3))
    np.testing.assert_allclose(linear(read(coded))[1:, :, color], values[1:, :, color], atol=0.005)
    if channels == 4:
        np.testing.assert_array_equal(read(coded)[..., 3], np.rint(values[..., 3] * 255))


def test_jpeg_is_close_and_values_outside_are_clipped(tmp_path):
    photo.save_image(tmp_path / "a.jpg", linear(RAMP) * 1.0, srgb=True)
    np.testing.assert_allclose(
        np.asarray(Image.open(tmp_path / "a.jpg"), int), RAMP.astype(int), atol=6
    )
    photo.save_image(tmp_path / "b.png", np.array([[-1.0, 0.5, 9.0]]), srgb=False)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), [[0, 128, 255]])


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("a.txt", np.zeros((2, 2, 3))),
        ("a.jpg", np.zeros((2, 2, 4))),
        ("a.png", np.zeros((2, 2, 2))),
        ("a.png", np.zeros((0, 2, 3))),
        ("a.png", np.full((2, 2, 3), np.nan)),
    ],
)
def test_what_cannot_be_saved_leaves_no_file(tmp_path, name, picture):
    with pytest.raises(ValueError, match="Cannot write"):
        photo.save_image(tmp_path / name, picture, srgb=True)
    assert list(tmp_path.iterdir()) == []


def test_save_then_load_returns_the_light(tmp_path):
    values = RNG.uniform(size=(20, 30, 3)).astype(np.float32)
    photo.save_image(tmp_path / "a.png", values, srgb=True)
    np.testing.assert_allclose(photo.load_photo(tmp_path / "a.png").linear, values, atol=0.005)


def test_reading_needs_no_file_name_suffix(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(COLORS).save(buffer, "PNG")
    (tmp_path / "photo").write_bytes(buffer.getvalue())
    np.testing.assert_allclose(
        photo.load_photo(tmp_path / "photo").linear, linear(COLORS), atol=1e-6
    )

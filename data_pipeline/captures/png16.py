"""PNG files of sixteen bits per channel, which Pillow cuts down to eight.

Portable Network Graphics, third edition (W3C 2025), sections 5, 9 and 10. The filters make a
pixel depend on its left, upper and upper left neighbours, so a whole diagonal of the picture
is decoded at once.
"""

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # By colour type: grey, RGB, grey and alpha, RGBA.
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)


def is_png16(data: bytes) -> bool:
    """Whether a file's bytes begin as a PNG of sixteen bits per channel does."""
    return data.startswith(_SIGNATURE) and len(data) > 25 and data[24] == 16


def decode_png16(data: bytes) -> np.ndarray:
    """Pixels (H, W, C) uint16 of a PNG; C is 1 (grey), 2 (with alpha), 3 (RGB) or 4.

    Raises:
        ValueError: If the file is damaged, or interlaced.
    """
    header, packed = _read_chunks(data)
    width, height, depth, colour, _, _, interlace = header
    if depth != 16 or colour not in _CHANNELS or not width or not height:
        raise ValueError(f"{width}x{height} pixels of colour type {colour}, {depth} bits")
    if interlace:
        raise ValueError("it is interlaced, which is not read at sixteen bits")
    stride = 2 * _CHANNELS[colour]
    size = height * (1 + width * stride)
    unpacked = zlib.decompressobj().decompress(packed, size)
    if len(unpacked) != size:
        raise ValueError(f"it ends after {len(unpacked)} of {size} bytes of pixels")
    rows = np.frombuffer(unpacked, np.uint8).reshape(height, -1)
    pixels = _unfilter(rows[:, 0], rows[:, 1:].reshape(height, width, stride))
    return pixels.view(">u2").astype(np.uint16)


def _read_chunks(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """The fields of the header, and all compressed pixels."""
    place, header, packed = len(_SIGNATURE), None, []
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind = data[place + 4 : place + 8]
        body = data[place + 8 : place + 8 + length]
        checksum = data[place + 8 + length : place + 12 + length]
        if checksum != struct.pack(">I", zlib.crc32(kind + body)):
            raise ValueError("a checksum is wrong, or the file is cut off")
        if kind == b"IHDR" and length == 13:
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed.append(body)
        elif kind == b"IEND":
            break
        place += 12 + length
    if header is None or not packed:
        raise ValueError("it has no header or no pixels")
    return header, b"".join(packed)


def _unfilter(filters: np.ndarray, coded: np.ndarray) -> np.ndarray:
    """Undoes the filters (H,) of the rows of `coded` (H, W, bytes per pixel) uint8."""
    height, width, stride = coded.shape
    if filters.max() > _PAETH:
        raise ValueError(f"a row has the unknown filter {filters.max()}")
    if filters.max() == _NONE:
        return np.ascontiguousarray(coded)
    pixels = np.empty_like(coded)
    kind = np.pad(filters, (1, 0))[:, None]
    # Entry y + 1 of a diagonal is its pixel in row y; entry 0 is the row above the picture.
    last = np.zeros((height + 1, stride), np.int16)
    before_last = np.zeros_like(last)
    for diagonal in range(height + width - 1):
        first, end = max(0, diagonal - width + 1), min(height, diagonal + 1)
        here, above = slice(first + 1, end + 1), slice(first, end)
        y = np.arange(first, end)
        value = coded[y, diagonal - y] + _predict(
            kind[here], last[here], last[above], before_last[above]
        )
        value &= 255
        pixels[y, diagonal - y] = value
        current = np.zeros_like(last)
        current[here] = value
        last, before_last = current, last
    return pixels


def _predict(kind: np.ndarray, left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """What filters (n, 1) add to pixels with the given neighbours (n, bytes), int16."""
    by_left, by_up, by_corner = (
        np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner),
    )  # fmt: skip
    nearest_up = np.where(by_up <= by_corner, up, corner)
    paeth = np.where((by_left <= by_up) & (by_left <= by_corner), left, nearest_up)
    zero = np.zeros_like(left)
    return np.select(
        [kind == _SUB, kind == _UP, kind == _AVERAGE, kind == _PAETH],
        [left, up, (left + up) >> 1, paeth],
        zero,
    )

"""Synthetic captures: the embedded head with known maps, in a UV layout that is not ours."""

import functools
import json
import struct
import zlib

import numpy as np
from PIL import Image

from relightify_jax.face_models.surfaces import vertex_normals
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.geometry.uv_atlas import build_uv_atlas

FACTS = {
    "licence": "CC0",
    "uv_layout": "mesh",
    "diffuse_encoding": "linear",
    "specular_encoding": "linear",
    "normal_space": "object",
}


@functools.cache
def face_mesh():
    """The face part of the embedded mean: points (V, 3), triangles, canonical uv, uv triangles."""
    model = load_embedded_model()
    own = np.asarray(model.face_part) == PARTS.index("face")
    used, triangles = np.unique(np.asarray(model.faces)[own], return_inverse=True)
    kept, uv_triangles = np.unique(np.asarray(model.uv_faces)[own], return_inverse=True)
    return (
        np.asarray(model.mean, np.float64)[used],
        triangles.reshape(-1, 3),
        np.asarray(model.uv, np.float64)[kept],
        uv_triangles.reshape(-1, 3),
    )


def person(code):
    """Points (V, 3) of the face of a head with identity coefficients."""
    model = load_embedded_model()
    own = np.asarray(model.face_part) == PARTS.index("face")
    used = np.unique(np.asarray(model.faces)[own])
    modes = np.asarray(model.identity, np.float64)[: len(code), used]
    return np.asarray(model.mean, np.float64)[used] + np.tensordot(code, modes, 1)


def warp(uv):
    """A layout turned by a right angle, shrunk and bent; without mirroring."""
    u, v = uv.T
    return np.stack([0.12 + 0.72 * (1 - v) + 0.05 * np.sin(3 * u), 0.1 + 0.75 * u + 0.04 * v], -1)


def albedo_of(uv):
    """Smooth linear RGB (..., 3) of canonical coordinates, skin in the mean."""
    u, v = uv[..., 0], uv[..., 1]
    tone = 1 + 0.25 * np.sin(7 * u) * np.cos(6 * v)
    return np.stack([0.43 * tone, 0.24 * tone, 0.17 + 0.06 * np.sin(5 * u)], -1)


def grey_of(uv, low, high):
    """Smooth values (..., 1) between two of canonical coordinates."""
    wave = 0.5 + 0.5 * np.sin(5 * uv[..., :1] + 1) * np.cos(4 * uv[..., 1:])
    return low + (high - low) * wave


def paint(uv, uv_triangles, values, triangles, size):
    """Rasterizes values (N, C) at corners `triangles` into a layout, (S, S, C); 0 elsewhere."""
    atlas = build_uv_atlas(uv, uv_triangles, size, gutter=1, max_overlap=0.05)
    face, bary = np.asarray(atlas.face), np.asarray(atlas.bary)
    painted = (values[triangles[np.maximum(face, 0)]] * bary[..., None]).sum(-2)
    return np.where((face >= 0)[..., None], painted, 0.0)


def source_maps(points, size, layout=warp):
    """Maps of a head in the layout `layout`: coded linearly, object normals, position.

    Returns:
        Canonical coordinates (S, S, 2) of the pixels, and a dictionary of maps.
    """
    _, triangles, uv, uv_triangles = face_mesh()
    there = layout(uv)
    place = paint(there, uv_triangles, uv, uv_triangles, size)
    normals = paint(there, uv_triangles, vertex_normals(points, triangles), triangles, size)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    inside = (place.sum(-1, keepdims=True) > 0).astype(float)
    return place, {
        "diffuse_albedo": albedo_of(place) * inside,
        "specular_albedo": grey_of(place, 0.2, 0.6) * inside,
        "roughness": grey_of(place, 0.3, 0.7) * inside,
        "normals": (normals + 1) / 2 * inside,
    }


def canonical_place(size):
    """Coordinates (R, R, 2) of the texels of our layout."""
    ticks = (np.arange(size) + 0.5) / size
    return np.stack(np.meshgrid(ticks, ticks), -1)


def save_png(path, values, bits=16):
    """Writes values (H, W, C) in [0, 1] as PNG of 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.clip(values, 0, 1)
    if bits == 8:
        pixels = np.rint(values * 255).astype(np.uint8)
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
    else:
        path.write_bytes(png16_bytes(np.rint(values * 65535).astype(np.uint16)))


def png16_bytes(pixels, filters=(0,)):
    """A PNG of pixels (H, W, C) uint16 whose rows take turns with some filters."""
    height, width, channels = pixels.shape
    raw = np.ascontiguousarray(pixels.astype(">u2")).view(np.uint8).reshape(height, width, -1)
    raw = np.pad(raw.astype(int), ((1, 0), (1, 0), (0, 0)))
    left, up, corner, here = raw[1:, :-1], raw[:-1, 1:], raw[:-1, :-1], raw[1:, 1:]
    estimate = left + up - corner
    distance = [abs(estimate - other) for other in (left, up, corner)]
    paeth = np.choose(np.argmin(distance, axis=0), [left, up, corner])
    guesses = [0 * here, left, up, (left + up) // 2, paeth]
    rows = b""
    for y in range(height):
        kind = filters[y % len(filters)]
        rows += bytes([kind]) + ((here - guesses[kind])[y] % 256).astype(np.uint8).tobytes()
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def write_obj(path, points, triangles, uv, uv_triangles):
    """Writes an OBJ, v up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["v {:.7f} {:.7f} {:.7f}".format(*point) for point in points.tolist()]
    lines += [f"vt {u:.7f} {1 - v:.7f}" for u, v in uv.tolist()]
    corners = (np.stack([triangles, uv_triangles], -1) + 1).reshape(-1, 6).tolist()
    lines += ["f {}/{} {}/{} {}/{}".format(*corner) for corner in corners]
    path.write_text("\n".join(lines) + "\n")


def write_template(folder, layout=warp, scale=1.0):
    """template.obj and its twin with canonical coordinates."""
    points, triangles, uv, uv_triangles = face_mesh()
    write_obj(folder / "template.obj", points * scale, triangles, layout(uv), uv_triangles)
    write_obj(folder / "template_canonical.obj", points * scale, triangles, uv, uv_triangles)


def write_facts(folder, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "capture.json").write_text(json.dumps(facts))


def write_maps(folder, maps, bits=16, names=None):
    for kind, values in maps.items():
        save_png(folder / f"{(names or {}).get(kind, kind)}.png", values, bits)

"""The result as one web page: a head to turn and relight, offline, without other people's code.

The page holds the GLB once (base64), the pictures once, its style and script. A content
security policy forbids everything else, so that a photo never leaves the machine. Its
settings live in the URL hash (e.g. `#view=diffuse&light=studio&laz=40&ui=0`) and its state
as JSON in the element `status`, which lets a headless browser check it.
"""

import base64
import hashlib
import html
import io
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from relightify_jax.core.files import atomic_path
from relightify_jax.geometry.camera import Camera
from relightify_jax.geometry.rotations import matrix_from_axis_angle
from relightify_jax.rendering.lighting import Light

_SCRIPTS = ("math.js", "glb.js", "lights.js", "scene.js", "gestures.js", "page.js")
_SHADERS = ("skin.vert", "skin.frag", "shadow.vert", "shadow.frag")

# Caption and one line about where it comes from, of pictures that callers may give.
_PAIR = {
    "photo": ("Photo", "The input."),
    "render": ("Re-render", "The inferred head under the light estimated from the photo."),
    "overlay": ("Fit", "The fitted mesh over the photo."),
}
_MAPS = {
    "texture_observed": ("Observed texture", "Taken from the photo; black was not seen."),
    "confidence": ("Confidence", "How well the photo shows each place."),
    "mask": ("Mask", "White was taken from the photo, black was completed."),
    "texture": ("Completed texture", "The prior filled in what the photo does not show."),
}
# Part and kind of a picture inside the GLB.
_GLB_MAPS = {
    "skin_face/base": ("Diffuse albedo", "Inferred; sRGB."),
    "skin_face/specular": ("Specular albedo", "Inferred; reflectance is 0.08 of it."),
    "skin_face/normal": ("Normals", "Inferred; tangent space, +Y up."),
    "skin_head/base": ("Rest of the head", "Procedural: continues the face."),
}


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    glb_bytes: bytes,
    images: Mapping[str, bytes],
    run: Mapping[str, Any],
    lights: Mapping[str, Light],
    camera: Camera | None = None,
    image_size: tuple[int, int] | None = None,
    subtitle: str = "",
) -> None:
    """Writes the interactive page, one self-contained HTML file.

    Args:
        path: Usually `index.html`.
        title: Heading, plain text.
        glb_bytes: From `write_glb`.
        images: PNG, WebP or JPEG files by name. `photo` and `render` are compared;
            `texture`, `texture_observed`, `mask` and `confidence` (in the UV layout of the
            face) become views of the head; others are shown by their name. What the GLB
            holds (diffuse, specular, normals) need not be given.
        run: Facts for the last section; nested mappings become groups.
        lights: Presets in the frame of the GLB, the first one is chosen at the start. A
            preset named "photo" is labelled as the light of the photo.
        camera: The camera of the picture `photo`, seen from the frame of the GLB. With it
            the head can be relit inside the photo.
        image_size: (height, width) in `camera`'s pixels of the picture `photo`, whose own
            resolution may differ.
        subtitle: One line below the title.

    Raises:
        ValueError: If there is no light, an image is of an unknown kind, or `camera` comes
            without `image_size` or with one of another shape than the photo's.
    """
    if not lights:
        raise ValueError("The page needs at least one light.")
    if camera is not None:
        _check_camera_picture(image_size, images.get("photo"))
    presets = {name: _light_data(name, light) for name, light in lights.items()}
    seen_from = None if camera is None else _camera_data(camera, image_size)
    data = {
        "filename": "head.glb",
        "light": next(iter(lights)),
        "lights": presets,
        "camera": seen_from,
    }
    script, style = _script(), _asset("style.css")
    fields = {
        "policy": _content_policy(script, style),
        "title": html.escape(title),
        "subtitle": html.escape(subtitle),
        "style": style,
        "script": script,
        "data": _script_json(data),
        "glb": base64.b64encode(glb_bytes).decode(),
        "sections": _sections(images, run),
    }
    with atomic_path(path) as partial:
        partial.write_text(_fill(_asset("index.html"), fields), encoding="utf-8")


def _fill(template: str, fields: Mapping[str, str]) -> str:
    """Replaces {{name}} in one pass, so that braces in the content are never taken for fields."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], template)


def _check_camera_picture(image_size: tuple[int, int] | None, photo: bytes | None) -> None:
    if image_size is None or photo is None:
        raise ValueError("A camera needs its image_size (height, width) and the picture 'photo'.")
    width, height = Image.open(io.BytesIO(photo)).size
    if abs(height / width * image_size[1] / image_size[0] - 1.0) > 0.02:
        raise ValueError(
            f"The picture 'photo' has {height}x{width} pixels, the camera's image "
            f"{image_size[0]}x{image_size[1]}: give the camera of that very picture."
        )


def _script() -> str:
    """The shaders as strings, and the script files, as one script."""
    shaders = _script_json({name: _asset(name) for name in _SHADERS})
    return "\n".join(["'use strict';", f"const SHADERS = {shaders};", *map(_asset, _SCRIPTS)])


def _asset(name: str) -> str:
    folder = resources.files("relightify_jax") / "assets" / "page"
    return (folder / name).read_text(encoding="utf-8")


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element it is put in."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _content_policy(script: str, style: str) -> str:
    """Only this very script and style, and pictures from inside the page."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; script-src 'sha256-{digest(script)}'; "
        f"style-src 'sha256-{digest(style)}'; img-src data: blob:; connect-src 'none'; "
        "base-uri 'none'; form-action 'none'"
    )


def _rounded(values: Any, digits: int = 6) -> list:
    return np.round(np.asarray(values, np.float64), digits).tolist()


def _light_data(name: str, light: Light) -> dict[str, Any]:
    return {
        "label": "As in the photo" if name == "photo" else name.replace("_", " ").capitalize(),
        "sh": _rounded(light.sh),
        "directions": _rounded(light.directions),
        "radiance": _rounded(light.radiance),
    }


def _camera_data(camera: Camera, image_size: tuple[int, int] | None) -> dict[str, Any]:
    height, width = image_size or (0, 0)
    return {
        "rotation": _rounded(matrix_from_axis_angle(camera.rotation).reshape(-1), 8),
        "translation": _rounded(camera.translation, 8),
        "focal": float(camera.focal),
        "center": _rounded(camera.center),
        "width": int(width),
        "height": int(height),
    }


def _sections(images: Mapping[str, bytes], run: Mapping[str, Any]) -> str:
    """The lower half of the page."""
    pair = [_figure(name, images[name], *_PAIR[name]) for name in _PAIR if name in images]
    maps = [_figure(name, images[name], *_MAPS[name]) for name in _MAPS if name in images]
    maps += [_glb_figure(source, *text) for source, text in _GLB_MAPS.items()]
    others = [name for name in images if name not in _PAIR and name not in _MAPS]
    rest = [_figure(name, images[name], name.replace("_", " ").capitalize(), "") for name in others]
    blocks = [
        ("Photo and re-render", "pair", pair),
        ("Maps", "maps", maps),
        ("More", "pair", rest),
        ("About this result", "facts", [_facts(run)]),
    ]
    return "\n".join(
        f'<section><h2>{heading}</h2><div class="{kind}">{"".join(content)}</div></section>'
        for heading, kind, content in blocks
        if "".join(content)
    )


def _figure(name: str, data: bytes, caption: str, source: str) -> str:
    url = f"data:{_media_type(name, data)};base64,{base64.b64encode(data).decode()}"
    return _figure_html(f'src="{url}" data-picture="{html.escape(name)}"', caption, source)


def _glb_figure(place: str, caption: str, source: str) -> str:
    return _figure_html(f'data-glb="{place}"', caption, source)


def _figure_html(attributes: str, caption: str, source: str) -> str:
    caption = html.escape(caption)
    return (
        f'<figure class="map"><button type="button" aria-label="Enlarge: {caption}">'
        f'<img {attributes} alt="{caption}"></button>'
        f"<figcaption><b>{caption}</b> {html.escape(source)}</figcaption></figure>"
    )


def _media_type(name: str, data: bytes) -> str:
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    raise ValueError(f"Image {name!r} is neither PNG, WebP nor JPEG.")


def _facts(run: Mapping[str, Any]) -> str:
    """Definition lists: one per nested mapping, the plain values together first."""
    plain = {key: value for key, value in run.items() if not isinstance(value, Mapping)}
    groups: list[tuple[str, Mapping[str, Any]]] = [("Run", plain)] if plain else []
    groups += [(key, value) for key, value in run.items() if isinstance(value, Mapping)]
    lists = []
    for heading, values in groups:
        rows = "".join(
            f"<dt>{html.escape(_words(key))}</dt><dd>{html.escape(_text(value))}</dd>"
            for key, value in values.items()
        )
        lists.append(f"<div><h3>{html.escape(_words(heading))}</h3><dl>{rows}</dl></div>")
    return "".join(lists)


def _words(key: str) -> str:
    text = str(key).replace("_", " ")
    return text[:1].upper() + text[1:]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(k)}: {_text(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return str(value)

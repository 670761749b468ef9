"""Writes what one photo became: GLB, maps, pictures and the interactive page."""

import io
import pathlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from PIL import Image
from tqdm import tqdm

from relightify_jax.core.photo import Photo, save_image, srgb_bytes_from_linear
from relightify_jax.export.glb import write_glb
from relightify_jax.export.head import Head, dress_head
from relightify_jax.export.maps import write_maps
from relightify_jax.export.report import write_report
from relightify_jax.export.turntable import contact_strip, side_by_side, write_animation
from relightify_jax.export.views import Studio, head_assets, light_from_sh
from relightify_jax.fitting.crop import Crop, camera_in_crop, crop_around, cut_image
from relightify_jax.fitting.overlay import draw_fit_overlay
from relightify_jax.pipeline import RelightableFace, Resources
from relightify_jax.rendering.lighting import Light, named_lights
from relightify_jax.rendering.renderer import head_mesh, render_texture

STRIP_LIGHTS = ("studio", "window left", "golden hour", "overcast", "neon", "top", "rim")
TURNTABLE_LIGHT = "studio"
_PORTRAIT_MARGIN = 1.9  # Side of the portrait window over that of the landmarks' box.


def write_results(
    folder: pathlib.Path,
    photo: Photo,
    resources: Resources,
    face: RelightableFace,
    settings: ConfigDict,
    facts: Mapping[str, Any],
    stage: Callable[[str], AbstractContextManager[None]],
) -> None:
    """Writes all results of one face.

    Args:
        folder: Empty folder to fill.
        photo: The photo.
        resources: What the face was made with.
        face: The reconstructed face.
        settings: `config.render`.
        facts: Shown on the page.
        stage: Names the stages for the user.
    """
    with stage("export"):
        head = dress_head(
            resources.model,
            face.fit.points,
            face.fit.neutral_points,
            face.maps,
            resources.atlas,
            occlusion=np.asarray(face.occlusion),
            looks=face.looks,
        )
        glb = write_glb(
            folder / "head.glb",
            head.parts,
            head.materials,
            copyright=f"Face model: {resources.model.name}, {resources.model.licence}",
        )
        write_maps(folder / "maps", map_images(face, head))
    with stage("render"):
        pictures = _write_pictures(folder / "renders", photo, resources, face, head, settings)
    with stage("page"):
        light = light_from_sh(face.light, named_lights()[TURNTABLE_LIGHT].directions.shape[0])
        crop = _portrait_window(face, settings)
        write_report(
            folder / "index.html",
            title=pathlib.Path(photo.path).stem.replace("_", " "),
            glb_bytes=glb,
            images=pictures | _page_maps(face),
            run=facts,
            lights={"photo": light, **named_lights()},
            camera=camera_in_crop(face.fit.camera, crop),
            image_size=(crop.size, crop.size),
        )


def _portrait_window(face: RelightableFace, settings: ConfigDict) -> Crop:
    """The square of the photo around the face that pictures and page show."""
    points = np.asarray(face.landmarks.points)[:, :2]
    return crop_around(points, _PORTRAIT_MARGIN, settings.size)


def map_images(face: RelightableFace, head: Head) -> dict[str, np.ndarray]:
    """Every UV map by file name; linear, normals in tangent space as the GLB has them."""
    skin = head.materials["face"]
    return {
        "texture": np.asarray(face.maps.texture),
        "texture_observed": np.asarray(face.observation.texture * face.observation.mask),
        "mask": np.asarray(face.observation.mask),
        "confidence": np.asarray(face.observation.confidence),
        "diffuse_albedo": np.asarray(skin.base_color),
        "specular_albedo": np.asarray(skin.specular),
        "normals": np.asarray(skin.normals),
    }


def _write_pictures(
    folder: pathlib.Path,
    photo: Photo,
    resources: Resources,
    face: RelightableFace,
    head: Head,
    settings: ConfigDict,
) -> dict[str, bytes]:
    """Writes `renders/` and returns the pictures of the page as WebP files by name."""
    studio = Studio(head_mesh(resources.model), head_assets(head), face.fit.points, face.occlusion)
    lights = named_lights()
    size = settings.size
    crop = _portrait_window(face, settings)
    portrait, _ = cut_image(photo.linear, crop)
    overlay = draw_fit_overlay(photo.linear, face.fit, resources.model, crop)
    light = light_from_sh(face.light, lights[TURNTABLE_LIGHT].directions.shape[0])
    inserted, alone = _rerender(studio, face, light, crop, portrait)

    save_image(folder / "fit_overlay.png", overlay, srgb=True)
    save_image(folder / "rerender.png", side_by_side(portrait, inserted, alone), srgb=True)
    relit = studio.relit({name: lights[name] for name in STRIP_LIGHTS}, size // 2)
    save_image(folder / "relit.png", contact_strip(relit), srgb=True)
    frames = studio.turntable(
        lights[TURNTABLE_LIGHT], settings.turntable_size, settings.turntable_frames
    )
    progress = tqdm(frames, "  turntable", settings.turntable_frames, leave=False)
    write_animation(folder / "turntable.webp", np.stack(list(progress)), fps=10)
    return {
        "photo": _webp(portrait),
        "render": _webp(inserted),
        "overlay": _webp(overlay),
    }


def _rerender(
    studio: Studio, face: RelightableFace, light: Light, crop: Crop, portrait: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The face re-rendered inside its photo, and the head alone: (S, S, 3) each."""
    camera = camera_in_crop(face.fit.camera, crop)
    rendering = studio.render(camera, light, crop.size, crop.size)
    # What the photo did not show, such as skin below hair, does not belong into it.
    weight = render_texture(
        studio.mesh,
        face.observation.confidence,
        studio.points,
        camera,
        height=crop.size,
        width=crop.size,
    )
    cover = np.clip(2 * np.asarray(weight.image), 0.0, 1.0)
    return portrait * (1 - cover) + rendering[..., :3] * cover, rendering[..., :3]


def _page_maps(face: RelightableFace) -> dict[str, bytes]:
    """The maps that are not in the GLB, as WebP files."""
    observed = face.observation.texture * face.observation.mask
    return {
        "texture": _webp(face.maps.texture),
        "texture_observed": _webp(observed),
        "confidence": _webp(face.observation.confidence, srgb=False),
        "mask": _webp(face.observation.mask, srgb=False),
    }


def _webp(image: Any, *, srgb: bool = True) -> bytes:
    """A picture (H, W, C) in [0, 1] as the bytes of a small WebP file."""
    image = np.asarray(image, np.float32)
    coded = srgb_bytes_from_linear(image) if srgb else np.rint(np.clip(image, 0, 1) * 255)
    coded = np.broadcast_to(coded.astype(np.uint8), (*image.shape[:2], 3))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(coded)).save(buffer, format="WEBP", quality=90)
    return buffer.getvalue()

"""Pictures of a whole head: the face with its maps, the other parts with plain materials.

Everything is shaded in the model's frame, where the light stays while the camera moves;
`lighting.rotate_light` turns the light. Edges are smoothed by drawing `samples` times as
large and averaging. The output is linear RGB.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import normalize
from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.geometry.camera import (
    Camera,
    camera_position,
    check_camera,
    project,
    scale_image,
)
from relightify_jax.geometry.mesh import object_from_tangent, vertex_normals, vertex_tangents
from relightify_jax.geometry.morphable_model import PARTS
from relightify_jax.rendering.area_lights import LampSamples, lamp_visibility, shade_lamps
from relightify_jax.rendering.brdf import ONE_LOBE, Lobes
from relightify_jax.rendering.interpolate import Fragments, compute_fragments, interpolate
from relightify_jax.rendering.lighting import Light
from relightify_jax.rendering.occlusion import cast_shadows, receive_light, shadowed_irradiance
from relightify_jax.rendering.rasterize import check_faces, rasterize
from relightify_jax.rendering.shading import SKIN_ROUGHNESS, SKIN_SCATTER, shade
from relightify_jax.rendering.texture import (
    Packed,
    pack_textures,
    sample_packed,
    sample_texture,
)

# Which texture each of `PARTS` wears, and its material where no map says otherwise.
_TILE_OF_PART = (0, 1, 2, 2, 3)
_SPECULAR_OF_TILE = (None, SKIN_SPECULAR_ALBEDO, 0.31, 0.4)  # The cornea's index is 1.376.
_ROUGHNESS_OF_TILE = (SKIN_ROUGHNESS, 0.5, 0.2, 0.35)
_SCATTER_OF_TILE = (SKIN_SCATTER, SKIN_SCATTER, (0.05, 0.03, 0.02), SKIN_SCATTER)


T = TypeVar("T")


class HeadMesh(NamedTuple):
    """The triangles of a head; fields as in `MorphableModel`."""

    faces: jax.Array  # (F, 3) int32 into the vertices.
    uv: jax.Array  # (T, 2), v down.
    uv_faces: jax.Array  # (F, 3) int32 into `uv`.
    face_part: jax.Array  # (F,) int32 into `PARTS`.


class HeadAssets(NamedTuple):
    """What a head wears; linear, sides of the textures are free."""

    face_diffuse: jax.Array  # (R, R, 3) albedo.
    face_specular: jax.Array  # (R, R, 1), F0 = 0.08 times it.
    face_normal: jax.Array  # (R, R, 3) unit, tangent space (glTF: +X right, +Y up).
    head_diffuse: jax.Array  # (r, r, 3).
    eye_diffuse: jax.Array  # (r, r, 3), for both eyes.
    mouth_diffuse: jax.Array  # (r, r, 3).


class Rendering(NamedTuple):
    """A picture."""

    image: jax.Array  # (H, W, C) over the background.
    alpha: jax.Array  # (H, W, 1), share of the pixel that is covered.


class Surface(NamedTuple):
    """What is seen at each pixel; zeros at background."""

    fragments: Fragments
    part: jax.Array  # (H, W) int32 into `PARTS`, -1 at background.
    uv: jax.Array  # (H, W, 2) within the tile of the part.
    position: jax.Array  # (H, W, 3) model space, metres.
    normals: jax.Array  # (H, W, 3) unit, of the smoothed geometry.
    tangents: jax.Array  # (H, W, 4), see `mesh.vertex_tangents`.


def head_mesh(model: Any) -> HeadMesh:
    """The mesh of a `MorphableModel`, or of anything with the same fields."""
    return HeadMesh(model.faces, model.uv, model.uv_faces, model.face_part)


def plain_assets(
    skin: tuple[float, float, float] = (0.45, 0.28, 0.21), size: int = 4
) -> HeadAssets:
    """Assets of one skin colour, e.g. to look at a shape; `size` is that of the face's maps."""
    fill = lambda color, side: jnp.broadcast_to(jnp.array(color, jnp.float32), (side, side, 3))  # noqa: E731
    return HeadAssets(
        face_diffuse=fill(skin, size),
        face_specular=jnp.full((size, size, 1), SKIN_SPECULAR_ALBEDO, jnp.float32),
        face_normal=fill((0.0, 0.0, 1.0), size),
        head_diffuse=fill(skin, 4),
        eye_diffuse=fill((0.55, 0.5, 0.46), 4),
        mouth_diffuse=fill((0.35, 0.16, 0.14), 4),
    )


def _checked(render: Callable[..., T]) -> Callable[..., T]:
    """Looks at the camera and the triangles before they are traced, where values are known."""

    @functools.wraps(render)
    def render_checked(*args: Any, **options: Any) -> T:
        for value in (*args, *options.values()):
            if isinstance(value, Camera):
                check_camera(value)
            elif isinstance(value, HeadMesh):
                check_faces(value.uv_faces, value.uv.shape[0])
        return render(*args, **options)

    return render_checked


@_checked
@functools.partial(jax.jit, static_argnames=("height", "width"))
def render_surface(
    mesh: HeadMesh, points: jax.Array, camera: Camera, *, height: int, width: int
) -> Surface:
    """Draws the geometry of a head: the attributes that shading or a loss needs.

    Args:
        mesh: Triangles.
        points: (V, 3) model space, metres.
        camera: Looks at the model; its pixels are those of the output.
        height: Image rows.
        width: Image columns.

    Returns:
        Attributes at pixel centres, differentiable in `points` and `camera`. Triangles that
        reach behind the camera are left out.

    Raises:
        ValueError: If the camera or a triangle is known not to be one.
    """
    xy, depth = project(camera, points)
    visibility = rasterize(
        xy, depth, mesh.faces, height=height, width=width, cull="back", clip=False
    )
    fragments = compute_fragments(xy, depth, mesh.faces, visibility)
    normals = vertex_normals(points, mesh.faces)
    tangents = vertex_tangents(points, normals, mesh.faces, mesh.uv, mesh.uv_faces)
    on_vertices = interpolate(jnp.concatenate([points, normals], axis=-1), mesh.faces, fragments)
    on_corners = interpolate(
        jnp.concatenate([mesh.uv, tangents], axis=-1), mesh.uv_faces, fragments
    )
    part = mesh.face_part[jnp.maximum(fragments.face, 0)]
    return Surface(
        fragments=fragments,
        part=jnp.where(fragments.mask, part, -1),
        uv=on_corners[..., :2],
        position=on_vertices[..., :3],
        normals=normalize(on_vertices[..., 3:]),
        tangents=on_corners[..., 2:],
    )


@_checked
@functools.partial(
    jax.jit,
    static_argnames=(
        *("height", "width", "samples", "shadows"),
        *("diffuse", "specular", "normal_space"),
    ),
)
def render_head(
    mesh: HeadMesh,
    assets: HeadAssets,
    points: jax.Array,
    camera: Camera,
    light: Light,
    *,
    height: int,
    width: int,
    samples: int = 2,
    background: jax.Array | tuple[float, ...] = (0.0, 0.0, 0.0),
    occlusion: jax.Array | None = None,
    shadows: bool = True,
    environment: jax.Array | None = None,
    transfer: jax.Array | None = None,
    lamps: LampSamples | None = None,
    diffuse: Literal["sh", "quadrature"] = "sh",
    specular: Literal["quadrature", "split_sum"] = "quadrature",
    lobes: Lobes = ONE_LOBE,
    normal_space: Literal["tangent", "object"] = "tangent",
) -> Rendering:
    """Renders a lit head.

    Args:
        mesh: Triangles.
        assets: Textures of the parts.
        points: (V, 3) posed vertices in the model's frame, metres.
        camera: In pixels of the output.
        light: In the model's frame.
        height, width: Of the picture.
        samples: Samples per pixel and axis.
        background: (3,) or (H, W, 3) linear RGB.
        occlusion: (V,), see `occlusion.mesh_occlusion`; without it, mouth and eyes glow.
        shadows: Whether directional lights and lamps cast them.
        environment: (h, w, 3) latlong radiance without its suns, in the model's frame, of
            which `light` is the `environment.environment_light`.
        transfer: (V, K or more) for `light.sh` (K, 3), see `occlusion.Occlusion`: soft shadows.
        lamps: Near lights, see `area_lights.sample_rectangles`; 16 samples a lamp or more.
        diffuse, specular, lobes: See `shading.shade`.
        normal_space: Whether `assets.face_normal` is in tangent space or in the model's.

    Returns:
        Linear RGB (H, W, 3), not clipped, and alpha.

    Raises:
        ValueError: If `transfer` is of a lower order than `light.sh`; see also
            `render_surface`.
    """
    surface = render_surface(
        mesh, points, scale_image(camera, samples), height=height * samples, width=width * samples
    )
    albedo, specular_albedo, normals, roughness, scatter = _material(assets, surface, normal_space)
    if occlusion is not None:
        occlusion = interpolate(occlusion[:, None], mesh.faces, surface.fragments)
    irradiance = None
    if transfer is not None:
        received = interpolate(receive_light(transfer, light.sh), mesh.faces, surface.fragments)
        irradiance = shadowed_irradiance(received, light.sh, surface.normals, normals)
    place = surface.position, surface.normals
    visibility = cast_shadows(points, mesh.faces, light, *place) if shadows else None
    view = normalize(camera_position(camera) - surface.position)
    color = shade(
        albedo, specular_albedo, normals, view, light, roughness, scatter=scatter,
        occlusion=occlusion, visibility=visibility, environment=environment,
        irradiance=irradiance, diffuse=diffuse, specular=specular, lobes=lobes,
    )  # fmt: skip
    if lamps is not None:
        lit = lamp_visibility(points, mesh.faces, lamps, *place) if shadows else None
        color += shade_lamps(
            albedo, specular_albedo, surface.position, normals, view, lamps, roughness,
            scatter=scatter, visibility=lit, lobes=lobes,
        )  # fmt: skip
    return _resolve(color, surface.fragments.mask, samples, background)


def _material(assets, surface, normal_space) -> tuple[jax.Array, ...]:
    """Albedos, normals, roughness and scatter (H, W, C) of what is seen."""
    tile = jnp.array(_TILE_OF_PART)[jnp.maximum(surface.part, 0)]
    maps = sample_packed(_pack_tiles(assets), tile, surface.uv)
    normals = object_from_tangent(maps[..., 4:7], surface.normals, surface.tangents)
    if normal_space == "object":
        normals = jnp.where((tile == 0)[..., None], maps[..., 4:7], normals)
    # At background the map still says something, and would be shaded.
    normals = normalize(normals) * surface.fragments.mask[..., None]
    roughness = jnp.array(_ROUGHNESS_OF_TILE)[tile][..., None]
    return maps[..., :3], maps[..., 3:4], normals, roughness, jnp.array(_SCATTER_OF_TILE)[tile]


@_checked
@functools.partial(jax.jit, static_argnames=("height", "width", "samples"))
def render_texture(
    mesh: HeadMesh,
    texture: jax.Array,
    points: jax.Array,
    camera: Camera,
    *,
    height: int,
    width: int,
    samples: int = 2,
    background: jax.Array | tuple[float, ...] = (0.0, 0.0, 0.0),
) -> Rendering:
    """Renders the face wearing `texture` (R, R, C) as it is, without light.

    Other parts hide the face but are not drawn; alpha is the coverage of the face.
    Arguments as in `render_head`; `background` broadcasts to (H, W, C).
    """
    surface = render_surface(
        mesh, points, scale_image(camera, samples), height=height * samples, width=width * samples
    )
    color = sample_texture(texture, surface.uv)
    return _resolve(color, surface.part == PARTS.index("face"), samples, background)


def _pack_tiles(assets: HeadAssets) -> Packed:
    """One (r, r, 7) stack of diffuse, specular and tangent-space normal per texture."""
    face = jnp.concatenate([assets.face_diffuse, assets.face_specular, assets.face_normal], -1)
    tiles = [face]
    others = assets.head_diffuse, assets.eye_diffuse, assets.mouth_diffuse
    for diffuse, specular in zip(others, _SPECULAR_OF_TILE[1:], strict=True):
        rest = jnp.broadcast_to(jnp.array([specular, 0.0, 0.0, 1.0]), (*diffuse.shape[:2], 4))
        tiles.append(jnp.concatenate([diffuse, rest], axis=-1))
    return pack_textures(tuple(tiles))


def _resolve(color, mask, samples, background) -> Rendering:
    """Averages samples (H s, W s, C) and lays the result over the background."""
    cover = mask[..., None].astype(color.dtype)
    # Selected, not only multiplied: background pixels are shaded too, with any result.
    color = jnp.where(cover > 0, color, 0.0)
    image, alpha = _box(color, samples), _box(cover, samples)
    return Rendering(image + (1 - alpha) * jnp.asarray(background, color.dtype), alpha)


def _box(x, samples):
    """Means (H, W, C) of blocks of samples x samples pixels."""
    height, width, channels = x.shape
    blocks = x.reshape(height // samples, samples, width // samples, samples, channels)
    return blocks.mean(axis=(1, 3))

"""Lit textures: shading per texel of the UV maps instead of per pixel of a picture.

What training needs: a texture as a photograph would see it, from reflectance maps, a
posed mesh, a light and a viewpoint, in one differentiable function without a rasterizer.
What the mesh hides from itself is computed once per pose and light and passed in. The frame
is the model's, as in `renderer`.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import normalize
from relightify_jax.geometry.mesh import (
    object_from_tangent,
    tangent_from_object,
    vertex_normals,
    vertex_tangents,
)
from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas
from relightify_jax.rendering.area_lights import LampSamples, shade_lamps
from relightify_jax.rendering.brdf import ONE_LOBE, Lobes
from relightify_jax.rendering.lighting import Light
from relightify_jax.rendering.occlusion import receive_light, shadowed_irradiance
from relightify_jax.rendering.renderer import HeadMesh
from relightify_jax.rendering.shading import SKIN_ROUGHNESS, shade
from relightify_jax.rendering.subsurface import (
    ScatterProfile,
    millimetres_per_texel,
    scatter_irradiance,
)


class TexelSurface(NamedTuple):
    """A posed mesh at the texels of its maps; zero beyond the gutter of the charts."""

    position: jax.Array  # (R, R, 3) model space, metres.
    normals: jax.Array  # (R, R, 3) unit, of the smoothed geometry.
    tangents: jax.Array  # (R, R, 4), see `mesh.vertex_tangents`.
    millimetres: jax.Array  # (R, R, 2) per texel along u and v.
    mask: jax.Array  # (R, R, 1), 1 on the charts, 0 in the gutter and beyond.


@jax.jit
def texel_surface(mesh: HeadMesh, atlas: UVAtlas, points: jax.Array) -> TexelSurface:
    """Carries a posed mesh to the texels, differentiable in `points`.

    Args:
        mesh: Triangles, of which `atlas` knows the places in the map.
        atlas: R texels per side, e.g. of the part "face".
        points: (V, 3) model space, metres.
    """
    normals = vertex_normals(points, mesh.faces)
    tangents = vertex_tangents(points, normals, mesh.faces, mesh.uv, mesh.uv_faces)
    on_vertices = sample_atlas(atlas, mesh.faces, jnp.concatenate([points, normals], axis=-1))
    return TexelSurface(
        position=on_vertices[..., :3],
        normals=normalize(on_vertices[..., 3:]),
        tangents=sample_atlas(atlas, mesh.uv_faces, tangents),
        millimetres=millimetres_per_texel(atlas, mesh.faces, points),
        mask=atlas.inside[..., None].astype(jnp.float32),
    )


def pose_normals(normals: jax.Array, rest: TexelSurface, posed: TexelSurface) -> jax.Array:
    """Carries object-space normals (R, R, 3) of the rest pose along with the skin."""
    local = tangent_from_object(normals, rest.normals, rest.tangents)
    return object_from_tangent(local, posed.normals, posed.tangents)


@functools.partial(jax.jit, static_argnames=("normal_space", "specular", "lobes"))
def light_texture(
    diffuse_albedo: jax.Array,
    specular_albedo: jax.Array,
    normals: jax.Array,
    surface: TexelSurface,
    light: Light,
    viewpoint: jax.Array,
    roughness: jax.Array | float = SKIN_ROUGHNESS,
    *,
    normal_space: Literal["object", "tangent"] = "object",
    rest: TexelSurface | None = None,
    scatter: jax.Array | tuple[float, float, float] | float = 0.0,
    visibility: jax.Array | None = None,
    occlusion: jax.Array | None = None,
    transfer: jax.Array | None = None,
    environment: jax.Array | None = None,
    lamps: LampSamples | None = None,
    lamp_visibility: jax.Array | None = None,
    profile: ScatterProfile | None = None,
    specular: Literal["quadrature", "split_sum"] = "quadrature",
    lobes: Lobes = ONE_LOBE,
) -> jax.Array:
    """The texture of a lit face, as linear radiance per texel.

    Differentiable in the maps, the surface, the lights and the viewpoint; composes with
    `vmap`. Texels that the viewpoint does not see are lit as well.

    Args:
        diffuse_albedo: (R, R, 3) linear RGB in [0, 1].
        specular_albedo: (R, R, 1), F0 = 0.08 times it.
        normals: (R, R, 3) unit, in `normal_space`.
        surface: The posed mesh, from `texel_surface`.
        light: Directional and surrounding light in the model's frame.
        viewpoint: (3,), or (R, R, 3) for one of each texel, metres.
        roughness: Scalar or (R, R, 1).
        normal_space: "object", as in `UVMaps`, or "tangent", as in glTF.
        rest: The surface in the rest pose, to which object-space normals belong; None if
            that is the pose of `surface`.
        scatter: Softness of the diffuse terminator, see `shading.shade`; the cheap stand-in
            for `profile`, so use one of them.
        visibility: (R, R, D) of the directional lights, from `occlusion.cast_shadows`.
        occlusion: (R, R, 1) ambient occlusion, `Occlusion.openness` with a last axis.
        transfer: (R, R, K) from `occlusion.compute_occlusion` with `surface.normals`, of
            the order of `light.sh` or a higher one; the detail of `normals` is added.
        environment: (h, w, 3) that `light.sh` is the projection of, see `shading.shade`.
        lamps: S samples of near lights.
        lamp_visibility: (S, R, R) from `area_lights.lamp_visibility`.
        profile: Light under the skin, e.g. `SKIN_PROFILE`; None = opaque skin.
        specular: See `shading.shade`; "split_sum" for what must be fast.
        lobes: See `brdf.Lobes`.

    Returns:
        (R, R, 3) linear RGB, non-negative, unbounded; without meaning beyond the gutter.

    Raises:
        ValueError: If `normal_space` is unknown or `transfer` is of too low an order.
    """
    if normal_space == "tangent":
        normals = object_from_tangent(normals, surface.normals, surface.tangents)
    elif normal_space != "object":
        raise ValueError(f"normal_space must be 'object' or 'tangent', got {normal_space!r}.")
    elif rest is not None:
        normals = pose_normals(normals, rest, surface)
    normals = normalize(normals)
    view = normalize(viewpoint - surface.position)
    irradiance = None
    if transfer is not None:
        received = receive_light(transfer, light.sh)
        irradiance = shadowed_irradiance(received, light.sh, surface.normals, normals)

    def respond(albedo, specular):
        color = shade(
            albedo, specular_albedo, normals, view, light, roughness,
            scatter=scatter, occlusion=occlusion, visibility=visibility,
            environment=environment, irradiance=irradiance, specular=specular, lobes=lobes,
        )  # fmt: skip
        if lamps is None:
            return color
        return color + shade_lamps(
            albedo, specular_albedo, surface.position, normals, view, lamps, roughness,
            scatter=scatter, visibility=lamp_visibility, lobes=lobes,
        )  # fmt: skip

    if profile is None:
        return respond(diffuse_albedo, specular)
    # The sheen does not depend on the diffuse albedo, so the cheapest one cancels here.
    black = jnp.zeros_like(diffuse_albedo)
    diffuse = respond(diffuse_albedo, "split_sum") - respond(black, "split_sum")
    irradiance = jnp.maximum(diffuse, 0.0) / jnp.maximum(diffuse_albedo, 1e-4)
    scattered = scatter_irradiance(
        irradiance, surface.mask, surface.millimetres, diffuse_albedo, profile
    )
    return diffuse_albedo * scattered + respond(black, specular)

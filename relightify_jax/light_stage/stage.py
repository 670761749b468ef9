"""The stage: a head model, its shadows and a bank of light; and one photograph of a face on it.

`light_face` turns maps of reflectance into the texture that a photograph would show and the
mask of what it shows, all on the device, so that a network in training sees each face under
a new light every time. The chain is `uv_renderer.light_texture` between a random scene
(`illumination`), a random pose (`posing`) and a camera (`camera`, `masks`).
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core import rng
from relightify_jax.core.errors import InputError
from relightify_jax.core.numerics import normalize
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel
from relightify_jax.geometry.uv_atlas import UVAtlas, build_uv_atlas
from relightify_jax.light_stage import camera, masks, posing
from relightify_jax.light_stage.illumination import (
    SH_ORDER,
    Bank,
    Illumination,
    build_bank,
    draw_illumination,
)
from relightify_jax.rendering.area_lights import LampSamples
from relightify_jax.rendering.occlusion import compute_occlusion, fibonacci_directions
from relightify_jax.rendering.renderer import head_mesh
from relightify_jax.rendering.shading import SKIN_SCATTER
from relightify_jax.rendering.subsurface import SKIN_PROFILE
from relightify_jax.rendering.uv_renderer import TexelSurface, light_texture, texel_surface

_MIN_SIZE = 16
_SHADOW_REACH = 25.0  # Millimetres between what casts a shadow on a face and the shadow.
_SKIN_BLUR = 1.0  # Millimetres by which light under the skin softens every shadow.
_STEEP = 0.45  # Cosine to the camera below which another photograph has shown the texel.


class Reflectance(NamedTuple):
    """A face, R texels per side, linear."""

    diffuse_albedo: jax.Array  # (R, R, 3) in [0, 1].
    normals: jax.Array  # (R, R, 3) unit, object space of the rest pose.
    specular_albedo: jax.Array  # (R, R, 1), F0 = 0.08 times it.
    roughness: jax.Array  # (R, R, 1).


class LitFace(NamedTuple):
    """What photographs show of a face."""

    texture: (
        jax.Array
    )  # (R, R, 3) linear RGB in [0, 1], complete; the radiance if not photographed.
    observed: jax.Array  # (R, R, 1) in [0, 1], the confidence that one photograph shows it.


class Stage(NamedTuple):
    """Everything that all faces share; from `build_stage`, an argument of what is jitted."""

    shape: posing.HeadShape
    places: posing.TexelPlaces
    surface: TexelSurface  # The mean head.
    transfer: jax.Array  # (R, R, 25) of the mean head, see `occlusion.compute_occlusion`.
    openness: jax.Array  # (R, R, 1) ambient occlusion of the mean head.
    center: jax.Array  # (3,) metres, the middle of the face.
    texel: jax.Array  # () millimetres, the usual side of a texel.
    zones: masks.Zones
    bank: Bank


def build_stage(
    model: MorphableModel,
    size: int,
    environments: Sequence[np.ndarray] | None = None,
    *,
    num_directions: int = 256,
) -> Stage:
    """Prepares the stage on the host: seconds, once per program.

    Args:
        model: A model whose part "face" has the canonical UV layout.
        size: Texels per side R of the maps.
        environments: Latlong maps (H, W, 3) of linear radiance, see
            `rendering.environment.read_environment`; half of the pictures are then lit by
            them, the others by the built-in scenes.
        num_directions: In which the mean head's shadow of its surroundings is sampled; a
            multiple of 16.

    Raises:
        InputError: If `size` is too small.
    """
    if size < _MIN_SIZE:
        raise InputError(f"Maps of {size} texels are too small; ask for at least {_MIN_SIZE}.")
    atlas = _face_atlas(model, size)
    mesh = head_mesh(model)
    surface = texel_surface(mesh, atlas, jnp.asarray(model.mean))
    shape, places = posing.build_shape(model), posing.build_places(model, atlas)
    # At the vertices: the texels of a large map would take a minute.
    corners = shape.mean[shape.face_vertices]
    normals = posing.vertex_normals(shape.mean, shape.faces)[shape.face_vertices]
    occlusion = compute_occlusion(
        shape.mean[shape.shadow_vertices], shape.shadow_faces, corners, normals,
        jnp.asarray(fibonacci_directions(num_directions)), order=SH_ORDER,
    )  # fmt: skip
    on_vertices = jnp.concatenate([occlusion.transfer, occlusion.openness[:, None]], axis=-1)
    maps = jnp.sum(on_vertices[places.corner] * places.bary[..., None], axis=-2)
    return Stage(
        shape=shape,
        places=places,
        surface=surface,
        transfer=maps[..., :-1],
        openness=maps[..., -1:],
        center=jnp.mean(corners, axis=0),
        texel=jnp.median(surface.millimetres[np.asarray(atlas.inside)]),
        zones=masks.build_zones(model, size),
        bank=build_bank(environments),
    )


def _face_atlas(model: MorphableModel, size: int) -> UVAtlas:
    """The face part's texels; those outside its charts belong to the nearest triangle."""
    on_face = np.asarray(model.face_part) == PARTS.index("face")
    return build_uv_atlas(
        np.asarray(model.uv), np.asarray(model.uv_faces)[on_face], size,
        gutter=2 * size, first_face=int(np.argmax(on_face)),
    )  # fmt: skip


@functools.partial(jax.jit, static_argnames=("photo", "subsurface"))
def light_face(
    key: jax.Array,
    stage: Stage,
    reflectance: Reflectance,
    identity: jax.Array,
    *,
    photo: bool = True,
    subsurface: bool = False,
) -> LitFace:
    """Photographs a face under random light from a random place.

    Pure and deterministic in `key`; composes with `vmap`. On a CPU `light_faces` is faster.

    Args:
        key: Random key, consumed.
        stage: From `build_stage`, of the size of the maps.
        reflectance: The face's maps.
        identity: (k,) coefficients of the model's first k modes; zeros = the mean head.
        photo: Whether a camera comes between; else `texture` is the radiance, of any scale.
        subsurface: Whether light wanders under the skin for real (`SKIN_PROFILE`, at twice
            the cost) instead of softening the terminator only (`SKIN_SCATTER`).

    Returns:
        The texture, complete as if several photographs had shown it: where this one's
        camera does not look, the sheen is what another one would have seen.

    Raises:
        ValueError: If stage and maps differ in size.
    """
    size = stage.openness.shape[0]
    if reflectance.diffuse_albedo.shape[:2] != (size, size):
        raise ValueError(
            f"A stage of {size} texels for maps of {reflectance.diffuse_albedo.shape[:2]}."
        )
    illumination = draw_illumination(rng.stream(key, "light"), stage.bank, stage.center)
    viewpoint = camera.draw_viewpoint(rng.stream(key, "view"), stage.center)
    expression = posing.draw_expression(rng.stream(key, "expression"), stage.shape)
    pose = pose_before_camera(stage, identity, expression, illumination, viewpoint)
    radiance = light_pose(stage, reflectance, pose, illumination, viewpoint, subsurface=subsurface)
    observed = masks.draw_observed(rng.stream(key, "observed"), stage.zones, pose, viewpoint)
    if not photo:
        return LitFace(radiance, observed)
    meter = stage.zones.meter * (0.1 + pose.seen[..., :1])
    texture = camera.photograph(
        rng.stream(key, "photo"), radiance, reflectance.diffuse_albedo, meter, stage.texel
    )
    return LitFace(texture, observed)


@functools.partial(jax.jit, static_argnames=("batch_size", "photo", "subsurface"))
def light_faces(
    key: jax.Array,
    stage: Stage,
    reflectance: Reflectance,
    identity: jax.Array,
    *,
    batch_size: int | None = None,
    photo: bool = True,
    subsurface: bool = False,
) -> LitFace:
    """`light_face` for a batch: every field and `identity` with a leading axis B.

    Args:
        key: One random key for the batch, consumed.
        stage: Common to all.
        reflectance: Maps (B, R, R, .).
        identity: (B, k).
        batch_size: How many are lit at once; None = one by one on a CPU, whose cores
            share each face, and all together elsewhere. Batches that are sharded over
            devices need all together, B.
        photo: As in `light_face`.
        subsurface: As in `light_face`.
    """
    count = identity.shape[0]
    keys = jax.random.split(key, count)
    if batch_size is None:
        batch_size = 1 if jax.default_backend() == "cpu" else count

    def light_one(inputs):
        key, maps, coefficients = inputs
        return light_face(key, stage, maps, coefficients, photo=photo, subsurface=subsurface)

    inputs = keys, reflectance, identity
    if batch_size >= count:
        return jax.vmap(light_one)(inputs)
    if batch_size == 1:
        return jax.lax.map(light_one, inputs)
    return jax.lax.map(light_one, inputs, batch_size=batch_size)


def pose_before_camera(
    stage: Stage,
    identity: jax.Array,
    expression: jax.Array,
    illumination: Illumination,
    viewpoint: jax.Array,
) -> posing.Pose:
    """The posed head and what it hides: `seen` is of the camera first, then of the lamps."""
    eye = LampSamples(viewpoint[None], jnp.zeros((1, 3)), jnp.ones((1, 3)))
    sources = jax.tree.map(lambda *x: jnp.concatenate(x), eye, illumination.lamps)
    return posing.pose_head(stage.shape, stage.places, identity, expression, sources)


def light_pose(
    stage: Stage,
    reflectance: Reflectance,
    pose: posing.Pose,
    illumination: Illumination,
    viewpoint: jax.Array,
    *,
    subsurface: bool = False,
) -> jax.Array:
    """Radiance (R, R, 3) of a posed face; see `light_face`."""
    normals = posing.turn_normals(reflectance.normals, pose.rest_normals, pose.normals)
    return light_texture(
        reflectance.diffuse_albedo,
        reflectance.specular_albedo,
        normals,
        # The transfer belongs to the mean head's normals; what differs counts as detail.
        stage.surface._replace(position=pose.position),
        illumination.light,
        _plausible_viewpoints(pose, viewpoint),
        reflectance.roughness,
        scatter=0.0 if subsurface else SKIN_SCATTER,
        occlusion=stage.openness,
        transfer=stage.transfer,
        lamps=illumination.lamps,
        lamp_visibility=_soften_shadows(stage, pose, illumination),
        profile=SKIN_PROFILE if subsurface else None,
        specular="split_sum",
    )


def _plausible_viewpoints(pose: posing.Pose, viewpoint: jax.Array) -> jax.Array:
    """Where each texel is photographed from (R, R, 3).

    What the camera sees steeply or not at all another one must have shown: the view bends
    towards the normal there, smoothly, so that no seam appears.
    """
    view = normalize(viewpoint - pose.position)
    facing = jnp.sum(view * pose.normals, axis=-1, keepdims=True)
    bent = view + 1.2 * jnp.maximum(_STEEP - facing, 0.0) * pose.normals
    return pose.position + normalize(bent)


def _soften_shadows(stage: Stage, pose: posing.Pose, illumination: Illumination) -> jax.Array:
    """Visibility of the lamps (L, R, R) with edges as wide as the lamps are large."""
    width = jnp.tan(jnp.minimum(illumination.softness, 1.0)) * _SHADOW_REACH / 2
    sigma = jnp.sqrt(width**2 + _SKIN_BLUR**2) / stage.texel
    shadows = jnp.moveaxis(pose.seen[..., 1:], -1, 0)
    return jax.lax.map(
        lambda x: posing.blur_texels(x[0][..., None], x[1])[..., 0], (shadows, sigma)
    )

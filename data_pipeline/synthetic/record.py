"""One synthetic face: a random person under random light, as the ten UV channels."""

import jax
import jax.numpy as jnp

from data_pipeline.synthetic import lights
from data_pipeline.synthetic.scene import Scene, regions_from_stack
from relightify_jax.core import rng
from relightify_jax.core.numerics import einsum, normalize
from relightify_jax.core.uv_layout import UVMaps, stack_maps
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.uv_atlas import sample_atlas
from relightify_jax.rendering.shading import SKIN_SCATTER, shade
from relightify_jax.skin import hair, pigment, population, relief
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, band_noise, blur_map, warp_map
from relightify_jax.skin.regions import Regions

_MAX_COEFFICIENT = 2.2  # Identity coefficients are ~N(0, 1); beyond this heads look odd.


@jax.jit
def sample_record(key: jax.Array, scene: Scene) -> jax.Array:
    """Draws one face; pure and deterministic in `key`.

    Returns:
        (R, R, 10) float32 in the order of `core.uv_layout`: lit texture, diffuse albedo,
        unit object-space normals of the rest pose, specular albedo. Linear. Texels
        outside the charts hold a smooth continuation.
    """
    size = scene.regions.shape[0]
    person = population.sample_person(rng.stream(key, "person"))
    regions = _vary_regions(rng.stream(key, "regions"), scene.regions)
    fields = pigment.sample_fields(rng.stream(key, "fields"), size)
    detail = _sample_detail(rng.stream(key, "detail"), scene.skins, regions)

    bare = pigment.paint_skin(rng.stream(key, "skin"), person, regions, fields, detail)
    strands = hair.sample_hair_fields(rng.stream(key, "strands"), regions, size)
    albedo, covered = hair.add_hair(rng.stream(key, "hair"), person, regions, fields, strands, bare)
    height = relief.sample_height(
        rng.stream(key, "relief"), person, regions, fields, covered, detail
    )
    specular, roughness = relief.sample_gloss(
        rng.stream(key, "gloss"), regions, fields, height, covered
    )
    normals, lit = _light_face(rng.stream(key, "light"), scene, albedo, specular, roughness, height)
    meter = jnp.clip(regions.cheeks + regions.forehead + regions.nose, 0, 1) * (1 - covered)
    texture = lights.expose(rng.stream(key, "exposure"), lit, albedo, meter)
    return stack_maps(UVMaps(texture, albedo, normals, specular))


def _vary_regions(key: jax.Array, stack: jax.Array) -> Regions:
    """Moves features by a millimetre or two, smoothly: landmarks and fits are not exact."""
    size = stack.shape[0]
    texel = MILLIMETRES_PER_UV / size
    band = (30.0, 120.0)
    offset = 0.9 / texel * band_noise(key, size, (band, band))
    return regions_from_stack(warp_map(stack, offset))


def _sample_detail(key: jax.Array, skins: jax.Array, regions: Regions) -> jax.Array:
    """Mixes two skins, mirrored at random, to (R, R, 2) deviations of melanin and blood."""
    key_index, key_flip, key_gain = jax.random.split(key, 3)
    index = jax.random.randint(key_index, (2,), 0, skins.shape[0])
    flip = jax.random.bernoulli(key_flip, 0.5, (2,))
    gain = jax.random.uniform(key_gain, (4,))
    first, second = (
        jnp.where(flip[i], skins[index[i]][:, ::-1], skins[index[i]]) for i in range(2)
    )
    # Mostly one skin with a little of another, so that features stay crisp.
    mix = 0.4 * gain[0] ** 2
    detail = (1 - mix) * first + mix * second
    # Painted shadows around the eyes are too broad for everybody.
    calm = 1 - 0.6 * jnp.clip(regions.periorbital + regions.glabella, 0, 1)
    gains = jnp.stack([0.25 + 0.75 * gain[1], 0.25 + 0.65 * gain[2]])
    return detail * gains * calm[..., None]


def _light_face(key, scene, albedo, specular, roughness, height):
    """Normals and radiance of the face.

    Returns:
        Normals with relief and outgoing radiance, (R, R, 3) each.
    """
    size = albedo.shape[0]
    texel = MILLIMETRES_PER_UV / size
    coefficients = jax.random.normal(rng.stream(key, "identity"), (scene.identity.shape[0],))
    coefficients = coefficients.clip(-_MAX_COEFFICIENT, _MAX_COEFFICIENT)
    points = scene.mean + einsum("k,kvc->vc", coefficients, scene.identity)
    vertex_normal = vertex_normals(points, scene.faces)
    light = lights.sample_light(rng.stream(key, "lamps"))
    sharpness = jnp.exp(jax.random.uniform(rng.stream(key, "softness"), minval=2.5, maxval=4.5))
    visible = lights.beam_visibility(
        scene.visibility, scene.directions, light.directions, sharpness
    )
    open_sky = lights.ambient_occlusion(scene.visibility, scene.directions, vertex_normal)
    attributes = jnp.concatenate([points, vertex_normal, open_sky, visible], axis=-1)
    maps = sample_atlas(scene.atlas, scene.faces, attributes)
    # Outside the charts the nearest triangle continues as streaks; blur melts them.
    maps = maps + scene.outside * (blur_map(maps, 9.0 / texel) - maps)
    position, smooth = maps[..., :3], normalize(maps[..., 3:6])
    shadows = blur_map(jnp.clip(maps[..., 6:], 0.0, 1.0), 1.3 / texel)
    occlusion, visible = shadows[..., :1], shadows[..., 1:]

    normals = relief.bump_normals(smooth, height, scene.along_u, scene.along_v)
    center = jnp.mean(scene.mean, axis=0)
    view = normalize(center + lights.sample_view(rng.stream(key, "view")) - position)
    # What this camera sees edge-on or not at all another one must have photographed.
    facing = jnp.sum(view * smooth, axis=-1, keepdims=True)
    view = normalize(view + 1.2 * jnp.maximum(0.45 - facing, 0.0) * smooth)
    # Diffuse light has travelled under the skin: it sees a smoother relief than gloss does.
    diffuse = shade(
        albedo, jnp.zeros_like(specular), normalize(blur_map(normals, 0.9 / texel)), view, light,
        roughness, scatter=SKIN_SCATTER, occlusion=occlusion, visibility=visible,
    )  # fmt: skip
    gloss = shade(
        jnp.zeros_like(albedo), specular, normals, view, light,
        roughness, occlusion=occlusion, visibility=visible,
    )  # fmt: skip
    return normals, diffuse + gloss

"""One synthetic face: the reflectance of a random person, as UV maps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from data_pipeline.encoding import FaceRecord
from data_pipeline.synthetic.scene import Scene, split_guides
from relightify_jax.core import rng
from relightify_jax.core.numerics import einsum, normalize
from relightify_jax.geometry.mesh import vertex_normals
from relightify_jax.geometry.uv_atlas import sample_atlas
from relightify_jax.skin import gloss, hair, makeup, pigment, population, relief
from relightify_jax.skin.hair_growth import HairGrowth
from relightify_jax.skin.noise import MILLIMETRES_PER_UV, band_noise, blur_map, warp_maps
from relightify_jax.skin.population import Person
from relightify_jax.skin.regions import Regions
from relightify_jax.skin.wrinkle_lines import WrinkleLines

_MAX_COEFFICIENT = 2.2  # Identity coefficients are ~N(0, 1); beyond this heads look odd.
_MISPLACEMENT = 0.9  # mm by which features sit elsewhere than on the mean face.
_DIFFUSE_CAVITY = 0.30  # Of what a pit takes from the gloss, it takes from diffuse light.


class SyntheticFace(NamedTuple):
    """A face and who it belongs to."""

    maps: FaceRecord
    person: Person


@jax.jit
def sample_face(key: jax.Array, scene: Scene) -> SyntheticFace:
    """Draws one face; pure and deterministic in `key`.

    The same key gives the same person at every size of the scene's maps, with more detail
    at larger ones. Texels outside the charts hold a smooth continuation.
    """
    size = scene.outside.shape[0]
    person = population.sample_person(rng.stream(key, "person"))
    regions, growth, lines = _move_features(rng.stream(key, "regions"), scene.guides)
    fields = pigment.sample_fields(rng.stream(key, "fields"), size)
    detail = _sample_detail(rng.stream(key, "detail"), scene.skins, regions)

    painted = pigment.paint_skin(rng.stream(key, "skin"), person, regions, fields, detail)
    made_up = makeup.apply_makeup(
        rng.stream(key, "makeup"),
        person,
        regions,
        fields,
        painted.albedo,
        lip_key=rng.stream(key, "skin"),  # Lipstick ends where the painted lips do.
    )
    hairs = hair.add_hair(rng.stream(key, "hair"), person, regions, growth, fields, made_up.albedo)
    bare = relief.sample_relief(rng.stream(key, "relief"), person, regions, lines, fields)
    shape = bare._replace(
        height=(bare.height + painted.height) * (1 - hairs.covered) + hairs.height
    )
    shine = gloss.sample_gloss(
        rng.stream(key, "gloss"), person, regions, fields, shape, hairs.covered
    )
    pits = 1 - _DIFFUSE_CAVITY * (1 - relief.cavity(shape.height)) * (1 - hairs.covered)
    identity = jax.random.normal(rng.stream(key, "identity"), scene.identity.shape[:1])
    identity = identity.clip(-_MAX_COEFFICIENT, _MAX_COEFFICIENT)
    smooth = _smooth_normals(scene, identity)
    maps = FaceRecord(
        diffuse_albedo=jnp.clip(hairs.albedo * pits[..., None], 0.0, 1.0),
        normals=relief.bump_normals(smooth, shape.height, scene.along_u, scene.along_v),
        specular_albedo=jnp.clip(shine.specular * made_up.specular[..., None], 0.0, 1.0),
        roughness=jnp.clip(shine.roughness + made_up.roughness[..., None], 0.15, 1.0),
        valid=jnp.ones((size, size, 1)),
        identity=identity,
    )
    return SyntheticFace(maps, person)


def _move_features(key: jax.Array, guides: jax.Array) -> tuple[Regions, HairGrowth, WrinkleLines]:
    """Moves features by a millimetre or two, smoothly: landmarks and fits are not exact."""
    size = guides.shape[-1]
    offset = band_noise(key, size, ((30.0, 120.0),) * 2) * _MISPLACEMENT
    return split_guides(warp_maps(guides, offset * (size / MILLIMETRES_PER_UV)))


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


def _smooth_normals(scene: Scene, identity: jax.Array) -> jax.Array:
    """Unit normals (R, R, 3) of the head with these coefficients (K,), without relief."""
    points = scene.mean + einsum("k,kvc->vc", identity, scene.identity)
    normals = vertex_normals(points, scene.faces)
    maps = sample_atlas(scene.atlas, scene.faces, normals)
    # Outside the charts the nearest triangle continues as streaks; blur melts them.
    melted = blur_map(maps, 9.0 * maps.shape[0] / MILLIMETRES_PER_UV)
    return normalize(maps + scene.outside * (melted - maps))

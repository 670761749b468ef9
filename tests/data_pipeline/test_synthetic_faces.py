"""The generator of synthetic faces, all its parts together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipeline.encoding import check_record
from data_pipeline.synthetic.record import sample_face
from data_pipeline.synthetic.scene import build_scene, split_guides
from relightify_jax.core.errors import InputError
from relightify_jax.skin.optics import typology_angle
from relightify_jax.skin.population import site_albedo

SIZE = 64
# The generator compiles in half the time without optimisation; a face is then still fast.
draw = jax.jit(sample_face.__wrapped__, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def scene(embedded_model):
    return build_scene(embedded_model, SIZE)


@pytest.fixture(scope="module")
def regions(scene):
    return split_guides(scene.guides)[0]


@pytest.fixture(scope="module")
def faces(scene):
    drawn = [jax.device_get(draw(jax.random.key(i), scene)) for i in range(16)]
    return jax.tree.map(lambda *x: np.stack(x), *drawn)


def at(region):
    """Texels (R, R) bool in the middle of a region."""
    return np.asarray(region) > 0.6


def test_maps_are_complete_finite_and_in_range(faces):
    check_record(faces.maps)
    for name in ("diffuse_albedo", "specular_albedo", "roughness"):
        values = getattr(faces.maps, name)
        assert values.dtype == np.float32 and values.min() >= 0 and values.max() <= 1
    np.testing.assert_allclose(np.linalg.norm(faces.maps.normals, axis=-1), 1.0, atol=1e-4)


def test_a_face_depends_on_its_key_alone(scene, faces):
    again = draw(jax.random.key(3), scene)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda x: x[3], faces), again)
    assert np.abs(faces.maps.diffuse_albedo[3] - faces.maps.diffuse_albedo[4]).mean() > 0.01


def test_normals_point_out_of_the_face(regions, faces):
    normals = faces.maps.normals
    assert normals[:, at(regions.nose_tip), 2].mean() > 0.6
    left, right = normals[:, 24:32, -8:, 0].mean(), normals[:, 24:32, :8, 0].mean()
    assert left > 0.2 and right < -0.2  # +X is the subject's left, at large u.


def test_cheeks_have_the_colour_that_the_optics_give_the_person(regions, faces):
    """Marks, flush, make-up and stubble move a cheek, but not on the whole."""
    cheeks = faces.maps.diffuse_albedo[:, at(regions.cheeks)]
    found = np.median(cheeks, axis=1)
    wanted = np.asarray(jax.vmap(site_albedo)(faces.person))
    error = found - wanted
    assert np.abs(np.median(error, axis=0)).max() < 0.03
    angles = np.asarray(typology_angle(jnp.asarray(found)))
    assert np.corrcoef(angles, typology_angle(jnp.asarray(wanted)))[0, 1] > 0.95
    assert angles.max() - angles.min() > 50


def test_lips_are_redder_and_oily_skin_is_glossier(regions, faces):
    albedo = np.log(faces.maps.diffuse_albedo)
    redness = albedo[..., 0] - albedo[..., 1]
    lips = np.asarray(regions.lip_distance) > 2.5
    bare = at(regions.cheeks)
    assert np.median(redness[:, lips].mean(1) - redness[:, bare].mean(1)) > 0.05
    roughness = faces.maps.roughness[..., 0]
    nose = at(regions.nose)
    assert np.median(roughness[:, nose].mean(1) - roughness[:, bare].mean(1)) < -0.02
    assert 0.25 < faces.maps.specular_albedo.mean() < 0.45


def test_hair_on_the_head_covers_skin_and_takes_its_gloss(regions, faces):
    scalp = np.asarray(regions.scalp_distance) > 14
    head = np.log(faces.maps.diffuse_albedo[:, scalp]).mean((1, 2))
    cheek = np.log(faces.maps.diffuse_albedo[:, at(regions.cheeks)]).mean((1, 2))
    assert np.std(head - cheek) > 0.3  # From bald to black.


@pytest.mark.slow
def test_the_same_key_is_the_same_face_at_twice_the_size(embedded_model, faces):
    large = build_scene(embedded_model, 2 * SIZE)
    for i in (0, 1, 2):
        found = jax.device_get(draw(jax.random.key(i), large).maps)
        for name, limit in (("diffuse_albedo", 0.02), ("normals", 0.05), ("roughness", 0.03)):
            map_ = getattr(found, name)
            halved = map_.reshape(SIZE, 2, SIZE, 2, -1).mean((1, 3))
            error = np.abs(halved - getattr(faces.maps, name)[i])
            assert np.median(error) < limit / 4 and error.mean() < limit, name


def test_a_scene_needs_texels(embedded_model):
    with pytest.raises(InputError, match="8 texels are too small"):
        build_scene(embedded_model, 8)

"""The synthetic light stage end to end: records, the data set, the loader."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from PIL import Image

from configs.synthetic import get_config
from data_pipeline import build_synthetic
from data_pipeline.encoding import decode_maps, encode_maps, mirror_maps
from data_pipeline.loaders import make_loader
from data_pipeline.synthetic import lights
from data_pipeline.synthetic.record import sample_record
from data_pipeline.synthetic.scene import build_scene, compute_visibility
from data_pipeline.synthetic.skins import load_skins
from data_pipeline.uv_faces.uv_faces_dataset_builder import open_split
from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import split_maps
from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.skin.optics import typology_angle


@pytest.fixture(scope="session")
def scene():
    model = load_embedded_model()
    config = get_config("smoke")
    return build_scene(model, *compute_visibility(model, config.num_directions), config.uv_size)


@pytest.fixture(scope="session")
def records(scene):
    keys = [jax.random.key(i) for i in range(12)]
    return np.stack([np.asarray(sample_record(key, scene)) for key in keys])


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    config = get_config("smoke")
    return build_synthetic.build(config, str(tmp_path_factory.mktemp("faces")))


def test_records_are_finite_and_in_range(records):
    maps = split_maps(records)
    assert records.shape[1:] == (32, 32, 10) and records.dtype == np.float32
    assert np.isfinite(records).all()
    for image in (maps.texture, maps.diffuse_albedo, maps.specular_albedo):
        assert image.min() >= 0 and image.max() <= 1
    np.testing.assert_allclose(np.linalg.norm(maps.normals, axis=-1), 1.0, atol=1e-4)


def test_a_record_depends_on_its_key_alone(scene, records):
    again = np.asarray(sample_record(jax.random.key(3), scene))
    np.testing.assert_array_equal(again, records[3])
    assert np.abs(records[3] - records[4]).mean() > 0.01


def test_normals_point_out_of_the_face(scene, records):
    normals = split_maps(records).normals
    nose = np.asarray(scene.regions[..., scene_field("nose_tip")]) > 0.6
    assert nose.any() and normals[:, nose, 2].mean() > 0.6
    left, right = normals[:, 12:16, -4:, 0].mean(), normals[:, 12:16, :4, 0].mean()
    assert left > 0.2 and right < -0.2  # +X is the subject's left, at large u.


def test_skin_tones_and_gloss_are_those_of_skin(records):
    maps = split_maps(records)
    cheek = maps.diffuse_albedo[:, 13:15, 8:11].mean((1, 2))
    assert np.all(cheek[:, 0] > cheek[:, 1]) and np.all(cheek[:, 1] > 0.8 * cheek[:, 2])
    angle = np.asarray(typology_angle(jnp.asarray(cheek)))
    assert angle.max() - angle.min() > 50
    assert 0.25 < maps.specular_albedo.mean() < 0.45


def test_texture_is_the_albedo_under_some_light(records):
    maps = split_maps(records)
    center = np.s_[:, 8:16, 10:22]
    shade = maps.texture[center].mean((1, 2)) / maps.diffuse_albedo[center].mean((1, 2))
    assert shade.min() > 0.2 and shade.max() < 6
    assert np.std(np.log(shade)) > 0.1


def scene_field(name):
    from relightify_jax.skin.regions import Regions

    return Regions._fields.index(name)


def test_occlusion_is_one_in_the_open_and_half_above_a_plane():
    directions = jnp.asarray(np.random.default_rng(0).normal(size=(4000, 3)), jnp.float32)
    directions = directions / jnp.linalg.norm(directions, axis=1, keepdims=True)
    normals = jnp.array([[0.0, 0, 1], [1.0, 0, 0]])
    above = (directions[:, 2] > 0).astype(jnp.float32)
    visibility = jnp.stack([jnp.ones(4000), above])
    found = lights.ambient_occlusion(visibility, directions, normals)
    np.testing.assert_allclose(found[:, 0], [1.0, 0.5], atol=0.03)


def test_encoding_loses_no_more_than_half_a_code(records):
    decoded = decode_maps(encode_maps(records))
    maps, found = split_maps(records), split_maps(decoded)
    assert np.abs(found.specular_albedo - maps.specular_albedo).max() <= 0.5 / 255 + 1e-6
    # The sRGB curve is at most 2.3 steep at white.
    assert np.abs(found.texture - maps.texture).max() < 1.2 / 255
    cosine = np.sum(found.normals * maps.normals, -1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.6


def test_mirrored_twice_is_the_same_and_normals_stay_outward(records):
    np.testing.assert_array_equal(mirror_maps(mirror_maps(records)), records)
    mirrored = split_maps(mirror_maps(records)).normals
    assert mirrored[:, 12:16, -4:, 0].mean() > 0.2


def test_data_set_holds_what_the_config_asks_for(data_dir):
    config = get_config("smoke")
    assert len(open_split(data_dir, "train")) == config.num_train
    assert len(open_split(data_dir, "validation")) == config.num_validation
    assert (data_dir / "config.json").is_file()
    indices = sorted(int(r["index"]) for r in open_split(data_dir, "train"))
    assert indices == list(range(config.num_train))


def test_stored_record_is_the_sampled_one(data_dir, scene):
    record = next(r for r in open_split(data_dir, "train") if int(r["index"]) == 2)
    key = jax.random.fold_in(jax.random.key(get_config("smoke").seed), 2)
    expected = encode_maps(np.asarray(sample_record(key, scene)))
    np.testing.assert_array_equal(record["maps"], expected)


@pytest.mark.parametrize("mirror", [False, True])
def test_loader_resumed_at_a_step_gives_the_same_batches(data_dir, mirror):
    whole = make_loader(data_dir, "train", 3, seed=1, mirror=mirror)
    batches = [next(whole)["maps"] for _ in range(6)]
    assert batches[0].shape == (3, 32, 32, 10) and batches[0].dtype == np.float32
    resumed = make_loader(data_dir, "train", 3, seed=1, start_step=4, mirror=mirror)
    for expected in batches[4:]:
        np.testing.assert_array_equal(next(resumed)["maps"], expected)


def test_processes_share_a_batch_without_overlap(data_dir):
    def batch(**process):
        return next(make_loader(data_dir, "train", 4, seed=0, start_step=1, **process))["maps"]

    whole = batch(process_index=0, process_count=1)
    parts = np.concatenate([batch(process_index=i, process_count=2) for i in range(2)])
    assert {x.tobytes() for x in whole} == {x.tobytes() for x in parts}


def test_an_epoch_without_shuffling_visits_every_record_once(data_dir):
    loader = make_loader(data_dir, "train", 2, seed=0, shuffle=False)
    seen = {x.tobytes() for batch in itertools.islice(loader, 4) for x in batch["maps"]}
    assert len(seen) == 8


def test_user_mistakes_are_named(data_dir, tmp_path):
    with pytest.raises(InputError, match="no data set"):
        make_loader(tmp_path, "train", 2, seed=0)
    with pytest.raises(InputError, match="no split 'test'"):
        make_loader(data_dir, "test", 2, seed=0)
    with pytest.raises(InputError, match="multiple"):
        make_loader(data_dir, "train", 3, seed=0, process_index=0, process_count=2)
    with pytest.raises(InputError, match="no .png skins"):
        load_skins(tmp_path, 32, np.ones((32, 32), bool))
    with pytest.raises(InputError, match="too small"):
        build_scene(load_embedded_model(), np.ones((1, 1)), np.ones((1, 3)), 8)


def test_a_flat_skin_deviates_nowhere_and_a_dark_spot_is_melanin(tmp_path):
    srgb = np.full((64, 64, 3), (200, 150, 130), np.uint8)
    Image.fromarray(srgb).save(tmp_path / "flat.png")
    srgb[30:34, 30:34] = (150, 100, 80)
    Image.fromarray(srgb).save(tmp_path / "spot.png")
    flat, spot = load_skins(tmp_path, 32, np.ones((32, 32), bool))
    np.testing.assert_allclose(flat, 0, atol=1e-4)
    assert spot[15, 15, 0] > 0.2

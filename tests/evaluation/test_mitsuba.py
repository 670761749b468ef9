"""The comparison with Mitsuba at its smallest, and our BRDF written a second time."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.benchmark import get_config
from experiments import benchmark
from relightify_jax.core.errors import InputError
from relightify_jax.evaluation import mitsuba_benchmark, mitsuba_cases, mitsuba_ours, mitsuba_scene
from relightify_jax.evaluation.mitsuba_bsdf import albedo_series, lobe_albedo
from relightify_jax.geometry.camera import Camera, project, scale_image
from relightify_jax.rendering.brdf import directional_response, specular_albedo_of_lobe
from relightify_jax.rendering.rasterize import rasterize

SIZE = 32


@pytest.fixture(scope="module", autouse=True)
def quick_compilation():
    """Compiling with all optimisations would take longer than everything else."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def mi():
    pytest.importorskip("mitsuba", reason="Mitsuba is not installed (extra `validate`)")
    return mitsuba_scene.start_mitsuba("scalar_rgb")


@pytest.fixture(scope="module")
def sphere():
    return mitsuba_cases.load_solid("sphere:4")


@pytest.fixture(scope="module")
def stage(sphere):
    return mitsuba_ours.set_stage("sphere:4", sphere, SIZE, 0.3)


def draw(mi, stage, material, kind, light, num_samples=16):
    scene = mitsuba_scene.build_scene(
        mi, stage.solid, material, kind, stage.camera, light, stage.size
    )
    return mitsuba_scene.draw(mi, scene, num_samples)


def compare(mi, stage, material, kind, light, method, num_samples=16):
    reference = draw(mi, stage, material, kind, light, num_samples)
    return measure(stage, material, light, method, reference)


def measure(stage, material, light, method, reference):
    ours = mitsuba_benchmark.draw_ours(stage, material, light, method)
    return mitsuba_benchmark.compare(ours, reference)[0]


@pytest.mark.parametrize("roughness", [0.25, 0.5])
def test_albedo_of_the_lobe_is_that_of_the_renderer(roughness):
    cosine = np.linspace(0.05, 1, 20)
    theirs = lobe_albedo(roughness, 0.028, cosine)
    ours = specular_albedo_of_lobe(jnp.asarray(cosine[:, None]), roughness, 0.028)[:, 0]
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    series, _ = albedo_series(roughness, 0.028)
    again = np.polynomial.chebyshev.chebval(2 * np.sqrt(cosine) - 1, series)
    np.testing.assert_allclose(again, theirs, atol=2e-4)


def test_skin_in_mitsuba_reflects_as_ours_does(mi):
    """Values of the material at single pairs of directions, and its sampling weights."""
    material = mitsuba_cases.load_material("skin")
    material = material._replace(albedo=np.full((2, 2, 3), 0.4, np.float32))
    bsdf = mi.load_dict(mitsuba_scene.describe(mi, material, "same"))
    interaction = mi.SurfaceInteraction3f()
    interaction.uv = mi.Point2f(0.5, 0.5)
    for light, view in (((0.3, 0.2, 0.9), (0.1, -0.5, 0.7)), ((0.9, 0.0, 0.2), (-0.8, 0.1, 0.3))):
        light, view = (np.array(v) / np.linalg.norm(v) for v in (light, view))
        interaction.wi = mi.Vector3f(*view)
        value = np.array(bsdf.eval(mi.BSDFContext(), interaction, mi.Vector3f(*light)))
        expected = directional_response(
            jnp.full(3, 0.4), jnp.full(1, material.specular), jnp.array([0.0, 0.0, 1.0]),
            jnp.asarray(view), jnp.asarray(light), material.roughness,
        )  # fmt: skip
        np.testing.assert_allclose(value * np.pi, expected, rtol=0.01)
        sample, weight = bsdf.sample(mi.BSDFContext(), interaction, 0.2, mi.Point2f(0.3, 0.6))
        both = bsdf.eval_pdf(mi.BSDFContext(), interaction, sample.wo)
        np.testing.assert_allclose(weight, np.array(both[0]) / both[1], rtol=1e-5)
        assert sample.pdf == pytest.approx(both[1])


def test_the_camera_sees_the_same_pixels(mi, sphere, stage):
    """An off-centre, rolled camera: coverage agrees to a fraction of a pixel."""
    camera = Camera(
        focal=jnp.float32(60.0),
        center=jnp.array([12.0, 19.0]),
        rotation=jnp.array([0.2, -0.3, 0.4]),
        translation=jnp.array([0.03, 0.02, -0.7]),
    )
    stretched = sphere._replace(points=sphere.points * np.array([1.5, 0.6, 1.0], np.float32))
    material = mitsuba_cases.load_material("matte")
    (light,) = mitsuba_cases.load_lights(["beam"], [])
    scene = mitsuba_scene.build_scene(mi, stretched, material, "diffuse", camera, light, SIZE)
    theirs = mitsuba_scene.draw(mi, scene, 64).alpha
    ours = coverage(stretched, camera)
    assert 0.1 < ours.mean() < 0.6
    assert np.abs(ours - theirs).mean() < 0.01


def coverage(solid, camera, samples=4):
    """Share (H, W) of each pixel that our rasterizer covers."""
    xy, depth = project(scale_image(camera, samples), jnp.asarray(solid.points))
    side = SIZE * samples
    face = rasterize(xy, depth, jnp.asarray(solid.faces), height=side, width=side, cull="back").face
    return np.asarray(face >= 0).reshape(SIZE, samples, SIZE, samples).mean(axis=(1, 3))


def test_a_beam_comes_from_where_it_should(mi, stage):
    (light,) = mitsuba_cases.load_lights(["beam"], [])
    row = compare(
        mi, stage, mitsuba_cases.load_material("matte"), "diffuse", light,
        mitsuba_ours.Method("beam"),
    )  # fmt: skip
    assert row["error"] < 0.02 and row["ratio"] == pytest.approx(1, abs=0.01)


def test_a_soft_box_shines_as_it_should(mi, stage):
    (light,) = mitsuba_cases.load_lights(["soft box"], [])
    row = compare(
        mi, stage, mitsuba_cases.load_material("matte"), "diffuse", light,
        mitsuba_ours.Method("emitters", num_emitters=16), num_samples=64,
    )  # fmt: skip
    assert row["error"] < 0.04 and row["ratio"] == pytest.approx(1, abs=0.015)


def test_an_environment_stands_the_same_way(mi, stage):
    """A lopsided map: a quarter turn of it would be off by more than half."""
    latlong = np.full((32, 64, 3), 0.05, np.float32)
    latlong[4:14, 36:52] = [3.0, 2.0, 1.0]
    latlong[18:26, 5:20] = [0.2, 0.5, 1.5]
    light = mitsuba_scene.Lighting("patches", latlong)
    method = mitsuba_ours.Method("sum", diffuse="quadrature")
    material = mitsuba_cases.load_material("matte")
    row = compare(mi, stage, material, "diffuse", light, method, num_samples=128)
    assert row["error"] < 0.05 and row["ratio"] == pytest.approx(1, abs=0.02)
    turned = light._replace(latlong=np.roll(latlong, 16, axis=1))
    reference = draw(mi, stage, material, "diffuse", light)
    wrong = measure(stage, material, turned, method, reference)
    assert wrong["error"] > 0.3


def test_a_texture_lies_the_same_way(mi, sphere):
    """Longitude and latitude as texture coordinates of a sphere, without its seam."""
    x, y, z = sphere.normals.T
    uv = np.stack([0.5 + np.arctan2(x, z) / (2 * np.pi), np.arccos(y) / np.pi], axis=-1)
    solid = sphere._replace(uv=uv.astype(np.float32), uv_faces=sphere.faces)
    stage = mitsuba_ours.set_stage("sphere:4", solid, SIZE, 0.3)
    albedo = np.zeros((8, 8, 3), np.float32)
    albedo[:4] += [0.8, 0.1, 0.1]
    albedo[:, :4] += [0.1, 0.1, 0.7]
    material = mitsuba_scene.Material("flags", albedo, None)
    (light,) = mitsuba_cases.load_lights(["beam"], [])
    row = compare(
        mi, stage, material, "diffuse", light, mitsuba_ours.Method("beam"), num_samples=64
    )
    assert row["error"] < 0.03


def test_the_program_writes_a_table_and_pictures(mi, tmp_path):
    text = benchmark.run(get_config("mitsuba_smoke"), tmp_path)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [row["reference"] for row in rows] == 3 * ["same"] + 3 * ["principled"]
    assert len(list(tmp_path.glob("*.png"))) == len(rows)
    for row in rows:
        assert row["ratio"] == pytest.approx(1, abs=0.05 if row["reference"] == "same" else 0.1)
        assert 0 < row["error"] < 0.25 and 0 < row["noise"] < 0.25
    assert "| sphere | skin" in text and "scalar_rgb, 256 paths" in text


@pytest.mark.slow
def test_a_head_shades_itself_as_in_mitsuba(mi):
    stage = mitsuba_ours.set_stage("head:1", mitsuba_cases.load_solid("head:1"), 48, 0.3)
    material = mitsuba_cases.load_material("matte")
    (light,) = mitsuba_cases.load_lights(["sky"], [])
    plain, _, transfer = mitsuba_benchmark.methods(stage, material, light)
    reference = draw(mi, stage, material, "diffuse", light, 512)
    without = measure(stage, material, light, plain, reference)
    row = measure(stage, material, light, transfer, reference)
    assert row["error"] < 0.05 and row["ratio"] == pytest.approx(1, abs=0.01)
    assert without["ratio"] > 1.03


def test_the_fast_variant_is_taken_only_where_it_works(mi, monkeypatch):
    monkeypatch.setattr(mitsuba_scene, "_PROBE", "raise SystemExit(1)")
    assert mitsuba_scene.start_mitsuba("auto").variant() == "scalar_rgb"
    with pytest.raises(InputError, match="take 'scalar_rgb'"):
        mitsuba_scene.start_mitsuba("gpu_rgb")


def test_without_mitsuba_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(mitsuba_scene.importlib, "import_module", raise_import_error)
    with pytest.raises(InputError, match=r"pip install \"relightify_jax\[validate\]\""):
        benchmark.run(get_config("mitsuba_smoke"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def raise_import_error(name):
    raise ImportError(name)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (dict(scenes=("torus",)), "'torus'; give sphere:6"),
        (dict(materials=("glass",)), "'glass'; choose from matte"),
        (dict(lights=("moon",)), "'moon'; choose from sky"),
        (dict(sizes=(8, 8)), "one size per scene"),
        (dict(environments=("missing.hdr",)), "missing.hdr does not exist"),
    ],
)
def test_impossible_plans_are_explained(tmp_path, entries, words):
    config = get_config("mitsuba_smoke")
    config.update(entries)
    with pytest.raises(InputError, match=words):
        benchmark.run(config, tmp_path)


def test_targets_judge_the_rows_they_are_about():
    row = dict(scene="head", material="matte", light="sky", reference="diffuse", ratio=1.0)
    sheen = dict(material="sheen 0.4", reference="same", method="GGX 32x64", error=0.06, noise=0.01)
    others = dict(method="PRT-SH4", error=0.02), dict(method="SH4", error=0.2), sheen
    rows = [row | other for other in (*others, sheen | dict(light="sun", noise=0.05))]
    diffuse, sheen = mitsuba_benchmark.targets(rows)
    assert "matte in sky 2.00% (met)." in diffuse and "20.00%" not in diffuse
    assert "sheen 0.4 in sky 6.00% (missed)" in sheen and "in sun 6.00% (open" in sheen

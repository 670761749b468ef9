"""The prior: statistics, masks, storage and completion, with a tiny untrained one."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core.errors import InputError
from relightify_jax.core.uv_layout import UVMaps
from relightify_jax.diffusion import gaussian
from relightify_jax.models import KLAutoencoder, UNet
from relightify_jax.prior import (
    FaceCodec,
    Prior,
    complete_maps,
    completion_errors,
    encoding,
    load_codec,
    load_prior,
    save_codec,
    save_prior,
)
from relightify_jax.prior.codec import known_cells
from relightify_jax.prior.complete import encode_observed
from relightify_jax.prior.encoding import MapStatistics
from relightify_jax.prior.face_prior import LatentStatistics

SIZE = 32
TINY = dict(
    encoder_features=4,
    decoder_features=(4, 4),
    num_blocks=1,
    full_size_features=2,
    dtype="float32",
)


@pytest.fixture(scope="module")
def prior():
    random = np.random.default_rng(0)
    texture = KLAutoencoder(3, 2, **TINY)
    reflectance = KLAutoencoder(7, 3, **TINY)
    keys = jax.random.split(jax.random.key(0), 3)

    def init(module, key, channels):
        x = jnp.zeros((1, 8, 8, channels))
        return jax.jit(module.init)(key, x, jax.random.key(9))["params"]

    mean = random.uniform(0.2, 0.6, size=(SIZE, SIZE, 10)).astype(np.float32)
    codec = FaceCodec(
        texture=texture,
        reflectance=reflectance,
        params={
            "texture": init(texture, keys[0], 3),
            "reflectance": init(reflectance, keys[1], 7),
        },
        statistics=MapStatistics(mean, np.full(10, 0.1, np.float32)),
    )
    denoiser = UNet(5, features=(4, 8), num_blocks=1, attention_sizes=(), groups=2, dtype="float32")
    params = jax.jit(denoiser.init)(keys[2], jnp.zeros((1, 4, 4, 10)), jnp.zeros(1))["params"]
    model = gaussian.fit_gaussian(random.normal(size=(20, 4, 4, 5)), 4)
    return Prior(
        denoiser=denoiser,
        codec=codec,
        params=params,
        latents=LatentStatistics(np.zeros((4, 4, 5), np.float32), np.ones(5, np.float32)),
        gaussian=model,
    )


@pytest.fixture
def photo():
    texture = jax.random.uniform(jax.random.key(7), (SIZE, SIZE, 3))
    confidence = jnp.zeros((SIZE, SIZE, 1)).at[:, :20].set(1.0)
    return texture, confidence


def test_standardising_and_back_is_the_identity(prior):
    stack = np.random.default_rng(1).uniform(0.1, 0.9, (2, SIZE, SIZE, 10)).astype(np.float32)
    normals = stack[..., 6:9]
    stack[..., 6:9] = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
    statistics = prior.codec.statistics
    residual = encoding.standardize_maps(statistics, encoding.perceptual_from_maps(stack))
    back = encoding.maps_from_perceptual(encoding.restore_maps(statistics, residual))
    np.testing.assert_allclose(back, stack, atol=2e-5)


def test_statistics_make_each_kind_of_map_as_wide_as_it_is_important():
    random = np.random.default_rng(2)
    maps = random.normal(size=(400, 4, 4, 10)) * np.r_[np.full(3, 0.2), np.full(7, 0.05)] + 0.5
    statistics = encoding.statistics_from_moments(maps.mean(0), (maps**2).mean(0))
    residual = encoding.standardize_maps(statistics, maps.astype(np.float32))
    spread = np.std(residual, axis=(0, 1, 2))
    np.testing.assert_allclose(spread, [1.0] * 3 + [1.5] * 3 + [1.0] * 3 + [0.4], rtol=0.05)


def test_known_cells_are_those_whose_receptive_field_is_known():
    known = np.ones((1, 64, 64, 1), bool)
    known[0, 32, 32] = False  # One texel, at the corner of cell (4, 4).
    expected = np.ones((8, 8), bool)
    expected[3:6, 3:6] = False
    np.testing.assert_array_equal(known_cells(jnp.asarray(known))[0, ..., 0], expected)


def test_observed_latents_do_not_depend_on_what_is_unknown(prior, photo):
    texture, confidence = photo
    other = jnp.where(confidence > 0, texture, 0.9)
    known, mask = encode_observed(prior, texture, confidence)
    known_other, mask_other = encode_observed(prior, other, confidence)
    np.testing.assert_array_equal(mask, mask_other)
    np.testing.assert_array_equal(known, known_other)
    assert mask[..., :2].sum() > 0  # Some texture is known,
    assert mask[..., 2:].sum() == 0  # reflectance never.


@pytest.mark.parametrize("solver", ["mcg", "replacement"])
def test_completion_returns_valid_maps_for_every_seed(prior, photo, solver):
    maps = complete_maps(prior, jax.random.key(0), *photo, num_seeds=2, num_steps=3, solver=solver)
    assert isinstance(maps, UVMaps)
    assert [m.shape for m in maps] == [(2, SIZE, SIZE, c) for c in (3, 3, 3, 1)]
    for m in (maps.texture, maps.diffuse_albedo, maps.specular_albedo):
        assert np.all(m >= 0) and np.all(m <= 1)
    np.testing.assert_allclose(np.linalg.norm(maps.normals, axis=-1), 1.0, atol=1e-4)
    assert np.abs(maps.diffuse_albedo[0] - maps.diffuse_albedo[1]).max() > 1e-4
    assert completion_errors(maps, *photo).shape == (2,)


def test_a_completion_does_not_depend_on_the_unknown_texels(prior, photo):
    texture, confidence = photo
    other = jnp.where(confidence > 0, texture, 0.9)
    run = lambda t: complete_maps(prior, jax.random.key(0), t, confidence, num_steps=3)  # noqa: E731
    for a, b in zip(run(texture), run(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_errors_rank_the_closer_completion_first(photo):
    texture, confidence = photo
    both = jnp.stack([texture * 0.8, texture])
    errors = completion_errors(UVMaps(both, both, both, both[..., :1]), texture, confidence)
    assert errors[1] == 0 < errors[0]


@pytest.mark.parametrize("change", [dict(num_seeds=0), dict(num_steps=0), dict(solver="magic")])
def test_bad_options_are_explained(prior, photo, change):
    with pytest.raises(InputError):
        complete_maps(prior, jax.random.key(0), *photo, **change)


def test_a_texture_of_another_size_is_explained(prior):
    with pytest.raises(InputError, match="32 x 32"):
        complete_maps(prior, jax.random.key(0), jnp.zeros((8, 8, 3)), jnp.zeros((8, 8, 1)))


def test_a_prior_comes_back_from_its_file(prior, photo, tmp_path):
    save_prior(tmp_path / "p.npz", prior, {"steps": 3})
    loaded = load_prior(tmp_path / "p.npz")
    assert loaded.denoiser == prior.denoiser and loaded.codec.texture == prior.codec.texture
    assert jax.tree.structure(loaded.params) == jax.tree.structure(prior.params)
    for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(prior), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4)
    assert loaded.gaussian.variances.dtype == np.float32


def test_a_codec_comes_back_from_its_file(prior, tmp_path):
    save_codec(tmp_path / "c.npz", prior.codec, {})
    stack = jnp.full((1, SIZE, SIZE, 10), 0.4)
    a, b = (c.latents_from_maps(stack) for c in (prior.codec, load_codec(tmp_path / "c.npz")))
    np.testing.assert_allclose(a, b, atol=0.02)


def edit(path, **changes):
    with np.load(path) as archive:
        arrays = dict(archive)
    config = json.loads(str(arrays["config"]))
    config |= {k: v for k, v in changes.items() if k in config}
    arrays["config"] = np.array(json.dumps(config))
    arrays |= {k: v for k, v in changes.items() if k in arrays}
    for name in changes.get("remove", ()):
        del arrays[name]
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(version=99), "format 99"),
        (dict(kind="codec"), "holds a codec"),
        (dict(remove=["gaussian/modes"]), "damaged"),
        (dict(remove=["config"]), "is not a prior"),
        ({"latents/scale": np.ones(3)}, "damaged"),
        ({"denoiser/conv_in/bias": np.ones(3)}, "damaged"),
        ({"codec/statistics/mean": np.ones((32, 32, 9))}, "damaged"),
    ],
)
def test_wrong_files_are_explained_in_one_sentence(prior, tmp_path, changes, message):
    path = tmp_path / "p.npz"
    save_prior(path, prior, {})
    edit(path, **changes)
    with pytest.raises(InputError, match=message):
        load_prior(path)


def test_missing_and_unreadable_files_are_explained(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_prior(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InputError, match="cannot be read"):
        load_prior(tmp_path / "text.npz")

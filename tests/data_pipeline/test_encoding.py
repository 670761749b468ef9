"""Codes of a record: what is lost, what a mirror does, and that no JAX is involved."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_faces import fake_record

from data_pipeline.encoding import (
    CHANNELS,
    DTYPES,
    FaceRecord,
    check_record,
    decode_batch,
    decode_record,
    encode_record,
    mirror_record,
)
from data_pipeline.relightable_faces.mirror import identity_mirror
from relightify_jax.core.color import linear_from_srgb

RECORD = fake_record(0, size=32)


@pytest.mark.parametrize("bits", [8, 16])
def test_coding_loses_half_a_code(bits):
    half = 0.5 / (2**bits - 1) + 1e-6
    coded = encode_record(RECORD, bits)
    found = decode_record(coded)
    assert all(getattr(coded, name).dtype == DTYPES[bits] for name in CHANNELS)
    assert all(getattr(found, name).dtype == np.float32 for name in CHANNELS)
    for name in ("specular_albedo", "roughness", "valid"):
        assert np.abs(getattr(found, name) - getattr(RECORD, name)).max() <= half
    # The sRGB curve is at most 2.3 steep at white, and flat in the dark.
    assert np.abs(found.diffuse_albedo - RECORD.diffuse_albedo).max() < 2.3 * half
    cosine = np.sum(found.normals * RECORD.normals, -1)
    angle = np.arccos(np.clip(cosine.astype(np.float64), -1, 1))
    assert angle.max() < 2 * np.sqrt(3) * half + 1e-3
    np.testing.assert_allclose(np.linalg.norm(found.normals, axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(found.identity, RECORD.identity)


def test_albedo_is_stored_as_srgb():
    grey = np.full((4, 4, 3), np.asarray(linear_from_srgb(np.float32(100 / 255))), np.float32)
    record = fake_record(0, size=4)._replace(diffuse_albedo=grey)
    assert np.all(encode_record(record).diffuse_albedo == 100)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_code_decoded_and_coded_again_is_itself(bits):
    coded = encode_record(RECORD, bits)
    again = encode_record(decode_record(coded), bits)
    for name in ("diffuse_albedo", "specular_albedo", "roughness", "valid"):
        np.testing.assert_array_equal(getattr(again, name), getattr(coded, name))


def test_the_device_codes_and_decodes_as_the_host_does():
    coded = encode_record(RECORD)
    on_device = jax.jit(lambda record: encode_record(record, 8, jnp))(RECORD)
    decoded = jax.jit(lambda batch: decode_batch(batch, jnp))({**coded._asdict(), "index": 3})
    for name in FaceRecord._fields:
        wanted, found = getattr(coded, name), np.asarray(getattr(on_device, name))
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(
            found.astype(float), wanted, atol=1
        )  # A tie may fall either way.
        assert np.mean(found != wanted) < 1e-3
    for wanted, found in zip(decode_record(coded), decoded, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_values_beyond_the_range_are_clipped():
    coded = encode_record(RECORD._replace(diffuse_albedo=10 * RECORD.diffuse_albedo - 2))
    assert coded.diffuse_albedo.min() == 0 and coded.diffuse_albedo.max() == 255


def test_a_mirror_commutes_with_coding_and_is_its_own_inverse():
    modes = np.diag([1.0, -1, 1, -1, 1]).astype(np.float32)
    mirrored = mirror_record(RECORD, modes)
    np.testing.assert_allclose(mirrored.normals[5, 3], RECORD.normals[5, -4] * [-1, 1, 1])
    np.testing.assert_array_equal(mirrored.roughness[5, 3], RECORD.roughness[5, -4])
    np.testing.assert_array_equal(mirrored.identity, RECORD.identity * [1, -1, 1, -1, 1])
    for record in (RECORD, encode_record(RECORD)):
        twice = mirror_record(mirror_record(record, modes), modes)
        jax.tree.map(np.testing.assert_array_equal, twice, record)
    on_codes = decode_record(mirror_record(encode_record(RECORD), modes))
    np.testing.assert_allclose(on_codes.normals, mirrored.normals, atol=0.01)


def test_mirrored_coefficients_give_the_mirrored_head(embedded_model):
    matrix = identity_mirror(embedded_model)
    coefficients = np.random.default_rng(0).normal(size=matrix.shape[0])
    mean = np.asarray(embedded_model.mean, np.float64)
    modes = np.asarray(embedded_model.identity, np.float64)
    flip = np.array([-1.0, 1, 1])
    partner = np.array([np.argmin(np.linalg.norm(mean - p, axis=1)) for p in mean[::500] * flip])
    head = mean + np.tensordot(coefficients, modes, 1)
    found = mean + np.tensordot(matrix @ coefficients, modes, 1)
    # 13 mm away on average if the coefficients were kept and the head were not symmetric.
    offset = (found[partner] - mean[partner]) - (head[::500] - mean[::500]) * flip
    assert np.linalg.norm(offset, axis=1).max() < 5e-4
    kept = (head[partner] - mean[partner]) - (head[::500] - mean[::500]) * flip
    assert np.linalg.norm(kept, axis=1).max() > 2e-3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"normals": np.zeros((32, 32, 2))}, r"normals has shape \(32, 32, 2\)"),
        ({"roughness": np.zeros((16, 16, 1))}, "roughness has shape"),
        ({"valid": np.full((32, 32, 1), np.nan)}, "valid holds values that are not finite"),
    ],
)
def test_a_wrong_map_is_named(change, sentence):
    check_record(RECORD)
    with pytest.raises(ValueError, match=sentence):
        check_record(RECORD._replace(**change))


def test_other_numbers_of_bits_are_refused():
    with pytest.raises(ValueError, match="8 or 16, not 12"):
        encode_record(RECORD, 12)


def test_coding_does_not_load_jax():
    program = "import sys, data_pipeline.encoding; print('jax' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"

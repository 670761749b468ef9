import os
import stat

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from relightify_jax.core import color, numerics, rng, uv_layout
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path, read_npz, staged_folder

RANDOM = np.random.default_rng(0)


def test_srgb_curve_has_its_published_values():
    # 8-bit codes and their linear values by IEC 61966-2-1.
    codes = np.array([0, 10, 11, 55, 128, 188, 255]) / 255
    values = [0.0, 0.003035, 0.003347, 0.038204, 0.215861, 0.502886, 1.0]
    np.testing.assert_allclose(color.linear_from_srgb(codes), values, atol=1e-6)
    np.testing.assert_allclose(color.srgb_from_linear(np.array(values)), codes, atol=1e-5)


def test_srgb_curve_inverts_clips_and_rises():
    x = np.linspace(0, 1, 1001, dtype=np.float32)
    coded = color.srgb_from_linear(x)
    np.testing.assert_allclose(color.linear_from_srgb(coded), x, atol=1e-6)
    assert np.all(np.diff(coded) > 0)
    np.testing.assert_allclose(color.srgb_from_linear(np.array([-3.0, 7.0])), [0, 1])


def test_srgb_curve_has_finite_gradients_everywhere():
    inside = jnp.array([0.0, 0.002, 0.0031308, 0.04045, 0.5, 1.0])
    outside = jnp.array([-1.0, 2.0])  # An optimizer may step there.
    encode, decode = (
        jax.jit(jax.vmap(jax.grad(f))) for f in (color.srgb_from_linear, color.linear_from_srgb)
    )
    assert np.all(encode(inside) > 0) and np.all(decode(inside) > 0)
    assert np.isfinite(encode(outside)).all()


def test_luminance_weighs_green_most_and_white_fully():
    np.testing.assert_allclose(color.luminance(np.eye(3)), color.LUMINANCE)
    np.testing.assert_allclose(color.luminance(np.ones((2, 3))), 1.0, rtol=1e-6)


def test_products_are_exact_to_float32():
    a, b = RANDOM.normal(size=(40, 60)), RANDOM.normal(size=(60, 30))
    exact = a @ b
    product = jax.jit(numerics.matmul)(a.astype(np.float32), b.astype(np.float32))
    np.testing.assert_allclose(product, exact, atol=2e-5)
    summed = numerics.einsum("ij,jk->ki", a.astype(np.float32), b.astype(np.float32))
    np.testing.assert_allclose(summed, exact.T, atol=2e-5)


@pytest.mark.parametrize("function", [numerics.matmul, lambda a, b: numerics.einsum("ij,jk", a, b)])
def test_products_ask_for_highest_precision(function):
    text = jax.jit(function).lower(np.ones((2, 2)), np.ones((2, 2))).as_text()
    assert "HIGHEST" in text


def test_norm_and_its_gradient():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-20, 0.0], [1e18, 0.0]])
    np.testing.assert_allclose(numerics.safe_norm(x)[:2], [5, 0])
    gradient = jax.grad(lambda x: numerics.safe_norm(x).sum())(x)
    np.testing.assert_allclose(gradient[:2], [[0.6, 0.8], [0, 0]], rtol=1e-6)
    assert np.isfinite(gradient).all()
    assert numerics.safe_norm(x, axis=0, keepdims=True).shape == (1, 2)


def test_normalized_vectors_are_unit_and_zero_stays_zero():
    x = RANDOM.normal(size=(20, 3)).astype(np.float32) * 10.0 ** RANDOM.integers(-3, 4, (20, 1))
    unit = numerics.normalize(x)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.cross(unit, x), 0.0, atol=1e-2)
    np.testing.assert_array_equal(numerics.normalize(jnp.zeros(3)), 0.0)
    jacobian = jax.jacobian(numerics.normalize)(jnp.zeros(3))
    assert np.isfinite(jacobian).all()


def key_bits(key):
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_streams_differ_by_name_and_step_and_repeat():
    key = jax.random.key(3)
    keys = [rng.stream(key, name, step) for name in ("noise", "time") for step in (None, 0, 1)]
    assert len({key_bits(k) for k in keys}) == 6
    assert key_bits(rng.stream(key, "noise", 1)) == key_bits(keys[2])
    traced = jax.jit(lambda key, step: rng.stream(key, "noise", step))(key, 1)
    assert key_bits(traced) == key_bits(keys[2])


def test_stream_of_a_name_never_changes():
    # Fixed by CRC-32 and Threefry: a changed number would break resumed runs.
    bits = key_bits(rng.stream(jax.random.key(0, impl="threefry2x32"), "noise"))
    expected = jax.random.fold_in(jax.random.key(0, impl="threefry2x32"), 0xFDA99629)
    assert bits == key_bits(expected)


def test_atomic_write_replaces_whole_files(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "two"):
        with atomic_path(path) as partial:
            partial.write_text(text)
            assert partial.suffix == ".txt" and partial.parent == path.parent
        assert path.read_text() == text
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="stop"), atomic_path(path) as partial:
        partial.write_text("half")
        raise RuntimeError("stop")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_written_files_have_usual_permissions(tmp_path):
    umask = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a.txt") as partial:
            partial.write_text("x")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


def test_staged_folder_replaces_its_entries_only(tmp_path):
    out = tmp_path / "out"
    for number, names in enumerate((("a.txt", "maps/old.txt"), ("a.txt", "maps/new.txt"))):
        with staged_folder(out) as stage:
            assert list(stage.iterdir()) == []
            for name in names:
                (stage / name).parent.mkdir(exist_ok=True)
                (stage / name).write_text(str(number))
        (out / "mine.txt").write_text("kept")
    assert (out / "a.txt").read_text() == "1"
    assert [file.name for file in (out / "maps").iterdir()] == ["new.txt"]
    assert sorted(file.name for file in out.iterdir()) == ["a.txt", "maps", "mine.txt"]


def test_failed_stage_keeps_the_old_folder(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError, match="stop"), staged_folder(tmp_path) as stage:
        (stage / "a.txt").write_text("half")
        raise RuntimeError("stop")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write to the folder"):
        with staged_folder(tmp_path / "file"):
            pass


def test_npz_reads_back_and_bad_ones_are_named(tmp_path):
    arrays = {"a": RANDOM.normal(size=(2, 3)), "b": np.array("text")}
    np.savez(tmp_path / "good.npz", **arrays)
    read = read_npz(tmp_path / "good.npz", "a test")
    assert read.keys() == arrays.keys()
    np.testing.assert_array_equal(read["a"], arrays["a"])
    with pytest.raises(InputError, match="does not exist; give the path of a face model"):
        read_npz(tmp_path / "missing.npz", "a face model")
    data = (tmp_path / "good.npz").read_bytes()
    for name, content in (("text", b"hello"), ("empty", b""), ("cut", data[: len(data) // 2])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="is not a face model"):
            read_npz(tmp_path / name, "a face model")


def test_npz_with_python_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="is not a face model"):
        read_npz(tmp_path / "a.npz", "a face model")


def test_map_channels_are_ten_without_gap_or_overlap():
    numbers = np.concatenate([np.arange(10)[s] for s in uv_layout.UV_CHANNELS.values()])
    np.testing.assert_array_equal(numbers, np.arange(uv_layout.NUM_UV_CHANNELS))
    assert tuple(uv_layout.UV_CHANNELS) == uv_layout.UVMaps._fields
    assert uv_layout.NUM_REFLECTANCE_CHANNELS == 7


def test_splitting_maps_inverts_stacking():
    stack = RANDOM.normal(size=(2, 4, 4, 10)).astype(np.float32)
    maps = uv_layout.split_maps(jnp.asarray(stack))
    assert [value.shape[-1] for value in maps] == [3, 3, 3, 1]
    np.testing.assert_array_equal(uv_layout.stack_maps(maps), stack)
    np.testing.assert_array_equal(maps.normals, stack[..., 6:9])


def test_a_stack_of_other_channels_is_refused():
    with pytest.raises(ValueError, match="Expected 10 channels"):
        uv_layout.split_maps(jnp.zeros((4, 4, 9)))


def test_skin_reflects_as_a_refractive_index_of_1_4():
    f0 = ((1.4 - 1) / (1.4 + 1)) ** 2
    specular = uv_layout.SKIN_SPECULAR_ALBEDO * uv_layout.F0_AT_SPECULAR_ONE
    np.testing.assert_allclose(specular, f0, rtol=0.01)

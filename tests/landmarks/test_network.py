import importlib.resources
import json

import jax
import numpy as np
import pytest
from scipy.signal import correlate2d

from relightify_jax.core.errors import InputError
from relightify_jax.landmarks import network as network_module
from relightify_jax.landmarks.network import Op, load_networks, run_network

RNG = np.random.default_rng(0)
ASSET = importlib.resources.files("relightify_jax") / "assets" / "landmark_nets.npz"


@pytest.mark.parametrize(("name", "size"), [("detector", 128), ("mesh", 192)])
def test_compiled_network_equals_its_operations_one_by_one(networks, name, size):
    # XLA's CPU compiler was seen to fuse parts of the detector into wrong numbers.
    network = getattr(networks, name)
    x = RNG.uniform(-1, 1, (2, size, size, 3)).astype(np.float32)
    compiled = jax.jit(run_network)(network, x)
    tensors = {**network.weights, network.input: x}
    for op in network.ops:
        tensors[op.output] = network_module._run_op(op, [tensors[i] for i in op.inputs])
    for result, output in zip(compiled, network.outputs, strict=True):
        scale = np.abs(tensors[output]).max()
        np.testing.assert_allclose(result, tensors[output], atol=1e-5 * scale)


def test_networks_have_the_documented_shapes(networks):
    pictures = jax.ShapeDtypeStruct((3, 128, 128, 3), np.float32)
    shapes = [x.shape for x in jax.eval_shape(run_network, networks.detector, pictures)]
    assert shapes == [(3, 896, 16), (3, 896, 1)]
    pictures = jax.ShapeDtypeStruct((3, 192, 192, 3), np.float32)
    shapes = [x.shape for x in jax.eval_shape(run_network, networks.mesh, pictures)]
    assert shapes == [(3, 1, 1, 1404), (3, 1, 1, 1)]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [8, 9])
def test_depthwise_convolution_equals_scipy(stride, size):
    x = RNG.normal(size=(1, size, size, 3)).astype(np.float32)
    kernel = RNG.normal(size=(3, 3, 1, 3)).astype(np.float32)
    op = Op("depthwise_conv", (), 0, padding="SAME", strides=(stride, stride))
    result = network_module._convolve_depthwise(x, kernel, op)
    # "SAME" with stride 2 starts at the second pixel where the size is even.
    first = 1 if stride == 2 and size % 2 == 0 else 0
    for channel in range(3):
        full = correlate2d(x[0, ..., channel], kernel[:, :, 0, channel], mode="same")
        expected = full[first::stride, first::stride]
        np.testing.assert_allclose(result[0, ..., channel], expected, atol=1e-5)


def test_unknown_operation_is_refused():
    with pytest.raises(ValueError, match="softmax"):
        network_module._run_op(Op("softmax", (), 0), [np.zeros(1)])


def test_embedded_file_is_small_and_carries_its_licence():
    with importlib.resources.as_file(ASSET) as path:
        assert path.stat().st_size < 1.5e6
        with np.load(path) as arrays:
            assert "Apache License, Version 2.0" in str(arrays["notice"])
            assert all(arrays[k].dtype == np.float16 for k in arrays if k.split("/")[-1].isdigit())


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"detector/graph": np.array("{no json")},
        {"detector/graph": np.array(json.dumps({"ops": [{"kind": "conv"}]}))},
    ],
)
def test_wrong_files_are_refused(tmp_path, arrays):
    np.savez(tmp_path / "nets.npz", **arrays)
    with pytest.raises(InputError, match="is not the landmark networks"):
        load_networks(tmp_path / "nets.npz")
    with pytest.raises(InputError, match="does not exist"):
        load_networks(tmp_path / "missing.npz")

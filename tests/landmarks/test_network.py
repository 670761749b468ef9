import importlib.resources
import json

import jax
import numpy as np
import pytest
from scipy.signal import correlate2d

from relightify_jax.core.errors import InputError
from relightify_jax.core.facemesh import MIRROR
from relightify_jax.landmarks import detector, facemesh
from relightify_jax.landmarks import network as network_module
from relightify_jax.landmarks.ensemble import NUM_VIEWS
from relightify_jax.landmarks.network import Op, load_networks, run_network

RNG = np.random.default_rng(0)
ASSET = importlib.resources.files("relightify_jax") / "assets" / "landmark_nets.npz"


def windows(x, size, strides, padding, fill):
    """Views (N, rows, columns, C, *size) under a moving window, by TensorFlow's padding rule."""
    pads = [(0, 0)]
    for extent, width, stride in zip(x.shape[1:3], size, strides, strict=True):
        total = max((-(-extent // stride) - 1) * stride + width - extent, 0)
        total = total if padding == "SAME" else 0
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return views[:, :: strides[0], :: strides[1]]


def reference(network, x):
    """The network in NumPy, one operation after the other."""
    tensors = {i: np.asarray(weight) for i, weight in network.weights.items()}
    tensors[network.input] = x
    for op in network.ops:
        x, *rest = (tensors[i] for i in op.inputs)
        match op.kind:
            case "conv":
                views = windows(x, rest[0].shape[:2], op.strides, op.padding, 0)
                y = np.tensordot(views, rest[0].transpose(2, 0, 1, 3), 3) + rest[1]
            case "depthwise_conv":
                views = windows(x, rest[0].shape[:2], op.strides, op.padding, 0)
                y = np.einsum("nhwcij,ijc->nhwc", views, rest[0][:, :, 0]) + rest[1]
            case "max_pool":
                y = windows(x, op.window, op.strides, op.padding, -np.inf).max(axis=(-2, -1))
            case "prelu":
                y = np.maximum(x, 0) + rest[0] * np.minimum(x, 0)
            case "concatenate":
                y = np.concatenate([x, *rest], op.axis)
            case "add":
                y = x + rest[0]
            case "relu":
                y = np.maximum(x, 0)
            case "pad":
                y = np.pad(x, op.pads)
            case "reshape":
                y = x.reshape(len(x), *op.shape)
        tensors[op.output] = y
    return [tensors[i] for i in network.outputs]


# The compiled programs themselves are compared, because XLA's CPU compiler was seen to fuse
# parts of the detector into wrong numbers.


def test_compiled_detector_equals_numpy(networks):
    pictures = RNG.integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    scores, points = detector.predict(networks.detector, pictures)
    raw, logits = reference(networks.detector, pictures.astype(np.float32) / 127.5 - 1)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits[..., 0])), atol=1e-5)
    pairs = raw.reshape(1, 896, 8, 2) / 128
    center, size = pairs[:, :, 0] + detector.anchor_centers(), pairs[:, :, 1]
    np.testing.assert_allclose(points[:, :, 0], center - size / 2, atol=1e-5)
    np.testing.assert_allclose(points[:, :, 1], center + size / 2, atol=1e-5)
    keypoints = pairs[:, :, 2:] + detector.anchor_centers()[:, None]
    np.testing.assert_allclose(points[:, :, 2:], keypoints, atol=1e-5)


@pytest.mark.parametrize("count", [1, NUM_VIEWS])  # Both programs that are in use.
def test_compiled_mesh_equals_numpy(networks, count):
    picture = RNG.integers(0, 256, (facemesh.CUT_SIZE,) * 2 + (3,), dtype=np.uint8)
    # This square takes the pixels in the middle as they are; every second one is mirrored.
    start, middle = (facemesh.CUT_SIZE - 192) // 2, facemesh.CUT_SIZE / 2
    square = facemesh.make_squares(np.full(2, middle), 192.0, 0.0)
    squares = facemesh.Squares(*(np.repeat(value, count, axis=0) for value in square))
    squares = squares._replace(mirrored=np.arange(count) % 2 == 1)
    points, scores = facemesh.predict(networks.mesh, picture, squares)
    inside = picture[start : start + 192, start : start + 192].astype(np.float32) / 255
    raw, logits = reference(networks.mesh, np.stack([inside, inside[:, ::-1]]))
    plain, mirrored = raw.reshape(2, 468, 3)
    mirrored = (mirrored * [-1, 1, 1] + [192, 0, 0])[list(MIRROR)]
    for index in range(count):
        expected = (mirrored if index % 2 else plain) + [start, start, 0]
        np.testing.assert_allclose(points[index], expected, atol=1e-3)
        np.testing.assert_allclose(
            scores[index], 1 / (1 + np.exp(-logits.reshape(2)[index % 2])), atol=1e-5
        )


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
    result = jax.jit(network_module._convolve_depthwise, static_argnums=2)(x, kernel, op)
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

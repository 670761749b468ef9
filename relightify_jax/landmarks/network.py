"""The two stored networks as pure JAX functions: the graph is static, the weights are arguments.

Both files are straight-line convolutional graphs of nine kinds of operation, so a graph
is a tuple of `Op` and running it is one loop, unrolled when `jax.jit` traces it.
"""

import dataclasses
import functools
import importlib.resources
import json
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import read_npz


class Op(NamedTuple):
    """One operation on numbered tensors; fields that its kind does not use stay empty."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    padding: str = ""  # "SAME" or "VALID".
    strides: tuple[int, ...] = ()  # Rows, columns.
    window: tuple[int, ...] = ()  # Rows, columns.
    pads: tuple[tuple[int, int], ...] = ()  # Before and after, per axis.
    shape: tuple[int, ...] = ()  # Without the batch axis; one entry may be -1.
    axis: int = 0


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["weights"],
    meta_fields=["ops", "input", "outputs"],
)
@dataclasses.dataclass(frozen=True)
class Network:
    """A graph and its weights; a pytree whose leaves are the weights only."""

    weights: dict[int, jax.Array]  # By tensor number, float32, kernels in HWIO order.
    ops: tuple[Op, ...]
    input: int
    outputs: tuple[int, ...]


class LandmarkNetworks(NamedTuple):
    """Everything that `find_faces` needs."""

    detector: Network  # (N, 128, 128, 3) in [-1, 1] -> (N, 896, 16), (N, 896, 1).
    mesh: Network  # (N, 192, 192, 3) in [0, 1] -> (N, 1, 1, 1404), (N, 1, 1, 1).


def load_networks(path: str | os.PathLike[str] | None = None) -> LandmarkNetworks:
    """Reads the networks written by data_pipeline.build_landmark_weights.

    Args:
        path: An .npz file; None is the one embedded in the package.

    Raises:
        InputError: If the file is missing or holds something else.
    """
    what = "the landmark networks"
    if path is None:
        embedded = importlib.resources.files("relightify_jax") / "assets" / "landmark_nets.npz"
        with importlib.resources.as_file(embedded) as file:
            arrays = read_npz(file, what)
    else:
        arrays = read_npz(path, what)
    try:
        return LandmarkNetworks(*(_network(arrays, name) for name in LandmarkNetworks._fields))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not {what}: {error!r}.") from None


def _network(arrays: dict[str, np.ndarray], name: str) -> Network:
    graph = json.loads(str(arrays[f"{name}/graph"]))
    ops = tuple(Op(**{key: _as_tuple(value) for key, value in op.items()}) for op in graph["ops"])
    # Stored as float16, which is how they were released; computed in float32.
    weights = {
        tensor: jnp.asarray(arrays[f"{name}/{tensor}"], jnp.float32)
        for tensor in sorted({i for op in ops for i in op.inputs})
        if f"{name}/{tensor}" in arrays
    }
    return Network(weights, ops, graph["input"], tuple(graph["outputs"]))


def _as_tuple(value):
    """JSON lists to tuples, which jit can hash."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def run_network(network: Network, x: jax.Array) -> tuple[jax.Array, ...]:
    """Evaluates the graph on a batch (N, H, W, 3). Pure; jit the caller."""
    tensors = {**network.weights, network.input: x}
    for op in network.ops:
        tensors[op.output] = _run_op(op, [tensors[i] for i in op.inputs])
    return tuple(tensors[i] for i in network.outputs)


def _run_op(op: Op, args: list[jax.Array]) -> jax.Array:
    x = args[0]
    match op.kind:
        case "conv":
            return _convolve(x, args[1], op) + args[2]
        case "depthwise_conv":
            return _convolve_depthwise(x, args[1], op) + args[2]
        case "max_pool":
            window, strides = (1, *op.window, 1), (1, *op.strides, 1)
            return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, op.padding)
        case "add":
            return x + args[1]
        case "relu":
            return jnp.maximum(x, 0.0)
        case "prelu":
            return jnp.where(x > 0, x, x * args[1])
        case "pad":
            return jnp.pad(x, op.pads)
        case "reshape":
            return x.reshape(x.shape[0], *op.shape)
        case "concatenate":
            return jnp.concatenate(args, op.axis)
    raise ValueError(f"Unknown operation {op.kind!r}.")


def _convolve(x: jax.Array, kernel: jax.Array, op: Op) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        op.strides,
        op.padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=lax.Precision.HIGHEST,  # The same points on every device.
    )


def _convolve_depthwise(x: jax.Array, kernel: jax.Array, op: Op) -> jax.Array:
    """Sums shifted copies of `x`, one per kernel tap (kernel (h, w, 1, C)).

    Four times as fast on CPUs as a grouped `lax.conv_general_dilated`, and right: JAX
    0.10 on CPU returns wrong channels where it fuses that with the detector's
    activation, channel padding and max pooling.
    """
    height, width = kernel.shape[:2]
    pads = lax.padtype_to_pads(x.shape[1:3], (height, width), op.strides, op.padding)
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    # Positions that the first tap visits; the others visit them shifted.
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    (step_y, step_x), total = op.strides, jnp.zeros(())
    for i in range(height):
        for j in range(width):
            total += x[:, i : i + rows : step_y, j : j + columns : step_x] * kernel[i, j, 0]
    return total

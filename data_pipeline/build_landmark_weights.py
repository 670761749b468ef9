"""Builds relightify_jax/assets/landmark_nets.npz from the PyPI wheel mediapipe 0.10.21.

The wheel (Apache-2.0, Copyright The MediaPipe Authors) holds two small networks as
TensorFlow Lite files: the short-range face detector (BlazeFace, Bazarevsky et al. 2019,
arXiv:1907.05047) and the 468-point face mesh (Kartynnik et al. 2019, arXiv:1907.06724).
This script reads them without TensorFlow and writes, per network, one JSON text
"<network>/graph" and float16 arrays "<network>/<tensor>".

    python -m data_pipeline.build_landmark_weights --out=relightify_jax/assets/landmark_nets.npz

It fetches the wheel with pip (36 MB) into a temporary folder unless --wheel names one.
The same wheel gives the same bytes.
"""

import argparse
import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile
from typing import Any

import numpy as np

from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path

WHEEL = "mediapipe==0.10.21"
# Member of the wheel and its SHA-256: every platform's wheel holds the same two files.
NETWORKS = {
    "detector": (
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    "mesh": (
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
}
NOTICE = (
    "Weights of the MediaPipe short-range face detector and face mesh, converted from "
    f"the PyPI wheel {WHEEL} to float16 arrays in HWIO order. Copyright The MediaPipe "
    "Authors. Licensed under the Apache License, Version 2.0: "
    "https://www.apache.org/licenses/LICENSE-2.0"
)

# Numbers of the TensorFlow Lite schema (tensorflow/lite/schema/schema.fbs, Apache-2.0).
TENSOR_TYPES = {0: np.float32, 1: np.float16, 2: np.int32}
OPERATORS = {
    0: "add",
    2: "concatenate",
    3: "conv",
    4: "depthwise_conv",
    6: "dequantize",
    17: "max_pool",
    19: "relu",
    22: "reshape",
    34: "pad",
    54: "prelu",
}
PADDINGS = ("SAME", "VALID")


class Table:
    """A FlatBuffers table: fields by their number in the schema.

    Layout: flatbuffers.dev, "FlatBuffer Internals". A table starts with the signed
    distance back to its vtable, which lists the field offsets; 0 means default.
    """

    def __init__(self, data: bytes, position: int) -> None:
        """Points at the table at byte `position` of `data`."""
        self._data = data
        self._position = position

    @classmethod
    def root(cls, data: bytes) -> "Table":
        """The table that a whole FlatBuffers file stands for."""
        return cls(data, struct.unpack_from("<I", data)[0])

    def _unpack(self, code: str, position: int) -> int:
        return struct.unpack_from("<" + code, self._data, position)[0]

    def _field(self, number: int) -> int | None:
        vtable = self._position - self._unpack("i", self._position)
        slot = 4 + 2 * number
        if slot >= self._unpack("H", vtable):
            return None
        offset = self._unpack("H", vtable + slot)
        return self._position + offset if offset else None

    def _vector(self, number: int) -> tuple[int, int]:
        """Start and length of a vector field; a missing one is empty."""
        field = self._field(number)
        if field is None:
            return 0, 0
        start = field + self._unpack("I", field)
        return start + 4, self._unpack("I", start)

    def scalar(self, number: int, code: str, default: int = 0) -> int:
        """An integer field of `struct` code `code`."""
        field = self._field(number)
        return default if field is None else self._unpack(code, field)

    def table(self, number: int) -> "Table":
        """A field that is a table itself."""
        field = self._field(number)
        if field is None:
            raise InputError(f"Field {number} is missing: the network has another schema.")
        return Table(self._data, field + self._unpack("I", field))

    def tables(self, number: int) -> list["Table"]:
        """A vector of tables."""
        start, length = self._vector(number)
        entries = range(start, start + 4 * length, 4)
        return [Table(self._data, entry + self._unpack("I", entry)) for entry in entries]

    def array(self, number: int, dtype: Any) -> np.ndarray:
        """A vector of numbers of `dtype`, 1-D."""
        start, length = self._vector(number)
        return np.frombuffer(self._data, dtype, count=length, offset=start)


def _tensors(model: Table, subgraph: Table) -> dict[int, np.ndarray]:
    """Constant tensors of the graph by their index."""
    buffers = model.tables(4)
    constants = {}
    for index, tensor in enumerate(subgraph.tables(0)):
        content = buffers[tensor.scalar(2, "I")].array(0, np.uint8)
        if content.size:
            dtype = TENSOR_TYPES[tensor.scalar(1, "b")]
            constants[index] = content.view(dtype).reshape(tensor.array(0, np.int32))
    return constants


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise InputError(f"The network uses {what}, which the landmark room does not know.")


def _options(kind: str, operator: Table, inputs: list[np.ndarray | None]) -> dict[str, Any]:
    """What an operator needs beyond its inputs, with plain names."""
    if kind in ("relu", "prelu"):
        return {}
    if kind == "pad":
        assert inputs[1] is not None
        return {"pads": inputs[1].tolist()}
    options = operator.table(4)
    if kind == "reshape":
        shape = options.array(0, np.int32) if len(inputs) < 2 else inputs[1]
        assert shape is not None
        return {"shape": shape.tolist()[1:]}  # The batch axis stays.
    if kind == "concatenate":
        return {"axis": options.scalar(0, "i")}
    activation = {"add": 0, "conv": 3, "depthwise_conv": 4, "max_pool": 5}[kind]
    _require(options.scalar(activation, "b") == 0, "a fused activation")
    if kind == "add":
        return {}
    result: dict[str, Any] = {
        "padding": PADDINGS[options.scalar(0, "b")],
        "strides": [options.scalar(2, "i"), options.scalar(1, "i")],
    }
    if kind == "max_pool":
        return result | {"window": [options.scalar(4, "i"), options.scalar(3, "i")]}
    dilation = (4, 5) if kind == "conv" else (5, 6)
    _require(all(options.scalar(field, "i", 1) == 1 for field in dilation), "dilation")
    if kind == "depthwise_conv":
        _require(options.scalar(3, "i") == 1, "a depth multiplier")
    return result


def convert_network(data: bytes) -> tuple[dict[str, Any], dict[int, np.ndarray]]:
    """Reads one TensorFlow Lite file.

    Args:
        data: Bytes of the .tflite file.

    Returns:
        The graph as JSON-able dict {"input", "outputs", "ops"}, and the weights by
        tensor number: kernels in HWIO order, float16.

    Raises:
        InputError: If the network uses anything outside `OPERATORS`.
    """
    model = Table.root(data)
    subgraph = model.tables(2)[0]
    codes = [max(code.scalar(0, "b"), code.scalar(3, "i")) for code in model.tables(1)]
    constants = _tensors(model, subgraph)
    ops: list[dict[str, Any]] = []
    weights: dict[int, np.ndarray] = {}
    for operator in subgraph.tables(3):
        code = codes[operator.scalar(0, "I")]
        _require(code in OPERATORS, f"operator {code}")
        kind = OPERATORS[code]
        inputs = operator.array(1, np.int32).tolist()
        output = operator.array(2, np.int32).tolist()[0]
        if kind == "dequantize":  # Weights are stored in float16 there, too.
            constants[output] = constants[inputs[0]]
            continue
        options = _options(kind, operator, [constants.get(i) for i in inputs])
        if kind in ("pad", "reshape"):
            inputs = inputs[:1]
        for position, tensor in enumerate(inputs):
            if tensor not in constants:
                continue
            weight = constants[tensor]
            if kind == "conv" and position == 1:
                weight = weight.transpose(1, 2, 3, 0)  # From OHWI.
            elif kind == "depthwise_conv" and position == 1:
                weight = weight.transpose(1, 2, 0, 3)  # From 1HWC.
            weights[tensor] = weight.astype(np.float16)
        ops.append({"kind": kind, "inputs": inputs, "output": output, **options})
    graph = {
        "input": int(subgraph.array(1, np.int32)[0]),
        "outputs": subgraph.array(2, np.int32).tolist(),
        "ops": ops,
    }
    return graph, weights


def fetch_wheel(folder: pathlib.Path) -> pathlib.Path:
    """Downloads the wheel with pip and returns its path.

    Raises:
        InputError: If pip cannot get it.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    # Any platform's wheel will do; this one exists whatever runs the script.
    command += ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    command += ["--platform=manylinux_2_28_x86_64", f"--dest={folder}", WHEEL]
    if subprocess.run(command, check=False).returncode:
        raise InputError(f"pip could not download {WHEEL}; fetch it by hand and give --wheel=FILE.")
    return next(folder.glob("*.whl"))


def build(wheel: pathlib.Path, out: pathlib.Path) -> None:
    """Writes the asset `out` from `wheel`.

    Raises:
        InputError: If `wheel` does not hold the two networks of this version.
    """
    arrays: dict[str, np.ndarray] = {"notice": np.array(NOTICE)}
    for name, (member, digest) in NETWORKS.items():
        try:
            with zipfile.ZipFile(wheel) as archive:
                data = archive.read(member)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{wheel} does not hold {member} ({error}); give {WHEEL}.") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise InputError(f"{member} in {wheel} is another version; give the wheel of {WHEEL}.")
        graph, weights = convert_network(data)
        arrays[f"{name}/graph"] = np.array(json.dumps(graph, separators=(",", ":")))
        arrays |= {f"{name}/{tensor}": weight for tensor, weight in sorted(weights.items())}
        size = sum(weight.size for weight in weights.values())
        print(f"{name}: {len(graph['ops'])} operations, {size} weights")
    with atomic_path(out) as partial:
        np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
    print(f"{out}: {out.stat().st_size} bytes")


def main() -> None:
    """Runs the command line of the module docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the .npz to write")
    parser.add_argument("--wheel", type=pathlib.Path, help=f"the wheel of {WHEEL}")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            build(args.wheel or fetch_wheel(pathlib.Path(folder)), args.out)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(error.EXIT_CODE)


if __name__ == "__main__":
    main()

import importlib.resources
import json
import struct
import zipfile

import numpy as np
import pytest

from data_pipeline import build_landmark_weights as builder
from relightify_jax.core.errors import InputError


def test_flatbuffers_table_is_read_by_field_number():
    data = struct.pack("<I", 16)  # The root table is at byte 16.
    data += struct.pack("<6H", 12, 16, 4, 0, 8, 12)  # vtable: its size, the table's, fields.
    data += struct.pack("<ib3xII", 12, -5, 8, 28)  # Back to the vtable; fields 0, 2 and 3.
    data += struct.pack("<I3i", 3, 7, 8, 9)  # Field 2: a vector.
    data += struct.pack("<4Hii", 6, 8, 4, 0, 8, 42)  # Field 3: a vtable and its table.
    table = builder.Table.root(data)
    assert table.scalar(0, "b") == -5
    assert table.scalar(1, "i", default=6) == 6  # Left out by the writer.
    assert table.scalar(9, "i") == 0  # Unknown to the writer.
    np.testing.assert_array_equal(table.array(2, np.int32), [7, 8, 9])
    assert table.array(1, np.int32).size == 0
    assert table.table(3).scalar(0, "i") == 42
    with pytest.raises(InputError, match="another schema"):
        table.table(1)


def test_a_wrong_wheel_is_refused_and_leaves_no_file(tmp_path):
    wheel, out = tmp_path / "a.whl", tmp_path / "out" / "nets.npz"
    with pytest.raises(InputError, match="does not hold"):
        builder.build(wheel, out)
    wheel.write_bytes(b"no zip file")
    with pytest.raises(InputError, match="does not hold"):
        builder.build(wheel, out)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other", b"")
    with pytest.raises(InputError, match="does not hold"):
        builder.build(wheel, out)
    with zipfile.ZipFile(wheel, "w") as archive:
        for member, _ in builder.NETWORKS.values():
            archive.writestr(member, b"another version")
    with pytest.raises(InputError, match="another version"):
        builder.build(wheel, out)
    assert not out.exists()


def test_shipped_weights_equal_an_independent_conversion(shared_assets):
    # That file was made with the schema classes of the mediapipe package itself.
    other = np.load(shared_assets / "facemesh" / "mediapipe_face_nets.npz")
    asset = importlib.resources.files("relightify_jax") / "assets" / "landmark_nets.npz"
    with importlib.resources.as_file(asset) as path, np.load(path) as shipped:
        for net in ("detector", "mesh"):
            graph, expected = (json.loads(str(file[f"{net}/graph"])) for file in (shipped, other))
            assert graph["outputs"] == expected["outputs"]
            for op, reference in zip(graph["ops"], expected["ops"], strict=True):
                assert op["inputs"] == reference["i"] and [op["output"]] == reference["o"]
                assert op.get("strides") == reference.get("s")
                for position, tensor in enumerate(op["inputs"]):
                    if f"{net}/{tensor}" not in shipped:
                        continue
                    weight = other[f"{net}/w{tensor}"]
                    if position == 1 and weight.ndim == 4 and op["kind"] == "conv":
                        weight = weight.transpose(1, 2, 3, 0)
                    elif position == 1 and op["kind"] == "depthwise_conv":
                        weight = weight.transpose(1, 2, 0, 3)
                    np.testing.assert_array_equal(shipped[f"{net}/{tensor}"], weight)

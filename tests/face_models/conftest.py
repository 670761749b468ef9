"""Raw face models: the embedded one and ICT-FaceKit stripped of everything but their shape."""

import numpy as np
import pytest

from relightify_jax.geometry.embedded import load_embedded_model
from relightify_jax.geometry.face_files.raw import RawFaceModel
from relightify_jax.geometry.ict import load_ict_npz
from relightify_jax.geometry.morphable_model import PARTS


def strip(model, parts, step=1):
    """A `RawFaceModel` with the shape of some parts, and the canonical UV (V, 2) it had.

    Args:
        model: A `MorphableModel`.
        parts: Names of the parts to keep.
        step: Of the identity modes, every how many to keep.
    """
    part = np.asarray(model.face_part)
    kept = np.isin(part, [PARTS.index(name) for name in parts])
    used, faces = np.unique(np.asarray(model.faces)[kept], return_inverse=True)
    uv = np.full((len(model.mean), 2), np.nan)
    uv[np.asarray(model.faces)[part == 0]] = np.asarray(model.uv)[
        np.asarray(model.uv_faces)[part == 0]
    ]
    modes = [np.moveaxis(np.asarray(m)[:, used], 0, 2) for m in (model.identity, model.expression)]
    identity = modes[0][..., ::step]
    raw = RawFaceModel(
        points=np.asarray(model.mean)[used],
        identity=identity,
        expression=modes[1],
        triangles=faces.reshape(-1, 3).astype(np.int32),
        colour=None,
        joints=None,
        identity_names=tuple(f"shape{i}" for i in range(identity.shape[2])),
        expression_names=model.expression_names,
        name=f"{model.name}, stripped",
        licence=model.licence,
        source="https://example.org",
    )
    return raw, uv[used]


@pytest.fixture(scope="session")
def stripped_embedded():
    """The coarse embedded model without the inside of the mouth."""
    return strip(load_embedded_model(0), ("face", "head", "eye_left", "eye_right"))


@pytest.fixture(scope="session")
def ict(shared_assets):
    """ICT-FaceKit."""
    return load_ict_npz(shared_assets / "ict" / "ict_face_model_full_q.npz")


@pytest.fixture(scope="session")
def stripped_ict(ict):
    """ICT-FaceKit with all of its parts, but nothing that says which is which."""
    return strip(ict, PARTS)

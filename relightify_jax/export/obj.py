"""Wavefront OBJ: quads and textures, for sculpting programs that do not read GLB.

UVs are written v up, as OBJ wants. `map_Bump` holds the tangent-space normal map: it is
the one statement for normals that Blender reads (choose "Normal map" on import elsewhere).
"""

import os
import pathlib

import numpy as np

from relightify_jax.core.files import atomic_path
from relightify_jax.core.photo import save_image
from relightify_jax.export.head import Head
from relightify_jax.export.materials import Material
from relightify_jax.geometry.morphable_model import PARTS, MorphableModel


def write_obj(
    folder: str | os.PathLike[str], model: MorphableModel, points: np.ndarray, head: Head
) -> pathlib.Path:
    """Writes head.obj, head.mtl and the textures of every part into `folder`.

    Args:
        folder: Created if missing.
        model: Topology, UVs and quads.
        points: (V, 3) vertices to write, metres.
        head: From `dress_head`; its materials are written.

    Returns:
        Path of the OBJ file.
    """
    folder = pathlib.Path(folder)
    materials = {name: _write_material(folder, look) for name, look in head.materials.items()}
    with atomic_path(folder / "head.mtl") as partial:
        partial.write_text("\n".join(materials.values()))
    lines = [f"# {model.licence}", "# metres, +Y up, face along +Z", "mtllib head.mtl", "s 1"]
    lines += ["v {:.6f} {:.6f} {:.6f}".format(*point) for point in np.asarray(points)]
    lines += [f"vt {u:.6f} {1 - v:.6f}" for u, v in np.asarray(model.uv)]
    for name, corners in _polygons(model).items():
        lines += [f"g {name}", f"usemtl {head.materials[name].name}"]
        lines += ["f " + " ".join(f"{v + 1}/{t + 1}" for v, t in corner) for corner in corners]
    with atomic_path(folder / "head.obj") as partial:
        partial.write_text("\n".join(lines) + "\n")
    return folder / "head.obj"


def _polygons(model: MorphableModel) -> dict[str, np.ndarray]:
    """(vertex, uv) indices (n, 4 or 3, 2) of the polygons of each part: quads where possible."""
    corners = np.stack([np.asarray(model.faces), np.asarray(model.uv_faces)], axis=-1)
    part = np.asarray(model.face_part)
    # Triangles 2 q and 2 q + 1 are corners 0 1 2 and 0 2 3 of quad q.
    pairs = corners[: len(corners) // 2 * 2].reshape(-1, 2, 3, 2)
    quads = np.concatenate([pairs[:, 0], pairs[:, 1, 2:]], axis=1)
    is_split = np.all(pairs[:, 1, :2] == pairs[:, 0, [0, 2]]) and len(quads) == len(model.quads)
    if is_split and np.array_equal(quads[..., 0], model.quads):
        corners, part = quads, part[::2]
    return {name: corners[part == i] for i, name in enumerate(PARTS) if np.any(part == i)}


def _write_material(folder: pathlib.Path, look: Material) -> str:
    """Writes the textures of a material and returns its MTL text."""
    diffuse = f"{look.name}_diffuse.png"
    save_image(folder / diffuse, look.base_color, srgb=True)
    # Exponent of the Blinn-Phong lobe that is as wide as GGX of alpha = roughness^2.
    shininess = 2.0 / look.roughness**4 - 2.0
    lines = [f"newmtl {look.name}", "Kd 1 1 1", f"map_Kd {diffuse}", f"Ns {shininess:.1f}"]
    if np.ndim(look.specular):
        specular = f"{look.name}_specular.png"
        save_image(folder / specular, np.asarray(look.specular), srgb=False)
        lines += ["Ks 1 1 1", f"map_Ks {specular}"]
    else:
        lines += [f"Ks {look.specular:.3f} {look.specular:.3f} {look.specular:.3f}"]
    if look.normals is not None:
        normal = f"{look.name}_normal.png"
        save_image(folder / normal, np.asarray(look.normals) * 0.5 + 0.5, srgb=False)
        lines += [f"map_Bump -bm 1.0 {normal}"]
    return "\n".join([*lines, "illum 2", ""])

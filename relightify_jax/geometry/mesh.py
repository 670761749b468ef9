"""Triangle meshes: areas, normals and the tangent frames of normal maps.

Triangles are counter-clockwise seen from outside. Tangent frames follow glTF 2.0
(section 3.7.2.1): the tangent points along increasing u, the bitangent is
cross(normal, tangent) * w with w = +1 or -1, and a tangent-space normal map has +X
right and +Y *up* in the texture. Our v runs down, so the bitangent is along -v.
"""

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.core.numerics import normalize

# Squared length below which a normal counts as zero. The cross product of a triangle with
# edges of 10 micrometres has length 1e-10 m^2, so real triangles are far above.
_NORMAL_EPS = 1e-24


def _face_crosses(points: jax.Array, faces: jax.Array) -> jax.Array:
    """Cross products (F, 3) of two edges: outward, twice the area long."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    return jnp.cross(b - a, c - a)


def face_areas(points: jax.Array, faces: jax.Array) -> jax.Array:
    """Areas (F,) in square metres of triangles `faces` (F, 3) over `points` (V, 3)."""
    crosses = _face_crosses(points, faces)
    return 0.5 * jnp.sqrt(jnp.sum(crosses * crosses, axis=-1) + _NORMAL_EPS)


def face_normals(points: jax.Array, faces: jax.Array) -> jax.Array:
    """Outward unit normals (F, 3) of triangles; zero for a triangle without area."""
    return normalize(_face_crosses(points, faces), eps=_NORMAL_EPS)


def vertex_normals(points: jax.Array, faces: jax.Array) -> jax.Array:
    """Area-weighted outward unit normals of the vertices, differentiable in `points`.

    Args:
        points: (V, 3) float32, metres.
        faces: (F, 3) int32.

    Returns:
        (V, 3) float32; zero where a vertex has no triangle with an area.
    """
    crosses = _face_crosses(points, faces)
    total = jnp.zeros_like(points).at[faces].add(crosses[:, None, :])
    return normalize(total, eps=_NORMAL_EPS)


def _face_tangents(
    points: jax.Array, faces: jax.Array, uv: jax.Array, uv_faces: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Unit directions (F, 3) of increasing u and of decreasing v (up) on each triangle."""
    corners, tex = points[faces], uv[uv_faces]
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    step1, step2 = tex[:, 1] - tex[:, 0], tex[:, 2] - tex[:, 0]
    (du1, dv1), (du2, dv2) = (step1[:, :1], step1[:, 1:]), (step2[:, :1], step2[:, 1:])
    sign = jnp.sign(du1 * dv2 - du2 * dv1)
    along_u = sign * (edge1 * dv2 - edge2 * dv1)
    along_v = sign * (edge2 * du1 - edge1 * du2)
    return normalize(along_u, eps=_NORMAL_EPS), normalize(-along_v, eps=_NORMAL_EPS)


def _corner_angles(points: jax.Array, faces: jax.Array) -> jax.Array:
    """Angles (F, 3) in radians at the corners of triangles."""
    corners = points[faces]
    to_next = normalize(jnp.roll(corners, -1, axis=1) - corners, eps=_NORMAL_EPS)
    to_last = normalize(jnp.roll(corners, 1, axis=1) - corners, eps=_NORMAL_EPS)
    return jnp.arccos(jnp.clip(jnp.sum(to_next * to_last, axis=-1), -1.0, 1.0))


def vertex_tangents(
    points: jax.Array, normals: jax.Array, faces: jax.Array, uv: jax.Array, uv_faces: jax.Array
) -> jax.Array:
    """glTF tangents, one per texture coordinate, orthogonal to the vertex normals.

    Triangle tangents are averaged with the corner angles as weights, as in MikkTSpace.
    A mesh whose vertices are already split at seams passes `faces` for `uv_faces` and
    gets one tangent per vertex. Mirrored charts must not share texture coordinates.

    Args:
        points: (V, 3) metres.
        normals: (V, 3) unit.
        faces: (F, 3) int32 into points.
        uv: (T, 2), v down from the top.
        uv_faces: (F, 3) int32 into uv.

    Returns:
        (T, 4): unit tangent and w = +1 or -1 with bitangent = cross(normal, tangent) w.
    """
    # Weights carry no gradient: the angle of a triangle without area has none.
    weight = lax.stop_gradient(_corner_angles(points, faces)[..., None])
    along_u, up = _face_tangents(points, faces, uv, uv_faces)
    corners = jnp.concatenate(
        [weight * along_u[:, None, :], weight * up[:, None, :], normals[faces]], axis=-1
    )
    total = jnp.zeros((uv.shape[0], 9), points.dtype).at[uv_faces].add(corners)
    normal = normalize(total[:, 6:], eps=_NORMAL_EPS)
    tangent = total[:, :3] - normal * jnp.sum(total[:, :3] * normal, axis=-1, keepdims=True)
    tangent = jnp.where(
        jnp.sum(tangent * tangent, axis=-1, keepdims=True) > 1e-12,
        tangent,
        _any_perpendicular(normal),
    )
    tangent = normalize(tangent)
    side = jnp.sum(jnp.cross(normal, tangent) * total[:, 3:6], axis=-1, keepdims=True)
    return jnp.concatenate([tangent, jnp.where(side < 0, -1.0, 1.0)], axis=-1)


def _any_perpendicular(normals: jax.Array) -> jax.Array:
    """Some vector (..., 3) at a right angle to each normal (..., 3), never zero for a unit one."""
    along_x = jnp.abs(normals[..., :1]) < 0.7
    axis = jnp.where(along_x, jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0]))
    return axis - normals * jnp.sum(axis * normals, axis=-1, keepdims=True)


def _frame(normals: jax.Array, tangents: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Orthonormal tangent, bitangent, normal (..., 3) from interpolated normals and tangents."""
    normal = normalize(normals)
    tangent = tangents[..., :3]
    tangent = normalize(tangent - normal * jnp.sum(tangent * normal, axis=-1, keepdims=True))
    sign = jnp.where(tangents[..., 3:] < 0, -1.0, 1.0)
    return tangent, jnp.cross(normal, tangent) * sign, normal


def object_from_tangent(
    directions: jax.Array, normals: jax.Array, tangents: jax.Array
) -> jax.Array:
    """Turns tangent-space normals into the space of the mesh.

    Args:
        directions: (..., 3) in tangent space, +Z outward.
        normals: (..., 3) geometric normals at the same places, any length but zero.
        tangents: (..., 4) from `vertex_tangents`, possibly interpolated.

    Returns:
        (..., 3), of the length of `directions`.
    """
    tangent, bitangent, normal = _frame(normals, tangents)
    x, y, z = directions[..., :1], directions[..., 1:2], directions[..., 2:]
    return x * tangent + y * bitangent + z * normal


def tangent_from_object(
    directions: jax.Array, normals: jax.Array, tangents: jax.Array
) -> jax.Array:
    """Inverse of `object_from_tangent`."""
    frame = jnp.stack(_frame(normals, tangents), axis=-2)
    return jnp.sum(frame * directions[..., None, :], axis=-1)

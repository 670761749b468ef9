"""The rest of the head coloured after the face, without a seam at the border.

Both sides of the border use the same colours at the vertices of the border: the face's
maps fade into them over `FEATHER` metres, the head's texture continues from them.
"""

import jax
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu

from relightify_jax.geometry.uv_atlas import UVAtlas, sample_atlas

_sample_atlas = jax.jit(sample_atlas)

FEATHER = 0.012  # Metres over which the face's own detail fades out toward the border.


def vertex_averages(
    atlas: UVAtlas, faces: np.ndarray, image: np.ndarray, num_vertices: int
) -> tuple[np.ndarray, np.ndarray]:
    """Averages a map over the triangles around each vertex, weighted by barycentrics.

    Args:
        atlas: Of the part, side R; `atlas.face` indexes `faces`.
        faces: (f, 3) vertices of the part's triangles.
        image: (R, R, C).
        num_vertices: V.

    Returns:
        (V, C) averages, zero where no texel contributes, and (V,) bool: where one does.
    """
    inside = np.asarray(atlas.inside)
    corner = faces[np.asarray(atlas.face)[inside]].ravel()
    weight = np.asarray(atlas.bary, np.float64)[inside].ravel()
    texels = np.repeat(np.asarray(image, np.float64)[inside], 3, axis=0)
    total = np.bincount(corner, weight, num_vertices)
    sums = [np.bincount(corner, weight * c, num_vertices) for c in texels.T]
    known = total > 1e-3
    return np.stack(sums, -1) / np.where(known, total, 1.0)[:, None] * known[:, None], known


def extend_vertex_colors(
    faces: np.ndarray, known_mask: np.ndarray, colors: np.ndarray, reach: float = 12.0
) -> np.ndarray:
    """Continues vertex colours smoothly from where they are known over the whole mesh.

    Screened harmonic extension: at unknown vertices
    `x_i - mean_neighbours(x) + k (x_i - median) = 0` with `k = 1 / (2 reach)^2`. Near
    known vertices it is their smooth continuation; some `reach` edges away it settles at
    the median of the known colours, so that no stain at the border runs over the scalp.

    Args:
        faces: (F, 3) integers.
        known_mask: (V,) bool.
        colors: (V, C); read where known.
        reach: Edges over which the border is forgotten.

    Returns:
        (V, C) float64, equal to `colors` where known.

    Raises:
        ValueError: If no vertex is known.
    """
    known = np.asarray(known_mask, bool)
    if not known.any():
        raise ValueError("Cannot extend vertex colours: no vertex is known.")
    colors = np.asarray(colors, np.float64)
    median = np.median(colors[known], axis=0)
    adjacency = _adjacency(faces, np.ones(3 * len(faces)), len(known))
    adjacency.data[:] = 1.0
    degree = np.asarray(adjacency.sum(1)).ravel()
    # A vertex without neighbours becomes the median.
    screening = np.maximum(degree, 1.0) / (2.0 * reach) ** 2
    # Multiplied by the degree the system is symmetric; only unknown rows are solved.
    system = sparse.diags(degree + screening) - adjacency
    unknown = ~known
    rows = system.tocsr()[unknown]
    target = screening[unknown][:, None] * median
    right = target - rows[:, known] @ colors[known]
    result = np.where(known[:, None], colors, median)
    if unknown.any():
        result[unknown] = splu(rows[:, unknown].tocsc()).solve(right)
    return result


def border_distance(
    faces: np.ndarray, points: np.ndarray, border: np.ndarray, limit: float
) -> np.ndarray:
    """Distance along edges in metres from each vertex to the nearest border vertex.

    Args:
        faces: (F, 3) integers.
        points: (V, 3) metres.
        border: (n,) vertex indices, n >= 1.
        limit: Distances are cut off here.

    Returns:
        (V,) float64 in [0, limit].
    """
    start, end = np.asarray(faces), np.roll(np.asarray(faces), -1, axis=1)
    length = np.linalg.norm(points[start] - points[end], axis=-1).ravel()
    # An inner edge belongs to two triangles, a border edge to one: average, not sum.
    graph = _adjacency(faces, length, len(points))
    count = _adjacency(faces, np.ones_like(length), len(points))
    graph.data /= count.data
    distance = dijkstra(graph, indices=border, limit=limit, min_only=True)
    return np.minimum(distance, limit)


def feather(image: np.ndarray, smooth: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """`image` far from the border, `smooth` on it; `distance` (R, R) in metres."""
    t = np.clip(distance / FEATHER, 0.0, 1.0)[..., None]
    weight = t * t * (3.0 - 2.0 * t)
    return smooth + weight * (image - smooth)


def mottle(points: np.ndarray, cell: float, seed: int) -> np.ndarray:
    """Value noise in [-1, 1] of positions: no seams, whatever the UV layout.

    Args:
        points: (..., 3) metres.
        cell: Size in metres of the largest features; two octaves below are added.
        seed: Of the lattice values.

    Returns:
        (...) float64.
    """
    lattice = np.random.default_rng(seed).uniform(-1.0, 1.0, (32, 32, 32))
    total = np.zeros(points.shape[:-1])
    for octave in range(3):
        position = np.asarray(points, np.float64) / cell * 2.0**octave + 7.31 * octave
        low = np.floor(position).astype(int)
        t = position - low
        t = t * t * (3.0 - 2.0 * t)
        for offset in np.ndindex(2, 2, 2):
            index = (low + offset) % 32
            weight = np.prod(np.where(offset, t, 1.0 - t), axis=-1)
            total += 0.5 ** (octave + 1) * weight * lattice[tuple(np.moveaxis(index, -1, 0))]
    return total / 0.875


def resolved(points: np.ndarray, cell: float) -> np.ndarray:
    """How well a map resolves features of `cell` metres: 1 from four texels on, 0 below one.

    Args:
        points: (R, R, 3) position of each texel in metres.
        cell: Metres.

    Returns:
        (R, R) in [0, 1].
    """
    steps = [np.linalg.norm(step, axis=-1) for step in np.gradient(points, axis=(0, 1))]
    texels = cell / np.maximum(np.maximum(*steps), 1e-6)
    return np.clip((texels - 1.0) / 3.0, 0.0, 1.0)


def bake_vertex_colors(atlas: UVAtlas, faces: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Rasterizes vertex colours (V, C) into the tile of a part: (R, R, C) float32."""
    baked = np.asarray(_sample_atlas(atlas, faces, np.asarray(colors, np.float32)))
    # Texels beyond the gutter are never seen, but mipmaps average them in.
    outside = np.asarray(atlas.face) < 0
    return np.where(outside[..., None], np.median(colors, axis=0).astype(np.float32), baked)


def _adjacency(faces: np.ndarray, weight: np.ndarray, num_vertices: int) -> sparse.csr_matrix:
    """Symmetric (V, V): the summed weights of the half edges between two vertices.

    `weight` (3 F,) belongs to the edges (0, 1), (1, 2), (2, 0) of each triangle.
    """
    start, end = np.asarray(faces).ravel(), np.roll(np.asarray(faces), -1, axis=1).ravel()
    half = sparse.csr_matrix((weight, (start, end)), shape=(num_vertices, num_vertices))
    return (half + half.T).tocsr()

"""Low-distortion, fold-free UV layouts of quad meshes.

The symmetric Dirichlet energy (Smith and Schaefer 2015) grows without bound as a triangle
collapses, so a descent that starts without folds ends without folds. Each step solves a
reweighted least-squares problem: SLIM, Rabinovich et al. 2017, "Scalable locally injective
mappings", section 3.
"""

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sparse_linalg

from relightify_jax.geometry.subdivision import subdivide_bilinear, triangulate


def doubled_areas(uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Twice the areas (F,) of UV triangles with v down; positive is right side up."""
    a, b, c = (uv[triangles[:, k]] for k in range(3))
    u, v = b - a, c - a
    return u[:, 1] * v[:, 0] - u[:, 0] * v[:, 1]


class QuadLayout:
    """Distortion of a layout of quads, on the triangles after one bilinear subdivision.

    That is the level the library uses; a quad that is not convex may still be fine there.
    """

    def __init__(self, vertices: np.ndarray, quads: np.ndarray):
        """Takes the surface to flatten: vertices (V, 3), quads (q, 4)."""
        step = subdivide_bilinear(quads, len(vertices))
        self.weights = step.weights
        self.triangles = triangulate(step.quads)  # Eight per quad, in the order of the quads.
        corners = (step.weights @ vertices)[self.triangles]
        first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        length = np.linalg.norm(first, axis=1)
        along = (first * second).sum(1) / length
        # Slivers of the surface would ask for slivers of the tile: bound their height.
        height = np.linalg.norm(np.cross(first, second), axis=1) / length
        height = np.maximum(height, 0.05 * length)
        self.area = length * height / 2
        # Rows of the inverse of [[length, along], [0, height]] act on the two edges.
        zero = np.zeros_like(length)
        self._slope_x = self._slopes(1 / length, zero)
        self._slope_y = self._slopes(-along / (length * height), 1 / height)

    def _slopes(self, of_first: np.ndarray, of_second: np.ndarray) -> sp.csr_matrix:
        """Operator (F, V) from a coordinate to its slope along one axis of the surface."""
        rows = np.repeat(np.arange(len(self.triangles)), 3)
        values = np.stack([-of_first - of_second, of_first, of_second], axis=-1)
        shape = (len(self.triangles), self.weights.shape[0])
        entries = (values.ravel(), (rows, self.triangles.ravel()))
        return (sp.coo_matrix(entries, shape=shape).tocsr() @ self.weights).tocsr()

    def areas(self, uv: np.ndarray) -> np.ndarray:
        """Twice the signed areas of all triangles; see `doubled_areas`."""
        return doubled_areas(self.weights @ uv, self.triangles)

    def jacobians(self, uv: np.ndarray) -> np.ndarray:
        """(F, 2, 2) derivatives of (u, -v) along the surface."""
        upright = uv * [1, -1]
        return np.stack([self._slope_x @ upright, self._slope_y @ upright], axis=-1)

    def energy(self, uv: np.ndarray, scale: float) -> float:
        """Symmetric Dirichlet energy, infinite with a fold; undistorted at `scale`."""
        jacobian = self.jacobians(uv) / scale
        determinant = np.linalg.det(jacobian)
        if determinant.min() <= 0:
            return np.inf
        norm = (jacobian**2).sum((1, 2))
        return float((self.area * scale**2 * norm * (1 + determinant**-2)).sum())

    def proxy(self, uv: np.ndarray, scale: float) -> tuple[sp.csr_matrix, np.ndarray]:
        """Least-squares rows (4 F, 2 V) and right side, in (u..., -v...), of one SLIM step."""
        left, stretch, right = np.linalg.svd(self.jacobians(uv) / scale)
        rotation = left @ right
        near_one = np.abs(stretch - 1) < 1e-4
        safe = np.where(near_one, 2.0, stretch)
        weight = np.sqrt(np.where(near_one, 4.0, (safe - safe**-3) / (safe - 1)))
        matrix = (left * weight[:, None, :]) @ np.swapaxes(left, 1, 2)
        matrix *= np.sqrt(self.area * scale**2)[:, None, None]
        wanted = matrix @ rotation
        rows = [
            sp.hstack([sp.diags(matrix[:, i, j] / scale) @ slope for j in range(2)])
            for i in range(2)
            for slope in (self._slope_x, self._slope_y)
        ]
        right_side = np.concatenate([wanted[:, i, k] for i in range(2) for k in range(2)])
        return sp.vstack(rows).tocsr(), right_side


def natural_scale(layout: QuadLayout, uv: np.ndarray) -> float:
    """Tile widths per unit of length, from the total areas."""
    return float(np.sqrt(layout.areas(uv).sum() / 2 / layout.area.sum()))


def flatten(
    layout: QuadLayout,
    uv: np.ndarray,
    *,
    scale: float,
    wanted: np.ndarray,
    pull: np.ndarray,
    moving: np.ndarray,
    iterations: int = 60,
) -> np.ndarray:
    """Minimises distortion + sum of pull * |uv - wanted|^2 from a layout without folds.

    Args:
        layout: The surface.
        uv: (V, 2), the start; v down.
        scale: Tile widths per unit of length of the surface.
        wanted: (V, 2), read where `pull` is positive.
        pull: (V,), weights.
        moving: (n,) int, the vertices that move.
        iterations: At most.

    Raises:
        ValueError: If the start has a fold.
    """
    num_vertices = len(uv)
    unknown = np.concatenate([moving, num_vertices + moving])
    pulls = np.tile(pull, 2)
    target = np.where((pull > 0)[:, None], wanted, uv)
    target = (target * [1, -1]).T.ravel()

    def evaluate(candidate):
        gap = candidate[moving] - np.where((pull > 0)[:, None], wanted, candidate)[moving]
        return layout.energy(candidate, scale) + float((pull[moving, None] * gap**2).sum())

    energy = evaluate(uv)
    if not np.isfinite(energy):
        raise ValueError("The layout to improve has folds.")
    for _ in range(iterations):
        rows, right_side = layout.proxy(uv, scale)
        here = (uv * [1, -1]).T.ravel()
        normal = (rows.T @ rows).tocsr()
        force = rows.T @ (right_side - rows @ here) + pulls * (target - here)
        system = normal[unknown][:, unknown] + sp.diags(pulls[unknown] + 1e-9)
        step = np.zeros(2 * num_vertices)
        step[unknown] = sparse_linalg.spsolve(system.tocsc(), force[unknown])
        step = step.reshape(2, -1).T * [1, -1]
        size = 1.0
        while size > 1e-6 and evaluate(uv + size * step) >= energy:
            size *= 0.6
        if size <= 1e-6:
            break
        # Halve once more: the first decrease may sit right before a fold.
        if evaluate(uv + 0.5 * size * step) < evaluate(uv + size * step):
            size *= 0.5
        uv = uv + size * step
        before, energy = energy, evaluate(uv)
        if before - energy < 1e-5 * abs(energy):
            break
    return uv

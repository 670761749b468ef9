"""What the modes of a face model cannot follow: a smooth displacement of the mesh.

The displacement is a Gaussian process over the surface (Luethi et al. 2018, "Gaussian
process morphable models"): nearby points move alike, at two scales, so that eyelids, lips and
nostrils come to lie where the landmarks are while the cheeks between them stay smooth. What
is observed are pixels: two coordinates of each landmark and the outline's distance along
its normal. Depth, of which they say nothing, keeps the model's value.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from relightify_jax.core.numerics import einsum, matmul
from relightify_jax.fitting import objectives
from relightify_jax.fitting.evidence import median_where
from relightify_jax.fitting.objectives import Geometry, PhotoData
from relightify_jax.fitting.prepared import WELL_LOCALISED, PreparedModel
from relightify_jax.geometry.camera import project
from relightify_jax.geometry.morphable_model import PARTS

# Length in metres and share of the deviation of each scale.
_SCALES = ((0.012, 0.8), (0.005, 0.6))
_CUTOFF = 2.5  # Deviations beyond which an observation is an outlier.
# Of the median error, added to the noise of every landmark; more than one, for neighbours err
# alike.
_SCATTER = 3.5
_FIRST_INSIDE = PARTS.index("eye_left")


class Observations(NamedTuple):
    """M scalar observations of the displacement."""

    place: jax.Array  # (M, 3) on the reference head, metres.
    direction: jax.Array  # (M, 3) px per metre.
    error: jax.Array  # (M,) px to be explained.
    deviation: jax.Array  # (M,) px.


@jax.jit
def fit_residual(
    geometry: Geometry,
    data: PhotoData,
    prepared: PreparedModel,
    deviation: jax.Array | float,
) -> jax.Array:
    """The most likely displacement, given what the fit leaves unexplained.

    Args:
        geometry: The fit, for each of N photographs of one person (leading axis N).
        data: Its evidence, likewise.
        prepared: The model.
        deviation: () metres, of the displacement of a point beforehand.

    Returns:
        (V, 3) metres, in the model's space; each eyeball and the mouth moves as one.
    """
    observed = jax.vmap(lambda g, d: _observe(g, d, prepared))(geometry, data)
    observed = Observations(*(x.reshape(-1, *x.shape[2:]) for x in observed))
    coupling = einsum("mc,nc->mn", observed.direction, observed.direction)
    covariance = coupling * _kernel(observed.place, observed.place, deviation)
    noise = observed.deviation**2
    # Outliers, of the errors beforehand, count less; Geman-McClure, one reweighting.
    spread = jnp.diagonal(covariance) + noise
    noise = noise * (1.0 + observed.error**2 / (_CUTOFF**2 * spread)) ** 2
    system = covariance + jnp.diag(noise)
    weight = jax.scipy.linalg.solve(system, observed.error, assume_a="pos")
    force = weight[:, None] * observed.direction

    displacement = matmul(_kernel(prepared.reference, observed.place, deviation), force)
    return _keep_insides_rigid(displacement, prepared.part)


def _observe(geometry: Geometry, data: PhotoData, prepared: PreparedModel) -> Observations:
    landmarks, contour = data.landmarks, data.contour
    camera = objectives.fitted_camera(geometry, landmarks)

    def see(point):
        return project(camera, point)[0]

    points = objectives.evaluate_shape(landmarks.model, geometry)
    pixels = jax.vmap(see)(points)
    slopes = jax.vmap(jax.jacfwd(see))(points)  # (L, 2, 3).
    rim = objectives.evaluate_shape(contour.points, geometry)
    rim_slopes = jax.vmap(jax.jacfwd(see))(rim)
    rim_slopes = einsum("nac,na->nc", rim_slopes, contour.normal)
    distance = jnp.sum((contour.target - jax.vmap(see)(rim)) * contour.normal, axis=-1)
    error = landmarks.pixels - pixels
    judged = prepared.landmark_spread < WELL_LOCALISED
    # A network that errs more here than usual is believed less.
    scatter = _SCATTER * median_where(jnp.abs(error), judged[:, None])
    return Observations(
        jnp.concatenate([jnp.repeat(prepared.landmark_reference, 2, axis=0), contour.points.mean]),
        jnp.concatenate([slopes.reshape(-1, 3), rim_slopes]),
        jnp.concatenate([error.reshape(-1), distance]),
        jnp.concatenate(
            [
                jnp.repeat(jnp.hypot(landmarks.fine_deviation, scatter), 2),
                contour.deviation / jnp.sqrt(jnp.maximum(contour.valid, 1e-12)),
            ]
        ),
    )


def _kernel(a: jax.Array, b: jax.Array, deviation) -> jax.Array:
    """Covariance (A, B), metres^2, of the displacements of points (A, 3) and (B, 3)."""
    squared = jnp.sum(a * a, -1)[:, None] + jnp.sum(b * b, -1) - 2 * matmul(a, b.T)
    squared = jnp.maximum(squared, 0.0)
    return sum(
        (share * deviation) ** 2 * jnp.exp(-0.5 * squared / length**2) for length, share in _SCALES
    )


def _keep_insides_rigid(displacement: jax.Array, part: jax.Array) -> jax.Array:
    """Each eyeball and the mouth's inside moves by its mean displacement."""
    onehot = (part[:, None] == jnp.arange(_FIRST_INSIDE, len(PARTS))).astype(jnp.float32)
    mean = matmul(onehot.T, displacement) / jnp.maximum(onehot.sum(0), 1.0)[:, None]
    inside = onehot.sum(axis=1, keepdims=True)
    return displacement * (1.0 - inside) + matmul(onehot, mean)

"""The light of a photograph, once its skin is known: a robust linear fit."""

import jax
import jax.numpy as jnp
from jax import lax

from relightify_jax.core.color import luminance
from relightify_jax.core.numerics import matmul, normalize
from relightify_jax.core.uv_layout import SKIN_SPECULAR_ALBEDO
from relightify_jax.rendering.lighting import NUM_SH, Light, shade_sh, uniform_sh
from relightify_jax.rendering.shading import shade

_ROUNDS = 4  # Of reweighting; the specular part is taken out anew in each.
_CUTOFF = 0.15  # Relative residual beyond which a texel counts ever less (Geman-McClure).
_GRID = 128  # Texels per side that are used: light has no detail.
# Stiffness of bands 0, 1 and 2, relative to the mean texel, and of what differs between
# the channels: light is mostly grey, and skin's own colour variation must not tint it.
_BAND_PRIOR = (1e-4, 2e-3, 2e-2)


@jax.jit
def estimate_light(
    texture: jax.Array,
    confidence: jax.Array,
    diffuse_albedo: jax.Array,
    normals: jax.Array,
    view: jax.Array,
    occlusion: jax.Array | None = None,
) -> jax.Array:
    """Estimates the surrounding light under which known skin looks as in the photo.

    Args:
        texture: (R, R, 3) linear RGB from the photo.
        confidence: (R, R, 1) in [0, 1].
        diffuse_albedo: (R, R, 3) linear.
        normals: (R, R, 3) unit, model space.
        view: (3,) unit, from the head to the camera, model space.
        occlusion: (R, R, 1), 1 = open.

    Returns:
        (9, 3) radiance coefficients, as `Light.sh`. White light of 1 if nothing was seen.
    """
    step = max(texture.shape[0] // _GRID, 1)
    take = lambda image: image[::step, ::step].reshape(-1, image.shape[-1])  # noqa: E731
    texture, albedo, confidence = take(texture), take(diffuse_albedo), take(confidence)
    normals = normalize(take(normals))
    open_sky = jnp.ones_like(confidence) if occlusion is None else take(occlusion)
    # Sampling the surroundings' response once per coefficient gives the exact design
    # matrix of the diffuse part, whatever convention the renderer has.
    basis = shade_sh(normals, jnp.eye(NUM_SH)) * open_sky
    view = jnp.broadcast_to(normalize(view), normals.shape)
    gloss = jnp.full_like(confidence, SKIN_SPECULAR_ALBEDO)

    def improve(sh, _):
        lit = shade(jnp.zeros_like(albedo), gloss, normals, view, _surroundings(sh))
        target = texture - lit * open_sky
        predicted = albedo * matmul(basis, sh)
        scale = luminance(albedo)[:, None] * jnp.maximum(jnp.mean(sh[0]), 1e-3) * 0.3
        residual = jnp.mean(jnp.abs(target - predicted), -1, keepdims=True) / (scale + 1e-6)
        weight = confidence / (1 + (residual / _CUTOFF) ** 2) ** 2
        return _solve(basis, albedo, target, weight), None

    start = _solve(basis, albedo, texture, confidence)
    sh, _ = lax.scan(improve, start, None, length=_ROUNDS)
    return jnp.where(jnp.sum(confidence) > 0, sh, uniform_sh(jnp.ones(3)))


def _surroundings(sh: jax.Array) -> Light:
    """A light without beams."""
    return Light(sh, jnp.zeros((1, 3)).at[0, 2].set(1.0), jnp.zeros((1, 3)))


def _solve(basis: jax.Array, albedo: jax.Array, target: jax.Array, weight: jax.Array) -> jax.Array:
    """Weighted ridge regression (9, 3), first for grey light, then for its tint."""
    total = jnp.sum(weight) + 1e-6
    prior = jnp.repeat(jnp.array(_BAND_PRIOR), jnp.array([1, 3, 5]), total_repeat_length=NUM_SH)
    energy = jnp.sum(weight * albedo**2) / (3 * total)
    ridge = jnp.diag(prior * energy)

    def normal_matrix(channel):
        rows = basis * channel[:, None]
        return matmul((rows * weight).T, rows) / total

    gram = jax.vmap(normal_matrix, 1)(albedo)
    moment = matmul(basis.T, weight * albedo * target) / total
    grey = jnp.linalg.solve(gram.sum(0) + ridge, moment.sum(1))
    tint = moment.T - jnp.einsum("cij,j->ci", gram, grey, precision="highest")
    # Tint is bound far more tightly above band 0 than grey light is.
    stiff = ridge * jnp.where(jnp.arange(NUM_SH) == 0, 1.0, 5.0)
    return grey[:, None] + jax.vmap(lambda a, b: jnp.linalg.solve(a + stiff, b))(gram, tint).T

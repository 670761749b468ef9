"""Several photographs' observations of one face joined into one, in the light of the first.

The others are brought to its light by a ratio that varies slowly over the face. Every texel's
detail comes from the one photograph that sees it best, while broad colour changes over
slowly between them (multi-band blending, Burt and Adelson 1983): a seam is neither visible,
nor are two slightly misaligned pores averaged into none. Where photographs contradict each
other something hides the face in one of them: those texels are believed less.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from relightify_jax.core.numerics import einsum
from relightify_jax.fitting.unwrap import Observation

_FLOOR = 0.01  # Linear colour; noise in the dark has no ratio.
_MAX_LIGHT_RATIO = 1.5  # Natural log, of what the fitted lights may say.
_ROUNDS = 5  # Of robust reweighting of the ratio.
_MIN_SIDE = 16  # Texels of the coarsest band.


class FuseConfig(NamedTuple):
    """Settings of `fuse_observations`; differences are natural logarithms of colour."""

    work_size: int = 128  # Texels per side for ratio and agreement, at most.
    # The ratio of two lights, coarse to fine: widths of averages as shares of the side.
    ratio_widths: tuple[float, ...] = (0.5, 0.25, 0.12, 0.06)
    slope_penalty: float = 1e-3  # Of a plane through the ratio; more keeps it flatter.
    max_ratio: float = 2.5
    ratio_support: float = 0.02  # Share of common texels below which the coarser width rules.
    ratio_cutoff: float = 0.2  # Geman-McClure: occluders, shadows, highlights.
    # Averages over this share of the side are compared between photographs...
    agreement_width: float = 0.012
    # ...and contradict each other from the first of these differences on, fully at the second.
    tolerated: float = 0.35
    contradiction: float = 0.8
    unopposed: float = 0.3  # Weight of a photograph's own word against the others'.
    preference: float = 1.5  # Of the first photograph where several see a texel.
    threshold: float = 0.5  # Of confidence, for the mask.


def fuse_observations(
    observations: Sequence[Observation],
    *,
    shadings: Sequence[jax.Array] | None = None,
    config: FuseConfig = FuseConfig(),  # noqa: B008  (immutable)
) -> Observation:
    """Joins observations of one face in one UV layout.

    Args:
        observations: Of K photographs, R texels per side each (a power of two, at least 32);
            the light and colours of the first are kept.
        shadings: Fitted light of each photograph on a white face, (R, R, 3) each, as a
            first guess of the ratios. It matters for what the first photograph does not
            show; without it the ratio of the common texels is continued smoothly.
        config: Settings.

    Returns:
        The joined observation; the only one as it is.

    Raises:
        ValueError: If there is none or their sizes do not fit.
    """
    if not observations:
        raise ValueError("Nothing to fuse: give at least one observation.")
    shapes = {np.shape(observation.texture) for observation in observations}
    size = next(iter(shapes))[0]
    if len(shapes) > 1 or size < 32 or size & (size - 1):
        raise ValueError(
            f"Observations must have one size, a power of two from 32 on, got {sorted(shapes)}."
        )
    if shadings is not None and len(shadings) != len(observations):
        raise ValueError(f"{len(observations)} observations but {len(shadings)} shadings.")
    if len(observations) == 1:
        return observations[0]
    texture = jnp.stack([observation.texture for observation in observations])
    confidence = jnp.stack([observation.confidence for observation in observations])
    light = jnp.ones_like(texture) if shadings is None else jnp.stack(shadings)
    return _fuse(texture, confidence, light, config=config)


@functools.partial(jax.jit, static_argnames=("config",))
def _fuse(texture, confidence, light, *, config: FuseConfig) -> Observation:
    """Textures (K, R, R, 3), confidence (K, R, R, 1), light (K, R, R, 3)."""
    size = texture.shape[1]
    work = min(config.work_size, size)
    color = jnp.log(jnp.maximum(texture, 0.0) + _FLOOR)
    light = jnp.log(jnp.maximum(light, 0.0) + 0.05)
    color = color + jnp.clip(light[:1] - light, -_MAX_LIGHT_RATIO, _MAX_LIGHT_RATIO)

    small_weight = _shrink(confidence, work)
    small = _shrink(confidence * color, work) / jnp.maximum(small_weight, 1e-6)
    ratio = jax.vmap(lambda c, w: _smooth_ratio(small[0] - c, small_weight[0] * w, config))(
        small, small_weight
    )
    ratio = ratio.at[0].set(0.0)  # The first photograph stays as it is.
    color = color + _enlarge(ratio, size)

    agreement = _agreement(small + ratio, small_weight, config)
    confidence = confidence * jnp.clip(_enlarge(agreement, size), 0.0, 1.0)
    blended = jnp.exp(_blend(color, confidence, config)) - _FLOOR
    joined = jnp.max(confidence, axis=0)
    return Observation(
        texture=jnp.where(joined > 0, jnp.maximum(blended, 0.0), texture[0]),
        mask=(joined > config.threshold).astype(jnp.float32),
        confidence=joined,
    )


def _smooth_ratio(difference, weight, config: FuseConfig) -> jax.Array:
    """The slowly varying part (r, r, 3) of `difference`, known where `weight` (r, r, 1) is.

    A plane, then averages of falling width: each corrects what came before where it has
    support, so that far from common texels the plane goes on.
    """
    side = difference.shape[0]
    place = (jnp.arange(side) + 0.5) / side - 0.5
    plane = jnp.stack(
        [*jnp.meshgrid(place, place), jnp.ones((side, side))], axis=-1
    )  # The slopes along u and v, and the height in the middle.
    weakness = jnp.array([config.slope_penalty, config.slope_penalty, 1e-4]) * side**2

    def estimate(trust):
        normal = einsum("yxi,yxj->ij", trust * plane, plane) + jnp.diag(weakness)
        moment = einsum("yxi,yxc->ic", trust * plane, difference)
        limit = config.max_ratio
        ratio = jnp.clip(
            einsum("yxi,ic->yxc", plane, jnp.linalg.solve(normal, moment)), -limit, limit
        )
        for width in config.ratio_widths:
            share = _blur(trust, width)
            rest = _blur(trust * (difference - ratio), width)
            ratio = ratio + rest / (share + config.ratio_support)
        return ratio

    def reweigh(_, ratio):
        error = jnp.mean((difference - ratio) ** 2, axis=-1, keepdims=True)
        return estimate(weight / (1.0 + error / config.ratio_cutoff**2) ** 2)

    median = jnp.nanmedian(jnp.where(weight > 0.1, difference, jnp.nan), axis=(0, 1))
    start = jnp.broadcast_to(jnp.nan_to_num(median), difference.shape)
    ratio = jax.lax.fori_loop(0, _ROUNDS, reweigh, start)
    return jnp.where(jnp.sum(weight) > 1.0, ratio, 0.0)


def _agreement(color, weight, config: FuseConfig) -> jax.Array:
    """(K, r, r, 1) in [0, 1]: how little the other photographs contradict each one."""
    share = _blur(weight, config.agreement_width)
    smooth = _blur(weight * color, config.agreement_width) / jnp.maximum(share, 1e-6)
    apart = jnp.max(jnp.abs(smooth[:, None] - smooth[None]), axis=-1, keepdims=True)
    span = config.contradiction - config.tolerated
    against = jnp.clip((apart - config.tolerated) / span, 0.0, 1.0)
    voters = jnp.where(jnp.eye(len(color), dtype=bool)[..., None, None, None], 0.0, share[None])
    contra = jnp.sum(voters * against, axis=1)
    pro = jnp.sum(voters * (1.0 - against), axis=1) + config.unopposed
    # Twice, for a photograph with as many for as against it is as good as undisputed.
    return jnp.minimum(2.0 * pro / (pro + contra), 1.0)


def _blend(color, confidence, config: FuseConfig) -> jax.Array:
    """Multi-band blend (R, R, 3) of log colours (K, R, R, 3)."""
    count, size = color.shape[:2]
    preferred = confidence.at[0].multiply(config.preference)
    # A little smoother, so that noise in confidence makes no islands.
    score = _enlarge(_shrink(preferred, size // 4), size) * (confidence > 0)
    best = jax.nn.one_hot(jnp.argmax(score[..., 0], axis=0), count, axis=0)[..., None]
    winner = jnp.sum(best * color, axis=0)
    # What a photograph does not see well it takes from the winner.
    relative = confidence / jnp.maximum(jnp.max(confidence, axis=0), 1e-6)
    own = jnp.clip((relative - 0.2) / 0.3, 0.0, 1.0)
    image = own * color + (1.0 - own) * winner

    bands = []
    while size > _MIN_SIDE:
        coarse = _shrink(image, size // 2)
        bands.append(jnp.sum(best * (image - _enlarge(coarse, size)), axis=0))
        image, best, size = coarse, _shrink(best, size // 2), size // 2
    blended = jnp.sum(best * image, axis=0)
    for band in reversed(bands):
        blended = _enlarge(blended[None], band.shape[0])[0] + band
    return blended


def _shrink(image: jax.Array, size: int) -> jax.Array:
    """Means over blocks of texels: (K, R, R, C) to (K, size, size, C)."""
    count, side, _, channels = image.shape
    factor = side // size
    return image.reshape(count, size, factor, size, factor, channels).mean(axis=(2, 4))


def _enlarge(image: jax.Array, size: int) -> jax.Array:
    """Bilinear: (K, r, r, C) to (K, size, size, C)."""
    return jax.image.resize(image, (image.shape[0], size, size, image.shape[-1]), "linear")


def _blur(image: jax.Array, width: float) -> jax.Array:
    """Gaussian of deviation `width` times the side over (..., r, r, C); nothing lies beyond."""
    place = (jnp.arange(image.shape[-2]) + 0.5) / image.shape[-2]
    kernel = jnp.exp(-0.5 * ((place[:, None] - place) / width) ** 2)
    kernel = kernel / jnp.sum(kernel, axis=1).max()
    return einsum("yi,xj,...ijc->...yxc", kernel, kernel, image)

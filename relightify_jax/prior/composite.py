"""The photo's own texels over generated ones, without a seam and with its detail."""

import jax
import jax.numpy as jnp

from relightify_jax.core import color
from relightify_jax.prior import fill

_TRUSTED = 0.5  # Texels of less confidence are the generator's.
_LOG_FLOOR = 0.02  # Linear; keeps noise in deep shadow from becoming detail.
_DETAIL_SIGMA = 1 / 28  # Of the map's side, about a brow: wider structure is the codec's.
_MAX_DARKER, _MAX_LIGHTER = 1.2, 0.26  # Of detail, in natural logarithms.
_MAX_HUE = 0.12  # Of a channel against the mean of the three.


def composite_texture(
    observed: jax.Array, confidence: jax.Array, generated: jax.Array
) -> jax.Array:
    """Joins an observed and a generated texture.

    The difference of the two (in sRGB) is continued smoothly from observed texels over
    the others (`fill.membrane`) and added to the generated side: its gradients, the
    photo's colours. Between confidence 0.5 and 1 the difference is bound elastically,
    so that the photo's detail fades into the generator's.

    Args:
        observed: (R, R, 3) linear, R a power of two; ignored where confidence is 0.
        confidence: (R, R, 1) in [0, 1].
        generated: (R, R, 3) linear.

    Returns:
        (R, R, 3) linear in [0, 1], equal to `observed` where confidence is 1.
    """
    weight = jnp.clip((confidence - _TRUSTED) / (1.0 - _TRUSTED), 0.0, 1.0)
    source = color.srgb_from_linear(generated)
    shift = fill.membrane(color.srgb_from_linear(observed) - source, weight)
    joined = color.linear_from_srgb(jnp.clip(source + shift, 0.0, 1.0))
    return jnp.where(confidence >= 1.0, observed, joined)


def transfer_detail(
    diffuse: jax.Array, decoded: jax.Array, observed: jax.Array, confidence: jax.Array
) -> jax.Array:
    """Adds to the albedo what the codec lost of the observed texture: moles, brows, lips.

    The detail is the logarithm of observed over decoded texture, without its low
    frequencies (those are light or colour, already accounted for). Logarithms, because
    shading is a common factor of texture and albedo. Lighter detail is limited far
    more than darker: it is mostly specular highlights, which are not albedo.

    Args:
        diffuse: (R, R, 3) linear albedo.
        decoded: (R, R, 3) linear, the texture as the codec shows it.
        observed: (R, R, 3) linear; ignored where confidence is 0.
        confidence: (R, R, 1) in [0, 1].

    Returns:
        (R, R, 3) linear albedo in [0, 1], unchanged where nothing was observed.
    """
    ratio = jnp.log(jnp.maximum(observed, 0.0) + _LOG_FLOOR)
    ratio = ratio - jnp.log(jnp.maximum(decoded, 0.0) + _LOG_FLOOR)
    weight = jnp.clip((confidence - _TRUSTED) / (1.0 - _TRUSTED), 0.0, 1.0)
    # Highlights are cut off before averaging, or they would darken what is around them.
    ratio = jnp.clip(jnp.where(weight > 0, ratio, 0.0), -_MAX_DARKER, _MAX_LIGHTER)
    sigma = _DETAIL_SIGMA * diffuse.shape[0]
    covered = fill.blur(weight, sigma)
    smooth = fill.blur(weight * ratio, sigma) / jnp.maximum(covered, 1e-3)
    detail = jnp.clip(ratio - smooth, -_MAX_DARKER, _MAX_LIGHTER)
    # Brows and moles are dark, not colourful; colour that flickers is noise or a gleam.
    # What is lighter counts as its least channel: a gleam adds white, which on skin raises
    # red least, while skin where a brow was expected raises it most.
    mean, least = jnp.mean(detail, -1, keepdims=True), jnp.min(detail, -1, keepdims=True)
    grey = jnp.where(mean > 0, jnp.maximum(least, 0.0), mean)
    detail = grey + jnp.clip(0.6 * (detail - mean), -_MAX_HUE, _MAX_HUE)
    # Near the border the average is one-sided and would draw the border's outline.
    detail = weight * jnp.clip(2.5 * covered - 1.5, 0.0, 1.0) * detail
    return jnp.clip(diffuse * jnp.exp(detail), 0.0, 1.0)

"""Building blocks shared by the autoencoders and the denoiser (NHWC)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Stride-1 convolution with zero padding that keeps the size."""
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_DIMENSIONS)


@jax.custom_vjp
def convolve_with_forward_vjp(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves x (B, H, W, C) with an odd kernel (k, k, C, F), stride 1, zero padding.

    Equal to `lax.conv_general_dilated`, derivative included. The derivative by `x`
    is written as one more forward convolution with the flipped kernel, because
    XLA:CPU hands no other form to its fast library inside a `lax.scan` (measured: an
    MCG sampler runs twice as fast).
    """
    return _convolve(x, kernel)


def _convolve_fwd(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve(x, kernel), (x, kernel)


def _convolve_bwd(saved: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    dx = _convolve(g, kernel[::-1, ::-1].swapaxes(2, 3))
    _, kernel_vjp = jax.vjp(lambda k: _convolve(x, k), kernel)
    return dx, kernel_vjp(g)[0]


convolve_with_forward_vjp.defvjp(_convolve_fwd, _convolve_bwd)


class Conv(nn.Module):
    """Stride-1 convolution with zero padding.

    Attributes:
        features: Output channels.
        size: Odd kernel side. 1 is computed as a matrix product.
        zero_init: Starts the kernel at zero instead of LeCun normal.
        forward_vjp: Uses `convolve_with_forward_vjp`, the fast form on CPU. On GPU
            and TPU leave it off.
        dtype: Compute type; parameters are always float32.
    """

    features: int
    size: int = 3
    zero_init: bool = False
    forward_vjp: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x (B, H, W, C) to (B, H, W, features)."""
        init = nn.initializers.zeros if self.zero_init else nn.initializers.lecun_normal()
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", init, shape, jnp.float32).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        x = x.astype(self.dtype)
        if self.size == 1:
            y = x @ kernel[0, 0]
        else:
            y = (convolve_with_forward_vjp if self.forward_vjp else _convolve)(x, kernel)
        return y + bias.astype(self.dtype)[None, None, None]


def space_to_depth(x: jax.Array, factor: int) -> jax.Array:
    """Moves each factor x factor block to channels: (B, H, W, C) -> (B, H/f, W/f, f f C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // factor, factor, w // factor, factor, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // factor, w // factor, -1)


def depth_to_space(x: jax.Array, factor: int) -> jax.Array:
    """Inverse of `space_to_depth`: (B, H, W, f f C) -> (B, f H, f W, C)."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, factor, factor, c // factor**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * factor, w * factor, -1)


def upsample_nearest(x: jax.Array) -> jax.Array:
    """Doubles the height and width of x (B, H, W, C) by repetition."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
    return x.reshape(b, 2 * h, 2 * w, c)


def average_pool(x: jax.Array) -> jax.Array:
    """Halves the height and width of x (B, H, W, C) by averaging 2 x 2 blocks."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


class LocalResBlock(nn.Module):
    """Residual block without any normalisation, as in super-resolution networks.

    Lim et al. 2017 (EDSR), section 3.1: no statistics are shared between positions,
    so the output depends on a 5 x 5 neighbourhood only and crops train what whole
    maps use. Starts as the identity.

    Attributes:
        forward_vjp: See `Conv`.
        dtype: Compute type.
    """

    forward_vjp: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x (B, H, W, C) to the same shape."""
        features = x.shape[-1]
        h = Conv(features, forward_vjp=self.forward_vjp, dtype=self.dtype, name="conv_in")(x)
        h = Conv(
            features,
            zero_init=True,
            forward_vjp=self.forward_vjp,
            dtype=self.dtype,
            name="conv_out",
        )(nn.silu(h))
        return x + h


class ResBlock(nn.Module):
    """Pre-activation residual block with a scale-shift embedding.

    Ho et al. 2020, appendix B, with the FiLM conditioning of Dhariwal & Nichol 2021,
    section 3. The last convolution starts at zero, so a fresh block is the identity
    (up to the channel projection).

    Attributes:
        features: Output channels.
        groups: Channel groups of both normalisations.
        forward_vjp: See `Conv`.
        dtype: Compute type; statistics are float32.
    """

    features: int
    groups: int = 16
    forward_vjp: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, emb: jax.Array) -> jax.Array:
        """Maps x (B, H, W, C) and emb (B, D) to (B, H, W, features)."""
        conv: dict[str, Any] = {"forward_vjp": self.forward_vjp, "dtype": self.dtype}
        h = nn.GroupNorm(self.groups, dtype=self.dtype, name="norm_in")(x)
        h = Conv(self.features, **conv, name="conv_in")(nn.silu(h))
        h = nn.GroupNorm(self.groups, dtype=self.dtype, name="norm_out")(h)
        film = nn.Dense(2 * self.features, dtype=self.dtype, name="film")(emb)
        scale, shift = jnp.split(film[:, None, None], 2, axis=-1)  # (B, 1, 1, features)
        h = nn.silu(h * (1 + scale) + shift)
        h = Conv(self.features, zero_init=True, **conv, name="conv_out")(h)
        if x.shape[-1] != self.features:
            x = Conv(self.features, 1, dtype=self.dtype, name="skip")(x)
        return x.astype(h.dtype) + h


class SelfAttention(nn.Module):
    """Multi-head self-attention over all positions, residual (Vaswani et al. 2017).

    Attributes:
        head_dim: Channels per head, at most; must divide the channels if fewer.
        groups: Channel groups of the normalisation.
        dtype: Compute type; the softmax is float32.
    """

    head_dim: int = 32
    groups: int = 16
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x (B, H, W, C) to the same shape."""
        b, h, w, c = x.shape
        y = nn.GroupNorm(self.groups, dtype=self.dtype, name="norm")(x)
        qkv = Conv(3 * c, 1, dtype=self.dtype, name="qkv")(y)
        head_dim = min(self.head_dim, c)
        qkv = qkv.reshape(b, h * w, 3, c // head_dim, head_dim)
        y = jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
        y = Conv(c, 1, zero_init=True, dtype=self.dtype, name="out")(y.reshape(b, h, w, c))
        return x + y


def fourier_features(time: jax.Array, num_features: int) -> jax.Array:
    """Sine and cosine features (B, num_features) of a noise time (B,).

    Frequencies are geometric from 0.25 to 8 rad per unit: the time is a logarithm of
    the noise level, which spans about ten units.
    """
    half = num_features // 2
    frequencies = 0.25 * 2.0 ** jnp.linspace(0.0, 5.0, half)
    angle = time.astype(jnp.float32)[:, None] * frequencies[None]
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)

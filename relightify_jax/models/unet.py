"""The denoising U-Net over face latents."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from relightify_jax.models import blocks


class UNet(nn.Module):
    """U-Net with FiLM time conditioning and a learned map of positions.

    Ho et al. 2020 with the changes of Dhariwal & Nichol 2021. Latents of faces are
    aligned, a brow is always in the same cells, so a learned map per size tells the
    convolutions where they are. The output starts at zero.

    Attributes:
        out_features: Channels of the output.
        features: Channels per size, largest size first.
        num_blocks: Residual blocks per size on the way down; the way up has as many.
        attention_sizes: Sides at which attention follows each block.
        groups: Channel groups of normalisations; must divide every entry of `features`.
        forward_vjp: See `blocks.Conv`.
        dtype: Compute type; parameters and the output are float32.
    """

    out_features: int
    features: tuple[int, ...] = (64, 128, 192)
    num_blocks: int = 2
    attention_sizes: tuple[int, ...] = (8,)
    groups: int = 16
    forward_vjp: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, time: jax.Array) -> jax.Array:
        """Maps x (B, H, W, C) and time (B,) to (B, H, W, out_features).

        Raises:
            ValueError: If H or W is not divisible by 2 ** (sizes - 1).
        """
        factor = 2 ** (len(self.features) - 1)
        if x.shape[1] % factor or x.shape[2] % factor:
            raise ValueError(f"Latents of {x.shape[1:3]} cells cannot be halved to 1/{factor}.")
        emb = self._embed_time(time)
        h = self._conv("conv_in", self.features[0])(x)
        skips = []
        for level, features in enumerate(self.features):
            if level:
                h = blocks.average_pool(h)
                h = blocks.Conv(features, 1, dtype=self.dtype, name=f"down_{level}")(h)
            h = h + self._positions(level, h.shape[1:])
            for i in range(self.num_blocks):
                h = self._block(f"down_{level}_{i}", features)(h, emb)
                h = self._attend(f"down_{level}_{i}_attention", h)
                skips.append(h)
        for level, features in reversed(list(enumerate(self.features))):
            for i in range(self.num_blocks):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = self._block(f"up_{level}_{i}", features)(h, emb)
                h = self._attend(f"up_{level}_{i}_attention", h)
            if level:
                h = blocks.Conv(self.features[level - 1], 1, dtype=self.dtype, name=f"up_{level}")(
                    h
                )
                h = blocks.upsample_nearest(h)
        h = nn.silu(nn.GroupNorm(self.groups, dtype=self.dtype, name="norm_out")(h))
        return self._conv("conv_out", self.out_features, zero_init=True)(h).astype(jnp.float32)

    def _embed_time(self, time: jax.Array) -> jax.Array:
        width = 4 * self.features[0]
        emb = blocks.fourier_features(time, self.features[0])
        emb = nn.silu(nn.Dense(width, dtype=self.dtype, name="time_in")(emb))
        return nn.silu(nn.Dense(width, dtype=self.dtype, name="time_out")(emb))

    def _positions(self, level: int, shape: tuple[int, ...]) -> jax.Array:
        init = nn.initializers.normal(0.02)
        table = self.param(f"positions_{level}", init, shape, jnp.float32)
        return table.astype(self.dtype)[None]

    def _conv(self, name: str, features: int, zero_init: bool = False) -> blocks.Conv:
        return blocks.Conv(
            features,
            zero_init=zero_init,
            forward_vjp=self.forward_vjp,
            dtype=self.dtype,
            name=name,
        )

    def _block(self, name: str, features: int) -> blocks.ResBlock:
        return blocks.ResBlock(
            features,
            groups=self.groups,
            forward_vjp=self.forward_vjp,
            dtype=self.dtype,
            name=name,
        )

    def _attend(self, name: str, h: jax.Array) -> jax.Array:
        if h.shape[1] not in self.attention_sizes:
            return h
        return blocks.SelfAttention(groups=self.groups, dtype=self.dtype, name=name)(h)


def predict(module: UNet, params: Any, x: jax.Array, time: jax.Array) -> jax.Array:
    """Output of a module with its parameters; see `UNet.__call__`."""
    result: Any = module.apply({"params": params}, x, time)
    return result


def build_unet(spec: Mapping[str, Any]) -> UNet:
    """Builds the module from a mapping of its attributes (lists become tuples)."""
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in spec.items()
    }
    return UNet(**values)

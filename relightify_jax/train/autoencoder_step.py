"""Loss and update of the two autoencoders, trained together on crops of maps."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from relightify_jax.core import rng
from relightify_jax.core.uv_layout import UV_CHANNELS
from relightify_jax.models import KLAutoencoder, autoencoder
from relightify_jax.train import optimizers
from relightify_jax.train.state import TrainState, apply_gradients, jit_step

Modules = dict[str, KLAutoencoder]
# (constants, key, batch) -> standardised maps (B, H, W, 10) float32.
Prepare = Callable[[Any, jax.Array, dict[str, jax.Array]], jax.Array]
_GRADIENT_SCALES = (1, 2, 4)  # Texels between the two ends of a finite difference.
# Channels of each autoencoder within a stack of maps, named as in `FaceCodec.params`.
PARTS = {"texture": slice(0, 3), "reflectance": slice(3, 10)}


def stored_maps(data: Any, key: jax.Array, batch: dict[str, jax.Array]) -> jax.Array:
    """`Prepare` of a batch {"maps": (B, H, W, 10)} that is standardised already."""
    del data, key
    return batch["maps"].astype(jnp.float32)


def init_params(
    modules: Modules, key: jax.Array, codes: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, Any]:
    """Parameters of every autoencoder by name.

    Args:
        modules: The autoencoders.
        key: Random key.
        codes: Linear code of each, from `fit_patch_code`.
    """
    params = {}
    for name, module in modules.items():
        image = jnp.zeros((1, 8, 8, module.num_channels))
        keys = rng.stream(key, name), rng.stream(key, "sample")
        params[name] = module.init(keys[0], image, keys[1])["params"]
        params[name]["patches"] = {k: jnp.asarray(v) for k, v in codes[name].items()}
    return params


def gradient_error(error: jax.Array) -> jax.Array:
    """Mean absolute finite difference of an error image (B, H, W, C) over three scales."""
    total = jnp.zeros(())
    for s in _GRADIENT_SCALES:
        total += jnp.mean(jnp.abs(error[:, s:] - error[:, :-s]))
        total += jnp.mean(jnp.abs(error[:, :, s:] - error[:, :, :-s]))
    return total / (2 * len(_GRADIENT_SCALES))


def reconstruction_loss(
    name: str, output: jax.Array, target: jax.Array, gradient_weight: float
) -> jax.Array:
    """L1, its gradients and, for normals, the length of the error.

    Args:
        name: "texture" or "reflectance".
        output: Standardised maps (B, H, W, C) of that autoencoder.
        target: The same, true.
        gradient_weight: Weight of `gradient_error`.

    Normals share one scale, so the length of their error is proportional to
    2 sin(angle / 2): the cosine term, without its flat optimum.
    """
    error = output - target
    loss = jnp.mean(jnp.abs(error)) + gradient_weight * gradient_error(error)
    if name == "reflectance":
        start = PARTS[name].start
        normals = UV_CHANNELS["normals"]
        vectors = error[..., normals.start - start : normals.stop - start]
        loss += 0.3 * jnp.mean(jnp.sqrt(jnp.sum(vectors**2, axis=-1) + 1e-6))
    return loss


def make_autoencoder_step(
    modules: Modules,
    optimizer: optax.GradientTransformation,
    shardings: Any,
    mesh: Mesh,
    *,
    peak_rate: float,
    kl_weight: float,
    gradient_weight: float,
    prepare: Prepare = stored_maps,
    data: Any = (),
) -> Callable[..., Any]:
    """Builds the jitted update (state, batch, progress) -> (state, metrics).

    Args:
        modules: The autoencoders; they share nothing but the call.
        optimizer: From `optimizers.make_optimizer`.
        shardings: Of the state.
        mesh: Device mesh.
        peak_rate: Highest learning rate.
        kl_weight: Weight of the divergence from a unit Gaussian.
        gradient_weight: Of `gradient_error`.
        prepare: What makes maps of a batch on the device, e.g. by lighting it
            (`train.relit`).
        data: The constants that `prepare` needs.
    """

    def loss_fn(
        params: dict[str, Any], maps: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        loss = jnp.zeros(())
        metrics: dict[str, jax.Array] = {}
        for name, module in modules.items():
            target = maps[..., PARTS[name]]
            posterior = autoencoder.encode(module, params[name], target)
            latents = posterior.sample(rng.stream(key, name))
            output = autoencoder.decode(module, params[name], latents)
            reconstruction = reconstruction_loss(name, output, target, gradient_weight)
            kl = posterior.kl()
            loss += reconstruction + kl_weight * kl
            metrics |= {f"{name}_loss": reconstruction, f"{name}_kl": kl}
        return loss, metrics

    def step(
        data: Any, state: TrainState, batch: dict[str, jax.Array], progress: jax.Array
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        maps = prepare(data, rng.stream(state.key, "prepare", state.step), batch)
        key = rng.stream(state.key, "posterior", state.step)
        grads, metrics = jax.grad(loss_fn, has_aux=True)(state.params, maps, key)
        rate = optimizers.learning_rate(progress, peak=peak_rate)
        state, more = apply_gradients(state, grads, optimizer, rate)
        return state, metrics | more

    return jit_step(step, shardings, mesh, data)


def make_autoencoder_evaluation(modules: Modules) -> Callable[..., Any]:
    """Builds the jitted (params, maps, scale) -> metrics, mean squared errors.

    `maps` are standardised (B, H, W, 10) and `scale` (10,) undoes that, so errors are
    in sRGB units for colours and in unit-vector units for normals.
    """

    def evaluate(params: dict[str, Any], maps: jax.Array, scale: jax.Array) -> dict[str, jax.Array]:
        errors = []
        for name, module in modules.items():
            target = maps[..., PARTS[name]]
            latents = autoencoder.encode(module, params[name], target).mean
            errors.append(autoencoder.decode(module, params[name], latents) - target)
        error = jnp.concatenate(errors, axis=-1)
        error = error * scale[None, None, None]
        return {k: jnp.mean(error[..., v] ** 2) for k, v in UV_CHANNELS.items()}

    return jax.jit(evaluate)

"""Loss and update of the denoising network on cached latents."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from relightify_jax.core import rng
from relightify_jax.diffusion import losses, preconditioning
from relightify_jax.diffusion.gaussian import GaussianModel
from relightify_jax.models import UNet, unet
from relightify_jax.train import optimizers
from relightify_jax.train.state import TrainState, apply_gradients, jit_step

EVALUATION_SIGMAS = (0.1, 0.3, 1.0, 3.0, 10.0)


def init_params(module: UNet, latent_shape: tuple[int, int, int], key: jax.Array) -> Any:
    """Parameters of the denoising network for latents (h, w, Z)."""
    height, width, features = latent_shape
    inputs = jnp.zeros((1, height, width, 2 * features))
    return module.init(key, inputs, jnp.zeros((1,)))["params"]


def _losses(
    module: UNet,
    params: Any,
    gaussian: GaussianModel,
    key: jax.Array,
    latents: jax.Array,
    sigma: jax.Array,
) -> jax.Array:
    def network(inputs: jax.Array, time: jax.Array) -> jax.Array:
        return unet.predict(module, params, inputs, time)

    return losses.denoising_losses(
        lambda y, s: preconditioning.denoise(network, gaussian, y, s),
        lambda s: preconditioning.output_scale(gaussian, s),
        key,
        latents,
        sigma,
    )


def make_diffusion_step(
    module: UNet,
    gaussian: GaussianModel,
    optimizer: optax.GradientTransformation,
    shardings: Any,
    mesh: Mesh,
    *,
    peak_rate: float,
    log_mean: float,
    log_std: float,
    latent_noise: float,
) -> Callable[..., Any]:
    """Builds the jitted update (state, batch, progress) -> (state, metrics).

    Args:
        module: The denoising network.
        gaussian: Gaussian of the standardised latents.
        optimizer: From `optimizers.make_optimizer`.
        shardings: Of the state.
        mesh: Device mesh.
        peak_rate: Highest learning rate.
        log_mean: Mean of ln sigma in training.
        log_std: Its standard deviation.
        latent_noise: Standard deviation of noise added to the latents, about the
            spread of the encoder's posterior.

    `batch` is {"latents": (B, h, w, Z)}, standardised.
    """

    def loss_fn(
        params: Any, gaussian: GaussianModel, latents: jax.Array, keys: list[jax.Array]
    ) -> jax.Array:
        key_latent, key_sigma, key_noise = keys
        latents = latents + latent_noise * jax.random.normal(key_latent, latents.shape)
        sigma = losses.sample_sigmas(key_sigma, len(latents), log_mean, log_std)
        return jnp.mean(_losses(module, params, gaussian, key_noise, latents, sigma))

    def step(
        gaussian: GaussianModel,
        state: TrainState,
        batch: dict[str, jax.Array],
        progress: jax.Array,
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        names = ("latent", "sigma", "noise")
        keys = [rng.stream(state.key, name, state.step) for name in names]
        latents = batch["latents"].astype(jnp.float32)
        loss, grads = jax.value_and_grad(loss_fn)(state.params, gaussian, latents, keys)
        rate = optimizers.learning_rate(progress, peak=peak_rate)
        state, metrics = apply_gradients(state, grads, optimizer, rate)
        return state, {"loss": loss, **metrics}

    return jit_step(step, shardings, mesh, gaussian)


def make_diffusion_evaluation(
    module: UNet, gaussian: GaussianModel, seed: int = 0
) -> Callable[..., dict[str, float]]:
    """Builds (params, latents (N, h, w, Z)) -> losses at fixed noise levels and noises.

    The loss is relative to the linear estimate's: see `losses.denoising_losses`.
    """

    @jax.jit
    def evaluate(
        params: Any, gaussian: GaussianModel, latents: jax.Array, sigma: jax.Array, key: jax.Array
    ) -> jax.Array:
        sigmas = jnp.broadcast_to(sigma, latents.shape[:1])
        return jnp.mean(_losses(module, params, gaussian, key, latents, sigmas))

    def run(params: Any, latents: jax.Array) -> dict[str, float]:
        # The same noise at every level and at every call: losses compare without its scatter.
        values = {
            f"val_loss_{sigma:g}": float(
                evaluate(params, gaussian, latents, np.float32(sigma), jax.random.key(seed))
            )
            for sigma in EVALUATION_SIGMAS
        }
        return {"val_loss": float(np.mean(list(values.values()))), **values}

    return run

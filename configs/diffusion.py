r"""The diffusion prior over face latents.

    python -m experiments.train_diffusion --config=configs/diffusion.py:cpu --data=DIR \
        --autoencoder=runs/autoencoder --workdir=runs/diffusion --minutes=38 \
        --export=relightify_jax/assets/prior.npz

Variants: `base` for an accelerator, `cpu` is what trained the prior that ships (two
cores, 38 minutes, 1741 steps), `smoke` takes seconds.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "base") -> ConfigDict:
    """Returns the configuration of `variant`."""
    config = ConfigDict()
    config.seed = 0
    config.lights_per_face = 8  # Pictures of each face whose latents are cached.
    config.environments_dir = ""  # Environment maps that light half of the pictures, or none.
    config.num_modes = 96  # Modes of the Gaussian model of latents.
    config.denoiser = ConfigDict(
        dict(
            features=(128, 256, 384),  # At 1/8, 1/16 and 1/32 of the maps' size.
            num_blocks=2,
            attention_sizes=(16, 8),
            groups=16,
            forward_vjp=False,
            dtype="bfloat16",
        )
    )
    config.loss = ConfigDict(
        dict(
            log_mean=0.2,  # Of ln sigma, in units of a latent's spread.
            log_std=1.5,
            latent_noise=0.03,
        )
    )
    config.train = ConfigDict(
        dict(
            batch_size=512,
            num_steps=20_000,
            peak_rate=1e-3,
            b2=0.99,
            weight_decay=0.01,
            clip_norm=1.0,
            fsdp=1,
            log_every=100,
            evaluate_every=1_000,
            save_every=1_000,
            evaluation_faces=64,
        )
    )
    config.sample = ConfigDict(dict(num_faces=8, num_steps=50))  # The contact sheet.

    match variant:
        case "base":
            pass
        case "cpu":
            config.lights_per_face = 2
            config.denoiser.update(
                features=(64, 128, 192),
                num_blocks=1,
                attention_sizes=(8,),
                forward_vjp=True,
                dtype="float32",
            )
            config.train.update(
                batch_size=24,
                num_steps=4_000,
                peak_rate=1e-3,
                log_every=20,
                evaluate_every=250,
                save_every=250,
                evaluation_faces=32,
            )
        case "smoke":
            config.lights_per_face = 1
            config.num_modes = 4
            config.denoiser.update(
                features=(8, 16), num_blocks=1, attention_sizes=(), groups=4, dtype="float32"
            )
            config.train.update(
                batch_size=8,
                num_steps=4,
                log_every=1,
                evaluate_every=2,
                save_every=2,
                evaluation_faces=4,
            )
            config.sample.update(num_faces=2, num_steps=4)
        case _:
            raise ValueError(f"Unknown variant {variant!r}; have 'base', 'cpu', 'smoke'.")
    return config

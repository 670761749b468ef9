r"""The two autoencoders of UV maps.

    python -m experiments.train_autoencoder --config=configs/autoencoder.py:cpu \
        --data=DIR --workdir=runs/autoencoder --minutes=12

Variants: `base` for an accelerator, `cpu` is what trained the prior that ships (two
cores, 12 minutes: held-out texture PSNR 39.6 dB), `smoke` takes seconds.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "base") -> ConfigDict:
    """Returns the configuration of `variant`."""
    config = ConfigDict()
    config.seed = 0
    config.uv_size = 256  # Texels per side of a map.
    config.crop_size = 128  # Texels per side of a training crop; the networks are local.
    config.environments_dir = ""  # Environment maps that light half of the pictures, or none.

    shared = dict(
        encoder_features=128,
        decoder_features=(256, 128),
        num_blocks=4,
        full_size_features=16,
        forward_vjp=False,
        dtype="bfloat16",
    )
    config.texture = ConfigDict(dict(num_channels=3, latent_features=8, **shared))
    config.reflectance = ConfigDict(dict(num_channels=7, latent_features=16, **shared))
    config.loss = ConfigDict(
        dict(
            kl_weight=5e-3,  # Makes the posterior's spread about 0.03, its mean about 1.
            gradient_weight=1.0,
        )
    )
    config.train = ConfigDict(
        dict(
            batch_size=64,  # Faces per step, over all processes.
            crops_per_face=4,
            num_steps=30_000,
            peak_rate=1e-3,
            b2=0.99,
            weight_decay=0.0,
            clip_norm=1.0,
            fsdp=1,
            log_every=100,
            evaluate_every=2_000,
            save_every=2_000,
            evaluation_faces=64,
        )
    )

    match variant:
        case "base":
            pass
        case "cpu":
            small = dict(
                encoder_features=32,
                decoder_features=(64, 48),
                num_blocks=2,
                full_size_features=8,
                forward_vjp=True,
                dtype="float32",
            )
            config.texture.update(small)
            config.reflectance.update(small)
            config.train.update(
                batch_size=2,
                num_steps=4_000,
                peak_rate=1e-3,
                log_every=20,
                evaluate_every=250,
                save_every=250,
                evaluation_faces=16,
            )
        case "smoke":
            tiny = dict(
                encoder_features=8,
                decoder_features=(8, 8),
                num_blocks=1,
                full_size_features=4,
                dtype="float32",
            )
            config.uv_size = 64
            config.crop_size = 32
            config.texture.update(tiny, latent_features=2)
            config.reflectance.update(tiny, latent_features=3)
            config.train.update(
                batch_size=8,
                crops_per_face=1,
                num_steps=4,
                log_every=1,
                evaluate_every=2,
                save_every=2,
                evaluation_faces=4,
            )
        case _:
            raise ValueError(f"Unknown variant {variant!r}; have 'base', 'cpu', 'smoke'.")
    return config

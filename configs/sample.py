"""How one photograph becomes a relightable head.

    python -m experiments.sample --image=me.jpg --out=out
    python -m experiments.sample --image=me.jpg --out=out --config=configs/sample.py:draft
    python -m experiments.sample --image=me.jpg --out=out --config.num_seeds=4

About a minute on two CPU cores after the first run has filled the compile cache.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "default") -> ConfigDict:
    """Returns the config of `variant`: "default" or "draft" (a quick look)."""
    config = ConfigDict()
    config.seed = 0
    config.uv_size = 512  # Texels per side of the exported maps: 256, 512 or 1024.
    config.inpaint = ConfigDict()
    config.inpaint.num_seeds = 2  # Completions drawn; the one closest to the photo is kept.
    config.inpaint.num_steps = 25  # DDIM steps.
    config.inpaint.guidance = 3.0  # Weight of the manifold gradient (alpha in MCG).
    config.inpaint.temperature = 0.4  # Scale of fine randomness in invented skin.
    config.render = ConfigDict()
    config.render.size = 512  # Pixels per side of the still pictures.
    config.render.turntable_size = 320
    config.render.turntable_frames = 24

    match variant:
        case "default":
            pass
        case "draft":
            config.uv_size = 256
            config.inpaint.update(num_seeds=1, num_steps=12)
            config.render.update(size=256, turntable_size=192, turntable_frames=12)
        case _:
            raise ValueError(f"Unknown variant {variant!r}; have 'default', 'draft'.")
    return config

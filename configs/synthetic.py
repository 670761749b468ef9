"""The synthetic light stage: random faces as UV maps, to train the prior on.

python -m data_pipeline.build_synthetic --config=configs/synthetic.py:default --out=data

The default takes some ten minutes on two CPU cores and 1 GB of disk.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "default") -> ConfigDict:
    """Returns the configuration of a variant: "default" or "smoke"."""
    config = ConfigDict()
    config.seed = 0
    config.uv_size = 256  # Texels per side of a UV map.
    config.num_train = 2048
    config.num_validation = 64
    config.num_shards = 8  # Files per split.
    config.num_directions = 64  # From which the head's self-shadowing is computed.
    config.face_model = "embedded"  # Or "ict:FOLDER" or a model .npz.
    config.skins_dir = ""  # Folder of skins painted in the canonical UV layout, or none.

    match variant:
        case "default":
            pass
        case "smoke":
            config.uv_size = 32
            config.num_train = 8
            config.num_validation = 2
            config.num_shards = 1
            config.num_directions = 16
        case _:
            raise ValueError(f"Unknown variant {variant!r}; have 'default', 'smoke'.")
    return config

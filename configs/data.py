r"""Data sets of relightable faces, to train the prior on.

    python -m data_pipeline.build --config=configs/data.py:synthetic --out=DIR --num=2112
    python -m data_pipeline.build --config=configs/data.py:captures --out=DIR \
        --config.folder=CAPTURES --config.layout=plain

docs/DATA.md says how long they take and how large they are. A build that was interrupted
goes on when the same command is given again, and a larger `--num` extends a finished one.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "synthetic") -> ConfigDict:
    """Returns the configuration of a variant: "synthetic", "captures" or "smoke"."""
    config = ConfigDict()
    config.uv_size = 256  # Texels per side of a UV map.
    config.bits = 8  # Of a stored value, 8 or 16.
    config.shard_size = 64  # Records per file; what a kill can lose. Thousands on a cluster.
    config.source = "synthetic"

    match variant:
        case "synthetic" | "smoke":
            config.seed = 0
            config.face_model = "embedded"  # Or "ict:FOLDER" or a model .npz.
            config.num = 2112  # Faces, those to validate with included; also --num.
            config.validation_every = 33  # One face in so many is for validation.
            config.skins_dir = ""  # Folder of skins painted in the canonical UV layout, or none.
            config.batch = 0  # Faces drawn together; 0: 1 on a CPU, 16 on an accelerator.
        case "captures":
            config.source = "captures"
            config.folder = ""  # Of the captures.
            config.layout = "plain"  # See docs/CAPTURES.md.
            config.validation_share = 0.05  # Of the subjects.
        case _:
            raise ValueError(f"Unknown variant {variant!r}; have 'synthetic', 'captures', 'smoke'.")
    if variant == "smoke":
        config.uv_size = 32
        config.num = 10
        config.validation_every = 5
        config.shard_size = 4
    return config

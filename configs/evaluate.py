r"""What to judge, and on what.

    python -m experiments.evaluate --config=configs/evaluate.py:fitting --out=DIR
    python -m experiments.evaluate --config=configs/evaluate.py:fitting --out=DIR \
        --config.truth_model=ict:PATH --config.fit_model=ict:PATH --config.hdri_dir=HDRIS
    python -m experiments.evaluate --config=configs/evaluate.py:headline --out=DIR \
        --config.headline=4
    python -m experiments.evaluate --config=configs/evaluate.py:now --out=DIR \
        --config.data_dir=PHOTOS
    python -m experiments.evaluate --config=configs/evaluate.py:skin --out=DIR \
        --config.photos_dir=PHOTOS

A variant names its protocol in `config.protocol`; the other entries are its own.
"""

from ml_collections import ConfigDict

_VARIANTS = ("fitting", "headline", "fitting_smoke", "now", "realy", "skin")


def get_config(variant: str = "fitting") -> ConfigDict:
    """Returns the config of `variant`.

    "fitting"; "headline", its main set only; "fitting_smoke", seconds; "now" and "realy", which
    predict for those benchmarks; "skin", generated beside photographed skin.
    """
    if variant not in _VARIANTS:
        raise ValueError(f"Unknown variant {variant!r}; have {', '.join(map(repr, _VARIANTS))}.")
    if variant == "skin":
        return _skin()
    config = _benchmark(variant) if variant in ("now", "realy") else _fitting()
    match variant:
        case "headline":
            config.factors = ()
        case "fitting_smoke":
            config.factors = ("light",)
            config.update(num=1, headline=0, uv_size=64, num_pictures=1)
            config.methods = ("mean", "landmarks")
            config.landmarks = ("iid",)
    return config


def _fitting() -> ConfigDict:
    config = ConfigDict()
    config.protocol = "fitting"
    config.seed = 0
    config.truth_model = "embedded"  # That the photographs are rendered with, e.g. ict:PATH.
    config.fit_model = "embedded"  # That is fitted; vertices are compared if it is the same.
    config.num_identity = 0  # Leading identity modes of the truth; 0 = all.
    config.num = 6  # People per value of a factor.
    config.headline = 16  # Photographs of the headline set.
    config.factors = ("yaw", "light", "expression", "occlusion", "face_pixels", "focal")
    config.methods = ("mean", "landmarks", "full")
    config.landmarks = ("iid68", "correlated", "network")
    config.noise_pixels = 1.5  # Of a photo of 256 pixels with a face 150 high.
    config.noise_length = 0.015  # Metres over which correlated errors agree.
    config.hair = True
    config.hdri_dir = ""  # Folder of .hdr files to light with instead of made-up light.
    config.skins_dir = ""  # Folder of painted skins for data_pipeline.synthetic.
    config.uv_size = 512  # Texels per side of the skins.
    config.num_pictures = 24  # Photographs to keep.
    return config


def _benchmark(name: str) -> ConfigDict:
    config = ConfigDict()
    config.protocol = name
    config.data_dir = ""  # Folder of the photos, at any depth: SUBJECT/CHALLENGE/NAME.jpg in NoW.
    config.listing = ""  # Text file with a path a line, e.g. NoW's imagepathsvalidation.txt.
    config.fit_model = "embedded"
    return config


def _skin() -> ConfigDict:
    config = ConfigDict()
    config.protocol = "skin"
    config.seed = 0
    config.photos_dir = ""  # Folder of portraits, the sharper the better.
    config.data_dir = ""  # Data set of relightable faces; the generator if empty.
    config.split = "train"
    config.skins_dir = ""  # Folder of painted skins for the generator.
    config.face_model = "embedded"
    config.num = 16  # Generated faces.
    config.uv_size = 512  # Texels per side.
    return config

r"""What to measure, and how often.

    python -m experiments.benchmark --config=configs/benchmark.py:rasterizer --out=DIR
    python -m experiments.benchmark --config=configs/benchmark.py:rasterizer --out=DIR \
        --config.mesh_npz=head.npz --config.batch=64
    python -m experiments.benchmark --config=configs/benchmark.py:mitsuba --out=DIR \
        --config.environments="('apartment.hdr', 'studio.hdr')"
    python -m experiments.benchmark --config=configs/benchmark.py:fitting --out=DIR
    python -m experiments.benchmark --config=configs/benchmark.py:data --out=DIR

A variant names its benchmark in `config.benchmark`; the other entries are its own.
"""

from ml_collections import ConfigDict

_VARIANTS = ("rasterizer", "rasterizer_smoke", "mitsuba", "mitsuba_smoke", "fitting", "data")


def get_config(variant: str = "rasterizer") -> ConfigDict:
    """Returns the config of `variant`: a benchmark's name, or one with "_smoke" (seconds)."""
    if variant not in _VARIANTS:
        raise ValueError(f"Unknown variant {variant!r}; have {', '.join(map(repr, _VARIANTS))}.")
    defaults = {"rasterizer": _rasterizer, "mitsuba": _mitsuba, "fitting": _fitting, "data": _data}
    config = defaults[variant.removesuffix("_smoke")]()
    match variant:
        case "rasterizer_smoke":
            config.meshes = ("sphere:2",)
            config.sizes = (32,)
            config.update(batch=2, batch_size=16, num_repeats=3)
        case "mitsuba_smoke":
            config.scenes = ("sphere:4",)
            config.sizes = (24,)
            config.materials = ("skin",)
            config.lights = ("sky",)
            config.update(num_samples=256, variant="scalar_rgb")
    return config


def _rasterizer() -> ConfigDict:
    config = ConfigDict()
    config.benchmark = "rasterizer"
    config.mesh_npz = ""  # A mesh of your own to begin with: `points` or `mean`, and `faces`.
    config.meshes = ("head:1", "sphere:4", "sphere:6")  # The shipped head; 5 k and 82 k triangles.
    config.sizes = (256, 512, 1024)  # Pixels per side.
    config.batch = 4  # Heads in one program; 64 shows what a GPU can do. 0 for none.
    config.batch_size = 512  # Pixels per side of those.
    config.yaw = 17.0  # Degrees that the mesh is turned to its left.
    config.peers = ("opengl", "embree", "pytorch3d")
    config.num_repeats = 30
    config.max_seconds = 5.0  # A slow program is repeated less often.
    return config


def _mitsuba() -> ConfigDict:
    config = ConfigDict()
    config.benchmark = "mitsuba"
    config.scenes = ("sphere:6", "head:1")
    config.sizes = (96, 128)  # Pixels per side of each scene.
    config.materials = ("matte", "sheen 0.25", "sheen 0.4", "sheen 0.6", "skin")
    config.lights = ("sky", "studio", "sun", "beam", "soft box")
    config.environments = ()  # Environment maps of your own: paths of .hdr or .exr files.
    config.num_samples = 512  # Paths per pixel: 1 to 2 % of noise in the sheen.
    config.yaw = 20.0  # Degrees that the camera stands to the subject's left.
    config.variant = "auto"  # Of Mitsuba; "scalar_rgb" is slow and runs everywhere.
    return config


def _fitting() -> ConfigDict:
    config = ConfigDict()
    config.benchmark = "fitting"
    config.face_model = "embedded"
    config.num_landmarks = 64  # Faces in one program of the landmark stage; 0 for none.
    config.num_photos = 16  # Photographs in one program; 0 for none.
    config.num_repeats = 5
    config.max_seconds = 30.0
    return config


def _data() -> ConfigDict:
    config = ConfigDict()
    config.benchmark = "data"
    config.face_model = "embedded"
    config.sizes = (256, 512)  # Texels per side.
    config.draw_batch = 1  # Faces in one program; 16 on an accelerator.
    config.light_batch = 4  # 64 on an accelerator.
    config.read_batch = 16
    config.read_records = 32  # Written first, then read over and over.
    config.num_repeats = 10
    config.max_seconds = 30.0
    return config

"""Packaging of Relightify-JAX; tool settings are in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "relightify_jax/__init__.py").read_text(), re.MULTILINE
).group(1)

# What the shipped programs need at run time; requirements-lock.txt holds exact versions.
INSTALL = [
    "absl-py",
    'array-record; sys_platform != "win32"',
    "clu",
    "flax",
    "grain",
    # tensorflow-datasets imports it without declaring it.
    "importlib_resources",
    # 0.10 is the last for Python 3.11, 0.11 needs 3.12; 0.12 removes names that we use.
    "jax>=0.10,<0.12",
    "ml-collections",
    "numpy",
    "optax",
    # 1.0 replaces the checkpoint manager's API.
    "orbax-checkpoint<1.0",
    "pillow",
    "pygltflib",
    # Brings the photograph of `experiments.sample --demo`.
    "scikit-image",
    "scipy",
    "tensorflow-datasets",
    "tqdm",
]
EXTRAS = {
    "heic": ["pillow-heif"],  # Photographs as iPhones store them.
    "bfm": ["h5py"],  # Basel face models of 2017 and 2019.
    "exr": ["openexr"],  # Environment maps as .exr.
    "bench": ["embreex", "moderngl", "trimesh"],  # Peers of the rasterizer.
    "beam": ["apache-beam"],  # Data sets written on a cluster; not in the lock, see docs/DATA.md.
    "issa": ["openpyxl"],  # Measured skin spectra, to refit the skin's statistics.
    "validate": ["mitsuba"],  # The reference of the renderer.
    "dev": ["hypothesis", "mypy", "pytest", "pytest-xdist", "ruff", "trimesh"],
}

setup(
    name="relightify_jax",
    version=VERSION,
    description="One photograph of a face in, a relightable 3D head out, in JAX.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(
        include=[
            f"{package}{suffix}"
            for package in ("relightify_jax", "configs", "data_pipeline", "experiments")
            for suffix in ("", ".*")
        ]
    ),
    package_data={"relightify_jax": ["assets/**", "py.typed", "**/*.html"]},
    install_requires=INSTALL,
    extras_require=EXTRAS,
)

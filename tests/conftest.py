"""JAX settings of all tests, and the fixtures that several rooms share."""

import os
import pathlib

# Tests are about correctness on the CPU; JAX_PLATFORMS=cuda runs them elsewhere.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from absl import flags

ROOT = pathlib.Path(__file__).parents[1]

# Must precede the first JAX operation. Eight devices cost nothing unless a test shards.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_debug_key_reuse", True)

# Grain reads absl flags, which only absl.app parses.
flags.FLAGS.mark_as_parsed()


def pytest_configure(config):
    # The second run, and the second worker of the first, find the programs compiled.
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and hasattr(config, "cache"):
        jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("xla")))


@pytest.fixture(scope="session")
def shared_assets() -> pathlib.Path:
    """The folder of development assets, which only a developer's machine has."""
    path = pathlib.Path(os.environ.get("RELIGHTIFY_ASSETS", ROOT.parent / "shared" / "assets"))
    if not (path / "README.md").is_file():
        pytest.skip("no development assets: set RELIGHTIFY_ASSETS to their folder")
    return path


@pytest.fixture(scope="session")
def embedded_model():
    """The face model that is shipped with the package."""
    from relightify_jax.geometry.embedded import load_embedded_model

    return load_embedded_model()

import pathlib

import numpy as np
import pytest

from relightify_jax.core.photo import load_photo
from relightify_jax.landmarks.faces import find_faces
from relightify_jax.landmarks.network import load_networks


@pytest.fixture(scope="session")
def networks():
    return load_networks()


@pytest.fixture(scope="session")
def astronaut_path():
    """A public-domain portrait of 512 x 512 pixels; its face measures 94 x 108."""
    skimage = pytest.importorskip("skimage")
    return pathlib.Path(skimage.__file__).parent / "data" / "astronaut.png"


@pytest.fixture(scope="session")
def astronaut(astronaut_path) -> np.ndarray:
    return load_photo(astronaut_path).linear


@pytest.fixture(scope="session")
def astronaut_face(networks, astronaut):
    (face,) = find_faces(networks, astronaut)
    return face

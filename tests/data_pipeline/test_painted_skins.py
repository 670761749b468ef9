"""Structure borrowed from painted skins: each skin's own, not what they all share."""

import numpy as np
import pytest
from PIL import Image

from data_pipeline.synthetic.skins import load_skins, no_skins
from relightify_jax.core.errors import InputError

_SIZE = 32


@pytest.fixture
def folder(tmp_path):
    for i in range(4):
        image = np.full((_SIZE, _SIZE, 3), (200, 150, 120), np.float64)
        image[4:8, 12:20] *= 0.7  # A shadow that every painter puts there.
        image[20:23, 4 + 6 * i : 7 + 6 * i] *= 0.7
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / f"skin_{i}.png")
    Image.fromarray(np.full((_SIZE, _SIZE), 255, np.uint8)).save(tmp_path / "mask_face.png")
    return tmp_path


def test_shared_shadows_are_taken_off_and_own_marks_stay(folder):
    skins = load_skins(folder, _SIZE, np.ones((_SIZE, _SIZE), bool))
    assert skins.shape == (4, _SIZE, _SIZE, 2)
    shared = np.abs(skins[:, 4:8, 12:20, 0]).max()
    own = min(skins[i, 20:23, 4 + 6 * i : 7 + 6 * i, 0].mean() for i in range(4))
    assert own > 0.1 > 3 * shared


def test_no_folder_and_an_empty_one(tmp_path):
    assert not no_skins(8).any()
    with pytest.raises(InputError, match="no .png skins"):
        load_skins(tmp_path, 8, np.ones((8, 8), bool))


def test_an_oblong_picture_is_refused_by_name(tmp_path):
    Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(tmp_path / "wide.png")
    with pytest.raises(InputError, match="wide.png is 8x4"):
        load_skins(tmp_path, 8, np.ones((8, 8), bool))

"""The contact sheet: which faces, what is unknown, bad options."""

import numpy as np
import pytest
from fake_faces import FakeFaces, fake_record
from PIL import Image
from test_relightable_faces import write

from data_pipeline import preview
from data_pipeline.preview_heads import render_heads
from relightify_jax.core.errors import InputError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write(tmp_path_factory.mktemp("faces"), FakeFaces())


@pytest.fixture
def without_light(monkeypatch):
    def grey(records, face_model, seed):
        for record in records:
            yield np.full_like(record.diffuse_albedo, 0.2)

    monkeypatch.setattr(preview, "light_records", grey)
    monkeypatch.setattr(preview, "_check_identity", lambda record, face_model: None)


def test_faces_are_spread_over_the_split():
    assert preview.spread_indices(100, 3) == [0, 50, 99]
    assert preview.spread_indices(3, 48) == [0, 1, 2]


def test_unknown_texels_are_grey_in_every_map():
    record = fake_record(0)
    unknown = record.valid[..., 0] == 0
    assert unknown.any() and not unknown.all()
    for tile in preview.tiles_of(record, record.diffuse_albedo):
        assert tile.shape == (16, 16, 3)
        np.testing.assert_allclose(tile[unknown], 0.5, atol=1e-6)
        assert np.abs(tile[~unknown] - 0.5).max() > 0.05


@pytest.mark.parametrize(
    ("show", "size"), [("maps", (2 * (5 * 8 + 4), 3 * (8 + 4))), ("lit", (5 * (8 + 4), 8 + 4))]
)
def test_the_sheet_has_a_place_for_every_face(data_dir, tmp_path, without_light, show, size):
    path = preview.preview(str(data_dir), str(tmp_path / "sheet.png"), num=5, tile=8, show=show)
    with Image.open(path) as image:
        assert image.size == size


def test_without_a_name_the_sheet_goes_into_the_folder(data_dir, without_light):
    assert preview.preview(str(data_dir), "", num=1, tile=8) == data_dir / "preview.png"


def test_bad_options_are_named(data_dir, tmp_path):
    with pytest.raises(InputError, match="num is 0"):
        preview.preview(str(data_dir), "", num=0)
    with pytest.raises(InputError, match=r"sheet.jpg does not end in .png"):
        preview.preview(str(data_dir), "sheet.jpg")
    with pytest.raises(InputError, match="no data set"):
        preview.preview(str(tmp_path), "")


@pytest.mark.parametrize("show", preview.SHOWS)
def test_records_of_another_face_model_are_refused(data_dir, show):
    with pytest.raises(InputError, match="records have 5 identity coefficients"):
        preview.preview(str(data_dir), "", show=show)


@pytest.mark.slow
def test_faces_are_lit():
    record = fake_record(0, size=32, coefficients=80)
    first, second = preview.light_records([record, record], "embedded", 0)
    assert first.shape == (32, 32, 3) and np.isfinite(first).all()
    assert np.abs(first - second).mean() > 0.01  # Each under a light of its own.


@pytest.mark.slow
def test_faces_are_put_on_heads_of_their_shape():
    records = [fake_record(seed, size=64, coefficients=80) for seed in (0, 1)]
    first, second = render_heads(records, "embedded", 48)
    assert first.shape == (48, 48, 3) and np.isfinite(first).all()
    center = np.s_[16:32, 16:32]
    assert first[center].min() > 0.005 and first[:4, :4].max() < 0.03
    assert np.abs(first - second).mean() > 0.005

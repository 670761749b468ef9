"""Frames of glasses and strands stand out from skin; shadows, slopes and bare faces do not."""

import numpy as np
import pytest

from relightify_jax.fitting.glasses import GlassesConfig, GlassesZones, find_glasses
from relightify_jax.fitting.occluders import (
    OccluderConfig,
    contrast_to,
    find_occluders,
    local_contrast,
    thin_contrast,
)

SIZE = 256
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
SKIN = np.log(np.array([0.42, 0.26, 0.19]))
EVERYWHERE = np.ones((SIZE, SIZE), bool)
NOWHERE = ~EVERYWHERE


def face(seed=0):
    """Log albedo of skin with noise of luminance and, less, of chroma."""
    rng = np.random.default_rng(seed)
    noise = 0.05 * rng.normal(size=(SIZE, SIZE, 1)) + 0.01 * rng.normal(size=(SIZE, SIZE, 3))
    return SKIN + noise


def rings(thickness=2.0):
    """Two rims around eyes at row 84 and the bridge between them."""
    masks = [
        np.abs(np.hypot(COLUMNS - middle, ROWS - 84) - 22) < thickness / 2 for middle in (98, 157)
    ]
    bridge = (np.abs(ROWS - 66) < 1.5) & (np.abs(COLUMNS - 127.5) < 20)
    return masks[0] | masks[1] | bridge


@pytest.fixture(scope="module")
def zones():
    def strip(middle, half, top, bottom):
        return (np.abs(COLUMNS - middle) < half) & (ROWS >= top) & (ROWS < bottom)

    feature = strip(98, 14, 80, 88) | strip(157, 14, 80, 88)
    rims = strip(98, 4, 92, 124), strip(157, 4, 92, 124)
    return GlassesZones(strip(127.5, 4, 50, 82), rims, strip(127.5, 80, 40, 124), feature)


def glasses(color, zones, visible=EVERYWHERE):
    seeds = zones.orbit & ~zones.feature & visible
    contrast, luminance = local_contrast(color, visible, seeds)
    thin = thin_contrast(color, visible, seeds)
    return find_glasses(color, visible, contrast, thin, luminance, zones, GlassesConfig())


@pytest.mark.parametrize(
    "color", [(0.02, 0.02, 0.02), (0.06, 0.03, 0.01), (0.45, 0.43, 0.4)],
    ids=["black", "tortoise", "metal"],
)  # fmt: skip
def test_a_frame_is_found_whole_and_the_skin_within_is_kept(zones, color):
    frame = rings()
    found = glasses(np.where(frame[..., None], np.log(color), face()), zones)
    assert found[frame & zones.orbit].mean() > 0.97
    assert found[~frame].mean() < 0.06  # The border of the frame.


def test_glare_goes_with_glasses_only(zones):
    glare = (np.abs(COLUMNS - 98) < 5) & (np.abs(ROWS - 96) < 6)
    bright = np.where(glare[..., None], np.log(0.8), face())
    assert not glasses(bright, zones)[glare].any()
    framed = np.where(rings()[..., None], np.log(0.02), bright)
    assert glasses(framed, zones)[glare].all()


def test_there_are_no_glasses_on_bare_shaded_or_half_hidden_faces(zones):
    assert not glasses(face(), zones).any()
    shadow = face() - 1.0 * (COLUMNS < 120)[..., None]
    assert not glasses(shadow, zones).any()
    brim = face() - 1.0 * (ROWS < 66)[..., None]
    assert not glasses(brim, zones).any()
    assert not glasses(face(), zones, COLUMNS > 140).any()


def test_glasses_are_found_on_a_half_hidden_face(zones):
    color = np.where(rings()[..., None], np.log(0.02), face())
    assert glasses(color, zones, COLUMNS > 112).any()


def test_lashes_and_wrinkles_behind_a_lens_are_kept(zones):
    lash = (np.abs(ROWS - 78) < 2) & (np.abs(COLUMNS - 98) < 22)
    framed = np.where(rings(4.0)[..., None], np.log(0.02), face())
    found = glasses(np.where(lash[..., None], framed - 0.6, framed), zones)
    inner = np.hypot(COLUMNS - 98, ROWS - 84) < 10
    assert not found[inner & lash].any()
    assert found[rings(4.0)].mean() > 0.97


def test_a_spotted_rim_over_brows_is_found_whole(zones):
    brows = (np.abs(ROWS - 62) < 11) & (np.abs(np.abs(COLUMNS - 127.5) - 29.5) < 18)
    spots = (ROWS // 3 + COLUMNS // 3) % 3 == 0
    frame = rings(8.0)
    color = np.where(brows[..., None], face() - 1.0, face())
    color = np.where(frame[..., None], np.log([0.06, 0.03, 0.01]) + 1.2 * spots[..., None], color)
    brown = zones._replace(feature=zones.feature | brows)
    assert glasses(color, brown)[frame & zones.orbit].mean() > 0.9


def test_stripes_stand_out_and_edges_and_slopes_do_not():
    seeds = COLUMNS < 60
    stripe = np.abs(COLUMNS - 128) < 2
    stripes = thin_contrast(face() - 1.5 * stripe[..., None], EVERYWHERE, seeds)
    assert stripes[stripe].min() > 2
    assert stripes[np.abs(COLUMNS - 128) > 12].max() < 1
    edge = thin_contrast(face() - 1.5 * (COLUMNS > 128)[..., None], EVERYWHERE, seeds)
    slope = thin_contrast(face() - 0.02 * COLUMNS[..., None], EVERYWHERE, seeds)
    assert edge[:, 10:-10].max() < 1 and slope[:, 10:-10].max() < 1


def test_shadow_and_highlight_cost_less_contrast_than_another_chroma():
    shadow, _ = contrast_to(SKIN - 0.5, SKIN)
    tinted, _ = contrast_to(SKIN + np.array([0.25, 0.0, -0.25]), SKIN)
    assert shadow == pytest.approx(1.0)
    assert tinted > 3
    # Adding white makes skin brighter and paler.
    shine, luminance = contrast_to(np.log(np.exp(SKIN) + 0.05), SKIN)
    assert luminance > 0 and shine < 1.3


def occluders(thin=None, contrast=None, inner=NOWHERE, feature=NOWHERE):
    nothing = np.zeros((SIZE, SIZE))
    return find_occluders(
        nothing if contrast is None else contrast,
        nothing if thin is None else thin,
        ~feature,
        inner,
        feature,
        OccluderConfig(),
    )


def test_a_large_patch_of_other_chroma_is_told_by_the_other_half_of_the_face():
    patch = (COLUMNS > 150) & (COLUMNS < 220) & (ROWS > 60) & (ROWS < 200)
    color = face() + np.where(patch[..., None], np.array([0.4, 0.0, -0.3]), 0.0)
    contrast, _ = local_contrast(color, EVERYWHERE, EVERYWHERE)
    found = occluders(contrast=contrast)
    assert found[patch].mean() > 0.9 and found[~patch].mean() < 0.05


def test_faint_edges_of_a_strand_go_with_it():
    strand = (np.abs(COLUMNS - 100) < 2) & (ROWS < 100)
    edge = (np.abs(COLUMNS - 100) < 6) & (ROWS < 100)
    faint = np.where(edge, 1.2, 0.0)
    assert not occluders(contrast=faint).any()
    assert occluders(np.where(strand, 3.0, 0.0), faint)[edge].all()


def test_a_strand_is_followed_over_the_folds_but_not_far_along_a_brow():
    inner = ROWS > 100
    strand = (np.abs(COLUMNS - 100) < 2) & (ROWS < 118)
    thin = np.where(strand, np.where(ROWS < 90, 3.0, 1.4), 0.0)
    assert occluders(thin, inner=inner)[strand].mean() > 0.95
    brow = (np.abs(ROWS - 60) < 4) & (COLUMNS > 102)
    found = occluders(np.where(brow, 3.0, thin), feature=brow)
    assert not found[brow & (COLUMNS > 120)].any()


def test_what_stands_out_a_little_in_two_ways_is_found():
    strand = (np.abs(COLUMNS - 100) < 2) & (ROWS < 100)
    stripe, patch = np.where(strand, 1.7, 0.0), np.where(strand, 2.9, 0.0)
    assert not occluders(stripe).any() and not occluders(contrast=patch).any()
    assert occluders(stripe, patch)[strand].all()


def test_specks_are_no_occluders():
    thin = np.zeros((SIZE, SIZE))
    thin[100:103, 100:103] = 5
    assert not occluders(thin).any()
    thin[50:54, 40:60] = 5
    assert occluders(thin)[50:54, 40:60].all()


def test_a_fold_is_kept_and_a_strand_that_crosses_it_is_not():
    inner = (np.abs(COLUMNS - 128) < 60) & (np.abs(ROWS - 128) < 60)
    fold = (np.abs(COLUMNS - 100) < 2) & (np.abs(ROWS - 128) < 30)
    assert not occluders(np.where(fold, 5.0, 0.0), inner=inner).any()
    strand = (np.abs(COLUMNS - 100) < 2) & (ROWS < 158)
    assert occluders(np.where(strand, 5.0, 0.0), inner=inner)[strand].all()


def test_a_brow_is_kept_and_a_strand_is_followed_into_it():
    brow = (np.abs(ROWS - 60) < 4) & (np.abs(COLUMNS - 100) < 30)
    strand = (np.abs(COLUMNS - 100) < 2) & (ROWS < 60)
    thin = np.where(brow, 3.0, 0.0)
    assert not occluders(thin, feature=brow).any()
    found = occluders(np.where(strand, 3.0, thin), feature=brow)
    assert found[strand].all()
    assert not found[brow & (np.abs(COLUMNS - 100) > 15)].any()

"""Teeth and the dark of the mouth are found where they touch its opening, lips are not."""

import numpy as np
import pytest

from relightify_jax.fitting.mouth_gap import MouthConfig, find_gap

SIZE = 96
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
SKIN = np.array([0.42, 0.26, 0.19])
RADIUS = np.hypot((COLUMNS - 48) / 1.6, ROWS - 48)
OPENING = RADIUS < 8
LIP = (RADIUS >= 8) & (RADIUS < 16)
METRES = np.abs(RADIUS - 8) * 1e-3


def gap(paint=None, where=None, skin=SKIN, visible=~OPENING):
    color = np.where(LIP[..., None], skin * (0.8, 0.5, 0.55), skin)
    if where is not None:
        color = np.where(where[..., None], paint, color)
    return find_gap(np.log(color), visible, LIP, METRES, MouthConfig())


@pytest.mark.parametrize("skin", [SKIN, 0.3 * SKIN], ids=["light", "dark"])
def test_lips_are_no_gap(skin):
    assert not gap(skin=skin).any()


@pytest.mark.parametrize("color", [(0.6, 0.55, 0.45), (0.03, 0.02, 0.02)], ids=["teeth", "dark"])
def test_teeth_and_the_dark_beside_the_opening_are_found(color):
    strip = (RADIUS >= 8) & (RADIUS < 12) & (ROWS < 48)
    found = gap(color, strip)
    assert found[strip].all()
    assert not found[(RADIUS > 14) | (ROWS > 52)].any()


def test_a_highlight_on_the_lip_is_kept():
    shine = (RADIUS > 11) & (RADIUS < 14) & (ROWS > 48)
    assert not gap((0.7, 0.65, 0.6), shine).any()


def test_a_covered_mouth_has_no_gap():
    assert not gap(visible=np.zeros((SIZE, SIZE), bool)).any()

"""Painted eyes and mouth."""

import numpy as np

from relightify_jax.core.color import luminance
from relightify_jax.export.eyes import IRIS_BLUE, IRIS_BROWN, paint_eye
from relightify_jax.export.mouth import EMBEDDED_CELLS, paint_mouth


def rings(size):
    grid = (np.arange(size) + 0.5) / size - 0.5
    return np.hypot(*np.meshgrid(grid, grid))


def test_pupil_iris_and_sclera_lie_at_their_radii():
    eye = paint_eye(128, iris_radius=0.2, pupil_radius=0.08, lid_shade=0.0)
    radius, light = rings(128), np.asarray(luminance(eye))
    pupil, iris, sclera = (
        light[(radius > low) & (radius < high)]
        for low, high in ((0, 0.07), (0.1, 0.17), (0.23, 0.3))
    )
    assert pupil.max() < 0.01
    assert pupil.max() < iris.mean() < 0.5 * sclera.mean()
    assert eye.dtype == np.float32 and 0 <= eye.min() <= eye.max() <= 1


def test_the_iris_has_the_color_that_was_asked_for():
    on_iris = (rings(128) > 0.06) & (rings(128) < 0.1)
    blue = paint_eye(128, iris_rgb=IRIS_BLUE)[on_iris].mean(0)
    brown = paint_eye(128, iris_rgb=IRIS_BROWN)[on_iris].mean(0)
    assert blue[2] > blue[0] and brown[0] > brown[2]


def test_the_upper_lid_shades_the_top():
    eye = paint_eye(64, lid_shade=0.5)
    assert eye[4, 32].mean() < 0.7 * eye[-5, 32].mean()


def test_painting_depends_on_nothing_but_its_arguments():
    np.testing.assert_array_equal(paint_eye(32, seed=3), paint_eye(32, seed=3))
    assert np.abs(paint_eye(64, seed=3) - paint_eye(64, seed=4)).max() > 0.01


def test_each_shell_of_the_mouth_has_its_cell():
    mouth = paint_mouth(96)
    for index, color in enumerate(EMBEDDED_CELLS):
        x, y = index % 3 * 32 + 16, index // 3 * 32 + 16
        np.testing.assert_allclose(
            mouth[y - 8 : y + 8, x - 8 : x + 8].mean((0, 1)), color, rtol=0.02
        )

"""The program in docs/RASTERIZER.md runs and does what it says."""

import pathlib
import re

import numpy as np

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/RASTERIZER.md"


def test_the_documented_program_draws_and_differentiates():
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    names: dict = {}
    exec(program, names)  # Our own document.
    image, slope = np.asarray(names["image"]), np.asarray(names["slope"])
    # Colours sum to 1 wherever the triangle is; the area is that of the triangle.
    np.testing.assert_allclose(image.sum(), 0.5 * 44 * 42, rtol=0.01)
    # Each coordinate's slope is what it does to the area.
    np.testing.assert_allclose(slope, [[-21, 11], [21, 11], [0, -22]], atol=1.2)

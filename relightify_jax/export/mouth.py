"""Colours of what lies behind lips and lids: teeth, tongue and the walls of the sockets."""

from collections.abc import Sequence

import numpy as np

from relightify_jax.core.part_looks import FLESH, RGB, TEETH, TONGUE, MouthLook

# Shells of the embedded model in the order of the cells of its interior tile, row by row:
# upper teeth, lower teeth, tongue, mouth socket, left and right eye socket.
EMBEDDED_CELLS = (TEETH, TEETH, TONGUE, FLESH, FLESH, FLESH)


def mouth_cells(look: MouthLook) -> tuple[RGB, ...]:
    """The colours of `EMBEDDED_CELLS` as one person has them."""
    teeth, tongue, flesh = look.teeth_rgb, look.tongue_rgb, look.flesh_rgb
    return teeth, teeth, tongue, flesh, flesh, flesh


def paint_mouth(
    size: int, cells: Sequence[tuple[float, float, float]] = EMBEDDED_CELLS
) -> np.ndarray:
    """Paints the interior tile: one colour per cell, slightly mottled.

    Args:
        size: Texels per side.
        cells: Linear RGB of each shell; shell i of n lies in cell (i % k, i // k) of a
            k x k grid with k = ceil(sqrt(n)).

    Returns:
        (size, size, 3) float32 linear RGB; unused cells are flesh.
    """
    columns = int(np.ceil(np.sqrt(len(cells))))
    grid = np.broadcast_to(np.asarray(FLESH), (columns, columns, 3)).copy()
    for index, color in enumerate(cells):
        grid[index // columns, index % columns] = color
    cell = np.minimum(np.arange(size) * columns // size, columns - 1)
    noise = np.random.default_rng(0).normal(size=(size, size, 1))
    return np.clip(grid[cell][:, cell] * (1.0 + 0.02 * noise), 0.0, 1.0).astype(np.float32)

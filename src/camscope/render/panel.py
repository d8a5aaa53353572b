"""One picture of a figure, and rows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from camscope.errors import InputError
from camscope.render.layout import column_count


@dataclass(frozen=True)
class Panel:
    """One picture of a figure.

    Attributes:
        image: The photo, RGB, uint8 `height width 3`, or a PIL image.
        heatmap: Numbers in [0, 1] at the photo's size (NaN where the model did not see it); None shows the bare photo.
        title: The text above the picture, such as a class name; wrapped, and shortened if very long.
        subtitle: The text under the title, such as a score.
        boxes: Boxes to outline, in pixels of the photo: (x0, y0, x1, y1), the ends exclusive.
        note: A status to show in the picture, such as "all-negative: no evidence for this class".
    """

    image: UInt8[np.ndarray, "height width 3"] | Image.Image
    heatmap: Float[np.ndarray, "rows columns"] | None
    title: str
    subtitle: str = ""
    boxes: Sequence[tuple[int, int, int, int]] = ()
    note: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo in pixels."""
        return (
            self.image.size
            if isinstance(self.image, Image.Image)
            else (self.image.shape[1], self.image.shape[0])
        )


def grid_of(panels: Sequence[Panel], columns: int | None = None) -> list[list[Panel]]:
    """Lay a flat list of panels into rows.

    Args:
        panels: At least one panel.
        columns: How many stand in a row; None chooses a balanced grid (5 columns and 4 rows for 19 panels).

    Raises:
        InputError: There is no panel, or `columns` is below 1.
    """
    if not panels:
        raise InputError("a figure needs at least one panel; got none.")
    if columns is not None and columns < 1:
        raise InputError(f"columns must be at least 1; got {columns}.")
    step = columns or column_count(len(panels))
    return [list(panels[start : start + step]) for start in range(0, len(panels), step)]

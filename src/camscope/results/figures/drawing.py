"""What is in a figure before it is drawn: then it may be drawn by matplotlib, or faster as a mere picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from camscope import render
from camscope.render import Panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image


@dataclass(frozen=True)
class Drawing:
    """Rows of panels, and how they are to be drawn.

    Attributes:
        rows: the panels.
        options: of `camscope.render.figure`.
    """

    rows: Sequence[Sequence[Panel]]
    options: Mapping[str, Any]

    def figure(self) -> Figure:
        """Drawn by matplotlib, to be changed and combined."""
        return render.figure(self.rows, **self.options)

    def picture(self, dpi: float) -> Image.Image:
        """Drawn as a picture.

        Args:
            dpi: pixels per inch.
        """
        return render.picture(self.rows, dpi=dpi, **self.options)

"""A matplotlib figure that a notebook shows, though it belongs to no pyplot state."""

from __future__ import annotations

from matplotlib.figure import Figure

from camscope.render.export import png

_SHOWN_DPI = 90
_DRAWN_DPI = 180
"""Twice what is shown, for screens that have two pixels for one."""


class LiveFigure(Figure):
    """A figure that stands in the output of a notebook's cell when it is the cell's last value."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        width, height = (round(inches * _SHOWN_DPI) for inches in self.get_size_inches())
        return png(self, dpi=_DRAWN_DPI), {"width": width, "height": height}

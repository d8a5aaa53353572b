"""Pictures: colour, overlays, figures. Takes plain arrays and labels; knows no model and no method."""

from __future__ import annotations

from camscope.render.colour import DEFAULT, DIVERGING, colours
from camscope.render.figure import Panel, figure, grid_of, png, save
from camscope.render.html import html_summary
from camscope.render.overlay import overlay, with_colorbar

__all__ = [
    "DEFAULT",
    "DIVERGING",
    "Panel",
    "colours",
    "figure",
    "grid_of",
    "html_summary",
    "overlay",
    "png",
    "save",
    "with_colorbar",
]

"""Pictures: colour, overlays, figures. Takes plain arrays and labels; knows no model and no method."""

from __future__ import annotations

from camscope.render.animation import Tile, animation_frame, save_animation
from camscope.render.colour import DEFAULT, DIVERGING, colours
from camscope.render.curve_figure import Curve, curve_figure
from camscope.render.export import as_picture, save_picture, was_saved_here
from camscope.render.figure import Panel, figure, grid_of, picture, png, save
from camscope.render.html import html_summary
from camscope.render.interval_figure import Bar, BarPanel, BarRow, interval_figure
from camscope.render.levels import Level, Levels
from camscope.render.overlay import overlay, with_colorbar
from camscope.render.signal_figure import signal_figure, signal_picture
from camscope.render.signal_rows import SignalRow, Strip
from camscope.render.text_table import Tabular, TextTable
from camscope.render.verdict_figure import Cloud, VerdictRow, verdict_figure
from camscope.render.word_rows import WordRow
from camscope.render.words_figure import words_figure
from camscope.render.words_html import words_html
from camscope.render.words_terminal import words_text

__all__ = [
    "DEFAULT",
    "DIVERGING",
    "Bar",
    "BarPanel",
    "BarRow",
    "Cloud",
    "Curve",
    "Level",
    "Levels",
    "Panel",
    "SignalRow",
    "Strip",
    "Tabular",
    "TextTable",
    "Tile",
    "VerdictRow",
    "WordRow",
    "animation_frame",
    "as_picture",
    "colours",
    "curve_figure",
    "figure",
    "grid_of",
    "html_summary",
    "interval_figure",
    "overlay",
    "picture",
    "png",
    "save",
    "save_animation",
    "save_picture",
    "signal_figure",
    "signal_picture",
    "verdict_figure",
    "was_saved_here",
    "with_colorbar",
    "words_figure",
    "words_html",
    "words_text",
]

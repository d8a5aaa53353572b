"""One signal of a figure on the colours of its evidence: as lines, as a spectrogram, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from camscope.errors import InputError
from camscope.render.colour import lut
from camscope.render.surface import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 1200
"""The most columns that evidence and long lines are drawn with."""
_MOST_POINTS = 8000
"""A line of more points is drawn column by column, from its lowest value there to its highest."""
_INK = 0.8
"""How much of the colour the loudest place of a spectrogram takes away."""
_UNSEEN = (0xD9, 0xD9, 0xD9)
"""The colour of what the model does not see."""


@dataclass(frozen=True, eq=False)
class Strip:
    """A spectrogram.

    Attributes:
        levels: how loud, 0 to 1, the lowest frequency first.
        low: the frequency at the lower edge.
        high: the frequency at the upper edge.
        unit: of the two.
    """

    levels: Float[np.ndarray, "frequency time"]
    low: float
    high: float
    unit: str


@dataclass(frozen=True, eq=False)
class SignalRow:
    """One signal coloured by one map.

    Attributes:
        lines: the signal; without a channel none is drawn.
        heatmap: the evidence from the first moment to the last, in [0, 1], NaN where the model does not see: over time,
            or over frequency (the lowest first) and time, on a spectrogram.
        strip: the spectrogram; None draws none.
        start: the first moment.
        stop: the end of the last moment.
        unit: of the two: `s`, or what a step is called.
        names: of the channels, if there are several.
        title: the target, or the method.
        subtitle: the numbers beside the title.
        note: a status that a reader of this map should know.
    """

    lines: Float[np.ndarray, "channel time"]
    heatmap: Float[np.ndarray, " ..."]
    strip: Strip | None = None
    start: float = 0.0
    stop: float = 1.0
    unit: str = "s"
    names: Sequence[str] = ()
    title: str = ""
    subtitle: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.stop > self.start or (not len(self.lines) and self.strip is None):
            raise InputError("A row of a signal needs lines or a spectrogram, and a time that passes.")
        if self.heatmap.ndim == 2 and self.strip is None:
            raise InputError("Evidence over frequency and time needs a spectrogram to lie on.")

    @property
    def parts(self) -> tuple[str, ...]:
        """What is drawn, from top to bottom: `lines`, `strip`. Evidence over frequency has no place on lines."""
        lines = bool(len(self.lines)) and self.heatmap.ndim == 1
        return (*(["lines"] if lines else []), *(["strip"] if self.strip is not None else []))


def draw_lines(axes: Axes, row: SignalRow, colormap: str, *, thickness: float = 0.7) -> None:
    """Draw the channels of a signal one above the other over the colours of its evidence.

    Each channel fills its own height, from its lowest value to its highest. Of a long signal the lowest and the highest
    value of every column are drawn, so that no peak is lost.

    Args:
        axes: where to draw.
        row: the signal, with evidence over time.
        colormap: any name of the cmap catalogue.
        thickness: of the lines, in points.
    """
    from matplotlib.patheffects import withStroke

    count = len(row.lines)
    extent = (row.start, row.stop, -count, 0.0)
    axes.imshow(
        _bytes(ground_of(_columns(row.heatmap, _COLUMNS), colormap)[None]),
        aspect="auto",
        extent=extent,
        interpolation="nearest",
    )
    for number, channel in enumerate(row.lines):
        finite = np.where(np.isfinite(channel), channel, np.nan)
        low, high = (np.nanmin(finite), np.nanmax(finite)) if np.isfinite(channel).any() else (0.0, 0.0)
        middle, half = (low + high) / 2, (high - low) / 2 or 1.0
        shown = (finite - middle) / half * 0.44 - number - 0.5
        step = (row.stop - row.start) / len(channel)
        times = row.start + (np.arange(len(channel)) + 0.5) * step
        dense = len(channel) > _MOST_POINTS
        if dense:
            edges = np.linspace(0, len(channel), _COLUMNS, endpoint=False).astype(int)
            bottom, top = np.fmin.reduceat(shown, edges), np.fmax.reduceat(shown, edges)
            times = np.repeat(times[edges], 2)
            shown = np.stack([bottom, top], axis=1).reshape(-1)
        (line,) = axes.plot(times, shown, color=INK, linewidth=thickness, solid_joinstyle="round")
        if dense:
            line.set_alpha(0.65)  # such a line covers the ground, whose colours are to be seen
        else:  # a light edge, so that the line can be followed across the darkest ground
            line.set_path_effects([withStroke(linewidth=thickness + 1.2, foreground="#ffffffc0")])
    axes.set(xlim=(row.start, row.stop), ylim=(-count, 0.0), xticks=[], yticks=[])


def draw_strip(axes: Axes, row: SignalRow, colormap: str) -> None:
    """Draw a spectrogram as ink on the colours of its evidence: time to the right, frequency upwards.

    Args:
        axes: where to draw.
        row: the signal, with a spectrogram and evidence over time, or over frequency and time.
        colormap: any name of the cmap catalogue.
    """
    strip = row.strip
    assert strip is not None
    rows, columns = strip.levels.shape
    if row.heatmap.ndim == 1:
        heat = _columns(row.heatmap, columns)
        at = (np.arange(columns) * 2 + 1) * len(heat) // (2 * columns)
        ground = np.broadcast_to(ground_of(heat[at], colormap), (rows, columns, 3))
    else:
        y = (np.arange(rows) * 2 + 1) * row.heatmap.shape[0] // (2 * rows)
        x = (np.arange(columns) * 2 + 1) * row.heatmap.shape[1] // (2 * columns)
        ground = ground_of(row.heatmap[y[:, None], x], colormap)
    inked = ground * (1 - _INK * strip.levels[..., None])
    axes.imshow(
        _bytes(inked),
        aspect="auto",
        origin="lower",
        extent=(row.start, row.stop, strip.low, strip.high),
        interpolation="antialiased",
    )
    axes.set(xlim=(row.start, row.stop), ylim=(strip.low, strip.high), xticks=[], yticks=[])


def ground_of(heatmap: Float[np.ndarray, "*place"], colormap: str) -> Float[np.ndarray, "*place 3"]:
    """The colours of evidence, 0 to 255; grey where the model does not see.

    Args:
        heatmap: in [0, 1], or NaN.
        colormap: any name of the cmap catalogue.
    """
    seen = np.isfinite(heatmap)
    levels = np.rint(np.clip(np.where(seen, heatmap, 0), 0, 1) * 255).astype(int)
    return np.where(seen[..., None], lut(colormap)[levels], np.array(_UNSEEN)).astype(np.float64)


def _columns(heatmap: Float[np.ndarray, " time"], most: int) -> Float[np.ndarray, " column"]:
    """At most so many values: of more than that the mean of those that fall into each column."""
    if len(heatmap) <= most:
        return heatmap
    starts = np.arange(most) * len(heatmap) // most
    counts = np.diff([*starts, len(heatmap)])
    return np.asarray(np.add.reduceat(heatmap.astype(np.float64), starts) / counts)


def _bytes(rgb: Float[np.ndarray, "rows columns 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    return np.asarray(np.rint(rgb), dtype=np.uint8)

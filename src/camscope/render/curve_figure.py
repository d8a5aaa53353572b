"""Curves over the course of something, such as a training: a strong line each, thin ones of what it is the mean of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from camscope.errors import InputError
from camscope.render.fitting import height_of, width_of
from camscope.render.frame import MARGIN, Frame
from camscope.render.layout import Cell
from camscope.render.page import PLAIN, require_matplotlib
from camscope.render.parts import Fonts
from camscope.render.surface import INK, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's, which people with any kind of colour blindness can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MOST_TICKS = 9


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        name: What stands at its end.
        values: At each point; NaN leaves a gap.
        each: What it is the mean of, drawn thinly; None draws nothing.
    """

    name: str
    values: Float[np.ndarray, " point"]
    each: Float[np.ndarray, "thing point"] | None = None


def curve_figure(
    at: Sequence[int],
    curves: Sequence[Curve],
    *,
    x_label: str = "step",
    above: Mapping[int, str] | None = None,
    above_label: str = "",
    title: str = "",
    caption: str = "",
    width: float = 6.3,
    height: float = 2.4,
) -> Figure:
    """Draw curves whose values lie in [0, 1] over whole numbers from 0, on a scale on which 1, 2, 4, 8 … are even.

    Args:
        at: The points, increasing.
        curves: With a value for each point.
        x_label: What the points are.
        above: Words for some of the points, written above the curves, such as the numbers of epochs.
        above_label: What these words are.
        title: The title above everything.
        caption: Small text under everything.
        width: Of the figure, in inches; the text of an A4 page is 6.3 wide.
        height: Of the curves, in inches.

    Returns:
        A matplotlib figure that belongs to no pyplot state.

    Raises:
        InputError: There is no curve, or one has another number of values than there are points.
        MissingExtraError: matplotlib is not installed.
    """
    require_matplotlib()
    _check(at, curves)
    fonts, above = Fonts(1.0), above or {}
    line = height_of(1, fonts.small)
    frame = Frame.of(title, caption, width, fonts)
    left = MARGIN + width_of("0.00", fonts.small) + fonts.gap
    right = width - MARGIN - max(width_of(curve.name, fonts.small) for curve in curves) - fonts.gap
    top = frame.top + (2 * line if above else 0.5 * line)
    cell = Cell(left, top, right - left, height)
    page = frame.page(cell.bottom + 2.4 * line)

    axes = page.axes(cell)
    axes.set(xlim=(_even(at[0]), max(_even(at[-1]), _even(at[0]) + 1e-6)), ylim=(-0.02, 1.02))
    axes.set_label("curves")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _draw_grid(axes, at, fonts)
    x = [_even(point) for point in at]
    for curve, colour in zip(curves, _COLOURS * len(curves), strict=False):
        for thin in () if curve.each is None else curve.each:
            axes.plot(x, thin, color=colour, linewidth=0.6, alpha=0.28, zorder=2)
        axes.plot(x, curve.values, color=colour, linewidth=1.8, zorder=3, marker="o", markersize=2.6)
    ends = _apart([_last(curve) for curve in curves], line / height * 0.95)
    for curve, end, colour in zip(curves, ends, _COLOURS * len(curves), strict=False):
        down = cell.bottom - height * (end + 0.02) / 1.04
        page.text([curve.name], right + fonts.gap, down, fonts.small, ha="left", va="center", colour=colour)

    page.text([x_label], cell.centre, cell.bottom + 1.2 * line, fonts.small, va="top", colour=SOFT)
    for point in _sparse([point for point in at if point in above], x[-1] - x[0], cell.width, above, fonts):
        place = left + cell.width * (_even(point) - x[0]) / max(x[-1] - x[0], 1e-6)
        page.text([above[point]], place, top - 0.35 * line, fonts.small, colour=INK)
    if above:
        page.text([above_label], cell.centre, top - 1.15 * line, fonts.small, colour=SOFT)
    return page.figure


def _check(at: Sequence[int], curves: Sequence[Curve]) -> None:
    if not curves:
        raise InputError("a figure of curves needs at least one.")
    for curve in curves:
        if len(curve.values) != len(at):
            raise InputError(
                f"the curve {curve.name!r} has {len(curve.values)} values, and there are {len(at)} points."
            )


def _even(point: float) -> float:
    """Where a point lies, so that each doubling is as long as the others; 0 lies a little before 1."""
    return math.log2(point + 0.5) + 1


def _draw_grid(axes: Axes, at: Sequence[int], fonts: Fonts) -> None:
    powers = [point for point in (0, *(2**k for k in range(31))) if at[0] <= point <= at[-1]]
    ticks = powers[:: -(-len(powers) // _MOST_TICKS)]
    axes.set_xticks([_even(tick) for tick in ticks], [f"{tick:,}" for tick in ticks], **PLAIN)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.tick_params(length=2.5, width=0.4, pad=2, labelsize=fonts.small, labelcolor=INK, color=SOFT)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.5)
    axes.set_axisbelow(True)


def _last(curve: Curve) -> float:
    """Where a curve ends; in the middle if it has no value."""
    finite = curve.values[np.isfinite(curve.values)]
    return float(np.clip(finite[-1], 0, 1)) if finite.size else 0.5


def _apart(ends: Sequence[float], least: float) -> list[float]:
    """Heights for the names at the ends of curves, moved so far that none covers another."""
    order = np.argsort(ends)
    moved = np.asarray(ends, dtype=float)[order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + least)
    over = moved[-1] - max(1.0, max(ends))
    for i in range(len(moved) - 1, -1, -1):  # what was moved over the top goes down again
        limit = moved[-1] - over if i == len(moved) - 1 else moved[i + 1] - least
        moved[i] = min(moved[i], limit)
    found = np.empty_like(moved)
    found[order] = moved
    return [float(end) for end in found]


def _sparse(
    points: Sequence[int], span: float, width: float, words: Mapping[int, str], fonts: Fonts
) -> list[int]:
    """Those of some points whose words do not touch one another; the last is always one of them."""
    kept: list[int] = []
    for point in reversed(points):
        room = width * (_even(kept[-1]) - _even(point)) / max(span, 1e-6) if kept else np.inf
        if room > width_of(words[point], fonts.small) + fonts.gap:
            kept.append(point)
    return kept

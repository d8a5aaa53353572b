"""Paper-ready figures: a tight grid of overlays with titles, labels, one colour bar and a caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from camscope.errors import InputError
from camscope.render.colour import DEFAULT, resolve
from camscope.render.export import png, save
from camscope.render.fitting import Measure, width_of
from camscope.render.frame import MARGIN, Frame, S
from camscope.render.layout import Grid, stacked
from camscope.render.page import Page, require_matplotlib
from camscope.render.panel import Panel, grid_of
from camscope.render.parts import Bar, Fonts, Heading, Shrunk, draw_on, draw_panel, text_height, ticks_of
from camscope.render.sheet import Sheet, measure_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Panel", "figure", "grid_of", "picture", "png", "save"]

_LEAST_INCHES = 0.5


def figure(
    panels: Sequence[Sequence[Panel]],
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    title: str = "",
    caption: str = "",
    colormap: str = DEFAULT,
    opacity: float = 0.5,
    signed: bool = False,
    colorbar_label: str = "evidence (relative)",
    panel_inches: float = 2.6,
    low: str | None = None,
    high: str | None = None,
    width: float | None = None,
    ax: Axes | Sequence[Axes] | np.ndarray | None = None,
) -> Figure:
    """Draw rows of panels as one figure, exactly as large as its content.

    Photos keep their aspect ratio. Texts are measured, wrapped and, as a last resort, shortened, so that
    nothing overlaps and nothing is cut off.

    Args:
        panels: Rows of panels; the rows may differ in length.
        row_labels: One label per row (such as methods), at the left; or none.
        column_labels: One label per column (such as layers), on top; or none.
        title: The title above everything.
        caption: Small text under everything (such as model, layer, method).
        colormap: Any name of the cmap catalogue.
        opacity: How much of a heatmap's colour covers its photo, 0 to 1.
        signed: Whether 0.5 stands for zero in the heatmaps; then `DIVERGING` replaces `DEFAULT` as `colormap`.
        colorbar_label: What the colours mean.
        panel_inches: Side of a square panel, in inches; photos of other shapes get about the same area.
        low: The text at the bottom of the colour bar; None: "0", or "−1" if signed.
        high: The text at the top of the colour bar; None: "1".
        width: Of the whole figure in inches, such as a journal's column of 3.5, in place of `panel_inches`.
        ax: Axes of your own to draw on: one for each panel, or one for each heatmap, which leaves bare photos out. They
            get the panels and their titles, but no labels, caption or colour bar.

    Returns:
        A matplotlib figure that belongs to no pyplot state; with `ax` the figure that the axes are in. Without any
        heatmap it has no colour bar.

    Raises:
        InputError: There is no panel, the number of labels or axes is wrong, or a box, heatmap or option is not valid.
        MissingExtraError: matplotlib or cmap is not installed.
    """
    require_matplotlib()
    if ax is not None:
        _check(panels, row_labels, column_labels, panel_inches)
        return _drawn_on(ax, panels, resolve(colormap, signed), opacity)
    return _drawn(
        Page,
        width_of,
        panels,
        row_labels=row_labels,
        column_labels=column_labels,
        title=title,
        caption=caption,
        colormap=colormap,
        opacity=opacity,
        signed=signed,
        colorbar_label=colorbar_label,
        panel_inches=panel_inches,
        low=low,
        high=high,
        width=width,
    ).figure


def picture(panels: Sequence[Sequence[Panel]], *, dpi: float = 150, **options: Any) -> Image.Image:
    """Draw the same as `figure` as a picture: without matplotlib, whose font it has, in a tenth of the time.

    Args:
        panels: Rows of panels.
        dpi: Pixels per inch.
        options: Those of `figure`, but `ax`.

    Raises:
        InputError: See `figure`; `dpi` is not above 0.
        MissingExtraError: matplotlib, whose font it takes, or cmap is not installed.
    """
    if not dpi > 0:
        raise InputError(f"dpi must be above 0; got {dpi}.")
    defaults = {name: value for name, value in (figure.__kwdefaults__ or {}).items() if name != "ax"}
    return _drawn(partial(Sheet, dpi=dpi), measure_at(dpi), panels, **{**defaults, **options}).image


@dataclass(frozen=True)
class _Plan:
    """Where the parts of a figure go from left to right: row labels, grid, colour bar.

    Attributes:
        fonts: The sizes of all texts.
        grid: The columns and rows.
        row_texts: The lines of each row's label.
        grid_left: The grid's left edge, in inches.
        headings: The titles above each row.
        bar: The colour bar; None without any heatmap.
        width: Of the figure, in inches.
    """

    fonts: Fonts
    grid: Grid
    row_texts: list[list[str]]
    grid_left: float
    headings: list[Heading]
    bar: Bar | None
    width: float

    @classmethod
    def of(
        cls,
        panels: Sequence[Sequence[Panel]],
        row_labels: Sequence[str],
        ticks: tuple[str, str, str],
        colorbar_label: str,
        measure: Measure,
        panel_inches: float,
    ) -> _Plan:
        """Plan for square panels of a given side; see `figure`."""
        fonts = Fonts.scaled((panel_inches / 2.6) ** 0.5, measure)
        gap = fonts.gap
        grid = Grid.around(
            [[panel.size for panel in row] for row in panels], panel_inches, gap, 0.6 * fonts.scale
        )
        row_texts = [
            fonts.fit(text, height, fonts.label, weight="bold")
            for text, height in zip(row_labels, grid.heights, strict=False)
        ]
        grid_left = MARGIN + text_height(row_texts, fonts.label, gap / 2)
        headings = [Heading.of(row, grid, fonts) for row in panels]
        width = grid_left + grid.width + MARGIN
        bar = None
        if any(panel.heatmap is not None for row in panels for panel in row):
            span = sum(grid.heights) + sum(heading.height + gap for heading in headings[1:])
            bar = Bar.of(min(span, 2.2 * panel_inches), ticks, colorbar_label, fonts)
            width += gap + bar.width
        return cls(fonts, grid, row_texts, grid_left, headings, bar, width)


def _as_wide_as(width: float, plan: Callable[[float], _Plan], panel_inches: float) -> _Plan:
    """The plan whose figure has a width in inches. What is beside the grid changes little with the panels' size."""
    for _ in range(8):
        planned = plan(panel_inches)
        if abs(planned.width - width) < 0.005:
            break
        panel_inches *= max(0.2, 1 + (width - planned.width) / planned.grid.width)
    if panel_inches < _LEAST_INCHES:
        narrowest = plan(_LEAST_INCHES).width
        raise InputError(
            f"width={width}: nothing is legible; this figure can be {narrowest:.1f} inches and wider."
        )
    return planned


def _drawn(
    make: Callable[[float, float], S],
    measure: Measure,
    panels: Sequence[Sequence[Panel]],
    *,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    title: str,
    caption: str,
    colormap: str,
    opacity: float,
    signed: bool,
    colorbar_label: str,
    panel_inches: float,
    low: str | None,
    high: str | None,
    width: float | None,
) -> S:
    """Draw on a surface, from top to bottom: title, column labels, rows with their headings, caption; see `figure`."""
    _check(panels, row_labels, column_labels, panel_inches)
    colormap = resolve(colormap, signed)
    ticks = ticks_of(low, high, signed=signed)
    planning = partial(_Plan.of, panels, row_labels, ticks, colorbar_label, measure)
    plan = planning(panel_inches) if width is None else _as_wide_as(width, planning, panel_inches)
    fonts, grid, grid_left = plan.fonts, plan.grid, plan.grid_left
    gap = fonts.gap
    frame = Frame.of(title, caption, plan.width, fonts)
    column_texts = [
        fonts.fit(text, column, fonts.label, weight="bold")
        for text, column in zip(column_labels, grid.widths, strict=False)
    ]
    labels_bottom = frame.top + text_height(column_texts, fonts.label, gap / 3)
    blocks = [
        part
        for heading, height in zip(plan.headings, grid.heights, strict=True)
        for part in (heading.height, height + gap)
    ]
    tops = stacked(blocks, labels_bottom)
    photo_tops, grid_bottom = tops[1::2], tops[-1] - gap

    page = frame.drawn_on(make, grid_bottom)
    for column, lines in enumerate(column_texts):
        page.text(lines, grid_left + grid.centre(column), labels_bottom - gap / 3, fonts.label, weight="bold")
    for top, height, lines in zip(photo_tops, grid.heights, plan.row_texts, strict=False):
        labels_centre, middle = (MARGIN + grid_left - gap / 2) / 2, top + height / 2
        page.text(lines, labels_centre, middle, fonts.label, va="center", weight="bold", upright=True)
    shrunk = Shrunk()
    for row, (top, heading, row_panels) in enumerate(zip(photo_tops, plan.headings, panels, strict=True)):
        heading.draw(page, grid, grid_left, top)
        for column, panel in enumerate(row_panels):
            cell = grid.photo(row, column, panel.size).moved(grid_left, top)
            draw_panel(page, cell, panel, fonts, shrunk, colormap=colormap, opacity=opacity)
    if plan.bar:
        middle = (photo_tops[0] + grid_bottom) / 2
        plan.bar.draw(page, grid_left + grid.width + gap, middle - plan.bar.height / 2, colormap)
    return page


def _drawn_on(
    ax: Axes | Sequence[Axes] | np.ndarray, panels: Sequence[Sequence[Panel]], colormap: str, opacity: float
) -> Figure:
    """Draw on axes of the user's own: all panels, or only the heatmaps."""
    axes: list[Axes] = list(np.asarray(ax, dtype=object).flat)
    every = [panel for row in panels for panel in row]
    heatmaps = [panel for panel in every if panel.heatmap is not None]
    shown = next((some for some in (every, heatmaps) if len(some) == len(axes)), None)
    if shown is None:
        raise InputError(
            f"ax= has {len(axes)} axes; this figure has {len(every)} panels, {len(heatmaps)} of them heatmaps. Give as "
            "many axes as there are panels or heatmaps: fig, axes = plt.subplots(1, N)."
        )
    for one, panel in zip(axes, shown, strict=True):
        draw_on(one, panel, colormap=colormap, opacity=opacity)
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    return figure


def _check(
    panels: Sequence[Sequence[Panel]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    panel_inches: float,
) -> None:
    if not panels or not all(panels):
        raise InputError("a figure needs at least one panel in every row.")
    if not panel_inches >= _LEAST_INCHES:
        raise InputError(
            f"panel_inches must be at least {_LEAST_INCHES}, or nothing is legible; got {panel_inches}."
        )
    columns = max(map(len, panels))
    for what, labels, count in (("row", row_labels, len(panels)), ("column", column_labels, columns)):
        if labels and len(labels) != count:
            raise InputError(
                f"{what}_labels must be empty or one per {what}: got {len(labels)} for {count} {what}s."
            )
    for panel in (panel for row in panels for panel in row):
        width, height = panel.size
        for box in panel.boxes:
            x0, y0, x1, y1 = box
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise InputError(
                    f"a box is (x0, y0, x1, y1) within the photo, {height} high and {width} wide; got {box}."
                )

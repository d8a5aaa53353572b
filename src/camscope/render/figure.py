"""Paper-ready figures: a tight grid of overlays with titles, labels, one colour bar and a caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from camscope.errors import InputError
from camscope.render.colour import DEFAULT, resolve
from camscope.render.export import png, save
from camscope.render.fitting import fit
from camscope.render.frame import MARGIN, Frame
from camscope.render.layout import Grid, stacked
from camscope.render.page import require_matplotlib
from camscope.render.panel import Panel, grid_of
from camscope.render.parts import Bar, Fonts, Heading, draw_panel, text_height, ticks_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Panel", "figure", "grid_of", "png", "save"]


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

    Returns:
        A matplotlib figure that belongs to no pyplot state. Without any heatmap it has no colour bar.

    Raises:
        InputError: There is no panel, the number of labels is wrong, or a box, heatmap or option is not valid.
        MissingExtraError: matplotlib or cmap is not installed.
    """
    require_matplotlib()
    _check(panels, row_labels, column_labels, panel_inches)
    colormap = resolve(colormap, signed)
    fonts = Fonts.scaled((panel_inches / 2.6) ** 0.5)
    gap = fonts.gap
    grid = Grid.around(
        [[panel.size for panel in row] for row in panels], panel_inches, gap, 0.6 * fonts.scale
    )

    # From left to right: row labels, grid, colour bar.
    row_texts = [
        fit(text, height, fonts.label, weight="bold")
        for text, height in zip(row_labels, grid.heights, strict=False)
    ]
    grid_left = MARGIN + text_height(row_texts, fonts.label, gap / 2)
    headings = [Heading.of(row, grid, fonts) for row in panels]
    blocks = [
        part
        for heading, height in zip(headings, grid.heights, strict=True)
        for part in (heading.height, height + gap)
    ]
    bar = None
    width = grid_left + grid.width + MARGIN
    if any(panel.heatmap is not None for row in panels for panel in row):
        span = sum(blocks) - headings[0].height - gap
        bar = Bar.of(min(span, 2.2 * panel_inches), ticks_of(low, high, signed=signed), colorbar_label, fonts)
        width += gap + bar.width

    # From top to bottom: title, column labels, rows with their headings, caption.
    frame = Frame.of(title, caption, width, fonts)
    column_texts = [
        fit(text, width, fonts.label, weight="bold")
        for text, width in zip(column_labels, grid.widths, strict=False)
    ]
    labels_bottom = frame.top + text_height(column_texts, fonts.label, gap / 3)
    tops = stacked(blocks, labels_bottom)
    photo_tops, grid_bottom = tops[1::2], tops[-1] - gap

    page = frame.page(grid_bottom)
    for column, lines in enumerate(column_texts):
        page.text(lines, grid_left + grid.centre(column), labels_bottom - gap / 3, fonts.label, weight="bold")
    for top, height, lines in zip(photo_tops, grid.heights, row_texts, strict=False):
        labels_centre, middle = (MARGIN + grid_left - gap / 2) / 2, top + height / 2
        page.text(lines, labels_centre, middle, fonts.label, va="center", weight="bold", upright=True)
    for row, (top, heading, row_panels) in enumerate(zip(photo_tops, headings, panels, strict=True)):
        heading.draw(page, grid, grid_left, top)
        for column, panel in enumerate(row_panels):
            cell = grid.photo(row, column, panel.size).moved(grid_left, top)
            draw_panel(page, cell, panel, fonts, colormap=colormap, opacity=opacity)
    if bar:
        middle = (photo_tops[0] + grid_bottom) / 2
        bar.draw(page, grid_left + grid.width + gap, middle - bar.height / 2, colormap)
    return page.figure


def _check(
    panels: Sequence[Sequence[Panel]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    panel_inches: float,
) -> None:
    if not panels or not all(panels):
        raise InputError("a figure needs at least one panel in every row.")
    if not panel_inches >= 0.5:
        raise InputError(f"panel_inches must be at least 0.5, or nothing is legible; got {panel_inches}.")
    columns = max(map(len, panels))
    for what, labels, count in (("row", row_labels, len(panels)), ("column", column_labels, columns)):
        if labels and len(labels) != count:
            raise InputError(
                f"{what}_labels must be empty or one per {what}: got {len(labels)} for {count} {what}s."
            )
    for panel in (panel for row in panels for panel in row):
        width, height = panel.size
        for box in panel.boxes:
            top, left, bottom, right = box
            if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                raise InputError(
                    f"a box is (top, left, bottom, right) within the photo, {height} high and {width} wide;"
                    f" got {box}."
                )

"""A contact sheet of rows: each heatmap on its photo, drawn when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from camscope import render
from camscope.errors import ImageError, InputError
from camscope.render import Panel
from camscope.results import Explanation
from camscope.results.figures.photos import heatmap_panels, style_of

MOST = 60
"""So many panels are legible on one sheet."""

_SIDE = 500
"""Pixels of a photo along its longer side: more is not seen."""


def contact_sheet(
    explanation: Callable[[int], Explanation],
    rows: Sequence[Mapping[str, Any]],
    columns: int | None,
    style: Mapping[str, Any],
    ordered_by: Sequence[str] = (),
) -> Image.Image:
    """Draw a sheet.

    Args:
        explanation: gives that of an image, by its id.
        rows: `id`, `row`, `label` and `top1` of each, and what they are ordered by.
        columns: how many stand side by side; None chooses.
        style: options of `camscope.render.figure`.
        ordered_by: the columns of numbers that are to be read beside each.

    Raises:
        InputError: if there is no row that can be shown.
    """
    panels, lost = [], ""
    for row in rows[:MOST]:
        try:
            panels.append(_panel(explanation(row["id"]), row, ordered_by))
        except (ImageError, InputError) as error:  # it failed, or is gone or another one since
            lost = str(error)
    if not panels:
        raise InputError(f"There is nothing to show: {lost or 'no row was chosen'}.")
    shown = f"{len(panels)} of {len(rows)} rows" if len(panels) < len(rows) else ""
    given = style_of({"panel_inches": 1.9, **style}, "map", shown)
    return render.picture(render.grid_of(panels, columns), **given)


def _panel(e: Explanation, row: Mapping[str, Any], ordered_by: Sequence[str]) -> Panel:
    """Its heatmap; below the title a line of numbers, and one that says which image it is."""
    target, k = divmod(row["row"], len(e.raw))
    small = dataclasses.replace(e, input_images=e.input_images.shrunk(_SIDE))
    (panel,) = heatmap_panels(small, 0, *list(e.raw)[k], targets=[target])
    numbers = [f"{name} {row[name]:.3f}" for name in ordered_by if isinstance(row[name], float)]
    name = PurePosixPath(small.input_image(0).source or "").name
    label = f"is {row['label']}" if row["label"] not in (None, row["top1"]) else ""
    lines = ([panel.subtitle, *numbers], [name, label])
    words = "\n".join(" · ".join(filter(None, line)) for line in lines)
    return dataclasses.replace(panel, subtitle=words)

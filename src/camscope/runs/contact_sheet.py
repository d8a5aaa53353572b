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
) -> Image.Image:
    """Draw a sheet.

    Args:
        explanation: gives that of an image, by its id.
        rows: `id`, `row`, `label` and `top1` of each; perhaps `similarity`.
        columns: how many stand side by side; None chooses.
        style: options of `camscope.render.figure`.

    Raises:
        InputError: if there is no row that can be shown.
    """
    panels, lost = [], ""
    for row in rows[:MOST]:
        try:
            panels.append(_panel(explanation(row["id"]), row))
        except (ImageError, InputError) as error:  # it failed, or is gone or another one since
            lost = str(error)
    if not panels:
        raise InputError(f"There is nothing to show: {lost or 'no row was chosen'}.")
    shown = f"{len(panels)} of {len(rows)} rows" if len(panels) < len(rows) else ""
    given = style_of({"panel_inches": 1.9, **style}, "map", shown)
    return render.picture(render.grid_of(panels, columns), **given)


def _panel(e: Explanation, row: Mapping[str, Any]) -> Panel:
    target, k = divmod(row["row"], len(e.raw))
    small = dataclasses.replace(e, input_images=e.input_images.shrunk(_SIDE))
    (panel,) = heatmap_panels(small, 0, *list(e.raw)[k], targets=[target])
    name = PurePosixPath(small.input_image(0).source or "").name
    label = f"is {row['label']}" if row["label"] not in (None, row["top1"]) else ""
    like = "" if row.get("similarity") is None else f"similarity {row['similarity']:.2f}"
    words = " · ".join(filter(None, [panel.subtitle, label, like, name]))
    return dataclasses.replace(panel, subtitle=words)

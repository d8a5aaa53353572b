"""The rows of a run in a report: the maps that are stored, on the photos where these still are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING

from camscope.app.view import View
from camscope.errors import InputError

if TYPE_CHECKING:
    from camscope.runs import RunRows

MOST = 200
"""So many photos fit into one file."""


def add_run(
    view: View, rows: RunRows, *, most: int | None = None, told: Callable[[int], object] | None = None
) -> list[str]:
    """Add the images of a run's rows, in the order of these; an image that could not be explained is left out.

    Args:
        view: of the report.
        rows: of a run.
        most: images at most; None for all.
        told: is called with 1 after each image.

    Returns:
        Why images were left out, a sentence for each.
    """
    table = rows.to_arrow(columns=["id", "source"])
    sources = dict(zip(table["id"].to_pylist(), table["source"].to_pylist(), strict=True))
    left_out = []
    for id, source in list(sources.items())[:most]:
        try:
            e = rows.explanation(id)
        except InputError as failed:
            left_out.append(f"{source}: {failed}")
        else:
            view.add(e, names=[PurePath(source).name or source])
        if told is not None:
            told(1)
    return left_out


def side_of(photos: int) -> int:
    """Pixels of each photo along its longer side, so that reports of many can still be mailed.

    Args:
        photos: how many there are.
    """
    return 1024 if photos <= 20 else 640 if photos <= 60 else 448

"""Showing an explanation in a notebook: as the page, or as its figure where the page cannot be."""

from __future__ import annotations

import html
import importlib
import sys
from typing import Any

from camscope.app.view import can_be_shown
from camscope.errors import InputError, MissingExtraError
from camscope.results import Explanation


def show(e: Explanation, *, title: str | None = None, spec: str | None = None, height: int = 680) -> None:
    """Show an explanation in a notebook, as a page to click in; as its figure where there is no anywidget or picture.

    Args:
        e: the explanation.
        title: of the page; None names the model.
        spec: how the model is named in a command, such as `timm:resnet50`, for the lines that make what is shown.
        height: of the page, in pixels.

    Raises:
        InputError: if this is no notebook; the message says what shows it elsewhere.
    """
    if not _in_notebook():
        raise InputError(
            "e.show() is for notebooks, and this is none. e.figure().savefig('maps.png') makes a picture, and "
            "camscope.report(e, 'report.html') the page as a file that any browser opens; camscope app PHOTO opens it "
            "with its engine."
        )
    display: Any = importlib.import_module("IPython.display")
    if not can_be_shown(e):
        display.display(display.HTML(e._repr_html_()))
        return
    try:
        display.display(widget(e, title=title, spec=spec, height=height))
    except MissingExtraError as missing:
        words = f"<p>This is the figure. {html.escape(str(missing))}</p>"
        display.display(display.HTML(e._repr_html_() + words))


def widget(e: Explanation, *, title: str | None = None, spec: str | None = None, height: int = 680) -> Any:
    """The page of an explanation as a widget, which can be asked what is shown. See `camscope.app.notebook_widget`.

    Args:
        e: of photos, sounds or texts.
        title: see `show`.
        spec: see `show`.
        height: see `show`.

    Raises:
        InputError: if there is nothing to look at: of volumes, say.
        MissingExtraError: if anywidget is not installed.
    """
    try:
        from camscope.app.notebook_widget import Widget
    except ImportError as error:
        raise MissingExtraError("A page in a notebook", "notebook") from error
    return Widget(e, title=title, spec=spec, height=height)


def _in_notebook() -> bool:
    """Whether a kernel runs this, whose answers a notebook shows."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")

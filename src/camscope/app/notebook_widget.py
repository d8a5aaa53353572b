"""The widget of a notebook: the page in a frame of its own, in step with the kernel."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import anywidget
import traitlets

from camscope.app.built_page import built
from camscope.app.report_file import report_page
from camscope.app.view import View
from camscope.results import Explanation

_SIDE = 900
_HEIGHT = 680


class Widget(anywidget.AnyWidget):
    """The page of an explanation, as a widget.

        page = camscope.app.widget(e)
        page                      # in a notebook: the page
        page.shown["shown"]       # which maps are looked at now
        page.shown = {**page.shown, "threshold": 0.5}

    Attributes:
        shown: what is shown and how, as a link to a report has it; it follows the page, and the page follows it.
        height: of the page, in pixels.

    Args:
        e: of photos, sounds or texts.
        title: of the page; None names the model.
        spec: how the model is named in a command, for the lines that make what is shown.
        height: of the page, in pixels.

    Raises:
        InputError: if there is nothing to look at: of volumes, say.
    """

    _esm = built("widget.js")
    page = traitlets.Unicode().tag(sync=True)
    shown = traitlets.Dict().tag(sync=True)
    height = traitlets.Int(_HEIGHT).tag(sync=True)

    def __init__(
        self, e: Explanation, *, title: str | None = None, spec: str | None = None, height: int = _HEIGHT
    ) -> None:
        view = View(title or "", spec, _SIDE)
        view.add(e)
        document = {**view.to_dict(), "pages": [], "framed": True}
        self._e = e
        super().__init__(page=report_page(document), height=height)

    @cached_property
    def _still(self) -> str:
        """What is seen where no widget runs: of a saved notebook on a site, say."""
        return self._e._repr_html_()

    def _repr_mimebundle_(self, **asked: Any) -> Any:
        bundle = super()._repr_mimebundle_(**asked)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**(data or {}), "text/html": self._still}, metadata

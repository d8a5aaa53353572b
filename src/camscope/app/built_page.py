"""The page as the front end built it, and JSON as it may stand in it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def built(name: str) -> str:
    """A part of the page that `make page` built.

    Args:
        name: `page.js`, `page.css`, or `widget.js` of a notebook.
    """
    return (files("camscope.app") / "page" / name).read_text("utf-8")


def in_html(document: dict[str, Any]) -> str:
    """JSON that no name in it can end: `<` is written by its number.

    Args:
        document: plain values.
    """
    return json.dumps(document, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")

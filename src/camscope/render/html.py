"""A picture and its facts as one piece of notebook HTML."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

_IMAGE = "display:block;max-width:100%;height:auto"
# The table sets no colours, so that it is readable in light and dark notebooks.
_TABLE = "border-collapse:collapse;margin-top:.5em;font-size:.85em"
_KEY = (
    "text-align:left;font-weight:600;opacity:.7;padding:.1em 1em .1em 0;vertical-align:top;white-space:nowrap"
)
_VALUE = "text-align:left;padding:.1em 0;overflow-wrap:anywhere"


def html_summary(png: bytes | None, rows: Sequence[tuple[str, str]]) -> str:
    """Give a picture, with a small table under it, as self-contained HTML.

    Args:
        png: The bytes of a PNG file, or None. It is embedded, and shrinks to the width of the page.
        rows: Keys and values of the table; both are escaped. Without rows there is no table.
    """
    lines = "".join(
        f'<tr><th scope="row" style="{_KEY}">{escape(key)}</th><td style="{_VALUE}">{escape(value)}</td></tr>'
        for key, value in rows
    )
    table = f'<table style="{_TABLE}"><tbody>{lines}</tbody></table>' if rows else ""
    if png is None:
        return f"<div>{table}</div>"
    alt = escape("; ".join(f"{key}: {value}" for key, value in rows) or "camscope figure", quote=True)
    source = b64encode(png).decode("ascii")
    return f'<div><img src="data:image/png;base64,{source}" alt="{alt}" style="{_IMAGE}">{table}</div>'

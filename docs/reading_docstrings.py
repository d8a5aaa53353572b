"""Docstrings as the site shows them: names in single backticks are code, and so are the lines that are indented.

The docstrings are written to be read in a terminal. What stands between single backticks there is code; a block that is
indented behind an empty line is an example, and so are lines that begin with `>>>`, with what they print.
"""

from __future__ import annotations

import re
from typing import Any

_SECTION = re.compile(
    r"^(Args|Arguments|Attributes|Returns|Yields|Raises|Note|Example)s?:$"
)


def setup(app: Any) -> dict[str, bool]:
    """Read docstrings before napoleon does."""
    app.connect("autodoc-process-docstring", _read, priority=100)
    return {"parallel_read_safe": True}


def _read(
    app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]
) -> None:
    lines[:] = [line if code else escaped(line) for line, code in with_examples(lines)]


def with_examples(lines: list[str]) -> list[tuple[str, bool]]:
    """The lines, each with whether it is code; a mark of reStructuredText stands before each example.

    Args:
        lines: of a docstring.
    """
    found: list[tuple[str, bool]] = []
    inside, sections, session = False, False, False
    for line in lines:
        sections = sections or bool(_SECTION.match(line.strip()))
        session = line.strip().startswith(">>>") or (session and bool(line.strip()))
        indented = line.startswith("    ") and bool(line.strip())
        if (
            indented
            and not inside
            and not sections
            and (not found or not found[-1][0].strip())
        ):
            found += [(".. code-block:: python", True), ("", True)]
            inside = True
        elif line.strip() and not indented:
            inside = False
        found.append((line, inside or session))
    return found


def escaped(line: str) -> str:
    """A line of text whose signs are signs: a star or a bar outside of backticks marks nothing."""
    parts = line.split("`")
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)

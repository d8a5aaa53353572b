"""Parts of pages that are made by code: each stands between two marks, and what a person wrote around it stays."""

from __future__ import annotations

from pathlib import Path


def marked(name: str, text: str) -> str:
    """The part as it stands in a page, marks included.

    Args:
        name: of the part, in the page's marks.
        text: what stands between them.
    """
    return f"{_begin(name)}\n\n{text.strip()}\n\n{_end(name)}"


def put(page: Path, name: str, text: str) -> None:
    """Put a part into its page.

    Raises:
        SystemExit: if the page lacks the marks.
    """
    whole = page.read_text("utf-8")
    before, found, rest = whole.partition(_begin(name))
    _, ended, after = rest.partition(_end(name))
    if not (found and ended):
        raise SystemExit(
            f"{page} lacks the lines '{_begin(name)}' and '{_end(name)}', between which it goes."
        )
    page.write_text(before + marked(name, text) + after, "utf-8")


def _begin(name: str) -> str:
    return f"<!-- {name} -->"


def _end(name: str) -> str:
    return f"<!-- end of {name.partition(':')[0]} -->"

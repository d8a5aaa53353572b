"""The prose of README and site: pages without their code, formulas, links and comments; docstrings are code's own."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_CODE = re.compile(
    r"<!--.*?-->|^```.*?^```|^(?: {4}|\$ ).*?$|\$\$.*?\$\$|``.+?``|`[^`\n]*`|\]\([^)]*\)|<[^>\n]+>|https?://\S+",
    re.DOTALL | re.MULTILINE,
)
_COMMENTS = re.compile(r"^#(?: ?)(.*)$", re.MULTILINE)


def pages() -> list[Path]:
    """All that is read as text, in English."""
    site = [p for p in sorted((ROOT / "docs").rglob("*.md")) if not {"_build", "gallery"} & set(p.parts[:-1])]
    recipes = sorted((ROOT / "docs" / "recipes").glob("[0-9]*.py"))
    others = (
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "docs/recipes/GALLERY_HEADER.rst",
        "docs/_extra/llms.txt",
    )
    return [*(ROOT / name for name in others), *site, *recipes]


def prose(page: Path) -> str:
    """A page's text with everything that is not English blanked out; the lines keep their numbers."""
    text = page.read_text("utf-8")
    if page.suffix == ".py":  # a recipe's text stands in comments
        said = [match[1] if (match := _COMMENTS.match(line)) else "" for line in text.splitlines()]
        text = re.sub(r"^ {2,}\S.*$", "", "\n".join(said), flags=re.MULTILINE)
    return without_code(text)


def without_code(text: str) -> str:
    """Markdown without what is not English."""
    return _CODE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)

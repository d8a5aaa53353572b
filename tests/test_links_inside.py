"""Links between the pages of README and site lead to a page that is there, and to a heading of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_documented_code import PAGES, ROOT

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
_CODE = re.compile(r"^```.*?^```|<!--.*?-->|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)
_GALLERY, _RECIPES = ROOT / "docs" / "gallery", ROOT / "docs" / "recipes"
_ALL = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The pages that a page leads to, with the anchor there."""
    for match in _LINK.finditer(_CODE.sub("", page.read_text("utf-8"))):
        if "://" not in match[1]:
            yield (page.parent / match[1]).resolve() if match[1] else page, match[2] or ""


def anchors(page: Path) -> set[str]:
    """Those of a page's headings, as GitHub and the site write them."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", _ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_page_and_a_heading_of_it(page):
    for to, anchor in links(page):
        if to.parent == _GALLERY and to.stem != "index":  # made of a recipe while the site is built
            to = _RECIPES / f"{to.stem}.py"
        assert to.exists() or to == _GALLERY / "index.rst", f"{page.name} leads to {to}, which is not there"
        assert not anchor or anchor in anchors(to), f"{to.name} has no heading '#{anchor}'"


def test_headings_are_addressed_as_on_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Why this box?\n\n```\n# no heading\n```\n\n## `fuse`, and more\n\n`[a](b)` [c](#fuse-and-more)\n"
    )
    assert anchors(page) == {"why-this-box", "fuse-and-more"}
    assert list(links(page)) == [(page, "fuse-and-more")]

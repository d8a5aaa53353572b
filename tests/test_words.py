"""One spelling and one word for each thing: British, by codespell's lists, and the glossary's terms."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prose import ROOT, pages, prose, without_code

codespell_lib = pytest.importorskip("codespell_lib")

GLOSSARY = ROOT / "docs" / "reference" / "glossary.md"
NAMES = ("Carin",)
"""What codespell takes for a slip, and is somebody's name."""

AS_IN_AMERICA = {"math", "program", "story"}
"""What British has too: a directive of the recipes, what a computer runs, what is told."""


def forbidden() -> dict[str, str]:
    """Words that are not used, each with the glossary's term for it."""
    found = {}
    for term, meaning in re.findall(r"^(\S.*)\n((?:  .+\n)+)", GLOSSARY.read_text("utf-8"), re.MULTILINE):
        for listed in re.findall(r"Not: (.+)\.", meaning):
            found |= dict.fromkeys(re.findall(r"\*([^*]+)\*", listed), term)
    return found


def american() -> dict[str, str]:
    """American spellings, each with the British one."""
    file = Path(codespell_lib.__file__).parent / "data" / "dictionary_en-GB_to_en-US.txt"
    pairs = (line.split("->") for line in file.read_text("utf-8").splitlines() if "->" in line)
    return {us.strip(" ,"): gb for gb, us in pairs if us.strip(" ,") not in AS_IN_AMERICA}


def wrong_terms(text: str) -> list[str]:
    """What the glossary has another word for."""
    said = []
    for word, term in forbidden().items():
        for found in re.finditer(rf"\b{re.escape(word)}s?\b", text, re.IGNORECASE if word.islower() else 0):
            said.append(
                f"line {text[: found.start()].count(chr(10)) + 1}: {found[0]!r}; the glossary says {term!r}"
            )
    return said


def wrong_spellings(text: str) -> list[str]:
    """American spellings. A word with a capital inside a sentence is a name: Batch Normalization."""
    lists = american()
    return [
        f"line {text[: found.start()].count(chr(10)) + 1}: {found[0]!r}; here {lists[found[0].lower()]!r}"
        for found in re.finditer(r"\b[a-z]+\b|(?<=[.!?] )\b[A-Z][a-z]+\b", text)
        if found[0].lower() in lists
    ]


def typing_slips(folder: Path) -> str:
    """What codespell finds in a folder's files."""
    command = [
        sys.executable,
        "-m",
        "codespell_lib",
        "--ignore-words-list",
        ",".join(NAMES).lower(),
        str(folder),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_the_glossarys_terms_and_british_spelling(page):
    text = prose(page)
    terms = [] if page == GLOSSARY else wrong_terms(text)
    assert not [*terms, *wrong_spellings(text)]


def test_no_page_has_a_slip(tmp_path):
    for number, page in enumerate(pages()):
        (tmp_path / f"{number:02} {page.name}.txt").write_text(prose(page), "utf-8")
    assert typing_slips(tmp_path) == ""


def test_planted_words_are_found(tmp_path):
    assert "'class activation map'" in wrong_terms("first\nSaliency maps show it.")[0]
    assert wrong_terms("first\nSaliency maps show it.")[0].startswith("line 2")
    assert "'colour'" in wrong_spellings("The color of it.")[0]
    assert not wrong_spellings("Keras' Batch Normalization is one layer.")
    (tmp_path / "page.txt").write_text("Teh maps are seperate.\n")
    assert "Teh ==> The" in typing_slips(tmp_path)
    assert "seperate ==> separate" in typing_slips(tmp_path)


def test_code_is_not_read_as_english():
    page = "one\n```python\ncolor = 1\n```\nand `color`, and [color](color.md)\n\n    camscope color\n"
    assert "color" not in without_code(page).replace("[color", "")
    assert without_code(page).count("\n") == page.count("\n")


def test_the_glossary_is_read():
    assert forbidden()["heat map"] == "heatmap"
    assert len(forbidden()) > 15
    assert len(american()) > 400

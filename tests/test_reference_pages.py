"""The site's reference names everything: public names, commands, and tests that exist."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

import camscope
from camscope.cli.app import app

DOCS = Path(__file__).parents[1] / "docs"
API = (DOCS / "reference" / "api.md").read_text("utf-8")
ROOMS = ("metrics", "trust", "training", "runs")


def menu() -> list[str]:
    """The pages that the site's menu leads to."""
    trees = re.findall(
        r"^```{toctree}\n(.*?)^```", (DOCS / "index.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]


def test_every_public_name_is_in_the_reference():
    named = {name.removeprefix("camscope.") for name in re.findall(r"\.\. auto\w+:: (\S+)", API)}
    assert set(camscope.__all__) - {"__version__", *ROOMS} <= named


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_in_the_reference_with_all_it_exports(room):
    assert f".. automodule:: camscope.{room}\n   :members:" in API
    assert importlib.import_module(f"camscope.{room}").__all__


def test_every_command_has_its_help_in_the_reference():
    page = (DOCS / "reference" / "command.md").read_text("utf-8")
    shown = re.findall(r"^```\{command-help\} (\S+)", page, re.MULTILINE)
    assert set(shown) == {name for name in app if not name.startswith("-")}


def test_the_peers_defects_are_tests():
    page = (DOCS / "facts" / "peers.md").read_text("utf-8")
    there = "\n".join(path.read_text("utf-8") for path in (DOCS.parent / "tests" / "parity").glob("*.py"))
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 10
    assert [name for name in named if f"def {name}(" not in there] == []
    kept = set(re.findall(r"def (test_defect_\w+)", there))
    assert kept - set(named) <= {"test_defect_densenet_norm5_is_overwritten_too"}


def test_every_page_is_in_the_list_for_programs():
    listed = set(re.findall(r"\]\(([^)]+)\.html\)", (DOCS / "_extra" / "llms.txt").read_text("utf-8")))
    families = {f"methods/{page.stem}" for page in (DOCS / "methods").glob("*.md")}  # the hub leads to them
    assert {*menu()} - families - {"gallery/index"} <= listed
    assert all((DOCS / f"{page}.md").is_file() for page in listed if not page.startswith("gallery/"))


def test_the_citation_is_of_this_version():
    root = DOCS.parent
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (root / "CITATION.cff").read_text("utf-8")


def test_every_benchmark_is_on_its_page():
    page = (DOCS / "benchmarks.md").read_text("utf-8")
    named = {
        name
        for row in re.findall(r"^\| (`.+?) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    scripts = [
        *(DOCS.parent / "benchmarks").glob("*.py"),
        *(DOCS.parent / "benchmarks").glob("*/__main__.py"),
    ]
    there = {p.parent.name if p.stem == "__main__" else p.stem for p in scripts if _runs(p)}
    assert there - named == {"kept_numbers", "methods_page", "gallery"}  # they write pages, and stand below
    assert named - there == set()
    assert all(f"benchmarks.{name}" in page for name in there - named)


def _runs(script: Path) -> bool:
    return script.stem == "__main__" or '__name__ == "__main__"' in script.read_text("utf-8")

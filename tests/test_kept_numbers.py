"""What README and site say was measured is what the files of the benchmarks say, to the digit."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from benchmarks.kept_numbers import KEPT, NAME, PAGES, ROOT, Numbers
from benchmarks.page_parts import marked, put

AGAIN = "run: python -m benchmarks.kept_numbers"


@pytest.mark.parametrize("page", PAGES)
def test_the_numbers_of_a_page_are_those_of_the_files(page):
    assert marked(NAME, PAGES[page](Numbers())) in (ROOT / page).read_text("utf-8"), AGAIN


@pytest.mark.parametrize(
    ("name", "rows", "key"),
    [("speed", "rows", "ratio"), ("family", "lines", "seconds"), ("localisation", "rows", "mean")],
)
def test_another_measurement_makes_another_readme(tmp_path, name, rows, key):
    shutil.copytree(KEPT, tmp_path / "kept")
    file = tmp_path / "kept" / f"{name}.json"
    found = json.loads(file.read_text("utf-8"))
    for row in found[rows]:
        row[key] += 0.011
    file.write_text(json.dumps(found), "utf-8")
    assert PAGES["README.md"](Numbers(tmp_path / "kept")) != PAGES["README.md"](Numbers())


@pytest.mark.parametrize("name", ["speed", "family", "localisation"])
def test_every_file_names_its_machine(name):
    assert len(json.loads((KEPT / f"{name}.json").read_text("utf-8"))["machine"]) > 10


def test_the_readmes_section_of_numbers_has_none_beside_them():
    section = (ROOT / "README.md").read_text("utf-8").partition("## Speed and truth")[2].partition("\n## ")[0]
    beside = section.replace(marked(NAME, PAGES["README.md"](Numbers())), "")
    assert not re.search(r"\d", beside), beside


def test_every_costly_method_that_was_measured_is_on_its_page():
    page = PAGES["docs/facts/speed.md"](Numbers())
    for line in Numbers().family["lines"]:
        assert f"{line['seconds']:.3g} s" in page, line


def test_a_page_without_marks_is_told_from_one_with_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("by hand\n\n<!-- part: of code -->\nold\n<!-- end of part -->\n\nby hand too\n")
    put(page, "part: of code", "new")
    assert (
        page.read_text()
        == "by hand\n\n<!-- part: of code -->\n\nnew\n\n<!-- end of part -->\n\nby hand too\n"
    )
    with pytest.raises(SystemExit, match="other"):
        put(page, "other: of code", "new")

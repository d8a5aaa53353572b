"""What the README and the site show runs: every block of Python, and every command as far as its options are read.

A page's blocks run from top to bottom, as a reader would copy them. What a page takes for granted stands in a comment
before its first block, `<!-- given … -->`; a block that is not run says why above it, `<!-- not run: … -->`. What is
given is the reader's, such as a model: what code that is shown uses of libraries it imports, in every section anew.
"""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from camscope.cli.app import app
from camscope.methods import registry
from tests.documented_world import prepared

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts and "gallery" not in page.parts]

_PART = re.compile(
    r"<!-- given\n(?P<given>.*?)-->|<!-- not run: (?P<why>[^>]+?) -->|^```python\n(?P<block>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
_COMMAND = re.compile(r"^(?: {4}|\$ )?(camscope [a-z].*)$")
_SHELL = ("", "sh", "console", "bash")
_PLACEHOLDER = re.compile(r"…|\.\.\.")
_PIPED = re.compile(r"\s(?:\||>|&&|#)\s")


@dataclass(frozen=True)
class Block:
    """Code of a page, and the line that it begins in."""

    code: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page that are to be run, in their order, those given in comments too."""
    skipped = False
    for part in _PART.finditer(page):
        line = page[: part.start()].count("\n") + 2
        if part["why"]:
            skipped = True
            continue
        if part["given"]:
            yield Block(part["given"], line)
        elif not skipped:
            yield Block(part["block"], line)
        skipped = False


def commands(page: str) -> list[str]:
    """The lines that call camscope, indented or in a fence, in their order; without comments and pipes."""
    found, fence = [], None
    for line in page.splitlines():
        if line.startswith("```"):
            fence = line.strip("` ") if fence is None else None
        elif fence in _SHELL or (fence is None and line.startswith(("    ", "$ "))):
            found += [match[1]] if (match := _COMMAND.match(line)) else []
    return [_PIPED.split(line)[0].strip() for line in dict.fromkeys(found) if not _PLACEHOLDER.search(line)]


def names_of(tree: ast.AST) -> tuple[set[str], set[str], set[str]]:
    """What code imports, what it makes, and what it uses."""
    nodes = list(ast.walk(tree))
    aliases = [a for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names]
    variables = [n for n in nodes if isinstance(n, ast.Name)]
    made = {n.id for n in variables if isinstance(n.ctx, ast.Store)}
    made |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    made |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    used = {n.id for n in variables if isinstance(n.ctx, ast.Load)}
    return {(a.asname or a.name).split(".")[0] for a in aliases}, made, used


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))  # a page may add a method of its own
    prepared(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page.read_text("utf-8")):
        padded = "\n" * (block.line - 1) + textwrap.dedent(block.code)
        exec(compile(padded, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_section_imports_what_its_code_uses(page):
    known: set[str] = set()
    for part in re.split(r"^(?=## )", page.read_text("utf-8"), flags=re.MULTILINE):
        here: set[str] = set()
        for found in _PART.finditer(part):
            if not (code := found["given"] or found["block"]):
                continue
            imported, made, used = names_of(ast.parse(code))
            known |= imported
            if found["block"]:
                here |= imported | made
                lacking = used & known - here
                assert not lacking, f"{page.name} uses {lacking} without an import:\n{code}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_camscope_makes_is_not_given_in_secret(page):
    secret: set[str] = set()
    for found in _PART.finditer(page.read_text("utf-8")):
        if not (code := found["given"] or found["block"]):
            continue
        tree = ast.parse(code)
        ours = {
            name
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("camscope.")
            for name in names_of(node)[1]
        }
        _, made, used = names_of(tree)
        if found["given"]:
            secret |= ours
        else:
            secret -= made
            assert not secret & used, f"{page.name} shows how {secret & used} is used, not how it is made"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_have_options_that_exist(page):
    for line in commands(page.read_text("utf-8")):
        words = shlex.split(line)[1:]
        try:
            app.parse_args(words, print_error=False, exit_on_error=False)
        except CycloptsError as error:
            pytest.fail(f"{line}\n{error}")


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: str(page.relative_to(ROOT)))
def test_code_is_as_narrow_as_the_sites_pages_are(page):
    shown = [part["block"] for part in _PART.finditer(page.read_text("utf-8")) if part["block"]]
    assert not [line for block in shown for line in block.splitlines() if len(line) > 88]


def test_what_is_run_is_told_from_what_is_not():
    page = (
        "<!-- given\nx = 1\n-->\n```python\ny = x\n```\n"
        "<!-- not run: no network -->\n```python\nz\n```\n```python\nw = y\n```\n"
    )
    assert [block.code for block in blocks(page)] == ["x = 1\n", "y = x\n", "w = y\n"]
    assert [block.line for block in blocks(page)] == [2, 5, 12]


def test_commands_are_read_without_their_comments():
    page = (
        "    camscope explain a.jpg --out maps   # to look at\n\ncamscope is a library\n"
        "$ camscope layers --model demo\n```python\n    camscope app\n```\n```sh\ncamscope methods --json | head\n```\n"
    )
    assert commands(page) == [
        "camscope explain a.jpg --out maps",
        "camscope layers --model demo",
        "camscope methods --json",
    ]


def test_names_are_told_apart():
    assert names_of(ast.parse("import a.b as c, d.e\nfrom f import g\nh = c(i)\ndef j(k): return k")) == (
        {"c", "d", "g"},
        {"h", "j", "k"},
        {"c", "i", "k"},
    )

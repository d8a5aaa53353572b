"""The site: it builds without warnings, and asks nothing of other hosts. Its recipes run in `tests/recipes`."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("sphinx_gallery")
pytest.importorskip("furo")
pytest.importorskip("myst_parser")

RECIPES = sorted((ROOT / "docs" / "recipes").glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site with the recipes' texts, whose code is not run."""
    place = tmp_path_factory.mktemp("site")
    ours = shutil.ignore_patterns("_build", "gallery", "__pycache__")
    shutil.copytree(ROOT / "docs", place / "docs", ignore=ours)
    for shown in ("CHANGELOG.md", "CONTRIBUTING.md"):  # pages of the site include them
        shutil.copy(ROOT / shown, place)
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-D",
        "plot_gallery=0",
    ]
    ran = subprocess.run(
        [*command, str(place / "docs"), str(place / "html")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return place / "html"


@pytest.mark.slow
def test_every_page_and_recipe_is_there(site):
    for page in ("index", "trust", "adapters", "onnx", "sweep", "gallery/index"):
        assert (site / f"{page}.html").is_file()
    menu = (site / "index.html").read_text()
    for recipe in RECIPES:
        assert f"gallery/{recipe.stem}.html" in menu
        assert "What can mislead" in (site / "gallery" / f"{recipe.stem}.html").read_text()


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site):
    asked = re.compile(
        r"""<(?:script|img|iframe|source|video)[^>]*\ssrc="(https?:|//)|url\(["']?(https?:|//)|@import"""
    )
    linked = re.compile(r"""<link[^>]*rel="(?:stylesheet|preload|preconnect|icon)"[^>]*href="(https?:|//)""")
    for file in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = file.read_text("utf-8")
        assert not asked.search(text), file
        assert not linked.search(text), file


@pytest.mark.slow
def test_formulas_are_part_of_the_page(site):
    page = (site / "gallery" / "06_film_reviews.html").read_text()
    assert '<svg class="formula" role="img" aria-label="M_c(t) = \\sum_k' in page
    assert "mathjax" not in page.lower()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipes_zip_file_holds_what_its_script_imports(site, tmp_path, recipe):
    (packed,) = site.glob(f"_downloads/*/{recipe.stem}.zip")
    shutil.unpack_archive(packed, tmp_path)
    names = {name for node in ast.walk(ast.parse(recipe.read_text("utf-8"))) for name in _imported(node)}
    beside = {f"{name}.py" for name in names} & {file.name for file in recipe.parent.glob("*.py")}
    assert {file.name for file in tmp_path.iterdir()} >= {recipe.name, *beside}


@pytest.mark.slow
def test_a_recipe_runs_from_its_zip_file(site, tmp_path):
    (packed,) = site.glob("_downloads/*/01_multilabel_cells.zip")  # with two files of the source beside it
    shutil.unpack_archive(packed, tmp_path)
    command = [sys.executable, "01_multilabel_cells.py", "--help"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "--out" in ran.stdout


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []

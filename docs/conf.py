"""The site: furo, pages in Markdown, and recipes that are run while it is built. Nothing is fetched, then or later."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx_gallery.scrapers import figure_rst

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # small networks lose more by waiting for threads than they gain

project = "camscope"
author = "The camscope developers"
version = release = version_of("camscope")
language = "en"

extensions = ["myst_parser", "sphinx_gallery.gen_gallery"]
myst_enable_extensions = ["dollarmath"]
exclude_patterns = ["_build", "recipes", "sg_execution_times.rst"]

html_theme = "furo"
html_title = "camscope"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#b3420b", "color-brand-content": "#b3420b"},
    "dark_css_variables": {"color-brand-primary": "#ffa45c", "color-brand-content": "#ffa45c"},
}

# ---------------------------------------------------------------- recipes

OUT = Path(tempfile.mkdtemp(prefix="camscope-recipes-"))
"""Where recipes save their pictures during the build."""

REVIEWS = Path(sys.prefix) / "reviews"
"""Where `make docs` has put what recipe 6 reads; without it the recipe asks pip."""


def arguments_of(_gallery: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    """The command line that a recipe is run with: its defaults, which need nothing from outside."""
    name = Path(variables["src_file"]).stem
    found = ["--data", str(REVIEWS)] if name == "06_film_reviews" and REVIEWS.is_dir() else []
    return ["--out", str(OUT / name), *found]


def saved_pictures(_block: Any, variables: dict[str, Any], gallery: dict[str, Any]) -> str:
    """Show the pictures that a block of a recipe has saved."""
    shown = []
    for file in sorted(
        (OUT / Path(variables["src_file"]).stem).glob("*.*"), key=lambda f: f.stat().st_mtime_ns
    ):
        if file.suffix in (".png", ".webp"):
            place = Path(next(variables["image_path_iterator"])).with_suffix(file.suffix)
            shutil.move(file, place)
            shown.append(str(place))
    return figure_rst(shown, gallery["src_dir"])


sphinx_gallery_conf = {
    "examples_dirs": "recipes",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_",
    "ignore_pattern": r"^\D",  # what recipes share
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": (saved_pictures,),
    "reset_argv": arguments_of,
    "reset_modules": (),
    "capture_repr": (),
    "notebook_extensions": set(),  # recipes read a command line, which a notebook has none of
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "plot_gallery": "True",
}


# ---------------------------------------------------------------- formulas as MathML: no script, no font


def formula(self: Any, node: nodes.math) -> None:
    """A formula in a line."""
    self.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def displayed_formula(self: Any, node: nodes.math_block) -> None:
    """A formula in lines of its own."""
    self.body.append(f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Formulas, and no pictures left behind."""
    app.add_html_math_renderer("mathml", (formula, None), (displayed_formula, None))
    app.connect("build-finished", lambda *_: shutil.rmtree(OUT, ignore_errors=True))

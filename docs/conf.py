"""The site: furo, pages in Markdown, and recipes that are run while it is built. Nothing is fetched, then or later."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
# small networks lose more by waiting for threads than they gain
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "camscope"
author = "The camscope developers"
version = release = version_of("camscope")
language = "en"

extensions = [
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "formulas",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "reading_docstrings",
    "command_pages",
    "recipe_files",
]
myst_enable_extensions = ["dollarmath", "fieldlist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "recipes"]

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False

html_theme = "furo"
html_title = "camscope"
html_static_path = ["_static"]
html_extra_path = ["_extra"]
html_css_files = ["site.css"]
html_js_files = ["copy.js"]
html_show_sourcelink = False
html_show_copyright = False
html_math_renderer = "drawn"
pygments_dark_style = "github-dark"
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#b3420b",
        "color-brand-content": "#b3420b",
    },
    "dark_css_variables": {
        "color-brand-primary": "#ffa45c",
        "color-brand-content": "#ffa45c",
    },
}

# ---------------------------------------------------------------- recipes

sphinx_gallery_conf = {
    "examples_dirs": "recipes",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/\d\d_",
    "ignore_pattern": r"^\D",  # what recipes share
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("running_recipes.saved_pictures",),
    "reset_argv": "running_recipes.arguments_of",
    "reset_modules": (),
    "capture_repr": (),
    "notebook_extensions": set(),  # recipes read a command line, which a notebook has none of
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,  # a page that would load scripts from elsewhere
    "remove_config_comments": True,
    "plot_gallery": "True",
    "parallel": True,  # as many recipes at a time as -j says
}

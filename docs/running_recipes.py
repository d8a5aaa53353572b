"""How the site runs its recipes: with which arguments, and which pictures it shows."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

OUT = Path(tempfile.mkdtemp(prefix="camscope-recipes-"))
"""Where recipes save their pictures during the build."""

REVIEWS = Path(sys.prefix) / "reviews"
"""Where `make docs` has put what recipe 6 reads; without it the recipe asks pip."""

atexit.register(shutil.rmtree, OUT, ignore_errors=True)


def arguments_of(_gallery: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    """The command line that a recipe is run with: its defaults, which need nothing from outside."""
    name = Path(variables["src_file"]).stem
    found = (
        ["--data", str(REVIEWS)]
        if name == "06_film_reviews" and REVIEWS.is_dir()
        else []
    )
    return ["--out", str(OUT / name), *found]


def saved_pictures(
    _block: Any, variables: dict[str, Any], gallery: dict[str, Any]
) -> str:
    """Show the pictures that a block of a recipe has saved, in the order in which it saved them."""
    folder = OUT / Path(variables["src_file"]).stem
    shown = []
    for file in sorted(folder.glob("*.*"), key=lambda file: file.stat().st_mtime_ns):
        if file.suffix in (".png", ".webp"):
            place = Path(next(variables["image_path_iterator"])).with_suffix(
                file.suffix
            )
            shutil.move(file, place)
            shown.append(str(place))
    return figure_rst(shown, gallery["src_dir"])

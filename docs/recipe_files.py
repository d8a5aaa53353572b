"""A recipe's zip file holds what its script imports from beside it, so that what was downloaded runs as it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

_AFTER_THE_GALLERY = 900  # Sphinx-Gallery makes the zip files at 500


def setup(app: Any) -> dict[str, bool]:
    """Complete the zip files before Sphinx copies them."""
    app.connect("builder-inited", _complete, priority=_AFTER_THE_GALLERY)
    return {"parallel_read_safe": True}


def _complete(app: Any) -> None:
    recipes, gallery = Path(app.srcdir) / "recipes", Path(app.srcdir) / "gallery"
    for recipe in sorted(recipes.glob("[0-9][0-9]_*.py")):
        with ZipFile(gallery / f"{recipe.stem}.zip", "w", ZIP_DEFLATED) as packed:
            for script in (gallery / recipe.name, *needed_by(recipe)):
                packed.write(script, script.name)


def needed_by(script: Path) -> Iterator[Path]:
    """The files beside a script that it imports, and those that they import.

    Args:
        script: a file of Python.
    """
    ahead, seen = [script], {script}
    while ahead:
        for name in _imported(ahead.pop()):
            beside = script.with_name(f"{name}.py")
            if beside.is_file() and beside not in seen:
                seen.add(beside)
                ahead.append(beside)
                yield beside


def _imported(script: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module

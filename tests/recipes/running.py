"""Running a recipe of the site as a person would, in this process, and looking at what it has found."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"


def run(name: str, out: Path, *arguments: str) -> dict[str, Any]:
    """Run a recipe with these arguments.

    Returns:
        what its variables are at the end.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, "--out", str(out), *arguments])
        patch.syspath_prepend(str(RECIPES))
        return runpy.run_path(str(RECIPES / name), run_name="__main__")


def pictures(out: Path) -> dict[str, np.ndarray]:
    """The pictures that a recipe saved, by name; a blank one is an error."""
    found = {file.stem: np.asarray(Image.open(file).convert("RGB")) for file in sorted(out.glob("*.*"))}
    for name, pixels in found.items():
        assert pixels.std() > 5, f"{name} is blank"
    return found

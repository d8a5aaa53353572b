"""The command in this process, and a photo for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from camscope.cli import main


class Ran(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch, tmp_path) -> Callable[..., Ran]:
    """Run the command in an empty folder, on a terminal of 80 columns; what it printed is returned."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """A dark coloured photo, 90 wide and 60 high."""
    return np.random.default_rng(0).integers(0, 120, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def photo(pixels, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "beach.png"
    Image.fromarray(pixels).save(path)
    return path

"""A folder of small photos, and a model that a file makes, so that a process of its own can have it too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camscope
from camscope import Explainer

FACTORY = """
import camscope
from tests.conftest import make_tiny_cnn

def tiny():
    model = make_tiny_cnn()
    model.preprocessing = camscope.Preprocessing(input_size=(32, 32), resize=(32, 32), crop="squash")
    model.class_names = ["ant", "bee", "cat, house cat", "dog", "eel"]
    return model
"""


def write_photos(folder: Path, count: int, side: int = 24) -> Path:
    """Photos of noise in folders of classes, none like another."""
    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / ("ant", "bee", "house_cat", "wolf")[number % 4]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (side, side + number % 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png", compress_level=1)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """26 photos: read only."""
    return write_photos(tmp_path_factory.mktemp("photos") / "photos", 26)


@pytest.fixture(scope="session")
def spec(tmp_path_factory) -> str:
    """The name of a model with five classes, of which the photos' folders name three."""
    file = tmp_path_factory.mktemp("model") / "tiny_for_runs.py"
    file.write_text(FACTORY)
    return f"{file}:tiny"


@pytest.fixture(scope="session")
def explainer(spec) -> Explainer:
    return Explainer(spec)


@pytest.fixture(scope="session")
def finished(folder, explainer, tmp_path_factory) -> Path:
    """A run of all photos, of two targets and two methods: read only."""
    out = tmp_path_factory.mktemp("run") / "run"
    done = camscope.runs.run(
        folder,
        model=explainer,
        out=out,
        targets="top2",
        methods=["gradcam", "layercam"],
        shard_size=8,
        batch=4,
        workers=1,
        progress=False,
    )
    assert done.complete
    return out

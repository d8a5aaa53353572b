"""Recipe 2: DenseNet-121 in plain PyTorch, with few steps."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.recipes.running import pictures, run


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("densenet")
    return run("02_densenet_in_pytorch.py", out, "--steps", "12", "--batch", "8") | {"out": out}


@pytest.mark.slow
def test_its_map_is_exact_and_one_before_the_relu_is_not(found):
    assert found["with_relu"] < 1e-4
    assert found["same_map"] < 1e-4
    assert found["without_relu"] > 100 * found["with_relu"]


@pytest.mark.slow
def test_its_pictures_are_there(found):
    shown = pictures(found["out"])
    assert set(shown) == {"classes", "overlay"}
    assert shown["overlay"].shape[0] == 256


@pytest.mark.slow
def test_it_learns(found):
    assert min(found["losses"]) < found["losses"][0]
    assert found["accuracy"] > 1 / 3


@pytest.mark.slow
def test_a_folder_of_photos_is_taken(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("one", "other"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    arguments = ("--data", str(tmp_path / "data"), "--steps", "1", "--batch", "2")
    found = run("02_densenet_in_pytorch.py", tmp_path / "out", *arguments)
    assert found["classes"] == ["one", "other"]
    assert found["with_relu"] < 1e-4
    assert found["on_it"] == []

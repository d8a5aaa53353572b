"""Recipe 2: DenseNet-121 in plain PyTorch, with few steps."""

from __future__ import annotations

import pytest

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

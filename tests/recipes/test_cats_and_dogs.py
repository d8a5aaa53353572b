"""Recipe 4: cats and dogs with fastai, in a small setting."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.recipes.running import pictures, run

pytest.importorskip("fastai")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("animals")
    return run("04_cats_and_dogs.py", out, "--images", "300", "--epochs", "3") | {"out": out}


@pytest.mark.slow
def test_hooks_by_hand_and_record_see_the_same(found):
    assert found["hooks_differ"] < 1e-6
    assert found["by_hand_differs"] < 1e-5


@pytest.mark.slow
def test_no_hook_stays(found):
    modules = list(found["learn"].model.modules())
    assert not any(module._forward_hooks or module._backward_hooks for module in modules)


@pytest.mark.slow
def test_the_einsum_changes_though_the_network_does_not(found):
    assert found["outputs_differ"] < 1e-4
    assert found["gradcam_alike"] > 0.999
    assert abs(found["einsum_alike"]) < 0.9
    assert min(found["with_gradcam"]) < 0.9


@pytest.mark.slow
def test_camscope_refuses_a_cam_of_the_default_head_and_gives_an_exact_one_of_the_other(found):
    assert "cam needs a head that is global average pooling and one linear layer" in found["refused"]
    assert found["sums_differ"] < 1e-4
    assert found["cams_differ"] < 1e-3


@pytest.mark.slow
def test_its_pictures_are_there(found):
    assert set(pictures(found["out"])) == {"einsum-and-gradcam", "two-groups", "cam"}


@pytest.mark.slow
def test_a_folder_of_pictures_is_taken(tmp_path):
    (tmp_path / "pets").mkdir()
    rng = np.random.default_rng(0)
    for name in ("Abyssinian", "beagle"):
        for i in range(20):
            light = rng.integers(0, 128, (30, 40, 3)) + 127 * (name == "beagle")
            Image.fromarray(light.astype(np.uint8)).save(tmp_path / "pets" / f"{name}_{i}.jpg")
    arguments = ("--data", str(tmp_path / "pets"), "--epochs", "1")
    found = run("04_cats_and_dogs.py", tmp_path / "out", *arguments)
    assert len(found["loaders"].valid_ds) == 8
    assert found["outputs_differ"] < 1e-4
    assert found["sums_differ"] < 1e-4

"""Recipe 1: multi-label cells, in a small setting."""

from __future__ import annotations

import numpy as np
import pytest

from tests.recipes.running import pictures, run

pytest.importorskip("fastai")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("cells")
    return run("01_multilabel_cells.py", out, "--count", "250", "--epochs", "5") | {"out": out}


@pytest.mark.slow
def test_every_label_is_held_out_in_proportion(found):
    targets, parts = found["cells"].targets, found["parts"]
    assert len(parts.train) + len(parts.val) == 250
    np.testing.assert_allclose(targets[parts.val].sum(0) / targets.sum(0), 0.2, atol=0.03)


@pytest.mark.slow
def test_statistics_are_those_of_the_training_pictures(found):
    cells, parts = found["cells"], found["parts"]
    pixels = np.stack([np.asarray(cells.photo(i).pixels) for i in parts.train]) / 255
    np.testing.assert_allclose(found["statistics"].mean, pixels.mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(found["statistics"].std, pixels.std((0, 1, 2)), atol=1e-4)


@pytest.mark.slow
def test_each_class_has_a_sigmoid_and_an_exact_map(found):
    e = found["e"]
    assert e.provenance["task"] == "multilabel"
    assert list(e.class_names) == list(found["drawn_cells"].STRUCTURES)
    np.testing.assert_allclose(e.probabilities, 1 / (1 + np.exp(-e.logits.numpy())), atol=1e-6)
    assert found["exact"] < 1e-4


@pytest.mark.slow
def test_it_learns_and_looks_at_the_structures(found):
    """The small setting is worse than the page's, and still far above chance."""
    assert found["learn"].precision > found["cells"].targets.mean() + 0.1
    assert np.mean(found["on_it"]) > np.mean(found["by_chance"]) + 0.05


@pytest.mark.slow
def test_the_einsum_on_the_default_head_is_no_map_of_the_class(found):
    assert found["W"].shape == (8, 512)
    assert found["A"].shape[1] == 512
    assert min(found["alike"]) < 0.5
    assert found["off"] > 0.1


@pytest.mark.slow
def test_its_pictures_are_there(found):
    assert set(pictures(found["out"])) == {"all-classes", "two-classes", "einsum-and-gradcam"}

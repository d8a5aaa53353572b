"""Recipe 5: a network from scratch and its maps from the first step on, in a small setting."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.recipes.running import pictures, run


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("gap")
    return run("05_gap_network.py", out, "--each", "60", "--epochs", "4", "--at", "1", "4") | {"out": out}


@pytest.mark.slow
def test_the_score_is_the_mean_of_the_map_and_a_bias(found):
    assert found["sums"].shape[1] == 5
    assert found["identity"] < 1e-4


@pytest.mark.slow
def test_maps_are_kept_from_the_first_step_to_the_last_epoch(found):
    steps, epochs = found["history"].steps.tolist(), found["history"].epochs
    assert {1, 2, 4, 8} <= set(steps)
    assert epochs.max() == 4
    assert found["history"].epoch_ends.sum() == 4


@pytest.mark.slow
def test_looking_is_measured_against_the_boxes(found):
    settled = found["settled"]
    assert settled.mass.shape[:2] == found["history"].maps.shape[:2]
    assert np.nanmin(settled.mass) >= 0
    assert np.nanmax(settled.mass) <= 1 + 1e-6


@pytest.mark.slow
def test_its_pictures_are_there(found):
    assert set(pictures(found["out"])) == {"film", "settling", "steps", "two-epochs"}
    with Image.open(found["out"] / "film.webp") as film:
        assert film.n_frames == len(found["history"].steps)


@pytest.mark.slow
def test_a_folder_of_pictures_is_taken(tmp_path):
    rng = np.random.default_rng(0)
    for name, light in (("dark", 60), ("light", 190)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(20):
            pixels = (light + rng.integers(-40, 40, (16, 16, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    arguments = ("--data", str(tmp_path / "data"), "--epochs", "2", "--at", "1", "2")
    found = run("05_gap_network.py", tmp_path / "out", *arguments)
    assert found["run"].classes == ("dark", "light")
    assert found["identity"] < 1e-4

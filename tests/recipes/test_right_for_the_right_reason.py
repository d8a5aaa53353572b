"""Recipe 7: a shortcut seen in the map and corrected by a loss on it, in a small setting."""

from __future__ import annotations

import numpy as np
import pytest

from tests.recipes.running import pictures, run


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("reason")
    return run("07_right_for_the_right_reason.py", out, "--images", "1347", "--epochs", "4") | {"out": out}


@pytest.mark.slow
def test_the_loss_moves_the_map_off_the_mark(found):
    """That it takes the shortcut away altogether, with the recipe's own settings, `test_shortcut.py` holds."""
    assert found["before"]["mass in the mark"] > 0.15
    assert found["after"]["mass in the mark"] < found["before"]["mass in the mark"]
    assert found["after"]["mass in the digit"] > found["before"]["mass in the digit"] + 0.1
    assert found["after"]["3s right without the mark"] > found["before"]["3s right without the mark"] + 0.3


@pytest.mark.slow
def test_its_pictures_are_there(found):
    assert set(pictures(found["out"])) == {"data", "shortcut", "corrected"}
    assert np.isfinite(list(found["way_out"].values())).all()

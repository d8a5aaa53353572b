"""Sixty random networks: every map, score and grid against autograd and brute force. `make fuzz` does a thousand."""

from __future__ import annotations

import pytest
from benchmarks.fuzz.drawing import draw
from benchmarks.fuzz.run import bad


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_wrong_with(seed):
    recipe = draw(seed)
    wrong = bad(recipe)
    assert not wrong, "\n".join([str(recipe), *(f"{f.result}  {f.about}: {f.why}" for f in wrong)])

"""A planted shortcut is seen in the map and gone after training with a loss on the map; a digit is found at its place.

One seed each: weights and order are functions of it. `benchmarks/shortcut.py` has three.
"""

from __future__ import annotations

import pytest
from benchmarks.shortcut import LOSSES, NETWORKS, Seen, placed, shortcut

BY_WORDS = {loss.words: loss for loss in LOSSES}


@pytest.fixture(scope="module")
def usual() -> Seen:
    return shortcut(BY_WORDS["cross-entropy"], seed=0)


@pytest.fixture(scope="module")
def supervised() -> Seen:
    return shortcut(BY_WORDS["+ 1 · outside, all classes"], seed=0)


@pytest.mark.slow
def test_the_shortcut_is_seen_in_the_map(usual):
    assert usual.accuracy >= 0.97  # and the accuracy does not tell
    assert usual.in_mark >= 0.3
    assert usual.without <= 0.2


@pytest.mark.slow
def test_it_is_gone_after_training_with_the_loss_on_the_map(usual, supervised):
    assert supervised.accuracy >= usual.accuracy - 0.02
    assert supervised.in_mark <= 0.05
    assert supervised.in_digit >= 0.9
    assert supervised.without >= 0.9
    assert supervised.others >= 0.9


@pytest.mark.slow
def test_a_digit_at_a_known_place_is_found_there():
    found = placed(*NETWORKS["stride 2, 4 convolutions (24²)"], seed=0, epochs=8)
    assert found.peak >= 0.95
    assert found.in_box >= 0.65
    # an untrained network's map follows what is bright, for the classes whose random weights happen to point that way
    assert found.untrained <= 0.35

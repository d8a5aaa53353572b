"""Digits at known places, and a mark in a corner."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.errors import InputError
from camscope.training import planted


def some(rng, count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 17, (count, 8, 8)), rng.integers(0, 10, count)


def test_the_digit_is_where_it_is_said_to_be(rng):
    digits, labels = some(rng)
    with_digits = planted(digits, labels, size=24)
    without = planted(0 * digits + 1 * (digits == digits.max()), labels, size=24)
    assert with_digits.images.shape == (20, 1, 24, 24)
    assert (with_digits.digit.sum((1, 2)) == 64).all()
    changed = with_digits.images[:, 0] != without.images[:, 0]
    assert not changed[~with_digits.digit].any()
    assert changed[with_digits.digit].any()
    assert with_digits.images.min() >= 0
    assert with_digits.images.max() <= 1


def test_the_mark_is_in_its_corner_and_nowhere_near_a_digit(rng):
    digits, labels = some(rng)
    data = planted(digits, labels, marked=labels == 3, size=24)
    plain = planted(digits, labels, size=24)
    assert (data.images[labels == 3][:, 0, data.mark] == 1).all()
    differs = data.images[:, 0] != plain.images[:, 0]
    assert not differs[labels != 3].any()
    assert not differs[:, ~data.mark].any()
    assert not (data.digit & data.mark).any()


def test_a_seed_gives_the_same_images(rng):
    digits, labels = some(rng)
    one, same, other = (planted(digits, labels, seed=seed, size=24).images for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_what_does_not_fit_is_refused(rng):
    with pytest.raises(InputError, match="do not fit on a canvas of 12"):
        planted(*some(rng), size=12)

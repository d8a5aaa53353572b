"""Masks and boxes of small maps, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.arrays import boxes_of, mask_of

HEAT = np.zeros((6, 7))
HEAT[0, 0] = HEAT[1, 1] = HEAT[2, 2] = 0.5  # three that share corners only
HEAT[4, 5] = HEAT[4, 6] = 0.4


def test_a_mask_is_a_share_of_the_maps_own_maximum():
    for scale in (1.0, 0.1, 7.0):
        assert np.array_equal(mask_of(HEAT * scale, 0.9), HEAT == 0.5)
        assert np.array_equal(mask_of(HEAT * scale, 0.8), HEAT > 0)


def test_what_is_just_at_the_threshold_is_inside_and_what_is_unknown_outside():
    heat = HEAT.copy()
    heat[5, 0] = np.nan
    assert np.array_equal(mask_of(heat, 0.8), HEAT > 0)
    assert not mask_of(np.full((2, 2), np.nan)).any()


def test_corners_join_components_and_the_largest_comes_first():
    assert boxes_of(mask_of(HEAT, 0.2)) == [(0, 0, 3, 3), (5, 4, 7, 5)]
    assert boxes_of(HEAT[::-1] > 0) == [(0, 3, 3, 6), (5, 1, 7, 2)]
    assert boxes_of(np.zeros((2, 2), dtype=bool)) == []


@pytest.mark.parametrize("flip", [False, True])
def test_only_the_largest_component_is_kept(flip):
    heat = HEAT[::-1] if flip else HEAT
    assert np.array_equal(mask_of(heat, 0.2, "largest"), heat == 0.5)
    assert np.array_equal(mask_of(heat, 0.2, "all"), heat > 0)

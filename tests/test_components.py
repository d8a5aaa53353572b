"""Masks and boxes, against masks drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from camscope.arrays import boxes_of, mask_of
from camscope.errors import InputError


def drawn(text: str) -> np.ndarray:
    """A mask from a drawing: `#` is inside."""
    return np.array([[c == "#" for c in line.strip()] for line in text.strip().splitlines()])


TWO = drawn("""
    ##...
    ##...
    ....#
    ....#
""")

DIAGONAL = drawn("""
    #....
    .#...
    ..#..
    ....#
""")


def test_the_mask_is_what_reaches_the_share_of_the_maximum():
    heat = np.array([[0.0, 0.1, 0.2, 0.19], [0.5, 1.0, 0.3, 0.21]])
    assert (mask_of(heat) == [[0, 0, 1, 0], [1, 1, 1, 1]]).all()
    assert (mask_of(heat, 0.5) == [[0, 0, 0, 0], [1, 1, 0, 0]]).all()
    assert (mask_of(heat, 1.0) == [[0, 0, 0, 0], [0, 1, 0, 0]]).all()


def test_the_threshold_is_relative_to_the_maps_own_maximum():
    heat = np.random.default_rng(0).random((6, 7))
    np.testing.assert_array_equal(mask_of(heat / 16), mask_of(heat))


@pytest.mark.parametrize("components", ["all", "largest"])
@pytest.mark.parametrize("heat", [np.zeros((3, 4)), np.full((3, 4), np.nan), np.zeros((0, 4))])
def test_nothing_gives_an_empty_mask_and_no_box(heat, components):
    mask = mask_of(heat, components=components)
    assert mask.shape == heat.shape
    assert mask.dtype == bool
    assert not mask.any()
    assert boxes_of(mask) == []


def test_nan_is_outside():
    heat = np.array([[np.nan, 1.0, 0.1], [0.9, np.nan, 0.1]])
    assert (mask_of(heat) == [[0, 1, 0], [1, 0, 0]]).all()


def test_all_keeps_everything_and_largest_only_the_largest():
    heat = TWO.astype(float)
    heat[3, 4] = 1  # the highest value is not what counts, the size is
    np.testing.assert_array_equal(mask_of(heat), TWO)
    kept = TWO.copy()
    kept[2:] = False
    np.testing.assert_array_equal(mask_of(heat, components="largest"), kept)
    np.testing.assert_array_equal(mask_of(heat[::-1, ::-1], components="largest"), kept[::-1, ::-1])


def test_neighbours_share_a_corner():
    kept = DIAGONAL.copy()
    kept[3, 4] = False
    np.testing.assert_array_equal(mask_of(DIAGONAL.astype(float), components="largest"), kept)
    assert boxes_of(DIAGONAL) == [(0, 0, 3, 3), (4, 3, 5, 4)]


def test_boxes_are_x0_y0_x1_y1_with_exclusive_ends_largest_first():
    assert boxes_of(TWO) == [(0, 0, 2, 2), (4, 2, 5, 4)]
    assert boxes_of(TWO[::-1, ::-1]) == [(3, 2, 5, 4), (0, 0, 1, 2)]
    assert boxes_of(np.ones((4, 5), bool)) == [(0, 0, 5, 4)]


def test_largest_means_positions_not_the_box():
    mask = drawn("""
        #....#.##
        .#..#..##
        ..##...##
        .......##
    """)
    assert boxes_of(mask) == [(7, 0, 9, 4), (0, 0, 6, 3)]


def test_components_of_one_size_keep_the_order_of_reading():
    assert boxes_of(drawn("#.#.#")) == [(0, 0, 1, 1), (2, 0, 3, 1), (4, 0, 5, 1)]


def test_a_box_cuts_out_its_component():
    left, top, right, bottom = boxes_of(TWO)[1]
    assert TWO[top:bottom, left:right].all()


def test_one_axis():
    heat = np.array([0.0, 1, 1, 0, 1, 1, 1, 0])
    assert boxes_of(mask_of(heat)) == [(4, 7), (1, 3)]
    assert mask_of(heat, components="largest").tolist() == [0, 0, 0, 0, 1, 1, 1, 0]


def test_three_axes_are_joined_over_corners_too():
    heat = np.zeros((4, 5, 6))
    heat[0, 0, 0] = heat[1, 1, 1] = 1.0
    heat[3, 2:5, 5] = 0.5
    assert boxes_of(mask_of(heat)) == [(5, 2, 3, 6, 5, 4), (0, 0, 0, 2, 2, 2)]
    assert mask_of(heat, components="largest").sum() == 3


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, float("nan"), float("inf")])
def test_a_threshold_outside_zero_to_one_is_refused(threshold):
    with pytest.raises(InputError, match="above 0 and up to 1"):
        mask_of(np.ones((2, 2)), threshold)


def test_another_word_for_components_is_refused():
    with pytest.raises(InputError, match=r"'biggest'.*'largest' or 'all'"):
        mask_of(np.ones((2, 2)), components="biggest")

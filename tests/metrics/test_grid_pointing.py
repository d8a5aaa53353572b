"""The grid pointing game: by hand, against the paper's sums over pixels, what chance is, and what is refused."""

import itertools

import numpy as np
import pytest
import torch

import camscope
from camscope import metrics

RNG = np.random.default_rng(0)
ALL = np.tile(np.arange(4), (3, 1))


def by_pixels(maps, parts, grid, size):
    """The paper's sums over the pixels of the input, of maps whose cells are drawn as squares."""
    found = np.empty(parts.shape)
    for i, t in itertools.product(range(parts.shape[0]), range(parts.shape[1])):
        one = maps[i, t]
        for axis in (0, 1):
            one = one.repeat(size[axis] // one.shape[axis], axis)
        positive = np.maximum(one, 0)
        row, column = divmod(int(parts[i, t]), grid[1])
        high, wide = size[0] // grid[0], size[1] // grid[1]
        cell = positive[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
        found[i, t] = cell.sum() / positive.sum()
    return found


@pytest.mark.parametrize(
    ("space", "grid"), [((8, 8), (2, 2)), ((7, 7), (2, 2)), ((5, 9), (1, 2)), ((6, 4), (3, 3))]
)
def test_it_is_the_papers_sum_over_pixels(space, grid):
    """Also where the border of two parts runs through a cell, which counts for both by its area."""
    count = grid[0] * grid[1]
    maps = RNG.standard_normal((3, 2, *space))
    parts = RNG.integers(0, count, (3, 2))
    size = (space[0] * grid[0] * 4, space[1] * grid[1] * 4)
    expected = by_pixels(maps, parts, grid, size)
    found = metrics.grid_pointing_game(maps, parts, grid=grid)["map"]
    np.testing.assert_allclose(found, expected)
    tensors = metrics.grid_pointing_game(torch.from_numpy(3 * maps), torch.from_numpy(parts), grid=grid)[
        "map"
    ]
    np.testing.assert_allclose(tensors, expected)


def test_all_of_it_in_the_right_part_is_1_and_negative_evidence_does_not_count():
    maps = np.zeros((1, 2, 4, 4))
    maps[0, :, :2, 2:] = 1
    maps[0, 1, 3, 0] = -5
    assert metrics.grid_pointing_game(maps, [[1, 1]])["map"].tolist() == [[1, 1]]
    assert metrics.grid_pointing_game(maps, [[0, 2]])["map"].tolist() == [[0, 0]]


def test_what_knows_no_class_has_a_share_of_exactly_chance():
    """In the mean over a mosaic's classes: its four shares are of one map, and their sum is 1."""
    activations = RNG.random((3, 5, 7, 7))
    maps = {"mine": RNG.standard_normal((3, 4, 7, 7))}
    measured = metrics.grid_pointing_game(maps, ALL, baselines=metrics.baseline_maps(activations))
    assert list(measured.baselines) == ["mean-activation", "random", "centre"]
    for name in measured.baselines:
        np.testing.assert_allclose(measured[name].mean(1), 0.25)
        assert measured[name].shape == (3, 4)
    np.testing.assert_allclose(measured["centre"], 0.25)
    assert measured["mine"].sum(1) != pytest.approx(1)


@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, -1.0])
def test_a_map_that_says_nothing_cannot_be_judged(value):
    maps = np.full((3, 4, 4, 4), value)
    maps[0] = RNG.random((4, 4, 4)) - (2 if value < 0 else 0)
    found = metrics.grid_pointing_game(maps, ALL)
    assert np.isnan(found["map"][1:]).all()
    assert np.isnan(found["map"][0]).all() == (value < 0)  # it is positive nowhere


@pytest.mark.parametrize(
    ("maps", "parts", "options", "message"),
    [
        ((2, 4, 4, 4), [[0, 1, 2, 4]] * 2, {}, "There is no part 4: the grid has 4, 0 to 3"),
        ((2, 4, 4, 4), [[0, 1, 2, 3]] * 3, {}, "Parts for 3 images, and maps of 2"),
        ((2, 3, 4, 4), [[0, 1, 2, 3]] * 2, {}, r"expected batch, 4 targets \(or 1 for all\)"),
        ((2, 1, 4), [0, 1], {}, "2 axes of space"),
        ((2, 1, 4, 4), [0.5, 1], {}, "the number of the right part"),
        ((2, 1, 4, 4), [0, 1], {"grid": 2}, r"such as \(2, 2\)"),
        ((2, 1, 4, 4), [0, 0], {"grid": (1, 1)}, "how many parts there are along each axis"),
    ],
)
def test_parts_that_do_not_fit_are_refused(maps, parts, options, message):
    with pytest.raises(camscope.InputError, match=message):
        metrics.grid_pointing_game(RNG.random(maps), parts, **options)

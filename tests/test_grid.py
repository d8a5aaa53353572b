"""Every value of a layer's output keeps its place in the canonical shape, and on the way back."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from camscope.models.grid import Grid
from camscope.models.layer import Layer

# ------------------------------------------------------------------ canonical

GRIDS = [
    Grid("channels-first", (3, 4), 5),
    Grid("channels-last", (3, 4), 5),
    Grid("channels-last", (2, 3, 4), 5),
    Grid("channels-first", (6,), 5),
    *[Grid("tokens", (3, 4), 5, prefix) for prefix in (0, 1, 2, 5)],
    Grid("tokens", (2, 3, 4), 5, 1),
    Grid("tokens-last", (3, 4), 5),
    Grid("tokens-last", (3, 4), 5, 1),
    Grid("tokens", (3, 4), 5, 1, order=(1, 0)),
    Grid("tokens-last", (3, 4), 5, order=(1, 0)),
    Grid("tokens", (2, 3, 4), 5, 1, order=(1, 2, 0)),
    Grid("tokens-last", (2, 3, 4), 5, order=(2, 0, 1)),
    Grid("tokens", (3, 4), 5, 1, suffix=2),
    Grid("tokens", (3, 4), 5, inside=(6,)),
    Grid("tokens", (3, 4), 5, 1, suffix=2, inside=(5, 6, 10)),
    Grid("tokens-last", (3, 4), 5, 2, suffix=1, inside=(4,), order=(1, 0)),
]


def output_of(grid):
    """A layer's output in which every number says where it is, and what it is."""
    count = int(np.prod(grid.space)) + grid.prefix + len(grid.inside) + grid.suffix
    shape = {
        "channels-first": (2, grid.channels, *grid.space),
        "channels-last": (2, *grid.space, grid.channels),
        "tokens": (2, count, grid.channels),
        "tokens-last": (2, grid.channels, count),
    }[grid.layout]
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def tokens_of(grid, count):
    """Which of so many tokens are positions, and which are not."""
    others = [n for n in range(count) if n < grid.prefix or n in grid.inside or n >= count - grid.suffix]
    return [n for n in range(count) if n not in others], others


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_value_keeps_its_place(grid):
    output = output_of(grid)
    maps = grid.canonical(output)
    assert maps.shape == (2, grid.channels, *grid.space)
    positions, _ = tokens_of(grid, output.shape[2 if grid.layout == "tokens-last" else 1])
    for b, c, *ij in itertools.product(*(range(n) for n in maps.shape)):
        order = grid.order or range(len(ij))
        number = int(np.ravel_multi_index([ij[a] for a in order], [grid.space[a] for a in order]))
        token = positions[number] if grid.layout.startswith("tokens") else 0
        place = {
            "channels-first": (b, c, *ij),
            "channels-last": (b, *ij, c),
            "tokens": (b, token, c),
            "tokens-last": (b, c, token),
        }[grid.layout]
        assert maps[(b, c, *ij)] == output[place]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_other_activations_are_put_where_theirs_were_and_other_tokens_stay(grid):
    output = output_of(grid)
    altered = -1.0 - grid.canonical(output)
    put = grid.embed(altered, output)
    assert put.shape == output.shape
    np.testing.assert_array_equal(grid.canonical(put), altered)
    if grid.layout.startswith("tokens"):
        axis = 2 if grid.layout == "tokens-last" else 1
        _, others = tokens_of(grid, output.shape[axis])
        np.testing.assert_array_equal(put.take(others, axis), output.take(others, axis))


@pytest.mark.parametrize(
    "grid", [Grid("tokens", (3, 4), 5, 1, inside=(4,)), Grid("channels-last", (6,), 5)], ids=str
)
def test_with_the_batch_second_all_is_the_same_turned(grid):
    output, second = output_of(grid), replace(grid, batch_second=True)
    turned = output.transpose(1, 0, 2)
    np.testing.assert_array_equal(second.canonical(turned), grid.canonical(output))
    altered = -1.0 - grid.canonical(output)
    np.testing.assert_array_equal(
        second.embed(altered, turned), grid.embed(altered, output).transpose(1, 0, 2)
    )
    assert second.moved((0, 2, 1)) is None
    assert second.describe() == f"{grid.describe()} (batch second)"


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_gradient_by_the_canonical_array_is_the_gradient_by_the_output(grid):
    """Of everything but the tokens that are no positions: theirs is zero."""
    output = torch.from_numpy(output_of(grid)).requires_grad_()
    weights = torch.randn(2, grid.channels, *grid.space, generator=torch.Generator().manual_seed(0))
    (grid.canonical(output) * weights).sum().backward()
    torch.testing.assert_close(grid.canonical(output.grad), weights, rtol=0, atol=0)
    assert (output.grad != 0).sum() == weights.numel()


@pytest.mark.parametrize("grid", [g for g in GRIDS if g.layout != "tokens-last" and not g.inside], ids=str)
def test_it_is_a_view_of_the_output(grid):
    output = torch.from_numpy(output_of(grid))
    assert grid.canonical(output).untyped_storage().data_ptr() == output.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (Grid("channels-first", (7, 10), 512), "7×10"),
        (Grid("channels-last", (7, 7), 768), "7×7 (channels last)"),
        (Grid("tokens", (14, 14), 192), "14×14 tokens"),
        (Grid("tokens", (14, 14), 192, 1), "14×14 tokens + 1 prefix"),
        (Grid("tokens", (14, 14), 192, 5), "14×14 tokens + 5 prefix"),
        (Grid("tokens", (14, 14), 192, 0, order=(1, 0)), "14×14 tokens (column by column)"),
        (Grid("tokens", (14, 14), 192, 1, suffix=4), "14×14 tokens + 1 prefix + 4 behind"),
        (Grid("tokens", (14, 14), 192, inside=(98,)), "14×14 tokens + 1 in between"),
        (Grid("tokens", (8, 7, 6), 192, 1, order=(1, 2, 0)), "8×7×6 tokens + 1 prefix (place by place)"),
        (Grid("tokens", (8, 7, 6), 192, order=(2, 1, 0)), "8×7×6 tokens (axes in order (2, 1, 0))"),
    ],
)
def test_in_words(grid, words):
    assert grid.describe() == words


# ------------------------------------------------------------------ axes in another order


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_grid_follows_the_axes_of_its_output_or_is_given_up(grid):
    output = output_of(grid)
    found = set()
    for axes in itertools.permutations(range(output.ndim)):
        moved = grid.moved(axes)
        if moved is not None:
            found.add(moved.layout)
            assert np.array_equal(moved.canonical(output.transpose(axes)), grid.canonical(output))
    both = {"tokens", "tokens-last"} if "tokens" in grid.layout else {"channels-first", "channels-last"}
    assert found == both
    assert grid.moved(range(output.ndim)) == grid
    if output.ndim == 4:
        assert grid.moved((0, 1, 3, 2)) is None  # rows and columns change places


def test_a_program_is_told_which_tokens_are_no_position():
    grid = Grid("tokens", (2, 3), 4, prefix=1, suffix=2, inside=(3, 5))
    told = Layer("blocks", "Block", (1, 11, 4), grid, 1, outline=True, eligible=True).to_dict()
    assert (told["prefix_tokens"], told["tokens_between"], told["suffix_tokens"]) == (1, [3, 5], 2)
    assert (told["shape"], told["grid"], told["batch_axis"]) == ([1, 11, 4], [2, 3], 0)

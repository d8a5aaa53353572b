"""Where the grid is in a layer's output, from shapes alone; and that every value keeps its place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from camscope.models.grid import Grid, find_grid

PHOTO = (2, 3, 224, 224)
WIDE = (2, 3, 224, 320)


class TestFeatureMaps:
    @pytest.mark.parametrize(
        ("shape", "given", "space"),
        [
            ((2, 512, 7, 7), PHOTO, (7, 7)),
            ((2, 64, 112, 112), PHOTO, (112, 112)),
            ((2, 3, 224, 224), PHOTO, (224, 224)),
            ((2, 512, 7, 10), WIDE, (7, 10)),
            ((2, 512, 8, 11), (2, 3, 225, 321), (8, 11)),  # strides round up
            ((2, 512, 3, 5), (2, 3, 96, 140), (3, 5)),
            ((2, 16, 1, 10), (2, 3, 32, 320), (1, 10)),
            ((2, 8, 32), (2, 1, 128), (32,)),
            ((2, 8, 4, 14, 14), (2, 3, 32, 112, 112), (4, 14, 14)),
        ],
    )
    @pytest.mark.parametrize("prefers_last", [False, None])
    def test_channels_first(self, shape, given, space, prefers_last):
        found = find_grid(shape, given, prefers_last=prefers_last)
        assert found == Grid("channels-first", space, shape[1])

    @pytest.mark.parametrize(
        ("shape", "given", "space"),
        [
            ((2, 7, 7, 768), PHOTO, (7, 7)),
            ((2, 7, 10, 768), WIDE, (7, 10)),
            ((2, 8, 11, 96), (2, 3, 225, 321), (8, 11)),
            ((2, 4, 14, 14, 96), (2, 3, 32, 112, 112), (4, 14, 14)),
        ],
    )
    @pytest.mark.parametrize("prefers_last", [True, None])
    def test_channels_last(self, shape, given, space, prefers_last):
        found = find_grid(shape, given, prefers_last=prefers_last)
        assert found == Grid("channels-last", space, shape[-1])

    def test_a_strided_axis_of_time_is_known_by_the_kind_of_layer(self):
        """A video net may stride space by 16 and time by 4."""
        given = (2, 3, 16, 112, 112)
        assert find_grid((2, 64, 4, 7, 7), given, prefers_last=False) == Grid("channels-first", (4, 7, 7), 64)
        assert find_grid((2, 4, 7, 7, 64), given, prefers_last=True) == Grid("channels-last", (4, 7, 7), 64)

    @pytest.mark.parametrize("shape", [(2, 16, 196, 96), (2, 4, 196, 192), (2, 1, 196, 384)], ids=str)
    def test_a_grid_cut_into_windows_is_none(self, shape):
        """NesT's blocks put out `batch window token channel`: no axes of an image, and no telling which is where."""
        assert find_grid(shape, PHOTO, [(56, 56), (28, 28), (14, 14)], prefers_last=True) is None

    def test_one_axis_with_channels_last_needs_the_kind_of_layer(self):
        assert find_grid((2, 32, 16), (2, 1, 128), prefers_last=True) == Grid("channels-last", (32,), 16)

    @pytest.mark.parametrize(
        ("prefers_last", "layout"),
        [(True, "channels-last"), (False, "channels-first"), (None, "channels-first")],
    )
    def test_the_kind_of_layer_decides_what_the_sizes_leave_open(self, prefers_last, layout):
        assert find_grid((2, 14, 14, 14), PHOTO, prefers_last=prefers_last) == Grid(layout, (14, 14), 14)

    def test_sizes_beyond_doubt_overrule_the_kind_of_layer(self):
        assert find_grid((2, 96, 56, 56), PHOTO, prefers_last=True) == Grid("channels-first", (56, 56), 96)
        assert find_grid((2, 56, 56, 96), PHOTO, prefers_last=False) == Grid("channels-last", (56, 56), 96)


class TestTokens:
    @pytest.mark.parametrize("prefix", [0, 1, 2, 5])
    @pytest.mark.parametrize(
        ("given", "space"), [(PHOTO, (14, 14)), (WIDE, (14, 20)), ((2, 3, 224, 96), (14, 6))], ids=str
    )
    def test_the_grid_of_the_patches_and_what_is_in_front_of_it(self, given, space, prefix):
        count = space[0] * space[1]
        found = find_grid((2, count + prefix, 192), given, seen=[space])
        assert found == Grid("tokens", space, 192, prefix)
        # without a patch embedding seen: by the input's own aspect
        assert find_grid((2, count + prefix, 192), given) == found

    def test_a_latent_axis_in_front_is_no_grid_of_positions(self):
        assert find_grid((2, 192, 196), PHOTO, seen=[(14, 14)]) == Grid("tokens-last", (14, 14), 192)

    def test_of_the_grids_seen_the_fitting_one_is_taken(self):
        seen = [(56, 56), (28, 28), (14, 14), (7, 7)]
        assert find_grid((2, 784, 192), PHOTO, seen=seen).space == (28, 28)
        assert find_grid((2, 50, 192), PHOTO, seen=seen) == Grid("tokens", (7, 7), 192, 1)

    @pytest.mark.parametrize("seen", [[(14, 14), (13, 14)], [(13, 14), (14, 14)]])
    def test_the_fewest_prefix_tokens_are_presumed(self, seen):
        assert find_grid((2, 197, 192), PHOTO, seen=seen) == Grid("tokens", (14, 14), 192, 1)

    def test_many_registers(self):
        assert find_grid((2, 196 + 1 + 16, 192), PHOTO, seen=[(14, 14)]) == Grid("tokens", (14, 14), 192, 17)

    def test_a_volume_of_patches(self):
        found = find_grid((2, 4 * 7 * 7 + 1, 96), (2, 1, 32, 56, 56), seen=[(4, 7, 7)])
        assert found == Grid("tokens", (4, 7, 7), 96, 1)


@pytest.mark.parametrize(
    ("shape", "given", "seen"),
    [
        ((2, 1000), PHOTO, []),
        ((2,), PHOTO, []),
        ((3, 64, 7, 7), PHOTO, []),  # another batch: windows, or a parameter
        ((128, 49, 96), PHOTO, [(14, 14)]),
        ((2, 512, 1, 1), PHOTO, []),
        ((2, 1, 1, 512), PHOTO, []),
        ((2, 16, 1), (2, 1, 128), []),
        ((2, 1, 768), PHOTO, [(14, 14)]),  # the class token alone
        ((2, 2, 768), PHOTO, [(14, 14)]),
        ((2, 162, 768), PHOTO, [(14, 14)]),  # near no square
        ((2, 8, 17, 31), PHOTO, []),
        ((2, 3, 5, 7, 9), PHOTO, []),
    ],
    ids=str,
)
def test_no_grid(shape, given, seen):
    assert find_grid(shape, given, seen) is None


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
]


def output_of(grid):
    """A layer's output in which every number says where it is, and what it is."""
    count = int(np.prod(grid.space))
    shape = {
        "channels-first": (2, grid.channels, *grid.space),
        "channels-last": (2, *grid.space, grid.channels),
        "tokens": (2, grid.prefix + count, grid.channels),
        "tokens-last": (2, grid.channels, grid.prefix + count),
    }[grid.layout]
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_every_value_keeps_its_place(grid):
    output = output_of(grid)
    maps = grid.canonical(output)
    assert maps.shape == (2, grid.channels, *grid.space)
    for b, c, *ij in itertools.product(*(range(n) for n in maps.shape)):
        token = grid.prefix + int(np.ravel_multi_index(ij, grid.space))
        place = {
            "channels-first": (b, c, *ij),
            "channels-last": (b, *ij, c),
            "tokens": (b, token, c),
            "tokens-last": (b, c, token),
        }[grid.layout]
        assert maps[(b, c, *ij)] == output[place]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_other_activations_are_put_where_theirs_were_and_prefix_tokens_stay(grid):
    output = output_of(grid)
    altered = -1.0 - grid.canonical(output)
    put = grid.embed(altered, output)
    assert put.shape == output.shape
    np.testing.assert_array_equal(grid.canonical(put), altered)
    kept = {"tokens": np.s_[:, : grid.prefix], "tokens-last": np.s_[..., : grid.prefix]}.get(grid.layout)
    if kept is not None:
        np.testing.assert_array_equal(put[kept], output[kept])


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_a_gradient_by_the_canonical_array_is_the_gradient_by_the_output(grid):
    """Of everything but the prefix tokens, which are no positions: theirs is zero."""
    output = torch.from_numpy(output_of(grid)).requires_grad_()
    weights = torch.randn(2, grid.channels, *grid.space, generator=torch.Generator().manual_seed(0))
    (grid.canonical(output) * weights).sum().backward()
    torch.testing.assert_close(grid.canonical(output.grad), weights, rtol=0, atol=0)
    assert (output.grad != 0).sum() == weights.numel()


@pytest.mark.parametrize("grid", [g for g in GRIDS if g.layout != "tokens-last"], ids=str)
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
    ],
)
def test_in_words(grid, words):
    assert grid.describe() == words


def test_a_convolution_has_its_channels_first_whatever_the_sizes_look_like():
    """An input that is padded to another aspect, and as many channels as rows."""
    shape, inputs = (1, 32, 32, 40), (1, 3, 96, 100)
    assert find_grid(shape, inputs, prefers_last=False, certain=True).space == (32, 40)

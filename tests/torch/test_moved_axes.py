"""What went into a layer as a view with its channels last has the grid of what it is a view of: memory tells it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import camscope
from camscope.models.torch.anatomy.trace import _moved
from tests.torch.nets import batch

SAME = 4
"""Channels, rows and columns: no shape tells which is which, and sixteen positions tell little by numbers."""


class Inside(nn.Module):
    """A block as in ConvNeXt on a grid so small that each position sees nearly all of it."""

    def __init__(self, mix: nn.Module | None = None, *, copied: bool = False, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(3, SAME, 3, 2, 1)
            self.mix = nn.Conv2d(SAME, SAME, 5, 1, 2, groups=SAME) if mix is None else mix
            self.norm, self.fc1, self.fc2 = nn.LayerNorm(SAME), nn.Linear(SAME, SAME), nn.Linear(SAME, SAME)
            self.head = nn.Linear(SAME, 3)
        self.copied = copied

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.mix(self.stem(x))
        y = y.movedim(1, -1)
        y = self.fc1(self.norm(y.contiguous() if self.copied else y)).tanh()
        return self.head((self.fc2(y).movedim(-1, 1)).mean((2, 3)))


class Everywhere(nn.Module):
    """Adds the mean over all positions of other channels, so that places are hard to tell by what they answer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.05 * x + x.flip(1).mean((2, 3), keepdim=True)


def grids(model: nn.Module) -> dict[str, tuple[str, tuple[int, ...]]]:
    layers, _ = camscope.Explainer(model.eval()).layers(batch(1, 3, 8, 8), every=True)
    return {layer.name: (layer.grid.layout, layer.grid.space) for layer in layers}


def test_layers_behind_a_view_have_the_grid_of_what_it_is_a_view_of():
    first, last = ("channels-first", (SAME, SAME)), ("channels-last", (SAME, SAME))
    assert grids(Inside()) == {"stem": first, "mix": first, "norm": last, "fc1": last}


def test_without_it_numbers_alone_decide():
    assert list(grids(Inside(copied=True))) == ["stem", "mix"]


def test_where_what_went_in_has_no_grid_nothing_is_taken_from_it():
    assert list(grids(Inside(Everywhere()))) == ["stem"]


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 4, 4, 4), (1, 5, 1, 4), (2, 3, 4, 5)], ids=str)
def test_the_order_of_axes_is_read_from_memory(shape):
    base = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    for axes in itertools.permutations(range(len(shape))):
        view = base.permute(axes)
        found = _moved(base, view)
        assert found is not None
        assert torch.equal(base.permute(found), view)
        if 1 not in shape:
            assert found == axes


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.flip(2),
        lambda x: x[:, :, :2],
        lambda x: x[:, :, 2:].movedim(1, -1),
        lambda x: x.flatten(2),
        lambda x: x.view(2, 4, 2, 8),
        lambda x: x[:, :1].expand(2, 4, 4, 4),
        lambda x: x.unfold(2, 2, 1)[..., 0],
    ],
    ids=["mirrored", "cut", "cut and moved", "flat", "reshaped", "repeated", "windows"],
)
def test_anything_but_moved_axes_is_none(view):
    base = torch.randn(2, 4, 4, 4)
    assert _moved(base, view(base)) is None

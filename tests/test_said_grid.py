"""The grid of a named layer is what the user says, for every kind of need; what cannot be it is refused."""

from __future__ import annotations

import pytest
import torch
from einops import rearrange
from torch import nn

import camscope
from camscope import LayerError
from camscope.models.grid import Grid, Rearranged

METHODS = ["gradcam", "hirescam", "layercam", "eigencam", "ablationcam", "scorecam", "reciprocam"]


class Shuffled(nn.Module):
    """Two tokens that are no position, and 6 × 8 behind them; `mixed` puts the positions in an order of its own."""

    def __init__(self, order):
        super().__init__()
        self.patches, self.order = nn.Conv2d(3, 8, 4, 4), order
        self.mixed, self.block, self.head = nn.Identity(), nn.Linear(8, 8), nn.Linear(8, 3)
        self.first = nn.Parameter(torch.randn(1, 2, 8))

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT[:, self.order]
        tokens = self.mixed(torch.cat([self.first.expand(len(x), -1, -1), tokens], 1))
        return self.head(self.block(tokens).relu().square().mean(1))


@pytest.fixture
def shuffled():
    torch.manual_seed(0)
    order = torch.randperm(48)
    return Shuffled(order).double().eval(), torch.randn(2, 3, 24, 32, dtype=torch.float64), order


def test_a_function_says_any_order(shuffled):
    """Every method gives, at each place, what it gives of the same network with its tokens in order."""
    model, x, order = shuffled
    inverse = order.argsort()

    def in_order(output):
        return rearrange(output[:, 2:][:, inverse], "b (h w) c -> b c h w", h=6)

    with pytest.raises(LayerError, match="no spatial grid"):
        camscope.explain(model, x, layers="block")
    found = camscope.explain(model, x, layers="block", methods=METHODS, targets=[0, 2], grid=in_order)
    plain = Shuffled(torch.arange(48)).double().eval()
    plain.load_state_dict(model.state_dict())
    expected = camscope.explain(plain, x, layers="block", methods=METHODS, targets=[0, 2])
    assert tuple(found.maps("gradcam").shape) == (2, 2, 6, 8)
    for method in METHODS:
        torch.testing.assert_close(found.maps(method), expected.maps(method), rtol=1e-6, atol=1e-9)


def test_a_size_says_where_nothing_answers(shuffled):
    model, x, _ = shuffled
    said = camscope.explain(model, x, layers="block", grid={"block": (6, 8)}, targets=1)
    function = camscope.explain(
        model,
        x,
        layers="block",
        targets=1,
        grid=lambda out: rearrange(out[:, 2:], "b (h w) c -> b c h w", h=6),
    )
    torch.testing.assert_close(said.maps(), function.maps(), rtol=0, atol=0)
    assert "6×8 tokens + 2 prefix" in said.provenance["layers"]["layers"]["block"]


def test_what_is_said_of_one_layer_says_nothing_of_another(shuffled):
    model, x, _ = shuffled
    said = camscope.explain(model, x, layers=["patches", "block"], grid={"block": (6, 8)}, methods="gradcam")
    found = camscope.explain(model, x, layers="patches", methods="gradcam")
    assert torch.equal(said.maps("gradcam", "patches"), found.maps("gradcam", "patches"))


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ((4, 4), r"grid=\(4, 4\) does not fit 'block', whose output has shape \(1, 50, 8\)"),
        ((48,), r"grid=\(48,\) for 'block': expected 2 whole numbers"),
        ((6.0, 8), r"expected 2 whole numbers"),
        (lambda out: out, r"makes \(1, 50, 8\) of \(1, 50, 8\); expected \(1, channel, \*space\)"),
        (lambda out: rearrange(2 * out[:, 2:], "b (h w) c -> b c h w", h=6), "does more than to rearrange"),
        (
            lambda out: rearrange(out[:, 2:] + 1000, "b (h w) c -> b c h w", h=6),
            "does more than to rearrange",
        ),
        (lambda out: out[:, :48].mean(2).reshape(1, 1, 6, 8), "does more than to rearrange"),
        (lambda out: out[:, [2] * 48].reshape(1, 8, 6, 8), "does more than to rearrange"),
    ],
    ids=["too small", "one axis", "no whole numbers", "no axes", "doubled", "shifted", "averaged", "twice"],
)
def test_what_cannot_be_the_grid_is_refused(shuffled, grid, message):
    model, x, _ = shuffled
    with pytest.raises(LayerError, match=message):
        camscope.explain(model, x, layers="block", grid=grid)


def test_altered_activations_go_back_to_their_places():
    places = torch.randperm(30)[:24].reshape(2, 3, 4).numpy()
    grid = Rearranged("channels-first", (3, 4), 2, places=places)
    output = torch.randn(5, 6, 5)
    assert torch.equal(grid.canonical(output), output.reshape(5, -1)[:, places])
    assert torch.equal(grid.embed(grid.canonical(output), output), output)
    other = grid.embed(torch.zeros(5, 2, 3, 4), output)
    assert torch.equal(grid.canonical(other), torch.zeros(5, 2, 3, 4))
    assert int((other != output).sum()) == 5 * 24
    assert grid != Grid("channels-first", (3, 4), 2)

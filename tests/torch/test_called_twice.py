"""A module that runs on all tokens and then on the pooled vector, and layers wrapped by adapters (LoRA)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import camscope
from tests.torch.nets import Net, batch, gap_head

X = batch(2, 3, 32, 32)


class NormedTwice(nn.Module):
    """One norm of all tokens, and of their mean, as BLIP's vision model has it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.block = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(x).flatten(2).mT
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], 1)
        return self.head(self.norm(self.norm(self.block(tokens)).mean(1)))


@pytest.mark.parametrize(
    "method", ["gradcam", "ablationcam", "reciprocam", "eigencam", "fuse(layercam, max)"]
)
def test_the_layer_before_a_norm_that_also_runs_on_the_pooled_vector_is_chosen(method):
    found = camscope.explain(NormedTwice().eval(), X, methods=method, targets=1)
    assert found.layers[-1].endswith("block")


def test_the_norm_is_refused_naming_a_layer_that_works():
    with pytest.raises(camscope.LayerError, match=r"'norm' has no spatial grid.*\(1, 16\).*'block' has one"):
        camscope.explain(NormedTwice().eval(), X, layers=["block", "norm"])


class LoRA(nn.Module):
    """A layer with a low-rank change beside it, as PEFT wraps it."""

    def __init__(self, base: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.base_layer = base
        if isinstance(base, nn.Conv2d):
            self.lora_A = nn.Conv2d(
                base.in_channels, 2, base.kernel_size, base.stride, base.padding, bias=False
            )
            self.lora_B = nn.Conv2d(2, base.out_channels, 1, bias=False)
        else:
            self.lora_A = nn.Linear(base.in_features, 2, bias=False)
            self.lora_B = nn.Linear(2, base.out_features, bias=False)

    @property
    def weight(self) -> torch.Tensor:
        return self.base_layer.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + 2 * self.lora_B(self.lora_A(x))


class Merged(nn.Module):
    """Forwards whatever is not found to the model inside, as PEFT's outermost module does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.base_model = model

    def __getattr__(self, name: str) -> object:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base_model"), name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_model(x)


@pytest.mark.parametrize("optimised", [False, True])
def test_low_rank_changes_beside_layers_count(optimised):
    torch.manual_seed(0)
    inner = Net(gap_head()).eval()
    inner.body[0], inner.head[3] = LoRA(inner.body[0]), LoRA(inner.head[3])
    model = Merged(inner).eval()
    found = camscope.explain(model, X, targets=1, optimised=optimised)
    assert found.layers == ("base_model.body",)
    with camscope.record(model, ["base_model.body"]) as seen:
        score = model(X)[:, 1].sum()
        (gradient,) = torch.autograd.grad(score, seen["base_model.body"].activations)
    expected = (gradient.mean((2, 3), keepdim=True) * seen["base_model.body"].activations).sum(
        1, keepdim=True
    )
    torch.testing.assert_close(found.maps(), expected.detach(), rtol=1e-4, atol=1e-6)


class Block(nn.Module):
    """A convolution, and an activation that all blocks share, as ultralytics' have it."""

    shared = nn.ReLU()

    def __init__(self, inside: int, out: int) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(inside, out, 3, 2, 1), self.shared

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv(x))


def test_a_block_stands_for_what_the_activation_that_it_shares_puts_out():
    model = nn.Sequential(Block(3, 8), Block(8, 8), Block(8, 16), gap_head(channels=16)).eval()
    layers, chosen = camscope.Explainer(model).layers(X)
    assert [layer.name for layer in layers][:3] == ["0", "1", "2"]
    assert chosen is not None
    assert chosen.name == "2"
    assert camscope.explain(model, X).layers == ("2",)


def test_a_layer_that_runs_again_is_listed_where_it_ran_last():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.act, self.head = nn.ReLU(), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.act(self.second(self.act(self.first(x)))).mean((2, 3)))

    layers, chosen = camscope.Explainer(Shared().eval()).layers(torch.randn(1, 3, 16, 16), every=True)
    assert [layer.name for layer in layers] == ["first", "second", "act"]
    assert (chosen.name, chosen.calls) == ("act", 2)

"""Small networks that are what they are: each isolates one thing about a model."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import camscope
from camscope.evidence import Evidence, Need
from camscope.methods import Method

METHODS = [
    "cam",
    "gradcam",
    "hirescam",
    "layercam",
    "gradcam++",
    "gradcam++-official",
    "xgradcam",
    "eigencam",
    "mean-activation",
    "random",
    "centre",
]
"""What one forward and one short backward give; the others have tests of their own."""
ANYWHERE = [name for name in METHODS if name != "cam"]
"""Every method that does not presume a linear head."""
HAND_MADE = ["gradcam", "hirescam", "layercam", "gradcam++", "gradcam++-official", "xgradcam"]
"""The methods that need gradients."""


class Net(nn.Module):
    """stem → body → head, 1D, 2D or 3D. `stem` halves the input, `body` halves it again (12 channels, after an
    in-place ReLU). The norms have statistics that a trained net could have.
    """

    def __init__(
        self, head: nn.Module | None = None, *, dims: int = 2, channels: int = 3, seed: int = 0
    ) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = nn.Sequential(conv(channels, 8, 3, 2, 1), norm(8), nn.ReLU(inplace=True))
            self.body = nn.Sequential(conv(8, 12, 3, 2, 1), norm(12), nn.ReLU(inplace=True))
            for block in (self.stem, self.body):
                nn.init.normal_(block[1].running_mean, 0, 0.2)
                nn.init.uniform_(block[1].running_var, 0.2, 0.8)
            self.head = gap_head(dims=dims) if head is None else head

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.body(self.stem(x)))


def gap_head(classes: int = 5, *, dims: int = 2, channels: int = 12, seed: int = 1) -> nn.Sequential:
    """Global average pooling, dropout, one linear layer."""
    pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dims - 1]
    return nn.Sequential(pool(1), nn.Flatten(), nn.Dropout(0.3), linear(channels, classes, seed))


def mlp_head(cells: int, classes: int = 5, *, channels: int = 12, seed: int = 1) -> nn.Sequential:
    """A head that is not linear: every position counts differently, and for every input anew."""
    return nn.Sequential(
        nn.Flatten(),
        linear(channels * cells, 20, seed),
        nn.Tanh(),
        nn.Dropout(0.3),
        linear(20, classes, seed + 1),
    )


def linear(inputs: int, outputs: int, seed: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / inputs**0.5 * 3)
        layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator))
    return layer


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


class Backwards(nn.Module):
    """An identity that counts the backwards through it, and the forwards that built a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.backwards = 0
        self.forwards = 0
        self.graphs = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        counter = self

        class Count(torch.autograd.Function):
            @staticmethod
            def forward(_ctx: Any, x: torch.Tensor) -> torch.Tensor:
                return x.clone()

            @staticmethod
            def backward(_ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
                counter.backwards += 1
                return gradient

        y = Count.apply(x)
        self.forwards += 1
        self.graphs += y.requires_grad
        return y


class Noisy(nn.Module):
    """Draws random numbers in eval mode too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.1 * torch.randn_like(x)


class SharedReLU(nn.Module):
    """One ReLU, called after each of three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.three, self.fc = nn.Conv2d(6, 4, 3, stride=2), nn.Linear(4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.unused = nn.Conv2d(6, 6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.one(x))
        x = self.relu(self.two(x))
        x = self.relu(self.three(x))
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def batch(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Seeded noise."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@functools.lru_cache(maxsize=8)
def explainer_of(model: nn.Module, **options: Any) -> camscope.Explainer:
    """One for a model, so that it is looked at once, however many calls of it a test compares."""
    return camscope.Explainer(model, **options)


def _spy(look: Callable[[Evidence], torch.Tensor], needs: set[Need], *, class_specific: bool) -> Method:
    """A method that just looks."""
    return Method(
        "spy",
        look,
        frozenset(needs),
        paper="",
        formula="",
        advice="",
        cost="",
        class_specific=class_specific,
        rectified=class_specific,
        nonnegative=False,
    )


def evidence_of(model: nn.Module, x: torch.Tensor, **call: Any) -> Evidence:
    """What a method gets to see, through a method that just looks. For one layer."""
    seen: list[Evidence] = []

    def look(evidence: Evidence) -> torch.Tensor:
        seen.append(evidence)
        assert evidence.gradients is not None
        return (evidence.gradients.detach() * evidence.activations[:, None]).sum(2)

    spy = _spy(look, {Need.ACTIVATIONS, Need.GRADIENTS}, class_specific=True)
    camscope.explain(model, x, methods=[spy], **call)
    (only,) = seen
    return only


def activations_of(explainer: camscope.Explainer, x: torch.Tensor, layer: str) -> torch.Tensor:
    """What a method gets to see of a layer's activations, `batch channel *space`."""
    seen: list[torch.Tensor] = []

    def look(evidence: Evidence) -> torch.Tensor:
        seen.append(evidence.activations)
        return evidence.activations[:, :1]

    spy = _spy(look, {Need.ACTIVATIONS}, class_specific=False)
    explainer(x, methods=[spy], layers=layer)
    return seen[0]


def case_name(case: object) -> str:
    """A parameter's name that is the same in every process: no address of a lambda in it."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(case))

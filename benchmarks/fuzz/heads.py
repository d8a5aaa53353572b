"""How a network ends: what is pooled, the classifier, and a softmax or sigmoid behind it; and how that may be read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from benchmarks.fuzz.places import Place
from benchmarks.fuzz.steps import Step

Scores = Callable[[torch.Tensor], torch.Tensor]
"""From what the classifier puts out, `batch output`, to one number per class."""


@dataclass(frozen=True)
class Head(Step):
    """From features to what the model returns.

    Attributes:
        pool: `mean`, `module`, `sum`, `max`, `flat`; of tokens also `class` (the first that is no position), `first`,
            `last`, and `grid` (of the positions); `conv` is a convolution with a kernel of one position, and then the
            mean.
        classes: how many outputs.
        rectify: whether a ReLU by function stands before the pooling.
        hidden: how many hidden features; 0 for a linear classifier.
        end: what is done to its outputs; a module's name (`Sigmoid`), else a function's.
        shared: whether heads share one module for that.
    """

    pool: str = "mean"
    classes: int = 4
    rectify: bool = False
    hidden: int = 0
    end: str = "logits"
    shared: bool = True

    def module(self, at: Place) -> nn.Module:
        return Classifier(self, at)

    def out(self, at: Place) -> Place:
        return Place("vector", self.classes)

    @property
    def activation(self) -> str:
        """The name of the module behind the classifier; empty if there is none."""
        if self.end not in ENDING_MODULES:
            return ""
        return f"last_{self.end.lower()}" if self.shared else f"{self.name}_act"

    def ended(self, net: nn.Module, z: torch.Tensor) -> torch.Tensor:
        """What the model returns."""
        return getattr(net, self.activation)(z) if self.activation else FUNCTIONS[self.end](z)


class Classifier(nn.Module):
    """Pools, and then a linear layer or two."""

    def __init__(self, head: Head, at: Place) -> None:
        super().__init__()
        self.head, self.at = head, at
        width = at.channels * (math.prod(at.space) if head.pool == "flat" else 1)
        self.pool = (
            (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)[len(at.space) - 1](1)
            if head.pool == "module"
            else None
        )
        self.inside: dict[str, Place] = {"pool": Place("vector", at.channels)}
        if head.hidden:
            self.fc1, self.act = nn.Linear(width, head.hidden), nn.ReLU()
            self.inside |= dict.fromkeys(["fc1", "act"], Place("vector", head.hidden))
        if head.pool == "conv":
            kind = (nn.Conv1d, nn.Conv2d)[len(at.space) - 1]
            self.fc = kind(head.hidden or width, head.classes, 1)
            self.inside["fc"] = Place("first", head.classes, at.space)
        else:
            self.fc = nn.Linear(head.hidden or width, head.classes)
            self.inside["fc"] = Place("vector", head.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From features to `batch output`."""
        x = torch.relu(x) if self.head.rectify else x
        if self.head.pool == "conv":
            return self.fc(x).flatten(2).mean(2)
        x = self._pooled(x)
        return self.fc(self.act(self.fc1(x)) if self.head.hidden else x)

    def _pooled(self, x: torch.Tensor) -> torch.Tensor:
        pool, at = self.head.pool, self.at
        if at.is_tokens:
            one = {"class": at.others[:1], "first": (0,), "last": (-1,)}
            if pool in one:
                return x[:, one[pool][0]]
            positions = [n for n in range(x.shape[1]) if n not in at.others]  # of an input of any length
            return (x[:, positions] if pool == "grid" else x).mean(1)
        if pool == "module":
            return self.pool(x).flatten(1)
        if pool == "flat":
            return x.flatten(1)
        flat = at.canonical(x).flatten(2)
        return {"mean": flat.mean, "sum": flat.sum, "max": flat.amax}[pool](2)


ENDING_MODULES = {
    "Sigmoid": nn.Sigmoid,
    "Softmax": lambda: nn.Softmax(1),
    "LogSoftmax": lambda: nn.LogSoftmax(1),
}

FUNCTIONS: dict[str, Scores] = {
    "logits": lambda z: z,
    "squeezed": lambda z: z.squeeze(1),
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: torch.softmax(z, 1),
    "relu": torch.relu,
    "clamp": lambda z: z.clamp(max=0.3),
    "sigmoid times 4": lambda z: torch.sigmoid(z) * 4,
    "price and shares": lambda z: torch.cat([1e5 * z[:, :1], z[:, 1:].softmax(1)], 1),
}


@dataclass(frozen=True)
class Reading:
    """One honest way to read a model's outputs.

    Attributes:
        logits: from what the classifier puts out to one score per class.
        by: `softmax` or `sigmoid`, which makes probabilities of them; None for plain numbers.
    """

    logits: Scores
    by: Literal["softmax", "sigmoid"] | None

    @property
    def probabilities(self) -> Scores | None:
        """The probability of each class; None for plain numbers."""
        return self.of("probability")

    def of(self, score: str) -> Scores | None:
        """The scores of one kind; None if there are none."""
        logits = self.logits
        if score == "logit" or self.by is None:
            return logits if score == "logit" else None
        log: Scores = functional.logsigmoid if self.by == "sigmoid" else lambda y: torch.log_softmax(y, 1)
        if score == "probability":
            return lambda z: log(logits(z)).exp()
        if score == "log-probability":
            return lambda z: log(logits(z))
        return lambda z: logits(z) + log(logits(z))


def _both(z: torch.Tensor) -> torch.Tensor:
    """The two classes of a yes/no question; else what is given."""
    return torch.cat([-z, z], 1) if z.shape[1] == 1 else z


def readings(head: Head, task: str | None) -> list[Reading]:
    """The honest ways to read a head's outputs, each as good as the others.

    Args:
        head: the head.
        task: what the user says.
    """
    if head.end in ("Sigmoid", "sigmoid"):
        by_logits = [Reading(_both, "sigmoid")]
        # the plain numbers that the model returns, without another sigmoid over them
        return by_logits if head.end == "Sigmoid" else [*by_logits, Reading(torch.sigmoid, None)]
    if head.end in ("Softmax", "softmax", "LogSoftmax"):
        # of probabilities by a function the logits cannot be had, but their logarithm
        return [Reading(lambda z: z, "softmax"), Reading(lambda z: torch.log_softmax(z, 1), "softmax")]
    end = (lambda z: z) if head.end == "squeezed" else FUNCTIONS[head.end]
    if task == "regression":
        return [Reading(end, None)]
    if task == "multilabel":
        return [Reading(end, "sigmoid")]
    return [Reading(lambda z: _both(end(z)), "sigmoid" if head.classes == 1 else "softmax")]

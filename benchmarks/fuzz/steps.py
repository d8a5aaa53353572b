"""The steps that a recipe is written in. Each knows the module it needs, and where its output keeps its positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from benchmarks.fuzz import blocks
from benchmarks.fuzz.places import Place


@dataclass(frozen=True)
class Step:
    """One step of a network. Steps of the same name share a module.

    Attributes:
        name: of its module; empty if it has none.
    """

    name: str = ""

    def module(self, at: Place) -> nn.Module | None:
        """Its module, from where its input keeps its positions."""
        return None

    def out(self, at: Place) -> Place:
        """Where its output keeps its positions."""
        return at

    def run(self, net: Any, x: torch.Tensor, at: Place) -> torch.Tensor:
        """Take the step in the network."""
        return getattr(net, self.name)(x)


ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh}


# ---------------------------------------------------------------------------------------- on batch channel *space


@dataclass(frozen=True)
class Conv(Step):
    """A convolution; the first `dead` channels are never positive."""

    channels: int = 8
    kernel: int = 3
    stride: int = 1
    dead: int = 0

    def module(self, at: Place) -> nn.Module:
        return blocks.convolution(at, self.channels, self.kernel, self.stride)

    def out(self, at: Place) -> Place:
        pad = self.kernel // 2
        space = tuple((n + 2 * pad - self.kernel) // self.stride + 1 for n in at.space)
        return Place("first", self.channels, space)


@dataclass(frozen=True)
class Norm(Step):
    """Batch norm with statistics that a trained network could have."""

    def module(self, at: Place) -> nn.Module:
        norm = (nn.BatchNorm1d, nn.BatchNorm2d)[len(at.space) - 1](at.channels)
        nn.init.normal_(norm.running_mean, 0, 0.2)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
        return norm


@dataclass(frozen=True)
class Act(Step):
    """An activation, a module or (without a name) a function."""

    kind: str = "relu"
    in_place: bool = False

    def module(self, at: Place) -> nn.Module | None:
        options = {"inplace": self.in_place} if self.kind in ("relu", "silu") else {}
        return ACTIVATIONS[self.kind](**options) if self.name else None

    def run(self, net: Any, x: torch.Tensor, at: Place) -> torch.Tensor:
        if self.name:
            return getattr(net, self.name)(x)
        if self.kind == "relu":
            return functional.relu_(x) if self.in_place else functional.relu(x)
        return getattr(functional, self.kind)(x)


@dataclass(frozen=True)
class Idle(Step):
    """A module that does nothing: dropout in eval mode, or an identity."""

    dropout: bool = True

    def module(self, at: Place) -> nn.Module:
        return nn.Dropout(0.5) if self.dropout else nn.Identity()


@dataclass(frozen=True)
class Pool(Step):
    """Pooling by two."""

    kind: str = "max"

    def module(self, at: Place) -> nn.Module:
        kinds = {"max": (nn.MaxPool1d, nn.MaxPool2d), "avg": (nn.AvgPool1d, nn.AvgPool2d)}
        return kinds[self.kind][len(at.space) - 1](2)

    def out(self, at: Place) -> Place:
        return Place("first", at.channels, tuple(n // 2 for n in at.space))


@dataclass(frozen=True)
class Residual(Step):
    """See `blocks.Residual`."""

    shortcut: bool = False
    add: str = "out += way"
    in_place: bool = True

    def module(self, at: Place) -> nn.Module:
        return blocks.Residual(at, shortcut=self.shortcut, add=self.add, in_place=self.in_place)


@dataclass(frozen=True)
class RectifiedShortcut(Step):
    """See `blocks.RectifiedShortcut`."""

    def module(self, at: Place) -> nn.Module:
        return blocks.RectifiedShortcut(at)


@dataclass(frozen=True)
class Gate(Step):
    """See `blocks.Gate`."""

    def module(self, at: Place) -> nn.Module:
        return blocks.Gate(at)


@dataclass(frozen=True)
class LastBlock(Step):
    """See `blocks.LastBlock`."""

    def module(self, at: Place) -> nn.Module:
        return blocks.LastBlock(at)


@dataclass(frozen=True)
class Branches(Step):
    """See `blocks.Branches`. The mean of the photo, or of what goes in, decides."""

    by: str = "batch"
    photo: bool = True

    def module(self, at: Place) -> nn.Module:
        return blocks.Branches(at, self.by)

    def run(self, net: Any, x: torch.Tensor, at: Place) -> torch.Tensor:
        sign = (net.photo if self.photo else x).flatten(1).mean(1)
        return getattr(net, self.name)(x, sign)


@dataclass(frozen=True)
class Keep(Step):
    """See `blocks.Keeping`. A later `Join` takes what is kept."""

    channels: int = 8
    how: str = "attribute"

    def module(self, at: Place) -> nn.Module:
        return blocks.Keeping(at, self.channels, self.how)

    def out(self, at: Place) -> Place:
        return at.with_channels(self.channels)

    def run(self, net: Any, x: torch.Tensor, at: Place) -> torch.Tensor:
        y = getattr(net, self.name)(x)
        if self.how == "attribute":
            return y
        y, net.kept[self.name] = y
        return y


@dataclass(frozen=True)
class Join(Step):
    """Enlarge to the size of what a `Keep` kept, and convolve both."""

    kept: str = ""
    kept_channels: int = 8
    space: tuple[int, ...] = ()
    channels: int = 8

    def module(self, at: Place) -> nn.Module:
        return blocks.convolution(at.with_channels(at.channels + self.kept_channels), self.channels)

    def out(self, at: Place) -> Place:
        return Place("first", self.channels, self.space)

    def run(self, net: Any, x: torch.Tensor, at: Place) -> torch.Tensor:
        kept = net.kept[self.kept] if self.kept in net.kept else getattr(net, self.kept).skip
        x = functional.interpolate(x, size=kept.shape[2:])
        return getattr(net, self.name)(torch.cat([x, kept], 1))


# ---------------------------------------------------------------------------------------- from layout to layout


@dataclass(frozen=True)
class ToLast(Step):
    """From channels first to channels last."""

    def out(self, at: Place) -> Place:
        return Place("last", at.channels, at.space)

    def run(self, net: Any, x: torch.Tensor, at: Place) -> torch.Tensor:
        return x.movedim(1, -1)


@dataclass(frozen=True)
class ToFirst(Step):
    """From channels last or tokens to channels first."""

    def out(self, at: Place) -> Place:
        return Place("first", at.channels, at.space)

    def run(self, net: Any, x: torch.Tensor, at: Place) -> torch.Tensor:
        return at.canonical(x)


@dataclass(frozen=True)
class Embed(Step):
    """See `blocks.Embedding`."""

    others: tuple[int, ...] = ()
    columns: bool = False

    def module(self, at: Place) -> nn.Module:
        return blocks.Embedding(at, others=self.others, columns=self.columns)

    def out(self, at: Place) -> Place:
        return Place("tokens", at.channels, at.space, self.others, self.columns)


@dataclass(frozen=True)
class Shuffle(Step):
    """The tokens in another order, always the same."""

    def out(self, at: Place) -> Place:
        return Place("nowhere", at.channels, shape=(at.count, at.channels))

    def run(self, net: Any, x: torch.Tensor, at: Place) -> torch.Tensor:
        return x[:, torch.randperm(at.count, generator=torch.Generator().manual_seed(5))]


# ---------------------------------------------------------------------------------------- channels last, and tokens


@dataclass(frozen=True)
class Linear(Step):
    """A linear layer on the last axis."""

    channels: int = 8

    def module(self, at: Place) -> nn.Module:
        return nn.Linear(at.channels, self.channels)

    def out(self, at: Place) -> Place:
        return at.with_channels(self.channels)


@dataclass(frozen=True)
class LayerNorm(Step):
    """Layer norm on the last axis."""

    def module(self, at: Place) -> nn.Module:
        return nn.LayerNorm(at.channels)


@dataclass(frozen=True)
class Windows(Step):
    """See `blocks.Windows`."""

    in_batch: bool = True

    def module(self, at: Place) -> nn.Module:
        return blocks.Windows(at, in_batch=self.in_batch)


@dataclass(frozen=True)
class Block(Step):
    """See `blocks.Block`."""

    second: bool = False

    def module(self, at: Place) -> nn.Module:
        return blocks.Block(at, second=self.second)


@dataclass(frozen=True)
class Latents(Step):
    """See `blocks.Latents`."""

    count: int = 9

    def module(self, at: Place) -> nn.Module:
        return blocks.Latents(at, self.count)

    def out(self, at: Place) -> Place:
        return Place("nowhere", at.channels, shape=(self.count, at.channels))


@dataclass(frozen=True)
class Recurrent(Step):
    """An LSTM or a GRU."""

    kinds: ClassVar = {"lstm": nn.LSTM, "gru": nn.GRU}
    kind: str = "lstm"
    channels: int = 8

    def module(self, at: Place) -> nn.Module:
        return self.kinds[self.kind](at.channels, self.channels, batch_first=True)

    def out(self, at: Place) -> Place:
        return at.with_channels(self.channels)

    def run(self, net: Any, x: torch.Tensor, at: Place) -> torch.Tensor:
        return getattr(net, self.name)(x)[0]

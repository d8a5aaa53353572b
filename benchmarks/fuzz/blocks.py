"""The modules with modules inside that networks are made of, as people write them: in place, with skips, with branches.

Each says in `inside` where the modules inside it keep their positions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.fuzz.places import Place


def convolution(at: Place, channels: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """A convolution along as many axes as there are, padded so that stride 1 keeps the size."""
    kind = (nn.Conv1d, nn.Conv2d)[len(at.space) - 1]
    return kind(at.channels, channels, kernel, stride, kernel // 2)


class Residual(nn.Module):
    """Two convolutions and a way round them; one activation, in place or not, is called twice.

    Args:
        at: of what goes in.
        shortcut: whether the way round is a module, an identity.
        add: `out += way`, `out + way` or `way + out`.
        in_place: whether the activation is.
    """

    def __init__(self, at: Place, *, shortcut: bool, add: str, in_place: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = convolution(at, at.channels), convolution(at, at.channels)
        self.act = nn.ReLU(inplace=in_place)
        self.shortcut = nn.Identity() if shortcut else None
        self.add = add
        self.inside = dict.fromkeys(["conv1", "conv2", "act", "shortcut"], at)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From `batch channel *space` to the same."""
        out = self.conv2(self.act(self.conv1(x)))
        way = x if self.shortcut is None else self.shortcut(x)
        if self.add == "out += way":
            out += way
        else:
            out = out + way if self.add == "out + way" else way + out
        return self.act(out)


class RectifiedShortcut(nn.Module):
    """An identity as the way round, and then an activation in place on the same memory: the way is rectified too."""

    def __init__(self, at: Place) -> None:
        super().__init__()
        self.shortcut, self.act, self.conv = (
            nn.Identity(),
            nn.ReLU(inplace=True),
            convolution(at, at.channels),
        )
        self.inside = dict.fromkeys(["shortcut", "act", "conv"], at)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From `batch channel *space` to the same."""
        way = self.shortcut(x)
        return self.conv(self.act(x)) + way


class Gate(nn.Module):
    """Squeeze and excitation: each channel times what a sigmoid makes of all channels' means."""

    def __init__(self, at: Place) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(at.channels, at.channels), nn.Sigmoid()
        self.inside = dict.fromkeys(["fc", "act"], Place("vector", at.channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From `batch channel *space` to the same."""
        gate = self.act(3 * self.fc(x.flatten(2).mean(2)))
        return x * gate[(..., *(None,) * (x.ndim - 2))]


class Keeping(nn.Module):
    """An encoder's stage that also hands its output to the decoder.

    Args:
        at: of what goes in.
        channels: of what comes out.
        how: `attribute`, it keeps its output on itself; `second`, it returns a second tensor made from the first;
            `twice`, it returns the same tensor twice.
    """

    def __init__(self, at: Place, channels: int, how: str) -> None:
        super().__init__()
        self.conv, self.how = convolution(at, channels), how
        self.inside = {"conv": at.with_channels(channels)}

    def forward(self, x: torch.Tensor) -> Any:
        """From `batch channel *space` to other channels, and perhaps a second tensor."""
        y = functional.relu(self.conv(x))
        if self.how == "attribute":
            self.skip = y
            return y
        return y, (y if self.how == "twice" else y * 0.5)


class Branches(nn.Module):
    """Two convolutions, and numbers decide which are used.

    Args:
        at: of what goes in.
        by: `batch`, one or the other for all images; `used`, the second is called always but used for some batches;
            `compared`, likewise, but only whether it is positive; `row`, both for all, and each image takes one;
            `experts`, each gets the images that are its own.
    """

    def __init__(self, at: Place, by: str) -> None:
        super().__init__()
        self.a, self.b, self.by = convolution(at, at.channels), convolution(at, at.channels, 1), by
        self.inside = dict.fromkeys(["a", "b"], at)

    def forward(self, x: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
        """From `batch channel *space` to the same.

        Args:
            x: what goes in.
            sign: one number per image, whose sign decides.
        """
        if self.by == "batch":
            return torch.relu(self.a(x) if sign.mean() > 0 else self.b(x))
        if self.by in ("used", "compared"):
            second, first = self.b(x), torch.relu(self.a(x))
            if sign.mean() <= 0:
                return first
            return first + second.abs() if self.by == "used" else first * (second > 0)
        if self.by == "row":
            chosen = (sign > 0)[(..., *(None,) * (x.ndim - 1))]
            return torch.relu(torch.where(chosen, self.a(x), self.b(x)))
        out = torch.zeros_like(x)
        for rows, expert in ((sign > 0, self.a), (sign <= 0, self.b)):
            if rows.any():
                out[rows] = expert(x[rows])
        return torch.relu(out)


class LastBlock(nn.Module):
    """A block as in ConvNeXt: channels last inside, a way round it."""

    def __init__(self, at: Place) -> None:
        super().__init__()
        kind = (nn.Conv1d, nn.Conv2d)[len(at.space) - 1]
        self.dw = kind(at.channels, at.channels, 3, padding=1, groups=at.channels)
        self.norm, self.act = nn.LayerNorm(at.channels), nn.GELU()
        self.fc1, self.fc2 = nn.Linear(at.channels, 2 * at.channels), nn.Linear(2 * at.channels, at.channels)
        last = Place("last", at.channels, at.space)
        wide = last.with_channels(2 * at.channels)
        self.inside = {"dw": at, "norm": last, "fc1": wide, "act": wide, "fc2": last}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From `batch channel *space` to the same."""
        y = self.norm(self.dw(x).movedim(1, -1))
        return x + self.fc2(self.act(self.fc1(y))).movedim(-1, 1)


class Windows(nn.Module):
    """A linear layer on windows, whose positions are in no order of the image's.

    Args:
        at: channels last, height and width even.
        in_batch: whether the windows are put into the batch, or have an axis of their own.
    """

    def __init__(self, at: Place, *, in_batch: bool) -> None:
        super().__init__()
        self.fc, self.in_batch = nn.Linear(at.channels, at.channels), in_batch
        self.inside = {"fc": Place("nowhere", at.channels, shape=(4, at.channels))}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From `batch height width channel` to the same."""
        b, h, w, c = x.shape
        windows = x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, -1, 4, c)
        y = self.fc(windows.flatten(0, 1) if self.in_batch else windows)
        y = y.view(b, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, c)
        return x + y


class Embedding(nn.Module):
    """From a grid to tokens, with some that are no position, and something added that tells them apart."""

    def __init__(self, at: Place, *, others: tuple[int, ...], columns: bool) -> None:
        super().__init__()
        self.out = Place("tokens", at.channels, at.space, others, columns)
        self.others = nn.Parameter(torch.randn(1, len(others), at.channels)) if others else None
        self.position = nn.Parameter(torch.randn(1, self.out.count, at.channels) * 0.1)
        self.inside: dict[str, Place] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From `batch channel *space` to `batch token channel`."""
        tokens = (x.transpose(2, 3) if self.out.columns else x).flatten(2).transpose(1, 2)
        if self.others is not None:
            alone = tokens
            tokens = tokens.new_empty(len(x), self.out.count, alone.shape[2])
            tokens[:, self.out.positions] = alone
            tokens[:, self.out.others] = self.others.expand(len(x), -1, -1)
        return tokens + self.position


class Attention(nn.Module):
    """One head of self-attention.

    Args:
        channels: of a token.
        second: whether the batch stands behind the tokens.
    """

    def __init__(self, channels: int, *, second: bool = False) -> None:
        super().__init__()
        self.second = second
        self.q, self.k, self.v, self.proj = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From `batch token channel` to the same."""
        q, k, v = (self._turned(part(x)) for part in (self.q, self.k, self.v))
        weights = (q @ k.transpose(1, 2) / x.shape[2] ** 0.5).softmax(-1)
        return self.proj(self._turned(weights @ v))

    def _turned(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(0, 1) if self.second else x


class Block(nn.Module):
    """A transformer's block.

    Args:
        at: tokens.
        second: whether the batch stands behind them inside.
    """

    def __init__(self, at: Place, *, second: bool = False) -> None:
        super().__init__()
        c, self.second = at.channels, second
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(c), Attention(c, second=second), nn.LayerNorm(c)
        self.fc1, self.act, self.fc2 = nn.Linear(c, c), nn.GELU(), nn.Linear(c, c)
        names = ["norm1", "attn", "attn.q", "attn.k", "attn.v", "attn.proj", "norm2", "fc1", "act", "fc2"]
        self.inside = dict.fromkeys(names, replace(at, second=second))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From `batch token channel` to the same."""
        x = x.transpose(0, 1) if self.second else x
        x = x + self.attn(self.norm1(x))
        x = x + self.fc2(self.act(self.fc1(self.norm2(x))))
        return x.transpose(0, 1) if self.second else x


class Latents(nn.Module):
    """A few learned tokens that read all others, as in Perceiver: they stand at no position."""

    def __init__(self, at: Place, count: int) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, count, at.channels))
        self.k, self.v, self.fc = (nn.Linear(at.channels, at.channels) for _ in range(3))
        self.out = Place("nowhere", at.channels, shape=(count, at.channels))
        self.inside = {"k": at, "v": at, "fc": self.out}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From `batch token channel` to `batch latent channel`."""
        weights = (self.latents @ self.k(x).transpose(1, 2) / x.shape[2] ** 0.5).softmax(-1)
        return self.latents + self.fc(weights @ self.v(x))

"""Do a layer's positions answer where the input is altered? Asked without any of camscope's own checks.

The input is cut in two along each axis of space (in four, if there is one axis). One part after the other is drawn
anew, and each position of the layer answers by how much its channels change, relative to how much that position
changes on average over all parts. A layer that is read in the right order answers most in the part that was altered.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from benchmarks.sweep.rows import SEED

DRAWS, MANY_DRAWS = 3, 16
"""How often each part is drawn anew; and where a layer does not clearly answer in place."""

BY_CHANCE = 5
"""Another part that answers more, by so many standard errors of the draws, does not do so by chance."""

IN_ORDER = 0.8
"""What a layer read in a wrong order correlates with in the right one, rows and columns centred. A layer whose few
positions each see the whole input answers nearly evenly; which answers a little more is no chance, but no order."""

LEAST = 0.5
"""The correlation from which on a layer is in place. Two parts of four that are exchanged, as by a transposed grid,
leave 1/3; the same of eight 3/7; a grid that is rolled by half of its length, -1/3."""

Activations = Float[Tensor, "channel *space"]
_WORDS = re.compile(
    r"(?P<space>\d+(?:×\d+)*)(?P<tokens> tokens)?(?: \+ (?P<prefix>\d+) prefix)?(?: \+ (?P<behind>\d+) behind)?"
    r"(?P<order> \((?:column by column|place by place|axes in order [^)]*\))\))?(?P<last> \(channels last\))?"
    r"(?P<second> \(batch second\))?"
)


class UnreadableError(Exception):
    """A layer's output does not hold the grid that camscope says it holds."""


@dataclass(frozen=True)
class Answer:
    """How the parts of a layer answer to the parts of an input.

    Attributes:
        drawn: of each draw the answer of part `answering` where part `altered` is drawn anew; about 1 on average.
    """

    drawn: Float[Tensor, "draw altered answering"]

    @property
    def in_place(self) -> bool:
        """Whether each part answers where it is itself altered, by and large: layers mix neighbours."""
        return self.correlation >= LEAST

    @property
    def correlation(self) -> float:
        """With a layer in which only the altered part answers."""
        matrix = self.drawn.mean(0)
        both = torch.stack([matrix.flatten(), torch.eye(len(matrix)).flatten()])
        return float(torch.corrcoef(both)[0, 1])

    @property
    def elsewhere(self) -> str:
        """Which part answers more than the altered one, by more than chance leaves; empty if none does.

        Empty too if the parts answer in no other order either, so that nothing says which one it is.
        """
        if self._best_in_another_order < IN_ORDER:
            return ""
        more = self.drawn - self.drawn.diagonal(dim1=1, dim2=2)[:, :, None]
        error = more.std(0) / len(more) ** 0.5
        return "; ".join(
            f"part {altered} altered, part {answering} answers more"
            for altered, answering in (more.mean(0) > BY_CHANCE * error).nonzero().tolist()
        )

    @property
    def _best_in_another_order(self) -> float:
        """The correlation with the order in which the parts answer best, both centred; 0 if it is theirs."""
        matrix = self.drawn.mean(0)
        matrix = matrix - matrix.mean(0) - matrix.mean(1, keepdim=True) + matrix.mean()
        order = linear_sum_assignment(matrix.numpy(), maximize=True)[1]
        if (order == range(len(order))).all():
            return 0.0
        there = torch.eye(len(matrix))[order] - 1 / len(matrix)
        return float((matrix * there).sum() / (matrix.norm() * there.norm()))


def answer(
    activations: Callable[[Tensor], Activations],
    x: Float[Tensor, "1 ..."],
    axes: Sequence[int],
    draws: int = DRAWS,
) -> Answer:
    """Alter each part of an input, and see which parts of the layer answer.

    Args:
        activations: of one image, with the axes of space in the order that maps have them.
        x: the input.
        axes: the axes of `x` that are space, in that order.
        draws: how often each part is drawn anew.
    """
    generator = torch.Generator().manual_seed(SEED + 1)
    usual = activations(x)
    cuts = 4 if len(axes) == 1 else 2
    changes = []
    for part in itertools.product(range(cuts), repeat=len(axes)):
        window: list[slice] = [slice(None)] * x.ndim
        for axis, i in zip(axes, part, strict=True):
            window[axis] = slice(i * x.shape[axis] // cuts, (i + 1) * x.shape[axis] // cuts)
        drawn = []
        for _ in range(draws):
            altered = x.clone()
            there = altered[tuple(window)]
            altered[tuple(window)] = _drawn_anew(there, generator)
            drawn.append((activations(altered) - usual).double().norm(dim=0))
        changes.append(torch.stack(drawn))
    change = torch.stack(changes, dim=1)
    relative = change / reduce(change, "draw altered ... -> ...", "mean").clamp_min(1e-300)
    parts = _parts(usual.shape[1:], cuts).double()
    inside = torch.einsum("da...,q...->daq", relative, parts)
    return Answer((inside / parts.flatten(1).sum(1)).float())


def _drawn_anew(values: Tensor, generator: torch.Generator) -> Tensor:
    """Other noise; of integers, which are numbers of tokens, the same in another order."""
    if values.is_floating_point():
        return torch.randn(values.shape, generator=generator)
    return values.flatten()[torch.randperm(values.numel(), generator=generator)].reshape(values.shape)


def _parts(space: Sequence[int], cuts: int) -> Float[Tensor, part * space]:
    """How much of each position lies in each part of the input."""
    lines = []
    for n in space:
        edges = torch.arange(n + 1) / n
        lines.append(
            torch.stack(
                [
                    (edges[1:].clamp(max=(i + 1) / cuts) - edges[:-1].clamp(min=i / cuts)).clamp_min(0)
                    for i in range(cuts)
                ]
            )
        )
    parts = lines[0]
    for line in lines[1:]:
        parts = torch.einsum("p...,qn->pq...n", parts, line).flatten(0, 1)
    return parts


def canonical(output: Float[Tensor, "1 ..."], words: str, channels: int) -> Activations:
    """A layer's output as `channel *space`, by what camscope says in words of how it holds its grid.

    Args:
        output: of the layer.
        words: such as `14×14 tokens + 1 prefix`, `7×7 (channels last)` or `7×7`.
        channels: as many as the layer has.

    Raises:
        UnreadableError: if the output has another shape.
    """
    found = _WORDS.fullmatch(words)
    if found is None:
        raise UnreadableError(f"the grid is {words!r}, which the sweep cannot read")
    space = [int(n) for n in found["space"].split("×")]
    one = output[:, 0] if found["second"] else output[0]
    if found["tokens"]:
        prefix = int(found["prefix"] or 0)
        end = prefix + math.prod(space)
        count = end + int(found["behind"] or 0)
        if tuple(one.shape) == (count, channels):
            one = one.T
        if tuple(one.shape) != (channels, count):
            raise UnreadableError(f"the output of shape {tuple(output.shape)} holds no {words}")
        one = one[:, prefix:end]
        return _unrolled(one, space, found["order"] or "")
    if found["last"]:
        one = one.movedim(-1, 0)
    if tuple(one.shape) != (channels, *space):
        raise UnreadableError(
            f"the output of shape {tuple(output.shape)} is no {words} of {channels} channels"
        )
    return one


def _unrolled(tokens: Float[Tensor, "channel token"], space: Sequence[int], words: str) -> Activations:
    """Tokens at their positions, by the words that say in which order they count the axes."""
    named = {"": range(len(space)), " (column by column)": (1, 0), " (place by place)": (1, 2, 0)}
    order = named[words] if words in named else [int(n) for n in re.findall(r"\d+", words)]
    names = [f"axis{n}" for n in range(len(space))]
    counted = " ".join(names[n] for n in order)
    sizes = dict(zip(names, space, strict=True))
    return rearrange(tokens, f"channel ({counted}) -> channel {' '.join(names)}", **sizes)


def output_of(model: nn.Module, layer: str, run: Callable[[], Any], after_relu: str) -> Tensor:
    """What a module puts out while the model runs: its last output, or the first tensor of it.

    Args:
        model: the model.
        layer: the qualified name of the module; `after_relu` at its end stands for the ReLU of its output.
        run: runs the model.
        after_relu: the mark.
    """
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.append(_first_tensor(output).detach().clone())

    handle = model.get_submodule(layer.removesuffix(after_relu)).register_forward_hook(keep)
    try:
        run()
    finally:
        handle.remove()
    if not seen:
        raise UnreadableError(f"{layer} did not run")
    return seen[-1].relu() if layer.endswith(after_relu) else seen[-1]


def _first_tensor(output: Any) -> Tensor:
    while not isinstance(output, Tensor):
        output = next(v for v in (output.values() if hasattr(output, "values") else output) if v is not None)
    return output

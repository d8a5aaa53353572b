"""The truth about a layer: what it puts out, its gradients, and what the network answers without parts of it.

Activations and gradients are those of what a layer put out at its last call, as `batch channel *space`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.fuzz.networks import Network
from benchmarks.fuzz.places import Place

MODES = {1: "linear", 2: "bilinear"}
"""Of interpolation, by the number of axes."""

Score = Callable[[torch.Tensor], torch.Tensor]
"""From what the classifier puts out, `batch output`, to one number per image."""


@dataclass(frozen=True)
class Goal:
    """What is explained.

    Attributes:
        score: the number.
        probability: the same of probabilities, which Score-CAM and Recipro-CAM ask for.
    """

    score: Score
    probability: Score


class Truth:
    """A layer of a network on a batch.

    Args:
        net: the network.
        x: what it is run on.
        name: of the layer; with `+relu` at its end its ReLU is meant.
        head: which of the network's heads is explained.
    """

    def __init__(self, net: Network, x: torch.Tensor, name: str, head: int = 0) -> None:
        self._net, self._x, self._head = net, x, head
        self._relu = name.endswith("+relu")
        self._module = net.get_submodule(name.removesuffix("+relu"))
        self.input = net.recipe.input
        self.place: Place = net.places[name.removesuffix("+relu")]
        with torch.no_grad(), _watched(self._module) as seen:
            self.z = net.scores(x, head)
        self._calls = len(seen)
        self.output, self.in_input = seen[-1] if seen else (None, False)
        self._answers: dict[Any, torch.Tensor] = {}

    @cached_property
    def exists(self) -> bool:
        """Whether the layer ran, for every image, and its output has a grid."""
        return self.place.is_grid and self.output is not None and self._rows == len(self._x)

    @property
    def _rows(self) -> int:
        return int(self.output.shape[int(self.place.second)])

    @cached_property
    def activations(self) -> torch.Tensor:
        """A."""
        A = self.place.canonical(self.output)
        return A.clamp(min=0) if self._relu else A

    @cached_property
    def entangled(self) -> bool:
        """Whether the network answers otherwise if the layer's output is a copy: others write to its memory."""
        with torch.no_grad(), self._replaced(lambda out: out.clone()):
            return not torch.allclose(self._net.scores(self._x, self._head), self.z, rtol=1e-9, atol=1e-12)

    @cached_property
    def used_elsewhere(self) -> bool:
        """Whether the network also uses the layer's output in a way that a replacement of it does not reach.

        It keeps the tensor on itself, or made something of it before it came out.
        """
        with self._replaced(lambda out: out.detach().clone().requires_grad_(), keep=True) as kept:
            z = self._net.scores(self._x, self._head)
        alone = gradients_of(_mixed(z).sum(), kept[0])
        return not torch.allclose(alone, self._total_gradient(_mixed), rtol=1e-9, atol=1e-12)

    @property
    def ambiguous(self) -> bool:
        """Whether what a layer puts out may be meant as its memory, every use of which counts, or as what is given on.

        An output that lies in the memory of an input, or to which others write.
        """
        return self.in_input or self.entangled

    def gradients(self, goal: Goal, *, in_memory: bool = False) -> torch.Tensor:
        """∂score/∂A.

        Args:
            goal: what is explained.
            in_memory: whether every later use of the memory counts.
        """
        found = self._gradient_in_memory if in_memory else self._total_gradient
        return self.place.canonical(found(goal.score))

    def reaches(self) -> bool:
        """Whether any position gets a gradient from a mix of the outputs."""
        return bool((self.place.canonical(self._total_gradient(_mixed)) != 0).any())

    def _total_gradient(self, score: Score) -> torch.Tensor:
        z, tensor = self._graph
        return gradients_of(score(z).sum(), tensor)

    @cached_property
    def _graph(self) -> tuple[torch.Tensor, torch.Tensor]:
        # the tensor itself is differentiated by, so that every use of it counts; the network goes on with a copy
        with self._replaced(self._leaf, keep=True) as kept:
            z = self._net.scores(self._x.clone().requires_grad_().clone(), self._head)
        return z, kept[0]

    def _gradient_in_memory(self, score: Score) -> torch.Tensor:
        z, tensor = self._graph_in_memory
        return gradients_of(score(z).sum(), tensor)

    @cached_property
    def _graph_in_memory(self) -> tuple[torch.Tensor, torch.Tensor]:
        # zeros are added in place to the layer's output, wherever it lies, and what they do is differentiated
        def add(out: torch.Tensor) -> None:
            leaves.append(torch.zeros_like(out, requires_grad=True))
            out.add_(leaves[0])

        leaves: list[torch.Tensor] = []
        with _frozen(self._net), self._written(add):
            return self._net.scores(self._x.clone(), self._head), leaves[0]

    def _leaf(self, out: torch.Tensor) -> torch.Tensor:
        # behind a ReLU that the network applies by function: every position lets its gradient pass
        return out.clamp(min=0).detach().requires_grad_() + 1e-14 if self._relu else out

    def run(self, alter: Callable[[torch.Tensor], torch.Tensor], *, in_memory: bool = False) -> torch.Tensor:
        """What the classifier puts out for altered activations.

        Args:
            alter: from A to other activations.
            in_memory: whether they are written where the layer's output lies, and not given on in its place.
        """

        def replace(out: torch.Tensor) -> torch.Tensor:
            A = self.place.canonical(out)
            return self.place.put_back(alter(A.clamp(min=0) if self._relu else A), out)

        within = self._written(lambda out: out.copy_(replace(out))) if in_memory else self._replaced(replace)
        with torch.no_grad(), within:
            return self._net.scores(self._x.clone(), self._head)

    def without_each_channel(self, *, in_memory: bool) -> torch.Tensor:
        """What the classifier puts out, `channel batch output`, each channel set to zero in a run of its own."""

        def without(k: int, activations: torch.Tensor) -> torch.Tensor:
            altered = activations.clone()
            altered[:, k] = 0
            return altered

        return self._each("channel", range(self.activations.shape[1]), without, in_memory)

    def each_position_alone(self, *, in_memory: bool) -> torch.Tensor:
        """What the classifier puts out, `position batch output`, all but one position zero in a run of its own."""

        def alone(here: tuple[int, ...], activations: torch.Tensor) -> torch.Tensor:
            only = torch.zeros_like(activations)
            only[(..., *here)] = activations[(..., *here)]
            return only

        positions = itertools.product(*map(range, self.activations.shape[2:]))
        return self._each("position", positions, alone, in_memory)

    def _each(
        self,
        what: str,
        parts: Iterable[Any],
        alter: Callable[[Any, torch.Tensor], torch.Tensor],
        in_memory: bool,
    ) -> torch.Tensor:
        key = what, in_memory
        if key not in self._answers:
            runs = [self.run(functools.partial(alter, part), in_memory=in_memory) for part in parts]
            self._answers[key] = torch.stack(runs)
        return self._answers[key]

    @cached_property
    def through_each_channel(self) -> torch.Tensor:
        """What the classifier puts out, `channel batch output`, for the input times each channel, scaled to [0, 1]."""
        given, runs = self.input, []
        for k in range(self.activations.shape[1]):
            channel = self.activations[:, k : k + 1]
            mask = functional.interpolate(channel, size=given.space, mode=MODES[len(given.space)])
            axes = tuple(range(1, mask.ndim))
            low, high = mask.amin(axes, keepdim=True), mask.amax(axes, keepdim=True)
            mask = (mask - low) / torch.where(high == low, 1.0, high - low)
            with torch.no_grad():
                masked = self._x * (mask.transpose(1, 2) if given.is_tokens else mask)
                runs.append(self._net.scores(masked, self._head))
        return torch.stack(runs)

    def into(self, module: nn.Module) -> torch.Tensor:
        """What goes into a module."""
        seen: list[torch.Tensor] = []
        handle = module.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0].detach().clone()))
        try:
            with torch.no_grad():
                self._net.scores(self._x, self._head)
        finally:
            handle.remove()
        return seen[-1]

    @contextmanager
    def _replaced(
        self, replace: Callable[[torch.Tensor], torch.Tensor], *, keep: bool = False
    ) -> Iterator[list[torch.Tensor]]:
        """Within this context the layer's last call puts out what is made of its own output.

        With `keep` what is made is also yielded, and the network goes on with a copy of it.
        """
        calls, kept = itertools.count(1), []

        def hook(_module: nn.Module, inputs: Any, output: Any) -> Any:
            if next(calls) != self._calls:
                return None
            out = output[0] if isinstance(output, tuple) else output
            new = replace(out.clone() if _lies_in(inputs, out) else out)
            if keep:
                kept.append(new)
                new = new.clone()
            if not isinstance(output, tuple):
                return new
            return tuple(new if one is output[0] else one for one in output)  # the same may come out twice

        handle = self._module.register_forward_hook(hook)
        try:
            yield kept
        finally:
            handle.remove()

    @contextmanager
    def _written(self, write: Callable[[torch.Tensor], object]) -> Iterator[None]:
        """Within this context something is done in place to what the layer puts out at its last call."""
        calls = itertools.count(1)

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if next(calls) == self._calls:
                write(output[0] if isinstance(output, tuple) else output)

        handle = self._module.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()


def _mixed(z: torch.Tensor) -> torch.Tensor:
    """A sum of all outputs in which none cancels another."""
    return z.flatten(1) @ torch.linspace(0.5, 1.5, z[0].numel()).to(z)


def gradients_of(score: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    if not (score.requires_grad and tensor.requires_grad):
        return torch.zeros_like(tensor)
    (found,) = torch.autograd.grad(score, tensor, allow_unused=True, retain_graph=True)
    return torch.zeros_like(tensor) if found is None else found.detach()


@contextmanager
def _frozen(net: nn.Module) -> Iterator[None]:
    """Within this context no parameter is the start of a graph."""
    free = [p for p in net.parameters() if p.requires_grad]
    for p in free:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in free:
            p.requires_grad_(True)


def _lies_in(inputs: Any, out: torch.Tensor) -> bool:
    memory = out.untyped_storage().data_ptr()
    return any(isinstance(i, torch.Tensor) and i.untyped_storage().data_ptr() == memory for i in inputs)


@contextmanager
def _watched(module: nn.Module) -> Iterator[list[tuple[torch.Tensor, bool]]]:
    """Within this context a module's outputs are kept as they are when it puts them out.

    Yields:
        each output, and whether it lies in the memory of an input (an identity, an activation in place).
    """
    seen: list[tuple[torch.Tensor, bool]] = []

    def hook(_module: nn.Module, inputs: Any, output: Any) -> None:
        out = output[0] if isinstance(output, tuple) else output
        seen.append((out.detach().clone(), _lies_in(inputs, out)))

    handle = module.register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()

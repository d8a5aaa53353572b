"""Watching one forward: what every module puts out, and what it did with what it got."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from camscope.models.torch.anatomy.token_order import reorders
from camscope.models.torch.hooks.activations import MODULES
from camscope.models.torch.hooks.modules import count_tensors, first_tensor, named_layers
from camscope.models.torch.hooks.session import hook_after, hook_before

Forward = Callable[[torch.Tensor], Any]
"""The model from a batch of inputs to its logits."""


@dataclass(eq=False)
class Output:
    """One tensor, and the modules that put it out: the one that made it first, then those around it.

    A module that works in place puts out the same tensor object with other numbers in it, so a tensor is told by the
    object and by its version, which PyTorch counts up with every change in place.

    Attributes:
        tensor: the object, not kept alive.
        version: of the tensor when it was put out.
        shape: of the tensor.
        made_from: shape of the tensor that went into the innermost module; None if that was not exactly one.
        names: of the modules, innermost first.
        modules: the modules themselves, in the same order.
        with_others: those of the names that put out further tensors with this one. The network may go on with one of
            these, so such a module does not stand for this tensor alone.
        given_on: those of the names that got this very tensor and did nothing to it (identity, dropout in eval mode).
    """

    tensor: weakref.ref[torch.Tensor]
    version: int
    shape: tuple[int, ...]
    made_from: tuple[int, ...] | None
    names: list[str] = field(default_factory=list)
    modules: list[nn.Module] = field(default_factory=list)
    with_others: set[str] = field(default_factory=set)
    given_on: set[str] = field(default_factory=set)

    def is_of(self, tensor: torch.Tensor) -> bool:
        """Whether this is the output that the tensor is now."""
        return self.tensor() is tensor and self.version == tensor._version


@dataclass(eq=False)
class Trace:
    """One forward as hooks saw it.

    Attributes:
        outputs: every tensor that a module put out, in the order the modules finished.
        calls: how often each module was called, by name.
        activated: each call of a softmax or sigmoid module: its name, itself, and what it put out. This keeps
            tensors alive.
        reordered_after: how many outputs there were when a module first put the tokens in another order; None if none
            did.
    """

    outputs: list[Output] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    activated: list[tuple[str, nn.Module, torch.Tensor]] = field(default_factory=list)
    reordered_after: int | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape that each module put out at its last call, in the order they finished first."""
        return {name: output.shape for output in self.outputs for name in output.names}

    def finished(self, name: str, module: nn.Module, inputs: Any, output: Any, unchanged: bool) -> None:
        """Note one call of a module.

        Args:
            name: of the module.
            module: itself.
            inputs: its positional arguments.
            output: what it returned; nothing is noted if no tensor is in it.
            unchanged: whether its (first) input has not been written to meanwhile.
        """
        tensor = first_tensor(output)
        if tensor is None:
            return
        if self.reordered_after is None and reorders(module, inputs, output):
            self.reordered_after = len(self.outputs)
        self.calls[name] = self.calls.get(name, 0) + 1
        if isinstance(module, tuple(MODULES)):
            self.activated.append((name, module, tensor))
        several = count_tensors(output) > 1
        known = self._known(tensor, anywhere=several)
        if known is None:
            source = first_tensor(inputs) if count_tensors(inputs) == 1 else None
            made_from = None if source is None else tuple(source.shape)
            known = Output(weakref.ref(tensor), tensor._version, tuple(tensor.shape), made_from)
            self.outputs.append(known)
        known.names.append(name)
        known.modules.append(module)
        if several:
            known.with_others.add(name)
        if unchanged and first_tensor(inputs) is tensor:
            known.given_on.add(name)

    def _known(self, tensor: torch.Tensor, *, anywhere: bool) -> Output | None:
        """The output that a tensor already is.

        Usually only the last one can be: a module around another finishes right after it. One that returns several
        tensors (a model inside the model that sums up what its parts put out) may return any earlier one.
        """
        candidates = reversed(self.outputs) if anywhere else self.outputs[-1:]
        return next((output for output in candidates if output.is_of(tensor)), None)


@contextmanager
def tracing(model: nn.Module) -> Iterator[Trace]:
    """Within this context a forward of the model is traced. The hooks are gone when it ends, whatever happens.

    Args:
        model: an unwrapped module.

    Yields:
        the trace, which fills as the model runs.
    """
    trace = Trace()
    begun: dict[str, int | None] = {}

    def version_of_input(inputs: Any) -> int | None:
        tensor = first_tensor(inputs)
        return None if tensor is None else tensor._version

    def begin(name: str) -> Any:
        def note(_module: nn.Module, inputs: Any) -> None:
            begun[name] = version_of_input(inputs)

        return note

    def end(name: str) -> Any:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            trace.finished(name, module, inputs, output, begun[name] == version_of_input(inputs))

        return note

    with ExitStack() as hooks:
        for name, module in named_layers(model).items():
            hooks.callback(hook_before(module, begin(name)).remove)
            hooks.callback(hook_after(module, end(name)).remove)
        yield trace

"""Watching one forward: what every module puts out, and what it did with what it got."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from camscope.models.place import Answer
from camscope.models.torch.anatomy.rows import Rows, Spot
from camscope.models.torch.hooks.activations import MODULES
from camscope.models.torch.hooks.modules import count_tensors, first_tensor, named_layers
from camscope.models.torch.hooks.session import hook_after, hook_before

Forward = Callable[[torch.Tensor], Any]
"""The model from a batch of inputs to its logits."""


@dataclass(frozen=True)
class Source:
    """What went into a module.

    Attributes:
        shape: for one image.
        answer: see `Output`.
    """

    shape: tuple[int, ...]
    answer: Answer | None


@dataclass(frozen=True)
class Came:
    """What went into a module that another had put out.

    Attributes:
        output: of that other.
        axes: where each axis of what went in is there: (0, 1, 2, 3) for the tensor itself, (0, 2, 3, 1) for a view
            of it with channels last.
    """

    output: Output
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what went in, for one image."""
        return tuple(self.output.shape[axis] for axis in self.axes)

    @property
    def itself(self) -> bool:
        """Whether it is the tensor as it was put out."""
        return self.axes == tuple(range(len(self.axes)))


@dataclass(eq=False)
class Output:
    """One tensor, and the modules that put it out: the one that made it first, then those around it.

    A module that works in place puts out the same tensor object with other numbers in it, so a tensor is told by the
    object and by its version, which PyTorch counts up with every change in place.

    Attributes:
        tensor: the object, not kept alive.
        version: of the tensor when it was put out.
        shape: of the tensor, for one image.
        answer: how it differs between an image and its altered copies; None where it is no batch of these.
        made_from: the tensor that went into the innermost module, if that has no weights; None for any other module,
            and where not exactly one tensor went in.
        came: what went into the innermost module, if that was put out by another.
        unknown: what went into it, if no module put that out: a function made it, which may have moved positions.
        of_one_tensor: whether the innermost module got one tensor and nothing else.
        names: of the modules, innermost first.
        modules: the modules themselves, in the same order.
        with_others: those of the names that put out further tensors with this one. The network may go on with one of
            these, so such a module does not stand for this tensor alone.
        given_on: those of the names that got this very tensor and did nothing to it (identity, dropout in eval mode).
        call: which call of the innermost module put it out, from 1.
    """

    tensor: weakref.ref[torch.Tensor]
    version: int
    shape: tuple[int, ...]
    made_from: Source | None
    answer: Answer | None = None
    came: Came | None = None
    unknown: Source | None = None
    of_one_tensor: bool = False
    names: list[str] = field(default_factory=list)
    modules: list[nn.Module] = field(default_factory=list)
    with_others: set[str] = field(default_factory=set)
    given_on: set[str] = field(default_factory=set)
    call: int = 1

    @property
    def spot(self) -> Spot:
        """Where a forward meets it."""
        return (self.names[0], self.call, "output")

    @property
    def follows(self) -> Output | None:
        """The tensor itself that went into the innermost module, if that was put out by another."""
        return self.came.output if self.came is not None and self.came.itself else None

    def is_of(self, tensor: torch.Tensor) -> bool:
        """Whether this is the output that the tensor is now."""
        return self.tensor() is tensor and self.version == tensor._version


@dataclass(eq=False)
class Trace:
    """One forward of an image and its altered copies, as hooks saw it.

    Attributes:
        rows: which there are, and how to compare them.
        outputs: every tensor that a module put out, in the order the modules finished.
        calls: how often each module was called, by name.
        of_complex: the modules that put out complex numbers, by name.
        activated: each call of a softmax or sigmoid module: its name, itself, and what it put out. This keeps
            tensors alive.
    """

    rows: Rows
    outputs: list[Output] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    of_complex: set[str] = field(default_factory=set)
    activated: list[tuple[str, nn.Module, torch.Tensor]] = field(default_factory=list)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape that each module put out at its last call, in the order they finished first."""
        return {name: output.shape for output in self.outputs for name in output.names}

    @property
    def unchanged(self) -> frozenset[str]:
        """The modules whose output was the same for an altered copy."""
        return frozenset(
            name
            for output in self.outputs
            if output.answer is not None and not output.answer.changed
            for name in output.names
        )

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
        self.calls[name] = self.calls.get(name, 0) + 1
        if isinstance(module, tuple(MODULES)):
            self.activated.append((name, module, tensor))
        if tensor.is_complex():
            self.of_complex.add(name)
        several = count_tensors(output) > 1
        known = self._known(tensor, anywhere=several)
        if known is None:
            came = self._came(inputs)
            looked_at = not _has_weights(module) or (came is None and isinstance(module, _KEEPING_PLACES))
            source = self._source(name, inputs) if looked_at else None
            known = Output(
                weakref.ref(tensor),
                tensor._version,
                self.rows.shape(tensor),
                None if _has_weights(module) else source,
                self.rows.answer(tensor, (name, self.calls[name], "output")),
                came,
                source if came is None else None,
                isinstance(inputs, tuple) and len(inputs) == 1 and isinstance(inputs[0], torch.Tensor),
                call=self.calls[name],
            )
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

    def following(self, name: str | None) -> frozenset[str]:
        """The modules that put out what one module does, or what is made of it by others without weights.

        Args:
            name: of the module; None for none.
        """
        found: list[Output] = []
        for output in self.outputs:
            made_of_it = output.follows in found and not _has_weights(output.modules[0])
            if name in output.names or made_of_it:
                found.append(output)
        return frozenset(name for output in found for name in output.names)

    def _came(self, inputs: Any) -> Came | None:
        """What went into a module, as it was put out last: it may have been written to since."""
        tensor = first_tensor(inputs)
        if tensor is None:
            return None
        for output in reversed(self.outputs):
            known = output.tensor()
            if known is tensor:
                return Came(output, tuple(range(tensor.ndim)))
            if known is not None and known is tensor._base:
                axes = _moved(known, tensor)
                return None if axes is None else Came(output, axes)
        return None

    def _source(self, name: str, inputs: Any) -> Source | None:
        """What went into a module; None if it is not one tensor."""
        tensor = first_tensor(inputs) if count_tensors(inputs) == 1 else None
        if tensor is None:
            return None
        spot = (name, self.calls[name], "input")
        return Source(self.rows.shape(tensor), self.rows.answer(tensor, spot))


@contextmanager
def tracing(model: nn.Module, rows: Rows) -> Iterator[Trace]:
    """Within this context a forward of the model is traced. The hooks are gone when it ends, whatever happens.

    Args:
        model: an unwrapped module.
        rows: of the image and its altered copies.

    Yields:
        the trace, which fills as the model runs.
    """
    trace = Trace(rows)
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


_KEEPING_PLACES = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)
"""Modules with weights that leave what they got where it was."""


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _moved(base: torch.Tensor, view: torch.Tensor) -> tuple[int, ...] | None:
    """Where each axis of a view is in the tensor that it is of: told by how far apart its elements lie in memory.

    None if it is anything but that tensor with its axes in another order.
    """
    there = [(size, step) for size, step in zip(base.shape, base.stride(), strict=True) if size > 1]
    here = [(size, step) for size, step in zip(view.shape, view.stride(), strict=True) if size > 1]
    in_full = view.data_ptr() == base.data_ptr() and view.ndim == base.ndim and len(set(there)) == len(there)
    if not in_full or sorted(here) != sorted(there):
        return None
    places = list(zip(base.shape, base.stride(), strict=True))
    of_one = iter(axis for axis, size in enumerate(base.shape) if size == 1)
    return tuple(
        next(of_one) if size == 1 else places.index((size, step))
        for size, step in zip(view.shape, view.stride(), strict=True)
    )

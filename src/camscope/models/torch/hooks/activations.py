"""What goes into a softmax or sigmoid at a model's end: the logits, proven in numbers for the batch at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from camscope.errors import ModelError
from camscope.models.torch.hooks.functions import all_forms, first_operand
from camscope.models.torch.hooks.grafting import shares_memory
from camscope.models.torch.hooks.session import hook_after, hook_before, overriding
from camscope.models.torch.precision import rounding


class Activation(Enum):
    """What makes probabilities, or their logarithms, of logits."""

    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log_softmax"
    SIGMOID = "sigmoid"
    LOG_SIGMOID = "logsigmoid"

    @property
    def of_each(self) -> bool:
        """Whether each number is made of one logit alone."""
        return self in (Activation.SIGMOID, Activation.LOG_SIGMOID)

    def __call__(
        self, logits: Float[torch.Tensor, " batch *output"]
    ) -> Float[torch.Tensor, " batch *output"]:
        """Apply it; a softmax over the classes."""
        apply = getattr(functional, self.value)
        found: torch.Tensor = apply(logits) if self.of_each else apply(logits, 1)
        return found


MODULES = {
    nn.Softmax: Activation.SOFTMAX,
    nn.Softmax2d: Activation.SOFTMAX,
    nn.LogSoftmax: Activation.LOG_SOFTMAX,
    nn.Sigmoid: Activation.SIGMOID,
    nn.LogSigmoid: Activation.LOG_SIGMOID,
}

_FUNCTIONS = {
    **{function: kind for kind in Activation for function in all_forms(kind.value)},
    torch.special.expit: Activation.SIGMOID,
    torch.special.softmax: Activation.SOFTMAX,
    torch.special.log_softmax: Activation.LOG_SOFTMAX,
}
_IN_PLACE = frozenset({torch.sigmoid_, torch.Tensor.sigmoid_})


@dataclass(frozen=True)
class Final:
    """The softmax or sigmoid that makes a model's output.

    Attributes:
        kind: which.
        module: name of the module that it is; None if it is called as a function.
        shapes: of what the calls put out that make the output, without the batch axis. There may be several calls.
    """

    kind: Activation
    module: str | None
    shapes: frozenset[tuple[int, ...]]


@dataclass(frozen=True)
class Call:
    """One call of a softmax or sigmoid.

    Attributes:
        kind: which.
        logits: what went in.
        output: what came out; the model may have written into it since, which numbers tell.
    """

    kind: Activation
    logits: torch.Tensor
    output: torch.Tensor


Before = tuple[torch.Tensor, Activation]
"""Logits, and what the model makes of them."""


@contextmanager
def calls_of(model: nn.Module, final: Final | None = None) -> Iterator[list[Call]]:
    """Within this context calls of a softmax or sigmoid are noted. This keeps tensors alive.

    Args:
        model: an unwrapped module.
        final: which calls; without it all, of modules and of functions.

    Yields:
        the calls, in the order they end.
    """
    calls: list[Call] = []

    def note(kind: Activation, logits: torch.Tensor, output: torch.Tensor) -> None:
        if final is None or (kind is final.kind and tuple(output.shape[1:]) in final.shapes):
            calls.append(Call(kind, logits, output))

    with ExitStack() as stack:
        if final is None or final.module is None:
            stack.enter_context(overriding(_Noting(note)))
        else:
            kind, inputs = final.kind, []

            def begin(_module: nn.Module, args: Any, kwargs: Any) -> None:
                inputs.append(first_operand(args, kwargs))

            def end(_module: nn.Module, _inputs: Any, output: Any) -> None:
                logits = inputs.pop()
                if isinstance(logits, torch.Tensor) and isinstance(output, torch.Tensor):
                    note(kind, logits, output)

            module = model.get_submodule(final.module)
            stack.callback(hook_before(module, begin, with_keywords=True).remove)
            stack.callback(hook_after(module, end).remove)
        yield calls


class _Noting(TorchFunctionMode):
    """Notes each call of a softmax or sigmoid as a function."""

    def __init__(self, note: Callable[[Activation, torch.Tensor, torch.Tensor], None]) -> None:
        super().__init__()
        self._note = note

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        kind = _FUNCTIONS.get(func)
        if kind is None:
            return func(*args, **kwargs)
        logits = first_operand(args, kwargs)
        if func in _IN_PLACE or "out" in kwargs:
            logits = logits.clone()
        output = func(*args, **kwargs)
        self._note(kind, logits, output)
        return output


def logits_before(
    calls: Sequence[Call], output: Float[torch.Tensor, " batch *output"]
) -> tuple[Before, Sequence[Call]] | None:
    """The logits that the model's output is a softmax or sigmoid of; None where none of the calls makes it.

    The output may be a view of what a call put out, or a copy of it, in another shape; one class of a softmax; or what
    several calls put out side by side. Whatever it is taken for is applied to these logits and must give the output.
    Of two heads that saturate (all is 0 or 1) each gives the other's output too, so a call in whose memory the output
    lies comes before numbers.

    Args:
        calls: of one forward.
        output: what the model put out.

    Returns:
        logits, in the output's shape, on the autograd graph, with what is applied to them; and the calls concerned.

    Raises:
        ModelError: if the output is a copy, and the same is made of other logits by another call.
    """
    for call in reversed(calls):
        if shares_memory(call.output, output) and (before := _before(call, output)) is not None:
            return before, [call]
    made_by = [(before, call) for call in reversed(calls) if (before := _before(call, output)) is not None]
    if made_by:
        (before, call), *others = made_by
        if any(not torch.equal(before[0], other[0]) for other, _ in others):
            raise ModelError(
                f"{len(made_by)} calls of {before[1].value} put out the very numbers of the model's output, of "
                "different logits: all of them saturate for these images, so which one is the output cannot be told. "
                "Return its tensor itself and no copy, or pass output=, a function that gives the logits."
            )
        return before, [call]
    for kind in (kind for kind in Activation if kind.of_each):
        some = _side_by_side([call for call in calls if call.kind is kind], output)
        if some:
            logits = torch.cat([_columns(call.logits) for call in some], 1)
            if _makes(kind, logits, output):
                return (logits, kind), some
    return None


def _before(call: Call, output: torch.Tensor) -> Before | None:
    """The logits of a call, and what is made of them, if that is the output."""
    return next((pair for pair in _candidates(call, output) if _makes(pair[1], pair[0], output)), None)


def _candidates(call: Call, output: torch.Tensor) -> Iterator[Before]:
    """What the logits may be, if the output comes from one call."""
    made = call.output
    if call.logits.shape != made.shape:
        return
    if made.numel() == output.numel():
        yield call.logits.reshape(output.shape), call.kind
    # one row that stands for several, as where a re-run puts out what was kept, has no memory for the logits of each
    repeated = any(not step and size > 1 for size, step in zip(made.shape, made.stride(), strict=True))
    if shares_memory(made, output) and not repeated:
        # laid out in memory like what came out, so that the same view can be taken of them
        alike = torch.empty_strided(made.shape, made.stride(), dtype=call.logits.dtype, device=made.device)
        alike = alike.copy_(call.logits)
        yield (
            alike.as_strided(output.shape, output.stride(), output.storage_offset() - made.storage_offset()),
            call.kind,
        )
    if call.kind is Activation.SOFTMAX and made.ndim == 2 and output.numel() == len(made):
        of_class = (made.detach() == output.detach().reshape(-1, 1)).all(0).nonzero()
        for place in of_class.flatten().tolist():
            others = [i for i in range(made.shape[1]) if i != place]
            against = call.logits[:, others].logsumexp(1)
            yield (call.logits[:, place] - against).reshape(output.shape), Activation.SIGMOID


def _side_by_side(calls: Sequence[Call], output: torch.Tensor) -> list[Call]:
    """The calls that put out the columns of the output, one after another; none if some columns come from elsewhere."""
    found: list[Call] = []
    place = 0
    while output.ndim == 2 and place < output.shape[1]:
        for call in calls:
            columns = _columns(call.output.detach())
            if columns.ndim == 2 and torch.equal(columns, output[:, place : place + columns.shape[1]]):
                found.append(call)
                place += columns.shape[1]
                break
        else:
            return []
    return found


def _columns(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:, None] if tensor.ndim == 1 else tensor


def _makes(kind: Activation, logits: torch.Tensor, output: torch.Tensor) -> bool:
    """Whether the activation of these logits is the output, for every row."""
    if logits.shape != output.shape or not (kind.of_each or logits.ndim > 1):
        return False
    with torch.no_grad():
        found, expected = kind(logits.detach()).to(output), output.detach()
        size = expected.abs() if kind in (Activation.SOFTMAX, Activation.SIGMOID) else 1 + expected.abs()
        near = (found - expected).abs() <= rounding(logits.dtype, output.dtype) * size
        return bool((near | (found == expected)).all())

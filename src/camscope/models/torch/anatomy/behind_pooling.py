"""The modules between the pooling and the logits as one linear layer, which a batch norm and a linear layer are too."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import nn

from camscope.models.observing import slices_of
from camscope.models.torch.anatomy.head import Classifier, Pooled, is_right, verified
from camscope.models.torch.anatomy.trace import Output
from camscope.models.torch.precision import rounding, same_rows

_AT_A_TIME = 512
"""Channels that are probed in one run."""

_FAR = 1e4
"""So large are the numbers beside which biases and the bends of activations are nothing."""


def head_modules(
    outputs: Sequence[Output], logits: torch.Tensor | None, classifier: str | None
) -> tuple[str, ...]:
    """The names of the modules that could be the head, in order: mostly the classifier alone.

    Others belong to it where they have weights or statistics, and each got nothing but a vector and put out the next's.

    Args:
        outputs: in the order the modules finished.
        logits: what the model put out.
        classifier: the name of the last linear layer.
    """
    if classifier is None:
        return ()
    chain: list[Output] = []
    end = next((output for output in reversed(outputs) if output.tensor() is logits), None)
    while end is not None and _makes_a_vector_of_a_vector(end):
        chain.insert(0, end)
        end = end.follows
    places = [i for i, output in enumerate(chain) if classifier in output.names]
    with_numbers = [
        i for i, output in enumerate(chain) if next(_numbers_of(output.modules[0]), None) is not None
    ]
    if not places or with_numbers == places:
        return (classifier,)
    # what has no numbers, behind the last that has some, is an activation or nothing
    return tuple(output.names[0] for output in chain[: with_numbers[-1] + 1])


def _makes_a_vector_of_a_vector(output: Output) -> bool:
    module = output.modules[0]
    if not (
        output.of_one_tensor and type(module).__module__.startswith("torch.nn.") and is_vector(output.shape)
    ):
        return False
    if output.follows is None:  # what a function put out went in
        return len(output.shape) == 2 and not isinstance(module, nn.Flatten)
    return is_vector(output.follows.shape)


def is_vector(shape: Sequence[int]) -> bool:
    """Whether there is one position only.

    Args:
        shape: batch first, then channels.
    """
    return len(shape) >= 2 and all(size == 1 for size in shape[2:])


def _numbers_of(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def verified_head(
    modules: Sequence[nn.Module], x: torch.Tensor | None, logits: Float[torch.Tensor, " batch *output"]
) -> Classifier | None:
    """The head as one linear layer, if W · x + b is, in numbers, what the model puts out; else None.

    Of several modules together W and b are found by running them, the first time and whenever the weights have changed.

    Args:
        modules: which `head_modules` named.
        x: what went into the first.
        logits: what the model put out.
    """
    if len(modules) == 1 or x is None or not x.is_floating_point():
        return verified(modules[0], x, logits)
    if not is_vector(x.shape) or x.dtype in (torch.float16, torch.bfloat16):
        return None  # in half precision the differences of runs say too little
    head = _Through(modules, x, rounding(x.dtype, logits.dtype))
    state = _state(modules)
    before, linear = _known.get(modules[0], (None, None))
    if linear is not None and before == state and head.is_right(linear, logits):
        return head.classifier(linear)
    # weights can change unseen: then what is remembered is not right
    linear = head.as_linear()
    if linear is None or not head.is_right(linear, logits):
        return None
    _known[modules[0]] = state, linear
    return head.classifier(linear)


@dataclass(frozen=True)
class _Linear:
    """W and b."""

    weight: Float[torch.Tensor, "output channel"]
    bias: Float[torch.Tensor, " output"]


@dataclass(frozen=True)
class _Through:
    """Runs modules one after the other.

    Attributes:
        modules: in order.
        x: what went into the first, on the graph.
        tolerance: for rounding, see `camscope.models.torch.precision.rounding`.
    """

    modules: Sequence[nn.Module]
    x: Float[torch.Tensor, "batch channel *one"]
    tolerance: float

    def __call__(self, rows: Float[torch.Tensor, "row channel"]) -> Float[torch.Tensor, "row output"]:
        """What comes out."""
        out = rows.reshape(len(rows), *self.x.shape[1:])
        with torch.no_grad():
            for module in self.modules:
                out = module(out)
        return out.flatten(1)

    @property
    def rows(self) -> Float[torch.Tensor, "batch channel"]:
        """What went in, without a graph."""
        return self.x.detach().flatten(1)

    @property
    def _step(self) -> float:
        """The usual size of what went in."""
        return float(self.rows.square().mean().sqrt()) or 1.0

    def as_linear(self) -> _Linear | None:
        """W and b, by one row for each channel; None if not even this batch and its negative are on a line."""
        rows = self.rows
        here, opposite, bias = self(rows), self(-rows), self(torch.zeros_like(rows[:1]))
        size = (here.abs() + bias.abs()).amax(1, keepdim=True)
        if not bool(same_rows(opposite, 2 * bias - here, size, self.tolerance).all()):
            return None
        step = self._step
        units = step * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
        columns = torch.cat([self(units[some]) for some in slices_of(len(units), _AT_A_TIME)]) - bias
        return _Linear((columns / step).T.contiguous(), bias[0])

    def classifier(self, linear: _Linear) -> Classifier:
        """The modules as one layer, as it ran on this batch."""
        return Classifier(linear.weight, linear.bias, Pooled(self.x.flatten(1), self.tolerance))

    def is_right(self, linear: _Linear, logits: Float[torch.Tensor, " batch *output"]) -> bool:
        """Whether W · x + b is what the model puts out, and the modules of the negative and of half of the channels.

        The modules are also tried on one row of either sign in turn, since a batch that is dead here says nothing, and
        on that many times as large, since a ReLU between two linear layers rests as long as their biases are larger.

        Args:
            linear: W and b.
            logits: what the model put out.
        """
        if (len(self.x), len(linear.weight)) != (len(logits), logits[0].numel()):
            return False
        classifier, rows = self.classifier(linear), self.rows
        if not is_right(classifier, logits):
            return False
        every_second = (torch.arange(rows.shape[1], device=rows.device) % 2).to(rows)
        signs = self._step * (2 * every_second[None] - 1)
        far = _FAR * max(1.0, self._step) / self._step * signs
        altered = torch.cat([-rows, rows * every_second, rows * (1 - every_second), signs, -signs, far, -far])
        expected, size = classifier.logits(altered)
        return bool(same_rows(self(altered), expected, size, self.tolerance).all())


_known: weakref.WeakKeyDictionary[nn.Module, tuple[Any, _Linear]] = weakref.WeakKeyDictionary()
"""What was found of modules, by the first of them."""


def _state(modules: Sequence[nn.Module]) -> Any:
    """What tells that the modules and their weights are the same as before."""
    numbers = [tensor for module in modules for tensor in _numbers_of(module)]
    versions = [None if t.is_inference() else t._version for t in numbers]
    return [id(module) for module in modules], [t.data_ptr() for t in numbers], versions

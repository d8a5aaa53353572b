"""Putting a recorded copy underneath a tensor that the network already holds, so that every use of it counts.

A hook can give the network another tensor than the layer made. But what the model has kept of the layer's own tensor by
then (a skip on itself, in a list, in another hook) would pass the recorded one by. So the tensor itself, the very
object, is made to depend on the copy: whoever holds it takes part, no value changes, and its memory stays where it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any, cast

import torch
from jaxtyping import Shaped
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.autograd.graph import GradientEdge
from torch.utils import swap_tensors

from camscope.errors import ModelError, first_line


class Uses(Enum):
    """Which uses of a layer's output are found out how.

    Attributes:
        OF_TENSOR: of the tensor itself, from when the layer has put it out. So it is with nearly all layers.
        OF_MEMORY: of all that lies in its memory from then on. The tensor is a view, say of the layer's input, and the
            network writes into it later.
        FROM_WITHIN: those in the layer itself too, before it has put the tensor out: another output is made from it.
    """

    OF_TENSOR = auto()
    OF_MEMORY = auto()
    FROM_WITHIN = auto()


class _Through(torch.autograd.Function):
    """The same tensor, whose gradient goes to its copy."""

    @staticmethod
    def forward(
        ctx: Any,
        tensor: Shaped[torch.Tensor, " ..."],
        copy: Shaped[torch.Tensor, " ..."],
        beside: bool,
    ) -> Shaped[torch.Tensor, " ..."]:
        """Changes nothing but what the tensor depends on.

        Args:
            ctx: PyTorch's.
            tensor: what the network holds.
            copy: what it depends on from now on.
            beside: whether it still depends on what it was made of, too.
        """
        ctx.mark_dirty(tensor)
        ctx.beside = beside
        return tensor

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor, None]:
        """The gradient as it is."""
        return (gradient if ctx.beside else None), gradient, None


def graft(
    tensor: Shaped[torch.Tensor, " ..."],
    copy: Shaped[torch.Tensor, " ..."],
    *,
    in_memory: bool = False,
    beside: bool = False,
    same_object: bool = True,
) -> Shaped[torch.Tensor, " ..."]:
    """Let a tensor depend on a copy of it: what is sent back to the tensor from now on reaches the copy.

    Of a view whose base is in use elsewhere the base does not come to depend on the copy, though they share memory.

    Args:
        tensor: what the network holds. No value of it is changed.
        copy: of its values, requiring gradients.
        in_memory: let such a base depend on the copy too.
        beside: let the tensor depend on what it was made of, too.
        same_object: whether the tensor itself may be changed. If not, the network goes on with another one.

    Returns:
        What the network is to go on with: the tensor itself, or where that cannot be, another one in its memory.
    """
    if same_object and _can_be_changed(tensor) and (in_memory or not shares_memory_with_others(tensor)):
        return _grafted(tensor, copy, beside=beside)
    alias = _grafted(tensor.detach(), copy, beside=False)
    return tensor if same_object and put_in_place(tensor, alias) else alias


def begun(tensor: Shaped[torch.Tensor, " ..."]) -> Shaped[torch.Tensor, " ..."]:
    """The same memory as the start of a graph, into which the network may still write."""
    return _grafted(tensor.detach(), tensor.detach().requires_grad_(), beside=False)


def shares_memory(tensor: Shaped[torch.Tensor, " ..."], other: Shaped[torch.Tensor, " ..."]) -> bool:
    """Whether both lie in the same memory, or in parts of it."""
    return tensor.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


def shares_memory_with_others(tensor: Shaped[torch.Tensor, " ..."]) -> bool:
    """Whether a tensor is a view of one that somebody holds, or one of several that were made at once."""
    if not tensor._is_view():
        return False
    return not _can_be_changed(tensor) or _references_to_base_of(tensor) > _REFERENCES_TO_NOBODYS


def put_in_place(tensor: Shaped[torch.Tensor, " ..."], other: Shaped[torch.Tensor, " ..."]) -> bool:
    """Let the object that is known as one tensor be another one; False if something deeper than Python holds it."""
    if tensor.is_leaf and tensor.requires_grad:  # it is a parameter, or the user's
        return False
    try:
        swap_tensors(tensor, other)  # type: ignore[no-untyped-call]
    except RuntimeError:  # it is held by a graph, or there is a weak reference to it
        return False
    tensor.__dict__.update(other.__dict__)
    return True


Source = torch.Tensor | GradientEdge | tuple[GradientEdge, ...]
"""By what to differentiate for a layer's gradient; of several places, which hold the same values, the sum is meant."""


def differentiated(sources: Sequence[Source]) -> list[torch.Tensor]:
    """The sources one by one, as `torch.autograd.grad` takes them: mixed kinds too, which its types do not say."""
    return cast(list[torch.Tensor], [part for source in sources for part in _parts(source)])


def _parts(source: Source) -> Sequence[torch.Tensor | GradientEdge]:
    several = isinstance(source, tuple) and not isinstance(source, GradientEdge)
    return cast(Sequence[GradientEdge], source) if several else [cast(torch.Tensor, source)]


@contextmanager
def refusing_overwriting() -> Iterator[None]:
    """Around what runs the model with a graph, or goes back through it: say it where PyTorch has no gradient.

    Raises:
        ModelError: if the model writes into a tensor of which a gradient needs the old values, or cannot be followed.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in _OVERWRITTEN):
            raise
        raise ModelError(
            "The model writes into a tensor of which PyTorch needs the old values for a gradient (`y = sigmoid(x); "
            "y *= 2`, say, or a ReLU in place after another), or into one part of a `chunk`, or behind a full "
            "backward hook: so it has no gradient, in training either. Write `y = y * 2` there; or name a layer, and "
            f"a method without gradients, such as 'eigencam' or 'ablationcam'. PyTorch said: {first_line(error)}"
        ) from error


_OVERWRITTEN = ("modified by an inplace operation", "being modified inplace")
"""Words of PyTorch's two errors of this kind: on the way back, and on the way there."""


def gradients_by(
    end: Shaped[torch.Tensor, " ..."],
    tensors: Sequence[Shaped[torch.Tensor, " ..."]],
    sources: Sequence[Source],
    sent: Shaped[torch.Tensor, " ..."] | None = None,
    *,
    create_graph: bool = False,
) -> list[Shaped[torch.Tensor, " ..."]]:
    """The gradients of what was computed from some tensors; zero where there is no way back. The graph stays alive.

    Args:
        end: what was computed.
        tensors: the values it was computed from.
        sources: by what to differentiate, of the same tensors.
        sent: what to send back from the end; one, if that is a single number.
        create_graph: whether the gradients can be differentiated themselves.

    Raises:
        ModelError: if the model has overwritten what is needed for that.
    """
    with refusing_overwriting():
        found = torch.autograd.grad(
            end,
            differentiated(sources),
            sent,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    each = iter(found)
    summed = []
    for tensor, source in zip(tensors, sources, strict=True):
        some = [gradient for _ in _parts(source) if (gradient := next(each)) is not None]
        summed.append(sum(some[1:], some[0]) if some else torch.zeros_like(tensor))
    return summed


def _references_to_base_of(view: torch.Tensor) -> int:
    return sys.getrefcount(view._base)


_REFERENCES_TO_NOBODYS = _references_to_base_of(torch.zeros(1)[:])


def _grafted(tensor: torch.Tensor, copy: torch.Tensor, *, beside: bool) -> torch.Tensor:
    # what earlier steps keep for their own backward is as it was: not a number is written
    with torch.enable_grad(), _unsafe_preserve_version_counter(tensor):
        grafted: torch.Tensor = _Through.apply(tensor, copy, beside)
    return grafted


def _can_be_changed(tensor: torch.Tensor) -> bool:
    """Whether PyTorch lets what the tensor depends on be changed."""
    if tensor.is_leaf and tensor.requires_grad:
        return False
    if not tensor._is_view():
        return True
    base = tensor._base
    assert base is not None
    plain = torch._C._autograd._get_creation_meta(tensor) == torch._C._autograd.CreationMeta.DEFAULT
    return plain and not (base.is_leaf and base.requires_grad)

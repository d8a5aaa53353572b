"""Following what is computed from some tensors, operation by operation, and of what Python reads numbers.

Numbers show what is true of the numbers that were tried. Operations show what is true of all numbers, as long as Python
reads none of them: then the model's code has no way to take another branch for others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from camscope.models.torch.hooks.session import hook_after, hook_before, overriding
from camscope.models.torch.reruns.values import tensors_in

Labels = frozenset[Hashable]
"""What a tensor is computed from."""


class Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows from which sources each tensor is computed, memory by memory. See `following`.

    Attributes:
        read: sources of which Python has read numbers, theirs or of what is computed from them.
        notes_reads: whether what is read now is noted.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.read: Labels = frozenset()
        self.notes_reads = True
        self._labels: dict[StorageWeakRef, Labels] = {}

    def start(self, label: Hashable, value: Any) -> None:
        """Every tensor in a value is a source."""
        for tensor in tensors_in(value):
            self._labels[_memory(tensor)] = self.of(tensor) | {label}

    def cut(self, value: Any) -> None:
        """What is computed from the tensors in a value, from now on, counts as computed from nothing."""
        for tensor in tensors_in(value):
            self._labels.pop(_memory(tensor), None)

    def of(self, value: Any) -> Labels:
        """The sources of all tensors in a value."""
        known = (self._labels.get(_memory(tensor), frozenset()) for tensor in tensors_in(value))
        return frozenset[Hashable]().union(*known)

    def is_read(self, value: Any) -> None:
        """To be said where Python gets the numbers in a value."""
        if self.notes_reads:
            self.read |= self.of(value)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func._can_decompose():  # an operation made of others, which inference mode has not taken apart
            with self:
                return func.decompose(*args, **kwargs)
        result = func(*args, **kwargs)
        made = list(tensors_in(result))
        if not made:  # a number for Python, or tensors that are written into
            self.is_read((args, kwargs))
            made = list(tensors_in((args, kwargs)))
        labels = self._labels_of(func, args, kwargs, made)
        for tensor in made:
            self._labels[_memory(tensor)] = labels
        return result

    def _labels_of(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: list[torch.Tensor]
    ) -> Labels:
        """The sources of what an operation has made."""
        return self.of((args, kwargs))


AnyFollowing = TypeVar("AnyFollowing", bound=Following)


@contextmanager
def following(
    follow: AnyFollowing, sources: Mapping[Any, Any] | None = None, *, of: nn.Module | None = None
) -> Iterator[AnyFollowing]:
    """In this context what is computed from the sources is followed.

    Args:
        follow: a new one.
        sources: by their labels; whatever holds tensors.
        of: a model; what is read when its forward has ended is not noted. Without it all is.
    """

    def note(reads: bool) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            follow.notes_reads = reads

        return hook

    with ExitStack() as stack:
        if of is not None:
            stack.callback(hook_before(of, note(True)).remove)
            stack.callback(hook_after(of, note(False)).remove)
        stack.enter_context(overriding(_Readers(follow)))
        stack.enter_context(follow)
        for label, value in (sources or {}).items():
            follow.start(label, value)
        yield follow


_READERS = frozenset(
    {torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__, torch.Tensor.__dlpack__}
)
"""How Python gets at numbers without an operation."""


class _Readers(TorchFunctionMode):
    """Tells of numbers that Python reads without an operation."""

    def __init__(self, follow: Following) -> None:
        super().__init__()
        self._follow = follow

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _READERS:
            self._follow.is_read(args)
        return func(*args, **(kwargs or {}))


def _memory(tensor: torch.Tensor) -> StorageWeakRef:
    """Known again without being kept; no other memory is taken for it when it is gone."""
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]

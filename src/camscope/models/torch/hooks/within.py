"""What a layer does with its output before it puts it out: makes another output from it, or keeps a part of it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_unwatched: ContextVar[bool] = ContextVar("_unwatched", default=False)

State = tuple[StorageWeakRef, int]
"""Some memory, and how often it had been written to."""


@contextmanager
def unwatched() -> Iterator[None]:
    """In this context operations are ours, and none of the layer's."""
    before = _unwatched.set(True)  # noqa: FBT003
    try:
        yield
    finally:
        _unwatched.reset(before)


class Within(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches every operation from when a layer begins until its output is known."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._steps: list[tuple[list[State], list[State]]] = []
        self._made: list[weakref.ref[torch.Tensor]] = []
        self._unclear = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if _unwatched.get():
            return func(*args, **(kwargs or {}))
        try:
            read = [_state(value) for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        except (RuntimeError, NotImplementedError):  # memory that cannot be looked at (a transform of functions)
            self._unclear = True
            read = []
        result = func(*args, **(kwargs or {}))
        made = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        if not self._unclear:
            self._steps.append((read, [_state(value) for value in made]))
            if func is not torch.ops.aten.detach.default:  # no gradient goes through that, and autograd does it too
                self._made += [weakref.ref(value) for value in made]
        return result

    def has_made_another_from(self, output: torch.Tensor) -> bool:
        """Whether something that still exists was computed from the output as it is now."""
        if self._unclear:
            return True
        final = _state(output)
        derived = {final}
        for read, made in self._steps:
            if any(state in derived for state in read):
                derived.update(made)
        return any(memory != final[0] and not memory.expired() for memory, _ in derived)

    def has_kept_a_view_of(self, output: torch.Tensor) -> bool:
        """Whether a view of the output still exists beside it."""
        memory = StorageWeakRef(output.untyped_storage())
        others = (made() for made in self._made)
        return any(
            other is not None
            and other is not output
            and other is not output._base
            and StorageWeakRef(other.untyped_storage()) == memory
            and _overlap(output, other)
            for other in others
        )


def _overlap(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors in the same memory have a number in common."""
    if one.dtype != other.dtype:
        return True
    size = one.untyped_storage().nbytes() // one.element_size()
    used = torch.zeros(size, dtype=torch.bool)  # a map of the memory, wherever that is
    _places(used, one).fill_(True)  # noqa: FBT003
    return bool(_places(used, other).any())


def _places(used: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """The part of the map that belongs to a tensor; what it repeats is there once."""
    sizes = [1 if not step else size for size, step in zip(tensor.shape, tensor.stride(), strict=True)]
    return used.as_strided(sizes, tensor.stride(), tensor.storage_offset())


def _state(tensor: torch.Tensor) -> State:
    return StorageWeakRef(tensor.untyped_storage()), tensor._version

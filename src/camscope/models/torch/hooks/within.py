"""What a layer does with its output before it puts it out: makes another output from it, or keeps a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
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
    before = _unwatched.set(True)
    try:
        yield
    finally:
        _unwatched.reset(before)


class Within(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches every operation from when a layer begins until its output is known."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._steps: list[tuple[list[State], list[State]]] = []
        self._made: list[_Made] = []
        self._unclear = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if _unwatched.get():
            return func(*args, **(kwargs or {}))
        try:
            read = [_state(value) for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        except (
            RuntimeError,
            NotImplementedError,
        ):  # memory that cannot be looked at (a transform of functions)
            self._unclear = True
            read = []
        result = func(*args, **(kwargs or {}))
        made = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        if not self._unclear:
            self._steps.append((read, [_state(value) for value in made]))
            if (
                func is not torch.ops.aten.detach.default
            ):  # no gradient goes through that, and autograd does it too
                self._made += [_Made.of(value) for value in made]
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
        others = {memory for memory, _ in derived if memory != final[0]}
        return not all(memory.expired() for memory in others)  # type: ignore[no-untyped-call]

    def has_kept_a_view_of(self, output: torch.Tensor) -> bool:
        """Whether a view of the output still exists beside it."""
        own = _Made.of(output)
        itself = {own.number} if output._base is None else {own.number, output._base._cdata}
        others = (made for made in self._made if made.number not in itself and made.memory == own.memory)
        return any(not other.reference.expired() and own.overlaps(other) for other in others)


@dataclass(frozen=True)
class _Made:
    """A tensor that an operation has made, known again without being kept alive.

    This may stand in the way of a graft all the same, see `Recorder.obstructed`.

    Attributes:
        reference: tells whether it still exists.
        number: of the tensor; another may get it later.
        memory: where its numbers are.
        size: of that memory, in numbers.
        shape: of the tensor.
        strides: of the tensor.
        start: of the tensor in the memory.
    """

    reference: Any
    number: int
    memory: StorageWeakRef
    size: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int

    @classmethod
    def of(cls, tensor: torch.Tensor) -> _Made:
        """What is to be known of a tensor."""
        storage = tensor.untyped_storage()
        size = storage.nbytes() // tensor.element_size()
        return cls(
            torch._C._WeakTensorRef(tensor),  # type: ignore[attr-defined]
            tensor._cdata,
            _memory_of(tensor),
            size,
            tuple(tensor.shape),
            tensor.stride(),
            int(tensor.storage_offset()),
        )

    def overlaps(self, other: _Made) -> bool:
        """Whether both have a number of the memory in common."""
        if self.size != other.size:  # they read it as numbers of another kind
            return True
        used = torch.zeros(self.size, dtype=torch.bool)  # a map of the memory, wherever that is
        self._places(used).fill_(True)
        return bool(other._places(used).any())

    def _places(self, used: torch.Tensor) -> torch.Tensor:
        """The tensor's part of the map; what it repeats is there once."""
        sizes = [size if step else 1 for size, step in zip(self.shape, self.strides, strict=True)]
        return used.as_strided(sizes, self.strides, self.start)


def _state(tensor: torch.Tensor) -> State:
    return _memory_of(tensor), tensor._version


def _memory_of(tensor: torch.Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]

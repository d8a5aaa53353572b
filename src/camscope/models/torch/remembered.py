"""What was found out about a model: kept for the last few kinds of input, and only as long as its modules stay."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from torch import nn

from camscope.models.last_used import LastUsed

MOST = 64
"""Kinds of input (sizes, mostly) that are remembered. Of more, those that came up longest ago are found out anew."""

Found = TypeVar("Found")


class Modules:
    """A model's modules as they were.

    Args:
        model: an unwrapped module.
    """

    def __init__(self, model: nn.Module) -> None:
        self._children = [(module, list(module._modules.items())) for module in model.modules()]

    def are_still_there(self) -> bool:
        """Whether none of them was replaced, none was added and none taken away."""
        return all(list(module._modules.items()) == children for module, children in self._children)


class Remembered(Generic[Found]):
    """What was found out about a model, by the kind of input.

    Args:
        model: an unwrapped module. When one of its modules is replaced (a new head, say) all is forgotten.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules = Modules(model)
        self._found: LastUsed[Found] = LastUsed(MOST)

    def get(self, kind: Hashable, find: Callable[[], Found]) -> Found:
        """What was found for this kind of input; found now if it is not known.

        Args:
            kind: of the input, see `Batch.signature`.
            find: finds it.
        """
        if not self._modules.are_still_there():
            self._found.clear()
            self._modules = Modules(self._model)
        return self._found.get(kind, find)

    def put(self, kind: Hashable, found: Found) -> None:
        """Take something better for what was found for this kind of input.

        Args:
            kind: of the input, one that `get` was asked for.
            found: from now on.
        """
        self._found.put(kind, found)

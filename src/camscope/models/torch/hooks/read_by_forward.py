"""What a model is besides weights and modules: the numbers, words and functions that its forward reads.

A stride, the scale of an adapter or whether it is switched on, a `forward` that was put in place of another, a hook of
the user's: whatever is made from a model is stale once one of these is another.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from camscope.models.the_same import TheSame

Settings: TypeAlias = Mapping[tuple[nn.Module, str], Hashable]

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_HOOKS = frozenset(name for name in _OF_EVERY_MODULE if name.endswith("_hooks"))
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, torch.dtype})


def settings(model: nn.Module) -> Settings:
    """Of each module what it holds besides weights and modules, as far as it says something.

    Plain values are compared as such, also those in lists and dictionaries; of anything else, whether it is the same
    object. No tensor is kept alive.

    Args:
        model: an unwrapped module.
    """
    return {
        (module, name): value if type(value) in _PLAIN else _told(value)
        for module in model.modules()
        for name, value in vars(module).items()
        if name not in _OF_EVERY_MODULE or (name in _HOOKS and value)
    }


def changed(before: Settings, after: Settings) -> set[tuple[nn.Module, str]]:
    """Which of them are others, came or went.

    Args:
        before: what they were.
        after: what they are.
    """
    return {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}


def _told(value: Any, depth: int = 0) -> Hashable:
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    if isinstance(value, (list, tuple, set, frozenset)) and depth < 2:
        return (type(value).__name__, *(_told(one, depth + 1) for one in value))
    if isinstance(value, Mapping) and depth < 2:
        return (type(value).__name__, *((_told(key, 2), _told(one, depth + 1)) for key, one in value.items()))
    if isinstance(value, torch.Tensor):
        return (TheSame(value), value._version)
    function = getattr(value, "__func__", None)  # a method is another object each time it is asked for
    return TheSame(value if function is None else function)

"""A checkpoint's tensors and settings without its code: what would be an object of some class becomes a dictionary.

PyTorch reads a checkpoint without running code as long as it holds nothing but tensors, numbers and text. What a
training saves mostly holds more: its arguments, paths, the trainer's settings, or the whole model. Each such object is
read here as a `StandIn`, which holds what it was made of, and of which nothing runs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

_CLASS = "stands for"
"""The attribute of a stand-in that says which class it stands for."""


def read_without_code(path: Path) -> Any:
    """What a file of `torch.save` holds; an object of any class but PyTorch's own tensors is a dictionary.

    Args:
        path: of the file.

    Raises:
        pickle.UnpicklingError: if it cannot be read in this way.
        Exception: whatever PyTorch raises for a file that is damaged.
    """
    import torch
    from torch import serialization

    try:
        foreign = serialization.get_unsafe_globals_in_checkpoint(path)
    except (
        ValueError,
        AttributeError,
    ):  # an old file, which is no archive; an old PyTorch, which cannot tell
        foreign = []
    if not foreign:
        return torch.load(path, map_location="cpu", weights_only=True)
    try:
        with serialization.safe_globals([(_stand_in_for(name), name) for name in foreign]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (TypeError, ValueError, KeyError) as error:
        raise UnpicklingError(f"it holds {', '.join(foreign)}, which cannot be done without") from error


class _Opaque:
    """What nothing is read of."""

    def __new__(cls, *arguments: Any, **named: Any) -> _Opaque:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


def _stand_in_for(name: str) -> Any:
    """A class in place of another one (or of a function) that makes empty dictionaries, whatever it is called with."""
    if name.startswith(("numpy.", "functools.")):  # whose state is no dictionary
        return type("Opaque", (_Opaque,), {})

    def new(cls: type, *arguments: Any, **named: Any) -> OrderedDict[Any, Any]:
        made: OrderedDict[Any, Any] = OrderedDict()  # PyTorch puts entries and attributes into nothing else
        vars(made)[_CLASS] = name
        return made

    return type("StandIn", (), {"__new__": new})


def class_of(found: Any) -> str:
    """The class that something read from a file stands for; empty if it is no stand-in."""
    return str(vars(found).get(_CLASS, "")) if isinstance(found, OrderedDict) else ""


def is_module(found: Any) -> bool:
    """Whether it stands for a `torch.nn.Module`."""
    return isinstance(found, OrderedDict) and "_modules" in vars(found) and "_parameters" in vars(found)


def parts_of(found: Any) -> Mapping[Any, Any]:
    """What is inside of an object by name: its entries and its attributes; of what stands for a module its weights."""
    if is_module(found):
        return dict(_weights(found, ""))
    attributes = getattr(found, "__dict__", {})
    entries = found if isinstance(found, Mapping) else {}
    return {**{name: one for name, one in attributes.items() if name != _CLASS}, **entries}


def _weights(module: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The weights of what stands for a module, under the names that `state_dict` would give them."""
    own = vars(module)
    passing = own.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, weight in (own.get(kind) or {}).items():
            if weight is not None and name not in passing:
                yield f"{prefix}{name}", weight
    for name, inner in own["_modules"].items():
        if is_module(inner):
            yield from _weights(inner, f"{prefix}{name}.")

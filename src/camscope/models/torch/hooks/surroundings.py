"""What the user has set around a call: autocast and a default device. The model runs in it, our own arithmetic outside.

In half precision products underflow, and a method's numbers belong where the model's are, wherever new tensors go by
default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import nn

from camscope.undoing import surely


@dataclass(frozen=True)
class _Surroundings:
    """What was set.

    Attributes:
        autocast: the kinds of devices on which autocast was on.
        device: where new tensors went, if not to the CPU.
    """

    autocast: tuple[str, ...] = ()
    device: torch.device | None = None


_NOTHING = _Surroundings()

_outside: ContextVar[_Surroundings] = ContextVar("_outside", default=_NOTHING)
"""What was set around the call that runs now."""


@contextmanager
def set_aside(model: nn.Module) -> Iterator[None]:
    """Within this context neither autocast nor a default device is on; at the end all is as it was.

    Args:
        model: tells the kinds of devices.
    """
    kinds = dict.fromkeys(["cpu", *(p.device.type for p in model.parameters())])
    default = torch.get_default_device()
    found = _Surroundings(
        tuple(kind for kind in kinds if _can_autocast(kind) and torch.is_autocast_enabled(kind)),
        None if default.type == "cpu" else default,
    )
    if found == _NOTHING:
        yield
        return
    with ExitStack() as stack:
        token = _outside.set(found)
        stack.enter_context(surely(_autocasting(found.autocast, on=True)))
        _autocasting(found.autocast, on=False)()
        if found.device is not None:
            stack.enter_context(torch.device("cpu"))
        try:
            yield
        finally:
            _outside.reset(token)


@contextmanager
def as_given() -> Iterator[None]:
    """Within this context, which is one forward of the model, all is on again that was set aside."""
    found = _outside.get()
    if found == _NOTHING:
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(surely(_autocasting(found.autocast, on=False)))
        _autocasting(found.autocast, on=True)()
        if found.device is not None:
            stack.enter_context(found.device)
        yield


def _autocasting(kinds: tuple[str, ...], *, on: bool) -> Callable[[], None]:
    """What turns autocast on or off. It may be called again."""

    def turn() -> None:
        for kind in kinds:
            torch.set_autocast_enabled(kind, on)

    return turn


def _can_autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind)

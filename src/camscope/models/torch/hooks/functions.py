"""What the overriding of torch's functions (`TorchFunctionMode`) needs in more than one place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

attention_is_constant: ContextVar[bool] = ContextVar("attention_is_constant", default=False)
"""Whether gradients are balanced, so that nothing flows back from attention weights to what they were made of."""

_multi_head = functional.multi_head_attention_forward

open_multi_head_attention = FunctionType(
    _multi_head.__code__,
    {**vars(functional), "has_torch_function": lambda _: False},
    _multi_head.__name__,
    _multi_head.__defaults__,
    _multi_head.__closure__,
)
"""`multi_head_attention_forward`, what `nn.MultiheadAttention` runs, with the calls inside it visible to a mode.

A mode is given the call of the function as a whole, and by calling it from there would not see what it calls. This is
the same code, but it does not ask the mode first.
"""
open_multi_head_attention.__kwdefaults__ = _multi_head.__kwdefaults__


def overriding_modes() -> Callable[[], None]:
    """What puts back the modes that override torch's functions in this thread, as they are now.

    It may be called again. In another thread, where the garbage collector may end a context, it does nothing.
    """
    thread = threading.get_ident()
    before: list[TorchFunctionMode] = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]

    def put_back() -> None:
        now = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        if threading.get_ident() == thread and list(map(id, now)) != list(map(id, before)):
            for _ in now:
                _pop_mode()  # type: ignore[no-untyped-call]
            for mode in before:
                _push_mode(mode)  # type: ignore[no-untyped-call]

    return put_back


def thread_state() -> Callable[[], None]:
    """What puts back all that is this thread's as it is now: its modes, gradients or not, constant attention.

    It may be called again. In another thread it does nothing.
    """
    thread, put_back_overriding = threading.get_ident(), overriding_modes()
    dispatching = len(_get_current_dispatch_mode_stack())
    graded, constant = torch.is_grad_enabled(), attention_is_constant.get()

    def put_back() -> None:
        if threading.get_ident() != thread:
            return
        put_back_overriding()
        for dispatch in reversed(_get_current_dispatch_mode_stack()[dispatching:]):
            dispatch.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        torch.set_grad_enabled(graded)
        if attention_is_constant.get() != constant:
            attention_is_constant.set(constant)

    return put_back


def all_forms(*names: str) -> frozenset[Any]:
    """These functions wherever torch has them: as functions and methods, in place and not."""
    homes = (functional, torch, torch.Tensor)
    found = (getattr(home, form, None) for home in homes for name in names for form in (name, f"{name}_"))
    return frozenset(function for function in found if function is not None)


def first_operand(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The tensor a function of one tensor is applied to, however it was passed."""
    return args[0] if args else kwargs.get("input")


def contraction(equation: str) -> tuple[str, str, str] | None:
    """An einsum of two operands as the letters of both and of the result; None for any other."""
    inputs, arrow, result = equation.replace(" ", "").partition("->")
    operands = inputs.split(",")
    if not arrow or len(operands) != 2 or "." in equation:
        return None
    return operands[0], operands[1], result


def same_shape(a: Any, b: Any) -> bool:
    """Whether both are tensors, of one shape."""
    return isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and a.shape == b.shape

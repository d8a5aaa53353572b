"""One thread's time with a model: what it changes about the model, and how all of it is undone.

An interrupt (Ctrl-C) can arrive between any two steps of Python, also inside the code that puts things back. So
nothing here counts on having been reached: whatever is changed is noted in the session before, undoing may be
repeated, and it is done twice.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from camscope.errors import InputError, ModelError
from camscope.fair_lock import Turn
from camscope.models.torch.hooks.functions import overriding_modes, thread_state
from camscope.models.turns import locks_of
from camscope.undoing import surely

_DISTURBED = (
    "The model was run by another thread meanwhile, so this call was given up. While a model is explained it is in "
    "eval mode with frozen parameters, for every thread. Calls of camscope wait for one another; let your own forwards "
    "wait too (one lock around both), or explain a copy: copy.deepcopy(model)."
)

CHECKPOINTING = ("grad_checkpointing", "gradient_checkpointing", "use_checkpoint", "with_cp")
"""The flags by which modules of timm and open_clip, Hugging Face, Swin and MONAI, OpenMMLab checkpoint their gradients.
There is no maths in them: outputs and gradients are the same without."""

Mode = TypeVar("Mode", bound=TorchFunctionMode)


class Session(Turn):
    """One thread's time with one model.

    Args:
        model: an unwrapped module.

    Attributes:
        model: it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._touched: dict[int, nn.Module] = {}
        self._thaw: Callable[[], None] | None = None
        self._disturbed = False
        self._is_followed = False

    def touches(self, module: nn.Module) -> None:
        """To be said before a hook or another forward is set on a module."""
        self._touched[id(module)] = module

    def is_disturbed(self) -> None:
        """To be said where another thread runs the model. It matters while flags are changed for all threads."""
        self._disturbed = self._disturbed or self._thaw is not None

    @property
    def is_frozen(self) -> bool:
        """Whether an explanation is under way, so that whatever runs the model is no forward of the user's."""
        return self._thaw is not None

    @contextmanager
    def followed(self) -> Iterator[None]:
        """The user's own forwards are watched. Runs of one watching would be taken for forwards of another.

        Raises:
            InputError: if this thread watches the model, a part of it or what it is a part of already.
        """
        own = set(self.model.modules())
        if any(other._is_followed and not own.isdisjoint(other.model.modules()) for other in _here.sessions):
            raise InputError(
                "This model, or one that it shares parts with, is watched already. Give one watching() all methods "
                "and layers: explainer.watching(methods=[…], layers=[…])."
            )
        self._is_followed = True
        try:
            yield
        finally:
            self._is_followed = False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Eval mode and frozen parameters; at the end each flag is as it was, and so is the state of torch.

        Flags are set directly: `eval()` can be overridden to do more (merge adapters, say). Gradient checkpointing is
        switched off too: it runs parts of the model again during the backward, without the hooks of the forward.
        Inside it may be entered again.

        Raises:
            ModelError: at the end, if another thread has run the model meanwhile.
        """
        if self._thaw is not None:
            yield
            return
        self._disturbed = False
        with surely(self._end_frozen):
            self._freeze()
            try:
                yield
            except Exception as error:
                if self._disturbed:
                    raise ModelError(_DISTURBED) from error
                raise
            except BaseException as error:
                # An interrupt may have come just after a context was entered and before its block began, PyTorch's own
                # included. Such a context ends with the frame that holds it: let that be now, before all is put back.
                traceback.clear_frames(error.__traceback__)
                raise
            if self._disturbed:
                raise ModelError(_DISTURBED)

    def _freeze(self) -> None:
        training = [module for module in self.model.modules() if module.training]
        checkpointing = [
            (module, flag)
            for module in self.model.modules()
            for flag in CHECKPOINTING
            if module.__dict__.get(flag) is True
        ]
        # a computed one, as a copy of a TorchScript module has, cannot be frozen
        learning = [p for p in self.model.parameters() if p.requires_grad and p.is_leaf]
        random, put_back_thread = torch.get_rng_state(), thread_state()

        def switch(on: bool) -> None:
            for module in training:
                module.training = on
            for module, flag in checkpointing:
                setattr(module, flag, on)
            for parameter in learning:
                parameter.requires_grad_(on)

        def thaw() -> None:
            switch(True)
            self._take_away(self.model, _Sentinel)
            torch.set_rng_state(random)
            put_back_thread()

        self._thaw = thaw
        switch(False)
        self.model.register_forward_pre_hook(_Sentinel(self.model, _nothing))
        self.model.register_forward_hook(_Sentinel(self.model, _nothing))

    def _end_frozen(self) -> None:
        if self._thaw is not None:
            self._thaw()
            self._thaw = None

    def _take_away(self, module: nn.Module, kind: type[_Hook]) -> None:
        """Take this session's hooks of one kind off a module."""
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for number, hook in list(hooks.items()):
                if isinstance(hook, kind) and hook.session is self:
                    hooks.pop(number, None)

    def undo(self) -> None:
        """Put everything back. May be called again, whether or not it came to its end before."""
        for module in self._touched.values():
            self._take_away(module, _Hook)
            while isinstance(forward := module.__dict__.get("forward"), _Forward):
                forward.put_back()
        self._end_frozen()


class _Here(threading.local):
    """The sessions of this thread, the innermost last: of several models, if one is explained inside another's call."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []


_here = _Here()


@contextmanager
def exclusive(model: nn.Module) -> Iterator[Session]:
    """Have a model to this thread alone. Other threads that ask for it wait, and are served in the order they came.

    Inside it may be entered again. When the outermost ends, everything about the model is as it was.

    Args:
        model: an unwrapped module.
    """
    sessions = _here.sessions
    current = next((session for session in sessions if session.model is model), None)
    if current is not None:
        yield current
        return
    session = Session(model)
    locks = [lock for lock in locks_of(model.modules()) if not lock.is_held_here]

    def end() -> None:
        if session in sessions:
            session.undo()
            sessions.remove(session)
        for lock in locks:
            lock.leave(session)

    with surely(end):
        for lock in locks:
            lock.wait(session)
        sessions.append(session)
        yield session


@contextmanager
def overriding(mode: Mode) -> Iterator[Mode]:
    """In this context a mode is asked about each call of torch's functions; at the end all modes are as before.

    PyTorch takes the mode away while it answers. An interrupt that arrives then must not make the end take away
    another one, or none: so this puts back what was there, and counts on nothing.

    Args:
        mode: the mode.
    """
    with surely(overriding_modes()):
        mode.__enter__()  # type: ignore[no-untyped-call]
        yield mode


# ------------------------------------------------------------------ hooks


class _OfThisThread:
    """What stands on a module for the thread that put it there. Another thread's call goes its own way, and is noted.

    Args:
        module: on which it will stand.
    """

    def __init__(self, module: nn.Module) -> None:
        self.thread = threading.get_ident()
        self.session = _here.sessions[-1] if _here.sessions else None
        if self.session is not None:
            self.session.touches(module)

    def is_called_elsewhere(self) -> bool:
        """Whether this is another thread, which then has disturbed the session."""
        elsewhere = threading.get_ident() != self.thread
        if elsewhere and self.session is not None:
            self.session.is_disturbed()
        return elsewhere


class _Hook(_OfThisThread):
    """A hook.

    Args:
        module: on which it will stand.
        function: what it does.
    """

    def __init__(self, module: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__(module)
        self._function = function

    def __call__(self, module: nn.Module, *rest: Any) -> Any:
        return None if self.is_called_elsewhere() else self._function(module, *rest)

    def __reduce__(self) -> tuple[Any, ...]:
        """In a copy of the model, or a file of it, it does nothing."""
        return _get_nothing, ()


class _Sentinel(_Hook):
    """Stands on the model itself, to notice another thread's forward even where that meets no other hook."""


def _nothing(*_: Any) -> None:
    """A hook that does nothing."""


def _get_nothing() -> Callable[..., None]:
    return _nothing


def hook_before(
    module: nn.Module, hook: Callable[..., Any], *, with_keywords: bool = False
) -> RemovableHandle:
    """Let a hook be called before each forward that this thread makes of a module.

    Args:
        module: any.
        hook: from the module and its positional arguments to None, or to other arguments.
        with_keywords: whether it also gets the arguments by keyword, and may return both as a pair.
    """
    return module.register_forward_pre_hook(_Hook(module, hook), with_kwargs=with_keywords)


def hook_after(module: nn.Module, hook: Callable[..., Any], *, prepend: bool = False) -> RemovableHandle:
    """Let a hook be called after each forward that this thread makes of a module.

    Args:
        module: any.
        hook: from the module, its positional arguments and its output to None, or to another output.
        prepend: whether it comes before the hooks that are there.
    """
    return module.register_forward_hook(_Hook(module, hook), prepend=prepend)


class _Forward(_OfThisThread):
    """What runs in place of a module's forward.

    Args:
        module: whose.
        forward: what runs.
    """

    def __init__(self, module: nn.Module, forward: Callable[..., Any]) -> None:
        super().__init__(module)
        self._module = module
        self._forward = forward
        self._before = module.__dict__.get("forward")
        self._original = module.forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return (self._original if self.is_called_elsewhere() else self._forward)(*args, **kwargs)

    def put_back(self) -> None:
        """Let the module have what it had, unless it has that already."""
        if self._module.__dict__.get("forward") is self:
            if self._before is None:
                del self._module.__dict__["forward"]
            else:
                self._module.__dict__["forward"] = self._before


@contextmanager
def replaced_forward(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Within this context the module runs `forward` in place of its own forward, in this thread.

    It is set on the instance. What the instance had, perhaps a forward that the user had set in the same way, is put
    back.
    """
    ours = _Forward(module, forward)
    with surely(ours.put_back):
        module.__dict__["forward"] = ours
        yield

"""Standing around the calls of a model's layers, so that each can be seen, altered or replaced, without a trace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from camscope.errors import ModelError
from camscope.undoing import surely

_CALLS = ("call", "quantized_call")
_NOTED = (*_CALLS, "_maybe_build", "_called", "_parent_path", "built", "activation")
"""What is put in place of a layer's own, and what Keras itself notes about a layer that is called."""


class Call(NamedTuple):
    """One call of a layer. Calls are numbered in the order in which they begin.

    Attributes:
        layer: its name.
        end: the number of the first call that begins after this one has ended.
    """

    layer: str
    end: int


Course: TypeAlias = Sequence[Call]
"""All calls of one run."""


def last_call(course: Course, layer: str) -> int | None:
    """The number of a layer's last call; None if it is not called."""
    return next((n for n in reversed(range(len(course))) if course[n].layer == layer), None)


class Watcher:
    """Is asked about each call of each layer. This one lets everything be as it is.

    Attributes:
        gives_again: whether some calls are not made, since what they gave before is given again.
    """

    gives_again = False

    def before(self, number: int, name: str) -> tuple[Any, int] | None:
        """What a call gives instead of being made, and the number of the call after it; None makes it.

        Args:
            number: of the call.
            name: of the layer.
        """
        return None

    def after(self, number: int, call: Call, given: Any, value: Any) -> Any:
        """What a call puts out, or something in place of it.

        Args:
            number: of the call.
            call: it.
            given: its first argument.
            value: what it put out.
        """
        return value

    def activates(self, name: str, given: Any) -> None:
        """A layer applies its own activation function, in a call of this thread.

        Args:
            name: of the layer.
            given: what the function is given.
        """


@contextmanager
def around_calls(model: Any, layers: Mapping[str, Any], watcher: Watcher) -> Iterator[list[Call]]:
    """In this context a watcher stands around each call that this thread makes of a layer.

    Functions stand in the layers' own `__dict__` in place of `call`, past what Keras tracks. At the end every layer is
    as it was.

    Args:
        model: a Keras model.
        layers: all in it, by name.
        watcher: is asked.

    Yields:
        The calls that were begun so far.
    """
    calls: list[Call] = []
    here = threading.get_ident()

    def shadow(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != here:
                return original(*args, **kwargs)
            number = len(calls)
            instead = watcher.before(number, name)
            if instead is not None:
                value, end = instead
                calls.extend(Call(name, end) for _ in range(number, end))
                return value
            calls.append(Call(name, number))
            value = original(*args, **kwargs)
            calls[number] = Call(name, len(calls))
            return watcher.after(number, calls[number], next(iter((*args, *kwargs.values())), None), value)

        return call

    def spy(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def activation(x: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == here:
                watcher.activates(name, x)
            return original(x, *args, **kwargs)

        return activation

    every = [model, *layers.values()]
    before = [
        (vars(layer), {key: vars(layer)[key] for key in _NOTED if key in vars(layer)}) for layer in every
    ]

    def put_back() -> None:
        for own, kept in before:
            for key in _NOTED:
                if key in kept:
                    own[key] = kept[key]
                else:
                    own.pop(key, None)

    with surely(put_back):
        for name, layer in layers.items():
            own = vars(layer)
            for key in _CALLS:
                if hasattr(layer, key):
                    own[key] = shadow(name, getattr(layer, key))
            if callable(own.get("activation")) and not hasattr(own["activation"], "call"):
                own["activation"] = spy(name, own["activation"])
            if not getattr(layer, "built", True):
                own["_maybe_build"] = _not_building(name, layer)
        yield calls


def _not_building(name: str, layer: Any) -> Callable[..., None]:
    """What stands in place of a layer's building: it would make weights. A layer with none of its own needs nothing."""

    def instead(*_: Any, **__: Any) -> None:
        if not getattr(layer.build, "_is_default", False):
            raise passing_through_keras(
                ModelError(
                    f"The layer {name!r} was never called, so it has no weights yet. Call the model once on an input, "
                    "or load its weights, before it is explained."
                )
            )

    return instead


def passing_through_keras(error: ModelError) -> ModelError:
    """An error that Keras passes on as it is, without adding the arguments of its own call to the message."""
    error._keras_call_info_injected = True  # type: ignore[attr-defined]
    return error

"""How a Keras model is called with the inputs of a batch, and what is said where it cannot be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from camscope.errors import CamscopeError, InputError, nearest
from camscope.models.axes import where_channels_belong
from camscope.models.batch import Batch


def caller(model: Any) -> Callable[..., Any]:
    """A function that runs a model in inference, given its inputs by position or by keyword.

    Models take several inputs as one argument, a list or a dictionary. They may be given one by one: by the names of a
    functional model's inputs, or in their order.

    Args:
        model: a Keras model.
    """
    by_name = input_names(model)

    def call(*args: Any, **kwargs: Any) -> Any:
        if by_name and (kwargs or len(args) > 1):
            return model(_structured(model, by_name, args, kwargs), training=False)
        takes = [
            name for name in inspect.signature(model.call).parameters if name not in ("training", "mask")
        ]
        if kwargs and not args and not set(kwargs) <= set(takes):
            return model(kwargs, training=False)
        if len(args) > len(takes) == 1:
            return model(list(args), training=False)
        return model(*args, training=False, **kwargs)

    return call


def input_names(model: Any) -> list[str]:
    """The names of a functional model's inputs, in its order; empty for a model of another kind."""
    structure = getattr(getattr(model, "_functional", None) or model, "_inputs_struct", None)
    if structure is None:
        return []
    if isinstance(structure, dict) and all(hasattr(value, "shape") for value in structure.values()):
        return list(structure)
    return [str(tensor.name) for tensor in keras.tree.flatten(structure)]


def _structured(model: Any, names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The inputs as a functional model was made to take them."""
    if unknown := [name for name in kwargs if name not in names]:
        raise InputError(
            f"The model has no input {unknown[0]!r}.{nearest(unknown[0], names)} Its inputs: {', '.join(names)}."
        )
    found = {**dict(zip((name for name in names if name not in kwargs), args, strict=False)), **kwargs}
    if len(found) != len(names) or len(args) + len(kwargs) != len(names):
        raise InputError(
            f"The model takes {len(names)} inputs ({', '.join(names)}), and {len(args) + len(kwargs)} were given."
        )
    structure = getattr(model, "_functional", None) or model
    structure = structure._inputs_struct
    if isinstance(structure, dict):
        return found
    return keras.tree.pack_sequence_as(structure, [found[name] for name in names])


@contextmanager
def explaining_refusals(model: Any, batch: Batch) -> Iterator[None]:
    """Run a model in this context: should it not run on its inputs, the error says what it takes.

    Raises:
        InputError: in place of the error of Keras or of its backend.
    """
    try:
        yield
    except (CamscopeError, MemoryError):
        raise
    except Exception as error:
        given = [tuple(batch.given.shape), *batch.shapes_of_others]
        raise InputError(
            f"The model does not run on {' with '.join(map(_in_words, given))}"
            f"{'; it takes ' + wanted(model) if wanted(model) else ''}.{_put_right(given[0], model)} It said: "
            f"{_said_by_keras(error)}"
        ) from error


def _put_right(given: tuple[int, ...], model: Any) -> str:
    """How channels that are out of place, or too few or too many, are put right; empty if they are not."""
    inputs = [tensor.shape for tensor in getattr(model, "inputs", None) or ()]
    if len(inputs) != 1 or len(inputs[0]) != len(given):
        return ""
    taken = inputs[0]
    if moved := where_channels_belong(given, taken):
        return moved
    if given[1:-1] != taken[1:-1] or taken[-1] != 3:
        return ""
    if given[-1] == 1:
        return " It has one channel for three: pass np.repeat(x, 3, axis=-1)."
    return " It has a fourth channel (alpha): pass x[..., :3]." if given[-1] == 4 else ""


def wanted(model: Any) -> str:
    """The shapes of a model's inputs in words; empty if it does not say them."""
    inputs = [tensor.shape for tensor in getattr(model, "inputs", None) or ()]
    return " with ".join(map(_in_words, inputs))


def _in_words(shape: tuple[int | None, ...]) -> str:
    """A shape whose first axis is the batch, of which there may be altered copies."""
    return str(("batch", *shape[1:])).replace("'", "")


def _said_by_keras(error: Exception) -> str:
    """The message without what Keras writes around it: all arguments of all calls."""
    text = str(error)
    if "\x1b[1m" in text:
        text = text.rpartition("\x1b[1m")[2].partition("\x1b[0m")[0]
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)

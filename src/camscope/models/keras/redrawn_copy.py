"""A copy of a Keras model with weights drawn anew. See `camscope.models.adapter.Adapter.redrawn`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from camscope.errors import ModelError, first_line, nearest
from camscope.models.drawn_weights import drawn_like
from camscope.models.keras.backends import to_numpy
from camscope.models.keras.layer_names import named_layers
from camscope.models.keras.shadows import Call, Course, Watcher, around_calls, last_call

_STATISTICS = ("moving_mean", "moving_variance")


def weighted_layers(layers: Mapping[str, Any], course: Course) -> list[str]:
    """The layers that have weights of their own, in the order of their last calls.

    Args:
        layers: all, by name.
        course: the calls of a run.
    """
    called = {name: last_call(course, name) for name in layers}
    weighted = [name for name, layer in layers.items() if called[name] is not None and [*_weights(layer)]]
    return sorted(weighted, key=lambda name: called[name] or 0)


def copied(model: Any, run: Callable[[Any], object]) -> Any:
    """A copy with the same weights.

    Args:
        model: a model.
        run: runs a copy, which builds it.

    Raises:
        ModelError: if its classes do not tell how they are made.
    """
    try:
        known = isinstance(model, keras.Model) and getattr(model, "_functional", None) is not None
        twin = (
            keras.models.clone_model(model)
            if known or hasattr(model, "_inputs_struct")
            else type(model).from_config(model.get_config())
        )
        run(twin)
        twin.set_weights(model.get_weights())
    except Exception as error:
        raise ModelError(
            f"The model {model.name!r} cannot be copied ({first_line(error)}), and its own weights are left "
            "as they are, so it is not asked what its maps would be with others. A class of your own needs get_config."
        ) from error
    return twin


def redraw(
    model: Any, run: Callable[[Any], object], course: Course, seed: int, layers: Collection[str] | None
) -> None:
    """Draw the weights of a copy anew, in place, and take the statistics of batch norms from a run.

    Args:
        model: the copy.
        run: runs it on the batch.
        course: the calls of a run.
        seed: of the draws.
        layers: those whose weights are drawn; None for all.

    Raises:
        ModelError: if a layer has no weights, or keeps them as whole numbers.
    """
    named = named_layers(model)
    order = weighted_layers(named, course)
    wanted = list(named) if layers is None else list(layers)
    if unknown := [name for name in layers or () if name not in order]:
        raise ModelError(f"There is no layer {unknown[0]!r} with weights.{nearest(unknown[0], order)}")
    for name in wanted:
        for weight in _weights(named[name]):
            values = to_numpy(weight.value)
            if values.dtype.kind not in "fc":
                raise ModelError(
                    f"{name!r} keeps {weight.name!r} as whole numbers, so no others can be drawn for it: whether a map "
                    "follows the weights has to be asked of the model it was made from."
                )
            weight.assign(drawn_like(values, seed, f"{name}/{weight.name}"))
    first = 0 if layers is None else min((last_call(course, name) or 0 for name in wanted), default=0)
    with around_calls(model, named, _Estimating(named, first)):
        run(model)


def _weights(layer: Any) -> Iterator[Any]:
    """The variables that a layer itself has and that are learnt: no statistics, no seeds, none of inner layers."""
    own = [*getattr(layer, "_trainable_variables", ()), *getattr(layer, "_non_trainable_variables", ())]
    yield from (one for one in own if one.name not in _STATISTICS and "seed_generator" not in one.path)


class _Estimating(Watcher):
    """Norms that keep statistics take those of what comes in, before they use them."""

    def __init__(self, layers: Mapping[str, Any], first: int) -> None:
        self._layers, self._first = layers, first

    def after(self, number: int, call: Call, given: Any, value: Any) -> Any:
        layer = self._layers[call.layer]
        if number < self._first or not all(hasattr(layer, name) for name in (*_STATISTICS, "axis")):
            return value
        x = np.moveaxis(to_numpy(given).astype(np.float64), layer.axis, -1)
        own = x.reshape(-1, x.shape[-1])
        # one number of a channel has no deviation: then it is that of all channels
        var = own.var(0) if len(own) > 1 else np.full(own.shape[1], own.var())
        layer.moving_mean.assign(own.mean(0))
        layer.moving_variance.assign(var)
        return type(layer).call(layer, given, training=False)

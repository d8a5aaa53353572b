"""Equinox modules."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from camscope.models.jax.evaluation import in_evaluation
from camscope.models.jax.tapped_classes import is_called, tapped
from camscope.models.jax.taps import Tap
from camscope.models.jax.with_state import WithState


class EquinoxModel:
    """An Equinox module, which takes one example.

    Args:
        model: the module; or the module and its state.
    """

    one_by_one: bool = True
    libraries: Sequence[str] = ("equinox",)
    takes: str = "(batch, channel, *space)"

    def __init__(self, model: eqx.Module | WithState) -> None:
        self._whole = (model.module, model.state) if isinstance(model, WithState) else (model, None)
        self.user_model: Any = self._whole[0]

    def now(self) -> tuple[Any, Any]:
        """Everything that is no array, and the arrays."""
        arrays, static = eqx.partition(self._whole, eqx.is_array)
        return jax.tree_util.tree_flatten(static), arrays

    def call(
        self, structure: Any, arrays: Any, args: Sequence[Any], kwargs: Mapping[str, Any], tap: Tap
    ) -> Any:
        """See `camscope.models.jax.taps.Tappable.call`."""
        leaves, tree = structure
        module, state = eqx.combine(arrays, jax.tree_util.tree_unflatten(tree, leaves))
        module = eqx.nn.inference_mode(module)
        takes = inspect.signature(module.__call__).parameters
        kwargs = in_evaluation(module.__call__, kwargs)
        if "key" in takes and takes["key"].default is inspect.Parameter.empty and "key" not in kwargs:
            # nothing is drawn in evaluation, but a key may be split on the way
            kwargs["key"] = jax.random.key(0)
        if state is not None:
            args = (*args, state)
        with tapped(dict(_layers(module)), tap):
            output = module(*args, **kwargs)
        return output[0] if state is not None else output

    def layers(self) -> Mapping[str, Any]:
        """All modules that can be called, by their paths: `blocks[0].conv`."""
        return dict(_layers(self.user_model))

    def name_of(self, layer: Any) -> str | None:
        """The path of a module."""
        return next((name for name, module in _layers(self.user_model) if module is layer), None)

    def weights(self, arrays: Any) -> Mapping[str, Any]:
        """All arrays of the module and its state but the keys of random numbers."""
        module, state = arrays
        named = {_name(path): value for path, value in jax.tree_util.tree_leaves_with_path(module)}
        for number, value in enumerate(jax.tree_util.tree_leaves(state)):
            named[f"(state) {number}"] = value
        keys = jax.dtypes.prng_key
        return {name: value for name, value in named.items() if not jnp.issubdtype(value.dtype, keys)}


def _layers(module: eqx.Module, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[str, eqx.Module]]:
    """The modules inside a module that can be called, by name."""

    def is_inner(value: Any) -> bool:
        return value is not module and isinstance(value, eqx.Module)

    for path, inner in jax.tree_util.tree_leaves_with_path(module, is_leaf=is_inner):
        if is_inner(inner):
            whole = (*prefix, *path)
            if is_called(type(inner)):
                yield _name(whole), inner
            yield from _layers(inner, whole)


def _name(path: Sequence[Any]) -> str:
    return jax.tree_util.keystr(tuple(path)).removeprefix(".")

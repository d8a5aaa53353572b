"""Flax linen modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from flax import linen

from camscope.models.jax.evaluation import in_evaluation
from camscope.models.jax.taps import Tap


class LinenModel:
    """A linen module with its variables.

    Args:
        bound: the module, bound to its variables.
    """

    one_by_one: bool = False
    libraries: Sequence[str] = ("flax",)
    takes: str = "(batch, *space, channel)"

    def __init__(self, bound: linen.Module) -> None:
        self.user_model: Any = bound
        self._module, self._variables = bound.unbind()

    def now(self) -> tuple[Any, Any]:
        """The module and its variables."""
        return self._module, self._variables

    def call(
        self, structure: Any, arrays: Any, args: Sequence[Any], kwargs: Mapping[str, Any], tap: Tap
    ) -> Any:
        """See `camscope.models.jax.taps.Tappable.call`."""

        def shown(
            call: Callable[..., Any], args: Any, kwargs: Any, context: linen.module.InterceptorContext
        ) -> Any:
            output = call(*args, **kwargs)
            name = _name(context.module.path)
            return tap(name, context.module, output) if name and context.method_name == "__call__" else output

        with linen.intercept_methods(shown):
            return structure.apply(arrays, *args, **in_evaluation(structure.__call__, kwargs))

    def layers(self) -> Mapping[str, Any]:
        """None: submodules are made while the module runs."""
        return {}

    def name_of(self, layer: Any) -> str | None:
        """The path of a submodule of the bound module, where it has such (those that `setup` makes)."""
        if not isinstance(layer, linen.Module) or layer.scope is None:
            return None
        own = self.user_model.scope
        return _name(layer.path) if own is not None and layer.scope.root is own.root else None

    def weights(self, arrays: Any) -> Mapping[str, Any]:
        """All variables, whatever their collection."""
        flat = jax.tree_util.tree_leaves_with_path(arrays)
        # of a path (collection, module …, variable) the collection stands last, so that names begin with the layer's
        return {_name([*(str(key.key) for key in path[1:]), str(path[0].key)]): value for path, value in flat}


def _name(path: Sequence[str]) -> str:
    return "/".join(path)

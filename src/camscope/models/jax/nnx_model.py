"""Flax NNX modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from camscope.models.jax.call_arguments import is_array
from camscope.models.jax.evaluation import in_evaluation
from camscope.models.jax.tapped_classes import is_called, tapped
from camscope.models.jax.taps import Tap


class NnxModel:
    """An NNX module. It is split into its graph and its state, and runs as a copy made of these.

    Args:
        module: the user's.
    """

    one_by_one: bool = False
    libraries: Sequence[str] = ("flax",)
    takes: str = "(batch, *space, channel)"

    def __init__(self, module: nnx.Module) -> None:
        self.user_model: Any = module

    def now(self) -> tuple[Any, Any]:
        """The graph and the state."""
        return nnx.split(self.user_model)

    def call(
        self, structure: Any, arrays: Any, args: Sequence[Any], kwargs: Mapping[str, Any], tap: Tap
    ) -> Any:
        """See `camscope.models.jax.taps.Tappable.call`."""
        copy = nnx.merge(structure, arrays)
        copy.eval()
        with tapped(_layers(copy), tap):
            return copy(*args, **in_evaluation(copy.__call__, kwargs))

    def layers(self) -> Mapping[str, Any]:
        """All modules that can be called, by their paths: `blocks.0.conv`."""
        return _layers(self.user_model)

    def name_of(self, layer: Any) -> str | None:
        """The path of a module."""
        return next((name for name, module in self.layers().items() if module is layer), None)

    def weights(self, arrays: Any) -> Mapping[str, Any]:
        """All arrays of the state but those for random numbers."""
        flat = ((path, one) for path, one in nnx.to_flat_state(arrays) if not isinstance(one, nnx.RngState))
        values = {_name(path): variable.get_value() for path, variable in flat}
        return {name: value for name, value in values.items() if is_array(value)}


def _layers(module: nnx.Module) -> dict[str, nnx.Module]:
    return {
        _name(path): inner
        for path, inner in nnx.iter_graph(module)
        if path and isinstance(inner, nnx.Module) and is_called(type(inner))
    }


def _name(path: Sequence[Any]) -> str:
    return ".".join(map(str, path))

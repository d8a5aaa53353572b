"""What every kind of JAX model is reduced to: a pure function of its arrays, with a tap behind each layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

Tap: TypeAlias = Callable[[str, Any, Any], Any]
"""Is shown what a layer puts out, and gives what is to take its place: (name, layer, output) → output."""


class Tappable(Protocol):
    """A model as a pure function of its arrays. The user's own model is read, and never written to.

    Attributes:
        user_model: the object that the user calls; errors name its class and its arguments.
        one_by_one: whether it takes a single example, without a batch axis.
        libraries: the packages it is built with, for the record.
        takes: the input that it takes by convention, in words.
    """

    user_model: Any
    one_by_one: bool
    libraries: Sequence[str]
    takes: str

    def now(self) -> tuple[Any, Any]:
        """The model as it is now.

        Returns:
            structure: everything but its arrays. As long as it equals itself, compiled programs stay right.
            arrays: a pytree of all its arrays.
        """
        ...

    def call(
        self, structure: Any, arrays: Any, args: Sequence[Any], kwargs: Mapping[str, Any], tap: Tap
    ) -> Any:
        """What the model returns in evaluation, with dropout off and with the running statistics of batch norms.

        Args:
            structure: of `now`.
            arrays: of `now`, or traced ones like them.
            args: what it is called with, by position.
            kwargs: and by keyword.
            tap: called behind every layer that is called, in the order they run.
        """
        ...

    def layers(self) -> Mapping[str, Any]:
        """The layers that are known before anything ran, by name; none if only a run shows them."""
        ...

    def name_of(self, layer: Any) -> str | None:
        """The name of one of the user's own layer objects; None if it is none of this model's."""
        ...

    def weights(self, arrays: Any) -> Mapping[str, Any]:
        """All arrays by name but those for random numbers. The name of a layer's begins with the layer's.

        Args:
            arrays: of `now`.
        """
        ...

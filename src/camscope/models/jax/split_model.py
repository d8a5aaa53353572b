"""A plain function, which cannot be seen into, as named parts that run one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from camscope.errors import ModelError
from camscope.models.jax.evaluation import in_evaluation
from camscope.models.jax.taps import Tap


class SplitModel:
    """A model that is a function: its parts, each of which takes what the one before it puts out.

    What each part puts out is a layer, so split the function where maps are wanted:

        model = SplitModel({"features": features, "head": head}, variables)

    stands for `head(variables, features(variables, x))`. Parts that have their arrays inside already are given without
    variables: `SplitModel({"features": features, "head": head})` stands for `head(features(x))`. Such arrays are
    compiled into the programs, so give variables where they are large or change.

    Args:
        parts: functions that `jax.jit` can compile, by the names of their outputs, in the order they run. The first
            takes the model's inputs; several arrays may go from part to part as one tuple or dictionary.
        variables: a pytree of arrays, which every part takes first; None if they take none.

    Raises:
        ModelError: if there are fewer than two parts, or one cannot be called.
    """

    def __init__(self, parts: Mapping[str, Callable[..., Any]], variables: Any = None) -> None:
        if not isinstance(parts, Mapping) or len(parts) < 2 or not all(map(callable, parts.values())):
            raise ModelError(
                f"A SplitModel is made of two or more functions by name, the layer's output between them: "
                f"SplitModel({{'features': features, 'head': head}}); got {_described(parts)}."
            )
        self.parts = dict(parts)
        self.variables = variables

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the parts give, one after the other."""
        return run_parts(self.parts, self.variables, args, kwargs, lambda name, layer, output: output)


class SplitFunction:
    """A `SplitModel` as the runtime takes it. See `camscope.models.jax.taps.Tappable`.

    Args:
        model: the user's.
    """

    one_by_one: bool = False
    libraries: Sequence[str] = ()
    takes: str = "what its first part takes"

    def __init__(self, model: SplitModel) -> None:
        self.user_model: Any = model

    def now(self) -> tuple[Any, Any]:
        """The functions and the variables."""
        return self.user_model.parts, self.user_model.variables

    def call(
        self, structure: Any, arrays: Any, args: Sequence[Any], kwargs: Mapping[str, Any], tap: Tap
    ) -> Any:
        """See `camscope.models.jax.taps.Tappable.call`."""
        return run_parts(structure, arrays, args, kwargs, tap)

    def layers(self) -> Mapping[str, Any]:
        """The parts."""
        parts: Mapping[str, Any] = self.user_model.parts
        return parts

    def name_of(self, layer: Any) -> str | None:
        """The name of a function."""
        return next((name for name, part in self.user_model.parts.items() if part is layer), None)

    def weights(self, arrays: Any) -> Mapping[str, Any]:
        """The variables."""
        flat = jax.tree_util.tree_leaves_with_path(arrays)
        return {jax.tree_util.keystr(path): value for path, value in flat}


def run_parts(
    parts: Mapping[str, Callable[..., Any]],
    variables: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    tap: Tap,
) -> Any:
    """Run named functions one after the other.

    Args:
        parts: in the order they run.
        variables: what each takes first; None if they take none.
        args: what the first takes, by position.
        kwargs: and by keyword.
        tap: called behind each of them.
    """
    before = () if variables is None else (variables,)
    given = tuple(args)
    for number, (name, part) in enumerate(parts.items()):
        named = {} if number else dict(kwargs)
        given = (tap(name, part, part(*before, *given, **in_evaluation(part, named))),)
    return given[0]


def _described(parts: Any) -> str:
    if isinstance(parts, Mapping):
        return f"{len(parts)} parts: " + (
            ", ".join(f"{n!r}: {type(p).__name__}" for n, p in parts.items()) or "none"
        )
    return type(parts).__name__

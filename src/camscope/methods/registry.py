"""The register of methods: a method is a pure function from evidence to a map, plus what a user must know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxtyping import Float

from camscope.arrays import Array
from camscope.errors import MethodError, nearest
from camscope.evidence import Need
from camscope.methods.parameters import Parameters, checked, signature

MapFunction = Callable[..., Float[Array, "batch target_or_1 *space"]]
Scope = Literal["layer", "model"]


@dataclass(frozen=True)
class Method:
    """A named way to turn evidence into a raw signed map.

    Attributes:
        base: the name it is registered under.
        function: evidence → map, `batch target *space`; target axis of size 1 if not class-specific. Its
            keyword-only arguments are the method's parameters.
        needs: what it asks of the model.
        paper: where it is defined; empty for a baseline.
        formula: the first line of the function's docstring.
        advice: one honest line: what to use it for, what it is known to get wrong.
        cost: in passes through the model.
        class_specific: whether different targets give different maps.
        rectified: whether negative values mean evidence against, shown as zero in a heatmap. The raw map
            keeps them: the formula's final ReLU is applied when a heatmap is made, never earlier.
        nonnegative: whether the formula presumes activations ≥ 0 (after a ReLU).
        uses: what it can do without, but takes where the model has it (a closed form, say).
        scope: `layer`: a map of one target layer, from `Evidence`; `model`: one map of the whole model, from
            `ModelEvidence`, whatever layers were chosen.
        baseline: whether it is one of those every method must beat.
        given: the parameters that were given a value of their own.
    """

    base: str
    function: MapFunction
    needs: frozenset[Need]
    paper: str
    formula: str
    advice: str
    cost: str
    class_specific: bool
    rectified: bool
    nonnegative: bool
    uses: frozenset[Need] = frozenset()
    scope: Scope = "layer"
    baseline: bool = False
    given: Parameters = ()

    def __call__(self, evidence: Any) -> Float[Array, "batch target_or_1 *space"]:
        """Compute the raw signed map."""
        return self.function(evidence, **dict(self.given))

    @property
    def name(self) -> str:
        """The name with the parameters that were given: `scorecam(top=64)`."""
        given = ", ".join(f"{name}={value}" for name, value in self.given)
        return f"{self.base}({given})" if given else self.base

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Its parameters with their values."""
        defaults = {name: default for name, (_, default) in signature(self.function).items()}
        return {**defaults, **dict(self.given)}

    @property
    def method(self) -> Method:
        """Itself: what a composition has in its middle."""
        return self

    def with_parameters(self, **values: Any) -> Method:
        """The same method with other parameters than its own.

        Raises:
            MethodError: for a parameter the method does not have, or a value out of its range.
        """
        given = checked(self.base, self.function, {**dict(self.given), **values})
        return replace(self, given=given)


_methods: dict[str, Method] = {}


def method(
    name: str,
    *,
    needs: Iterable[Need],
    advice: str,
    uses: Iterable[Need] = (),
    paper: str = "",
    cost: str = "",
    class_specific: bool = True,
    rectified: bool = True,
    nonnegative: bool = False,
    scope: Scope = "layer",
    baseline: bool = False,
) -> Callable[[MapFunction], MapFunction]:
    """Register a function `evidence → map` under a name. See `Method` for the meaning of each argument.

    Raises:
        MethodError: if another function has that name already.
    """

    def register(function: MapFunction) -> MapFunction:
        taken = _methods.get(name)
        # the same function again is a cell run twice in a notebook
        if taken is not None and taken.function.__qualname__ != function.__qualname__:
            raise MethodError(f"There is already a method {name!r} ({taken.formula}); choose another name.")
        _methods[name] = Method(
            base=name,
            function=function,
            needs=frozenset(needs),
            uses=frozenset(uses),
            paper=paper,
            formula=(function.__doc__ or "").strip().splitlines()[0],
            advice=advice,
            cost=cost or _cost(frozenset(needs)),
            class_specific=class_specific,
            rectified=rectified,
            nonnegative=nonnegative,
            scope=scope,
            baseline=baseline,
        )
        return function

    return register


def _cost(needs: frozenset[Need]) -> str:
    if Need.GRADIENTS in needs:
        return "1 forward + 1 short backward per target (no backward on a GAP + linear head)"
    return "1 forward"


def list_methods() -> list[Method]:
    """All methods, in the order they are registered: the family first, baselines last."""
    return list(_methods.values())


def get_method(name: str | Method) -> Method:
    """The method of that name.

    Raises:
        MethodError: if there is none; the message names the nearest.
    """
    if isinstance(name, Method):
        return name
    found = _methods.get(name.strip().lower() if isinstance(name, str) else "")
    if found is None:
        raise MethodError(
            f"There is no method {name!r}.{nearest(str(name), _methods)} The methods are: {', '.join(_methods)}."
        )
    return found

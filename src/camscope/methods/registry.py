"""The register of methods: a method is a pure function from evidence to a map, plus what a user must know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jaxtyping import Float

from camscope.arrays import Array
from camscope.errors import MethodError, nearest
from camscope.evidence import Evidence, Need

MapFunction = Callable[[Evidence], Float[Array, "batch target_or_1 *space"]]


@dataclass(frozen=True)
class Method:
    """A named way to turn evidence into a raw signed map at layer resolution.

    Attributes:
        name: the name users type.
        function: evidence → map, `batch target *space`; target axis of size 1 if not class-specific.
        needs: what it asks of the model.
        paper: where it is defined; empty for a baseline.
        formula: the first line of the function's docstring.
        advice: one honest line: what to use it for, what it is known to get wrong.
        class_specific: whether different targets give different maps.
        rectified: whether negative values mean evidence against, shown as zero in a heatmap. The raw map
            keeps them: the formula's final ReLU is applied when a heatmap is made, never earlier.
        nonnegative: whether the formula presumes activations ≥ 0 (after a ReLU).
    """

    name: str
    function: MapFunction
    needs: frozenset[Need]
    paper: str
    formula: str
    advice: str
    class_specific: bool
    rectified: bool
    nonnegative: bool

    def __call__(self, evidence: Evidence) -> Float[Array, "batch target_or_1 *space"]:
        """Compute the raw signed map."""
        return self.function(evidence)

    @property
    def cost(self) -> str:
        """What it costs in passes through the model."""
        if Need.GRADIENTS in self.needs:
            return "1 forward + 1 short backward per target (no backward on a GAP + linear head)"
        return "1 forward"


_methods: dict[str, Method] = {}


def method(
    name: str,
    *,
    needs: Iterable[Need],
    advice: str,
    paper: str = "",
    class_specific: bool = True,
    rectified: bool = True,
    nonnegative: bool = False,
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
        formula = (function.__doc__ or "").strip().splitlines()[0]
        _methods[name] = Method(
            name, function, frozenset(needs), paper, formula, advice, class_specific, rectified, nonnegative
        )
        return function

    return register


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

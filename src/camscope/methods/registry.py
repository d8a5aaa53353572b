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
from camscope.plugins import load_plugins

MapFunction = Callable[..., Float[Array, "batch target_or_1 *space"]]
Scope = Literal["layer", "model"]
Explained = Literal["class", "instance"]


@dataclass(frozen=True)
class BehindLinearHead:
    """With which others a method is the same, up to a positive constant, at a layer pooled into one linear layer.

    METHODS §1.0 has the algebra.

    Attributes:
        as_method: the method that stands for all of them.
        of_logits: whether that holds for logits and their differences only.
        of_nonnegative: whether it holds for activations ≥ 0 only.
    """

    as_method: str
    of_logits: bool = False
    of_nonnegative: bool = False


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
        at_input_size: whether its map is at the input's size, and not at the layer's.
        behind_linear_head: with which others it is the same there; None if with none.
        explains: what it is run for where no method is named; of those that a model can give, the first registered.
        warning: what whoever runs it must be told; empty if nothing.
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
    at_input_size: bool = False
    behind_linear_head: BehindLinearHead | None = None
    explains: frozenset[Explained] = frozenset()
    warning: str = ""
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
    at_input_size: bool = False,
    behind_linear_head: BehindLinearHead | None = None,
    explains: Iterable[Explained] = (),
    warning: str = "",
) -> Callable[[MapFunction], MapFunction]:
    """Register a function `evidence → map` under a name. See `Method` for the meaning of each argument.

    Another package names the module as an entry point of the group `camscope.methods`; see `camscope.plugins`.

    Raises:
        MethodError: if another function has that name already, or the function has no docstring.
    """

    def register(function: MapFunction) -> MapFunction:
        taken = _methods.get(name)
        # the same function again is a cell run twice in a notebook
        if taken is not None and taken.function.__qualname__ != function.__qualname__:
            raise MethodError(f"There is already a method {name!r} ({taken.formula}); choose another name.")
        if not (function.__doc__ or "").strip():
            raise MethodError(
                f"The method {name!r} has no docstring; its first line is shown as the formula."
            )
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
            at_input_size=at_input_size,
            behind_linear_head=behind_linear_head,
            explains=frozenset(explains),
            warning=warning,
        )
        return function

    return register


def _cost(needs: frozenset[Need]) -> str:
    if Need.GRADIENTS in needs:
        return "1 forward + 1 short backward per target (no backward on a GAP + linear head)"
    return "1 forward"


def list_methods() -> list[Method]:
    """All methods, in the order they are registered: the family first, baselines last."""
    load_plugins("camscope.methods")
    return list(_methods.values())


def default_method(offers: Iterable[Need], explained: Explained = "class") -> Method:
    """What is run where no method is named.

    What a detector finds is at one place, which the channel means of Grad-CAM know nothing of: ODAM is HiResCAM.

    Args:
        offers: the needs that the model can meet.
        explained: what is explained: a class, or one instance among several.

    Raises:
        MethodError: if the model can meet the needs of none.
    """
    able = (m for m in list_methods() if explained in m.explains and m.needs <= frozenset(offers))
    found = next(able, None)
    if found is None:
        words = ", ".join(sorted(need.value for need in offers)) or "nothing"
        raise MethodError(
            f"This model gives {words}, and no method explains a model by that alone where none is named. "
            "`camscope methods` says what each needs."
        )
    return found


def get_method(name: str | Method) -> Method:
    """The method of that name.

    Raises:
        MethodError: if there is none; the message names the nearest.
    """
    if isinstance(name, Method):
        return name
    known = name.strip().lower() if isinstance(name, str) else ""
    if known not in _methods:
        load_plugins("camscope.methods")
    found = _methods.get(known)
    if found is None:
        raise MethodError(
            f"There is no method {name!r}.{nearest(str(name), _methods)} The methods are: {', '.join(_methods)}."
        )
    return found

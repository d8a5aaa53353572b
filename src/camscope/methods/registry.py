"""The register of methods. A method is a pure function from evidence to a map, plus what a user must know about it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxtyping import Float

from camscope.arrays import Array
from camscope.errors import MethodError, either, nearest
from camscope.evidence import Evidence, Need, asked, in_words
from camscope.methods.parameters import Parameters, as_text, checked, signature
from camscope.plugins import load_plugins, same_definition

MapFunction = Callable[..., Float[Array, "batch target_or_1 *space"]]
Scope = Literal["layer", "model"]
Explained = Literal["class", "instance"]


@dataclass(frozen=True)
class BehindLinearHead:
    """At a layer that is pooled into one linear layer, several methods are the same up to a positive constant.

    Attributes:
        as_method: the name of the method that stands for all that are the same as this one.
        of_logits: whether they are the same only for logits and their differences.
        of_nonnegative: whether they are the same only for activations ≥ 0.
    """

    as_method: str
    of_logits: bool = False
    of_nonnegative: bool = False


@dataclass(frozen=True)
class Method:
    """A named way to turn evidence into a raw signed map.

    Attributes:
        base: the name it is registered under.
        function: evidence → map, `batch target *space`; the target axis has size 1 if the method is not
            class-specific. Its keyword-only arguments are the method's parameters.
        needs: the evidence it cannot do without.
        paper: where it is defined; empty for a baseline.
        formula: the first line of the function's docstring.
        advice: one honest line: what to use it for, and what it is known to get wrong.
        cost: what it costs in passes through the model.
        class_specific: whether different targets give different maps.
        rectified: whether negative values mean evidence against, shown as zero in a heatmap. The raw map
            keeps them: the formula's final ReLU is applied when a heatmap is made, never earlier.
        nonnegative: whether the formula presumes activations ≥ 0 (after a ReLU).
        instead: the evidence that it takes in place of `needs` from a model that cannot meet these; empty if there is
            no other way.
        uses: the evidence that it can do without, but takes if the model offers it (such as a linear head, for a
            closed form).
        scope: `layer`: a map of one target layer, from `Evidence`; `model`: one map of the whole model, from
            `ModelEvidence`, whatever layers were chosen.
        baseline: whether it is a baseline that every method must beat.
        at_input_size: whether its map is at the input's size, and not at the layer's.
        behind_linear_head: the method it equals behind a linear head; None if it equals none.
        explains: what it is the default method for. Of several defaults the first registered whose needs the model
            can meet is run.
        warning: what everyone who runs it must be told; empty if there is nothing.
        given: the parameters that were set, with their values; the others have their defaults.
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
    instead: frozenset[Need] = frozenset()
    uses: frozenset[Need] = frozenset()
    scope: Scope = "layer"
    baseline: bool = False
    at_input_size: bool = False
    behind_linear_head: BehindLinearHead | None = None
    explains: frozenset[Explained] = frozenset()
    warning: str = ""
    given: Parameters = ()

    def __call__(self, evidence: Any) -> Float[Array, "batch target_or_1 *space"]:
        """Compute the raw signed map.

        Raises:
            MethodError: if the function gives another shape than it must.
        """
        maps = self.function(evidence, **dict(self.given))
        of_layer = isinstance(evidence, Evidence)
        like = (evidence.activations if of_layer else evidence.inputs).shape
        axes = len(like) if of_layer else max(3, len(like))
        if maps.ndim != axes or maps.shape[0] != like[0] or (not self.class_specific and maps.shape[1] != 1):
            raise MethodError(
                f"The method {self.base!r} gave a map of shape {tuple(maps.shape)} for a batch of {like[0]}. Expected "
                f"batch, target and {axes - 2} axes of space"
                + (
                    "."
                    if self.class_specific
                    else "; the target axis has size 1, as it is not class-specific."
                )
            )
        return maps

    @property
    def name(self) -> str:
        """The name with the parameters that were set: `scorecam(top=64)`."""
        given = ", ".join(f"{name}={as_text(value)}" for name, value in self.given)
        return f"{self.base}({given})" if given else self.base

    def needs_from(self, offers: frozenset[Need]) -> frozenset[Need]:
        """The evidence that it asks of a model. See `camscope.evidence.asked`."""
        return asked(self.needs, self.instead, offers)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """All its parameters with their values, set or default."""
        defaults = {name: default for name, (_, default) in signature(self.function).items()}
        return {**defaults, **dict(self.given)}

    @property
    def method(self) -> Method:
        """Itself. A composition has the same property, which gives the method in its middle."""
        return self

    def with_parameters(self, **values: Any) -> Method:
        """The same method with other values for some parameters.

        Raises:
            MethodError: for a parameter the method does not have, or a value out of its range.
        """
        given = checked(self.base, self.function, {**dict(self.given), **values})
        return replace(self, given=given)


_methods: dict[str, Method] = {}

COMPOSITION_NAMES: set[str] = set()
"""Names that compositions have, and no method may take."""


def check_written(name: str) -> None:
    """Refuse a name that nobody could write: capitals are read as small letters.

    Raises:
        MethodError: if the name has capitals, or blanks around it.
    """
    if name != name.strip().lower():
        raise MethodError(f"The name {name!r} is read as {name.strip().lower()!r}: register it like that.")


def method(
    name: str,
    *,
    needs: Iterable[Need],
    advice: str,
    instead: Iterable[Need] = (),
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
    """Register a function `evidence → map` under a name.

    Args:
        name: what users call it.
        needs: the evidence it cannot do without.
        advice: one honest line: what to use it for, and what it is known to get wrong.
        instead: the evidence that it takes in place of `needs` from a model that cannot meet these.
        uses: the evidence that it can do without, but takes if the model offers it.
        paper: where it is defined.
        cost: what it costs in passes through the model; by default what its needs cost.
        class_specific: whether different targets give different maps.
        rectified: whether negative values mean evidence against, shown as zero in a heatmap.
        nonnegative: whether the formula presumes activations ≥ 0.
        scope: `layer`: a map of one target layer; `model`: one map of the whole model.
        baseline: whether it is a baseline that every method must beat.
        at_input_size: whether its map is at the input's size, and not at the layer's.
        behind_linear_head: the method it equals behind a linear head.
        explains: what it is the default method for.
        warning: what everyone who runs it must be told.

    Another package names the module as an entry point of the group `camscope.methods`; see `camscope.plugins`.

    Raises:
        MethodError: if another function or a composition has that name already or the name has capitals, or the
            function has no docstring.

    Example:
        >>> @camscope.method("largest", needs={camscope.Need.ACTIVATIONS}, advice="For this page", class_specific=False)
        ... def largest(evidence):
        ...     "max_k A^k."
        ...     return evidence.activations.amax(1, keepdim=True)
        >>> camscope.explain(model, x, methods="largest").maps().shape
        torch.Size([2, 1, 3, 3])
    """

    def register(function: MapFunction) -> MapFunction:
        taken = _methods.get(name)
        # a notebook's cell that is run twice registers the same function again, which is no mistake
        if taken is not None and not same_definition(taken.function, function):
            raise MethodError(f"There is already a method {name!r} ({taken.formula}); choose another name.")
        if name in COMPOSITION_NAMES:
            raise MethodError(f"There is already a composition {name!r}; choose another name.")
        check_written(name)
        if isinstance(needs, Need):
            raise MethodError(f"needs={needs}: expected a set of needs, such as {{{needs}}}.")
        if not (function.__doc__ or "").strip():
            raise MethodError(
                f"The method {name!r} has no docstring; its first line is shown as the formula."
            )
        _methods[name] = Method(
            base=name,
            function=function,
            needs=frozenset(needs),
            instead=frozenset(instead),
            uses=frozenset(uses),
            paper=paper,
            formula=(function.__doc__ or "").strip().splitlines()[0],
            advice=advice,
            cost=cost or _cost(frozenset(needs), frozenset(instead)),
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


def _cost(needs: frozenset[Need], instead: frozenset[Need]) -> str:
    if Need.GRADIENTS not in needs:
        return "1 forward"
    cost = "1 forward + 1 short backward per target (on a GAP + linear head 1 through the pooling for all)"
    if Need.DIRECTIONS in instead:
        cost += "; without gradients 2 re-runs per channel or position, for all targets"
    return cost


def has_method(name: str) -> bool:
    """Whether a method of that name is registered, by this package or by one that is loaded."""
    return name in _methods


def method_of(function: MapFunction) -> Method:
    """The method that a function is registered as."""
    return next(m for m in _methods.values() if m.function is function)


def list_methods() -> list[Method]:
    """All methods, in the order they are registered: the family first, baselines last."""
    load_plugins("camscope.methods")
    return list(_methods.values())


def default_method(offers: Iterable[Need], explained: Explained = "class") -> Method:
    """The method that is run where none is named.

    An instance of a detector is at one place, and Grad-CAM's weights are means over all places. So instances have a
    default of their own, HiResCAM, which is what ODAM does.

    Args:
        offers: the needs that the model can meet.
        explained: what is explained: a class, or one instance among several.

    Raises:
        MethodError: if the model can meet the needs of none.
    """
    given = frozenset(offers)
    able = (m for m in list_methods() if explained in m.explains and m.needs_from(given) <= given)
    found = next(able, None)
    if found is None:
        words = in_words(given) or "nothing"
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
    if spelt(str(name), _methods) not in _methods:
        load_plugins("camscope.methods")
    found = _methods.get(spelt(str(name), _methods))
    if found is None:
        raise MethodError(
            f"There is no method {name!r}.{nearest(str(name), _methods)} {where_methods_are_listed()}"
        )
    return found


def spelt(name: str, valid: Iterable[str]) -> str:
    """The name as it is registered: `Grad-CAM`, `grad_cam` and `GradCAM` are gradcam, `GradCAMpp` is gradcam++.

    Args:
        name: as somebody wrote it.
        valid: the registered names.

    Returns:
        The registered name; the given one, in small letters, if none is meant.
    """
    plain, known = name.strip().lower(), {_letters(each): each for each in valid}
    return plain if plain in known.values() else known.get(_letters(name), plain)


def where_methods_are_listed() -> str:
    """The sentence for who looks for a method."""
    return f"{either('camscope.list_methods()', '`camscope methods`')} lists all."


@functools.lru_cache(maxsize=1024)
def _letters(name: str) -> str:
    """What of a name tells methods apart."""
    return re.sub(r"(?<=[^\W_])[-_\s]+(?=[^\W_])", "", name.strip().lower().replace("+", "p"))

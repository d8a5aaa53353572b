"""Methods made of methods: the base of all compositions, their register, and expressions from text.

An expression is a method, or a composition around an expression. Compositions are written as calls,
`Smooth("layercam", n=16)` in Python and `smooth(layercam, n=16)` as text, and can be nested. Each is a frozen dataclass
with the `inner` expression as a field.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.composition.grammar import Call, read_call, unreadable, value_of
from camscope.errors import MethodError, nearest
from camscope.evidence import Evidence, Need, asked
from camscope.methods import Method, list_methods
from camscope.methods.parameters import as_text, checked_fields
from camscope.methods.registry import (
    COMPOSITION_NAMES,
    check_written,
    has_method,
    spelt,
    where_methods_are_listed,
)
from camscope.outputs import Outputs
from camscope.plugins import load_plugins, same_definition
from camscope.targets import Targets

Expression: TypeAlias = "Method | Composition"


@dataclass(frozen=True)
class Composition:
    """Something around a method. Its properties are those of the inner expression, unless a subclass says otherwise.

    Attributes:
        inner: the method or composition that it is around, or the text of it.
    """

    inner: Expression
    word: ClassVar[str]
    """Its name in text."""

    def __post_init__(self) -> None:
        if isinstance(self.inner, str):
            object.__setattr__(self, "inner", parse(self.inner))
        if not isinstance(self.inner, (Method, Composition)):
            raise MethodError(
                f"{type(self).__name__} goes around a method; got {type(self.inner).__name__}. For instance: "
                f"{self.word}(gradcam)."
            )
        for name, value in checked_fields(self.word, self):
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        """The composition as text, with those parameters that differ from their defaults."""
        given = [
            f"{f.name}={as_text(getattr(self, f.name))}"
            for f in dataclasses.fields(self)
            if f.name != "inner" and getattr(self, f.name) != f.default
        ]
        return f"{self.word}({', '.join([self.inner.name, *given])})"

    @property
    def short_name(self) -> str:
        """The name, with `…` for the parameters if it would be longer than 80 characters."""
        return self.name if len(self.name) <= 80 else f"{self.word}({self.inner.name}, …)"

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """The parameters besides the inner expression, with their defaults."""
        return {f.name: f.default for f in dataclasses.fields(cls) if f.name != "inner"}

    @property
    def kind(self) -> tuple[Any, ...]:
        """The same for compositions of one type with the same parameters, whatever they are around."""
        fields = dataclasses.fields(self)
        return type(self), tuple(getattr(self, f.name) for f in fields if f.name != "inner")

    @property
    def method(self) -> Method:
        """The method in the middle."""
        return self.inner if isinstance(self.inner, Method) else self.inner.method

    @property
    def paper(self) -> str:
        """The paper of the method in the middle."""
        return self.inner.paper

    @property
    def needs(self) -> frozenset[Need]:
        """The evidence that the method in the middle and the compositions around it need."""
        return self.inner.needs

    @property
    def instead(self) -> frozenset[Need]:
        """The evidence that they take in place of `needs` from a model that cannot meet these."""
        return self.inner.instead

    def needs_from(self, offers: frozenset[Need]) -> frozenset[Need]:
        """The evidence that they ask of a model. See `camscope.evidence.asked`."""
        return asked(self.needs, self.instead, offers)

    @property
    def rectified(self) -> bool:
        """Whether negative values mean evidence against, shown as zero in a heatmap."""
        return self.inner.rectified

    @property
    def class_specific(self) -> bool:
        """Whether different targets give different maps."""
        return self.inner.class_specific

    def check(self) -> None:
        """Refuse a composition that makes no sense, before any work is done.

        Raises:
            MethodError: if it makes no sense; the message says why, and what to write instead.
        """


class Modifier(Composition):
    """A composition that changes the target or the gradients of the inner method, but does nothing to its maps."""

    libragrad: ClassVar[bool] = False
    """Whether the inner method gets gradients by LibraGrad's rules."""

    reads_maps: ClassVar[bool] = False
    """Whether it is neither target nor gradients that it changes, but what is made of the evidence: see `made`."""

    def retargeted(self, targets: Targets, outputs: Outputs) -> Targets:
        """The targets that the inner method gets.

        Args:
            targets: the targets as they were asked for.
            outputs: the model's outputs for the batch, from which similar classes are chosen.
        """
        return targets

    def made(
        self, inner: Callable[[Evidence], Float[Array, "batch target *space"]], evidence: Evidence
    ) -> Float[Array, "batch target *space"]:
        """The maps of a layer.

        Args:
            inner: makes those of the inner expression.
            evidence: of the layer.
        """
        return inner(evidence)

    def check(self) -> None:
        """Refuse a modifier inside another of the same type."""
        if any(isinstance(one, type(self)) for one in modifiers_of(self.inner)):
            raise MethodError(f"{self.name}: {self.word} twice; once is enough.")


def made(expression: Expression, evidence: Evidence) -> Float[Array, "batch target_or_1 *space"]:
    """The maps of a method, or of a method with modifiers around it, from the evidence of a layer.

    Args:
        expression: a simplified expression without wrapper or fusion.
        evidence: of the layer.
    """
    if isinstance(expression, Modifier):
        return expression.made(functools.partial(made, expression.inner), evidence)
    return expression.method(evidence)


class LayerFusion(Composition):
    """A composition that makes one map from the maps of several layers."""

    at: ClassVar[Literal["stages", "fpn levels", "backbone"]] = "stages"
    """Which layers are fused where none are named: the last of each stage, the levels of a feature pyramid, or what
    that pyramid is made from."""

    def fused(
        self,
        maps: Sequence[Float[Array, "batch target *_"]],
        fpn_levels: Int[np.ndarray, "batch target"] | None,
    ) -> Float[Array, "batch target *space"]:
        """The one map.

        Args:
            maps: the maps of the layers in the order they run, each at its own resolution.
            fpn_levels: the FPN level that each target of a detector comes from; None if there is no pyramid.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Named(Composition):
    """A composition that the literature has a name for.

    Attributes:
        label: the name.
        reference: the paper.
        advice: one honest line: what to use it for, and what it is known to get wrong.
        cost: what it costs in passes through the model.
    """

    label: str
    reference: str
    advice: str
    cost: str
    word: ClassVar[str] = "named"

    @property
    def name(self) -> str:
        """The name of the literature."""
        return self.label

    @property
    def paper(self) -> str:
        """Where it is defined."""
        return self.reference

    @property
    def formula(self) -> str:
        """The composition that the name stands for, as text."""
        return self.inner.name


# ------------------------------------------------------------------ the register

COMPOSITIONS: dict[str, type[Composition]] = {}
"""All compositions, by their names in text."""

NAMED: dict[str, Named] = {}
"""Compositions that the literature has a name for, by that name."""

Kind = TypeVar("Kind", bound=type[Composition])


def composition(kind: Kind) -> Kind:
    """Register a composition under its word, so that it can be written as text.

    Another package names the module as an entry point of the group `camscope.methods`; see `camscope.plugins`.

    Raises:
        MethodError: if another composition or a method has that word already, or it has capitals.
    """
    taken = COMPOSITIONS.get(kind.word)
    if taken is None or not same_definition(taken, kind):
        _check_free(kind.word)
    COMPOSITIONS[kind.word] = kind
    COMPOSITION_NAMES.add(kind.word)
    return kind


def name_composition(inner: Composition, label: str, reference: str, advice: str, cost: str) -> None:
    """Register a composition under the name that the literature has for it.

    Args:
        inner: the composition.
        label: the name.
        reference: the paper.
        advice: one honest line: what to use it for, and what it is known to get wrong.
        cost: what it costs in passes through the model.

    Raises:
        MethodError: if another composition or a method has that name already, or it has capitals.
    """
    if label not in NAMED or NAMED[label].inner != inner:
        _check_free(label)
    NAMED[label] = Named(inner, label, reference, advice, cost)
    COMPOSITION_NAMES.add(label)


def _check_free(name: str) -> None:
    if name in COMPOSITION_NAMES:
        raise MethodError(f"There is already a composition {name!r}; choose another name.")
    if has_method(name):
        raise MethodError(f"There is already a method {name!r}; choose another name.")
    check_written(name)


# ------------------------------------------------------------------ from text


def parse(text: str | Expression) -> Expression:
    """Read a method or a composition.

    Args:
        text: a name, or a call such as `smooth(layercam, n=16)`: the inner expression comes first, then parameters by
            name or in their order. What is an expression already is returned as it is.

    Raises:
        MethodError: for an unknown name or parameter (with the nearest), or a text that is no expression.
    """
    if isinstance(text, (Method, Composition)):
        return text
    if not isinstance(text, str):
        raise MethodError(f"A method is given by its name, not as {type(text).__name__}.")
    load_plugins("camscope.methods")
    return _built(read_call(text), text)


def _built(call: Call, text: str) -> Expression:
    """The expression that a call stands for."""
    word = spelt(call.word, COMPOSITIONS)
    if word in COMPOSITIONS:
        return _composed(word, call, text)
    found = _registered(word)
    if call.arguments:
        raise unreadable(text, f"{word} takes its parameters by name")
    named = {name: value_of(value) for name, value in call.named.items()}
    if isinstance(found, Method):
        return found.with_parameters(**named) if named else found
    if named:
        raise MethodError(f"{word} is {found.inner.name}; give it other parameters by writing that out.")
    return found


def _composed(word: str, call: Call, text: str) -> Expression:
    kind = COMPOSITIONS[word]
    if not call.called:
        raise MethodError(f"{word} goes around a method, for instance {word}(gradcam).")
    if not (call.arguments or call.named):
        raise unreadable(text, "there is ')' where a method is expected")
    inner, *arguments = call.arguments or (None,)
    if not isinstance(inner, Call):
        raise unreadable(text, f"{word} goes around a method, which comes first in its brackets")
    valid = list(kind.parameters())
    if len(arguments) > len(valid):
        raise unreadable(text, f"{word} has {len(valid)} parameters ({', '.join(valid) or 'none'})")
    given = dict(zip(valid, map(value_of, arguments), strict=False))
    for parameter, value in call.named.items():
        if parameter in given:
            raise unreadable(text, f"{parameter} is given twice")
        if parameter not in valid:
            has = f"It has {', '.join(valid)}." if valid else "It has none."
            raise MethodError(f"{word} has no parameter {parameter!r}.{nearest(parameter, valid)} {has}")
        given[parameter] = value_of(value)
    return kind(_built(inner, text), **given)


def _registered(name: str) -> Method | Composition:
    """The method or named composition of that name."""
    methods = {m.base: m for m in list_methods()}
    everything: dict[str, Method | Composition] = {**NAMED, **methods}
    found = everything.get(spelt(name, everything))
    if found is None:
        raise MethodError(
            f"There is no method {name!r}.{nearest(name, [*everything, *COMPOSITIONS])} {where_methods_are_listed()}"
        )
    return found


# ------------------------------------------------------------------ questions


def check(expression: Expression) -> None:
    """Refuse an expression that makes no sense.

    Args:
        expression: an expression that `simplified` gave.

    Raises:
        MethodError: if it makes no sense; the message says why, and what to write instead.
    """
    if isinstance(expression, Composition):
        check(expression.inner)
        expression.check()


def simplified(expression: Expression) -> Expression:
    """The same expression with named compositions spelt out, and modifiers moved in, next to the method.

    A wrapper or a fusion works on maps and leaves the target as it is, so finer(smooth(gradcam)) is the same as
    smooth(finer(gradcam)). One that makes something else of the evidence stays where it is.
    """
    if isinstance(expression, Method):
        return expression
    inner = simplified(expression.inner)
    if isinstance(expression, Named):
        return inner
    if (
        isinstance(expression, Modifier)
        and not expression.reads_maps
        and isinstance(inner, Composition)
        and not isinstance(inner, Modifier)
    ):
        innermost = simplified(dataclasses.replace(expression, inner=inner.inner))
        return dataclasses.replace(inner, inner=innermost)
    return dataclasses.replace(expression, inner=inner)


def modifiers_of(expression: Expression) -> tuple[Modifier, ...]:
    """The modifiers around a simplified expression's method, innermost first."""
    if isinstance(expression, Modifier):
        return (*modifiers_of(expression.inner), expression)
    return ()

"""Methods made of methods: what every composition is, the register of them, and expressions from text.

An expression is a method or a composition of one. Compositions are written as calls, `Smooth("layercam", n=16)` in
Python and `smooth(layercam, n=16)` as text, and nest. Each is a frozen dataclass around an `inner` expression.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float, Int

from camscope.arrays import Array
from camscope.composition.grammar import Call, read_call, unreadable, value_of
from camscope.errors import MethodError, nearest
from camscope.evidence import Need
from camscope.methods import Method, list_methods
from camscope.methods.parameters import checked_fields
from camscope.outputs import Outputs
from camscope.plugins import load_plugins
from camscope.targets import Targets

Expression: TypeAlias = "Method | Composition"


@dataclass(frozen=True)
class Composition:
    """Something around a method. Its own facts are the inner one's unless it says otherwise.

    Attributes:
        inner: what it is around: a method, another composition, or the name of either.
    """

    inner: Expression
    word: ClassVar[str]
    """What it is called in text."""

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
        """The composition as text, with what was given a value of its own."""
        given = [
            f"{f.name}={_text(getattr(self, f.name))}"
            for f in dataclasses.fields(self)
            if f.name != "inner" and getattr(self, f.name) != f.default
        ]
        return f"{self.word}({', '.join([self.inner.name, *given])})"

    @property
    def short_name(self) -> str:
        """The name, without its parameters should they be many digits."""
        return self.name if len(self.name) <= 80 else f"{self.word}({self.inner.name}, …)"

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """What can be given besides the inner method, with the defaults."""
        return {f.name: f.default for f in dataclasses.fields(cls) if f.name != "inner"}

    @property
    def kind(self) -> tuple[Any, ...]:
        """What tells two compositions apart, whatever they are around."""
        fields = dataclasses.fields(self)
        return type(self), tuple(getattr(self, f.name) for f in fields if f.name != "inner")

    @property
    def method(self) -> Method:
        """The method in the middle."""
        return self.inner if isinstance(self.inner, Method) else self.inner.method

    @property
    def paper(self) -> str:
        """Of the method in the middle."""
        return self.inner.paper

    @property
    def needs(self) -> frozenset[Need]:
        """What the method in the middle asks of the model, and what the composition does."""
        return self.inner.needs

    @property
    def rectified(self) -> bool:
        """Whether negative values mean evidence against, shown as zero in a heatmap."""
        return self.inner.rectified

    @property
    def class_specific(self) -> bool:
        """Whether different targets give different maps."""
        return self.inner.class_specific

    def check(self) -> None:
        """Refuse what makes no sense, before any work is done.

        Raises:
            MethodError: saying why, and what would do.
        """


class Modifier(Composition):
    """A composition that changes what the inner method explains, or the gradients it sees, and not its maps."""

    libragrad: ClassVar[bool] = False
    """Whether gradients flow by LibraGrad's rules."""

    def retargeted(self, targets: Targets, outputs: Outputs) -> Targets:
        """The targets the inner method gets.

        Args:
            targets: as they were asked for.
            outputs: of the batch, by which similar classes are chosen.
        """
        return targets

    def check(self) -> None:
        """Refuse the same twice."""
        if any(isinstance(one, type(self)) for one in modifiers_of(self.inner)):
            raise MethodError(f"{self.name}: {self.word} twice; once is enough.")


class LayerFusion(Composition):
    """A composition that makes one map of several layers' maps."""

    at: ClassVar[Literal["stages", "fpn levels"]] = "stages"
    """Which layers these are where none are named."""

    def fused(
        self,
        maps: Sequence[Float[Array, "batch target *_"]],
        fpn_levels: Int[np.ndarray, "batch target"] | None,
    ) -> Float[Array, "batch target *space"]:
        """The one map.

        Args:
            maps: of the layers in the order they run, each at its own resolution.
            fpn_levels: the level of a detector's feature pyramid that each target comes from; None if there is none.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Named(Composition):
    """A composition the literature has a name for.

    Attributes:
        label: the name.
        reference: the paper.
        advice: one honest line.
        cost: in passes through the model.
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
        """What it is made of."""
        return self.inner.name


# ------------------------------------------------------------------ the register

COMPOSITIONS: dict[str, type[Composition]] = {}
"""By the word that they are called by."""

NAMED: dict[str, Named] = {}
"""Compositions that the literature has a name for, by that name."""

Kind = TypeVar("Kind", bound=type[Composition])


def composition(kind: Kind) -> Kind:
    """Register a composition under its word, so that it can be written as text.

    Another package names the module as an entry point of the group `camscope.methods`; see `camscope.plugins`.

    Raises:
        MethodError: if another composition has that word already.
    """
    taken = COMPOSITIONS.get(kind.word)
    if taken is not None and taken.__qualname__ != kind.__qualname__:
        raise MethodError(f"There is already a composition {kind.word!r}; choose another word.")
    COMPOSITIONS[kind.word] = kind
    return kind


def name_composition(inner: Composition, label: str, reference: str, advice: str, cost: str) -> None:
    """Register a composition under the name that the literature has for it. See `Named` for the arguments."""
    NAMED[label] = Named(inner, label, reference, advice, cost)


# ------------------------------------------------------------------ from text


def parse(text: str | Expression) -> Expression:
    """Read a method or a composition.

    Args:
        text: a name, or calls of names: the inner method first, then parameters, by name or in their order.

    Raises:
        MethodError: for an unknown name or parameter (with the nearest), or text that is no expression.
    """
    if isinstance(text, (Method, Composition)):
        return text
    if not isinstance(text, str):
        raise MethodError(f"A method is given by its name, not as {type(text).__name__}.")
    load_plugins("camscope.methods")
    return _built(read_call(text), text)


def _built(call: Call, text: str) -> Expression:
    """What a call means."""
    word = call.word.lower()
    if word in COMPOSITIONS:
        return _composed(word, call, text)
    found = _known(word)
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
    known = list(kind.parameters())
    if len(arguments) > len(known):
        raise unreadable(text, f"{word} has {len(known)} parameters ({', '.join(known) or 'none'})")
    given = dict(zip(known, map(value_of, arguments), strict=False))
    for parameter, value in call.named.items():
        if parameter in given:
            raise unreadable(text, f"{parameter} is given twice")
        if parameter not in known:
            has = f"It has {', '.join(known)}." if known else "It has none."
            raise MethodError(f"{word} has no parameter {parameter!r}.{nearest(parameter, known)} {has}")
        given[parameter] = value_of(value)
    return kind(_built(inner, text), **given)


def _known(name: str) -> Method | Composition:
    methods = {m.base: m for m in list_methods()}
    found = methods.get(name) or NAMED.get(name)
    if found is None:
        everything = [*methods, *NAMED, *COMPOSITIONS]
        raise MethodError(
            f"There is no method {name!r}.{nearest(name, everything)} The methods are: "
            f"{', '.join([*methods, *NAMED])}; around them go {', '.join(COMPOSITIONS)}."
        )
    return found


# ------------------------------------------------------------------ questions


def check(expression: Expression) -> None:
    """Refuse an expression that has no meaning.

    Args:
        expression: simplified.

    Raises:
        MethodError: saying why, and what would do.
    """
    if isinstance(expression, Composition):
        check(expression.inner)
        expression.check()


def simplified(expression: Expression) -> Expression:
    """The same with names resolved, and changed targets and gradients directly around the method.

    What a wrapper or a fusion does to the maps does not touch what the inner method explains, so
    finer(smooth(gradcam)) is smooth(finer(gradcam)).
    """
    if isinstance(expression, Method):
        return expression
    inner = simplified(expression.inner)
    if isinstance(expression, Named):
        return inner
    if (
        isinstance(expression, Modifier)
        and isinstance(inner, Composition)
        and not isinstance(inner, Modifier)
    ):
        innermost = simplified(dataclasses.replace(expression, inner=inner.inner))
        return dataclasses.replace(inner, inner=innermost)
    return dataclasses.replace(expression, inner=inner)


def modifiers_of(expression: Expression) -> tuple[Modifier, ...]:
    """The changed targets and gradients around a method, innermost first."""
    if isinstance(expression, Modifier):
        return (*modifiers_of(expression.inner), expression)
    return ()


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)

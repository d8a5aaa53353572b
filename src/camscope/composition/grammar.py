"""Methods and their compositions as text: `smooth(layercam, n=16)`, `fuse(finer(gradcam), max)`, `scorecam(top=64)`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from camscope.composition.expressions import COMPOSITIONS, Composition, Expression
from camscope.composition.named import NAMED
from camscope.errors import MethodError, nearest
from camscope.methods import Method, list_methods

_TOKEN = re.compile(r"\s*([(),=\[\]]|[^\s(),=\[\]]+)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WORDS = {"true": True, "false": False, "none": None}


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
    reader = _Reader(text)
    try:
        expression = reader.expression()
    except RecursionError:
        raise reader.error("it is nested too deeply") from None
    if reader.tokens:
        raise reader.error(f"{reader.tokens[0]!r} comes after its end")
    return expression


def split(text: str) -> list[str]:
    """Split at the commas that are not inside brackets: `gradcam, smooth(layercam, n=4)` is two."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


class _Reader:
    """Reads one expression, token by token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _TOKEN.findall(text)

    def error(self, what: str) -> MethodError:
        return MethodError(
            f"{self.text!r} is no method: {what}. Write for instance gradcam, scorecam(top=64), smooth(layercam, n=16) "
            "or fuse(layercam, max)."
        )

    def expression(self) -> Expression:
        name = self._next("a method").lower()
        if name in ("(", ")", ",", "=", "[", "]"):
            raise self.error(f"there is {name!r} where a method is expected")
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        called = bool(self.tokens) and self.tokens[0] == "("
        if name in COMPOSITIONS:
            if not called:
                raise MethodError(f"{name} goes around a method, for instance {name}(gradcam).")
            self._next()
            inner = self.expression()
            if self.tokens[:1] == [","]:
                self._next()
                arguments, named = self._arguments()
            self._close()
            return self._composed(name, inner, arguments, named)
        known = _known(name)
        if called:
            self._next()
            arguments, named = self._arguments()
            self._close()
            if arguments:
                raise self.error(f"{name} takes its parameters by name")
        if isinstance(known, Method):
            return known.with_parameters(**named) if named else known
        if named:
            raise MethodError(f"{name} is {known.inner.name}; give it other parameters by writing that out.")
        return known

    def _composed(
        self, name: str, inner: Expression, arguments: Sequence[Any], named: dict[str, Any]
    ) -> Expression:
        kind = COMPOSITIONS[name]
        known = [f.name for f in dataclasses.fields(kind) if f.name != "inner"]
        if len(arguments) > len(known):
            raise self.error(f"{name} has {len(known)} parameters ({', '.join(known) or 'none'})")
        by_place = dict(zip(known, arguments, strict=False))
        for parameter in by_place.keys() & named.keys():
            raise self.error(f"{parameter} is given twice")
        given = {**by_place, **named}
        for parameter in given:
            if parameter not in known:
                has = f"It has {', '.join(known)}." if known else "It has none."
                raise MethodError(f"{name} has no parameter {parameter!r}.{nearest(parameter, known)} {has}")
        return kind(inner, **given)

    def _arguments(self) -> tuple[list[Any], dict[str, Any]]:
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        while self.tokens and self.tokens[0] != ")":
            if len(self.tokens) > 1 and self.tokens[1] == "=":
                parameter = self._next()
                self._next()
                if parameter in named:
                    raise self.error(f"{parameter} is given twice")
                named[parameter] = self._value()
            else:
                arguments.append(self._value())
            if self.tokens[:1] == [","]:
                self._next()
            elif self.tokens[:1] != [")"]:
                break
        return arguments, named

    def _value(self) -> Any:
        token = self._next("a value")
        if token == "[":
            values = []
            while self.tokens and self.tokens[0] != "]":
                values.append(self._value())
                if self.tokens[:1] == [","]:
                    self._next()
            if self._next("a closing bracket") != "]":
                raise self.error("a list is not closed")
            return tuple(values)
        if _NUMBER.fullmatch(token):
            return float(token) if re.search(r"[.e]", token, re.IGNORECASE) else int(token)
        return _WORDS.get(token.lower(), token)

    def _close(self) -> None:
        if self._next("a closing bracket") != ")":
            raise self.error("a bracket is not closed")

    def _next(self, expected: str = "") -> str:
        if not self.tokens:
            raise self.error(f"it ends where {expected} is expected" if expected else "it ends too early")
        return str(self.tokens.pop(0))


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

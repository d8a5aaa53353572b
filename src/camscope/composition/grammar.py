"""The syntax of calls such as `smooth(layercam, n=16)` or `fuse(finer(gradcam), max)`. It knows no method."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from camscope.errors import MethodError

_TOKEN = re.compile(r"\s*([(),=\[\]]|[^\s(),=\[\]]+)")
_MARKS = ("(", ")", ",", "=", "[", "]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WORDS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Call:
    """A word, or a word with arguments in brackets.

    Attributes:
        word: the word as it is written; a name of several words has one blank between two.
        called: whether brackets follow it.
        arguments: the arguments without a name: numbers, calls, and tuples of these.
        named: the arguments with a name, of the same kinds.
    """

    word: str
    called: bool = False
    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)


def read_call(text: str) -> Call:
    """Read a word, or a call of one.

    Args:
        text: such as `scorecam(top=64)`.

    Raises:
        MethodError: if it is neither; the message says where it goes wrong.
    """
    reader = _Reader(text)
    try:
        call = reader.call()
    except RecursionError:
        raise unreadable(text, "it is nested too deeply") from None
    if reader.tokens:
        raise unreadable(text, f"{reader.tokens[0]!r} comes after its end")
    return call


def value_of(argument: Any) -> Any:
    """An argument as a parameter's value: `true`, `false` and `none` become Python's, other words stay text.

    Raises:
        MethodError: for a call, which is no value.
    """
    if isinstance(argument, tuple):
        return tuple(map(value_of, argument))
    if not isinstance(argument, Call):
        return argument
    if argument.called:
        raise MethodError(f"{argument.word}(…) stands where a value is expected, such as a number or a word.")
    return _WORDS.get(argument.word.lower(), argument.word)


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


def unreadable(text: str, what: str) -> MethodError:
    """The error for a text that is no method, with examples; `what` says what is wrong with it."""
    return MethodError(
        f"{text!r} is no method: {what}. Write for instance gradcam, scorecam(top=64), smooth(layercam, n=16) "
        "or fuse(layercam, max)."
    )


class _Reader:
    """Reads one call, token by token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _TOKEN.findall(text)

    def call(self) -> Call:
        word = self._next("a method")
        if word in _MARKS:
            raise unreadable(self.text, f"there is {word!r} where a method is expected")
        while self.tokens and self.tokens[0] not in _MARKS:
            word = f"{word} {self._next('a word')}"  # a name may be written in several: Guided Grad-CAM
        if self.tokens[:1] != ["("]:
            return Call(word)
        self._next("a bracket")
        arguments, named = self._arguments()
        if self._next("a closing bracket") != ")":
            raise unreadable(self.text, "a bracket is not closed")
        return Call(word, True, arguments, named)

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        while self.tokens and self.tokens[0] != ")":
            if self.tokens[1:2] == ["="]:
                parameter = self._next("a name")
                self._next("=")
                if parameter in named:
                    raise unreadable(self.text, f"{parameter} is given twice")
                named[parameter] = self._value()
            else:
                arguments.append(self._value())
            if self.tokens[:1] == [","]:
                self._next(",")
            elif self.tokens[:1] != [")"]:
                break
        return tuple(arguments), named

    def _value(self) -> Any:
        if self.tokens[:1] == ["["]:
            return self._list()
        if self.tokens and _NUMBER.fullmatch(self.tokens[0]):
            number = self._next("a value")
            return float(number) if re.search(r"[.e]", number, re.IGNORECASE) else int(number)
        if not self.tokens:
            raise unreadable(self.text, "it ends where a value is expected")
        return self.call()

    def _list(self) -> tuple[Any, ...]:
        self._next("a list")
        values = []
        while self.tokens and self.tokens[0] != "]":
            values.append(self._value())
            if self.tokens[:1] == [","]:
                self._next(",")
        if self._next("a closing bracket") != "]":
            raise unreadable(self.text, "a list is not closed")
        return tuple(values)

    def _next(self, expected: str) -> str:
        if not self.tokens:
            raise unreadable(self.text, f"it ends where {expected} is expected")
        return str(self.tokens.pop(0))

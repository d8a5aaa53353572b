"""Text readers turn texts into token numbers, and token numbers back into words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Int

from camscope.errors import InputError, nearest
from camscope.text.merging import UNKNOWN, Scheme, find_scheme, words_by_marks
from camscope.text.text import Text

Tokenizer: TypeAlias = Callable[[str], Iterable[tuple[str, int]]]
"""Gives the tokens of a text and their numbers, in order: `tokenizer("a film") == [("a", 4), ("film", 71)]`."""

MASKS = ("[MASK]", "<mask>", "<MASK>")
"""The tokens by which vocabularies say that a word is left out."""

_PIECES = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_SPECIAL = re.compile(r"<[^<>]+>|\[[A-Z]+\]|xx[a-z]{2,4}")


@dataclass(frozen=True)
class Read:
    """Texts as a model takes them.

    Attributes:
        inputs: the token numbers and what goes with them, by keyword (or only the numbers, under 0). Rows are as long
            as the longest text; the padding of the others never reaches the model.
        explained_input: the key of the token numbers among the inputs.
        texts: the tokens and words of each text.
        notes: what a reader of the maps should know.
    """

    inputs: Mapping[Any, Int[np.ndarray, "batch token"]]
    explained_input: int | str
    texts: tuple[Text, ...]
    notes: tuple[str, ...] = ()


@runtime_checkable
class TextReader(Protocol):
    """Turns texts into what one model takes."""

    @property
    def name(self) -> str:
        """The name of the tokenizer, for the provenance."""
        ...

    @property
    def stand_in(self) -> tuple[int, str] | None:
        """The number and the name of the token that stands for a word that is left out; None if there is none."""
        ...

    def read(self, texts: Sequence[str]) -> Read:
        """The texts as the model takes them.

        Raises:
            InputError: for a text without a token, or one that is longer than the model takes.
        """
        ...

    def named(self, numbers: Sequence[int]) -> Text:
        """The tokens with these numbers, and their words."""
        ...


class Vocabulary:
    """A tokenizer for models with a plain vocabulary: the text is split into words, each word is looked up.

        vocabulary = camscope.Vocabulary({"<unk>": 0, "a": 1, "film": 2, "loved": 3})
        camscope.explain(model, "A film I loved", tokenizer=vocabulary)

    Args:
        numbers: the number of each word. If all words are in lower case, texts are put into lower case too.
        split: cuts a text into words; by default at spaces and around punctuation marks.
        unknown: the word in the vocabulary that stands for all words that are not. By default one of the usual
            (`<unk>`, `[UNK]`, `xxunk`), if the vocabulary has one; else unknown words are refused.

    Raises:
        InputError: for an empty vocabulary, or an `unknown` that is not in it.

    Example:
        >>> words = camscope.Vocabulary({"a": 1, "good": 2, "film": 3, "?": 0}, unknown="?")
        >>> words("a fine film")
        [('a', 1), ('fine', 0), ('film', 3)]
    """

    def __init__(
        self,
        numbers: Mapping[str, int],
        *,
        split: Callable[[str], Iterable[str]] | None = None,
        unknown: str | None = None,
    ) -> None:
        self.numbers = dict(numbers)
        if not self.numbers:
            raise InputError("The vocabulary is empty.")
        if unknown is not None and unknown not in self.numbers:
            raise InputError(f"unknown={unknown!r} is not in the vocabulary.{nearest(unknown, self.numbers)}")
        self.unknown = unknown or next((word for word in UNKNOWN if word in self.numbers), None)
        self._split = split or _PIECES.findall
        words = (word for word in self.numbers if not _is_special(word))
        self._lower = all(word == word.lower() for word in words)

    def __call__(self, text: str) -> list[tuple[str, int]]:
        """The words of a text and their numbers.

        Raises:
            InputError: if a word is not in the vocabulary, and no word stands for unknown ones.
        """
        found = []
        for word in self._split(text):
            key = word.lower() if self._lower and word not in self.numbers else word
            if key not in self.numbers and self.unknown is None:
                raise InputError(
                    f"The vocabulary has no {word!r} and no word for unknown words.{nearest(key, self.numbers)} "
                    "Name one: camscope.Vocabulary(numbers, unknown='…')."
                )
            found.append((word, self.numbers.get(key, self.numbers.get(self.unknown or "", -1))))
        return found


class TokenReader:
    """Reads texts by a plain tokenizer, for a model whose forward takes `batch token` numbers.

    Args:
        tokenizer: see `Tokenizer`. If it has an attribute `numbers` (as a `Vocabulary` has), token numbers can be
            turned back into words.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.name = getattr(tokenizer, "__name__", type(tokenizer).__name__)
        vocabulary: Mapping[str, int] = getattr(tokenizer, "numbers", None) or {}
        self._words = {number: word for word, number in vocabulary.items()}
        self._unknown = vocabulary.get(getattr(tokenizer, "unknown", None) or "")
        self._scheme = find_scheme(vocabulary)
        names = (*MASKS, str(getattr(tokenizer, "unknown", None) or ""))
        found = next((name for name in names if name in vocabulary), None)
        self.stand_in = None if found is None else (vocabulary[found], found)

    def read(self, texts: Sequence[str]) -> Read:
        """Texts as the model takes them."""
        found = [self._pairs(text) for text in texts]
        read = []
        for text, some in zip(texts, found, strict=True):
            if not some:
                raise InputError(f"The text {text!r} has no token in it, so there is nothing to explain.")
            read.append(self._text([token for token, _ in some]))
        pairs = [pair for some in found for pair in some]
        unknown = [token for token, number in pairs if self._unknown is not None and number == self._unknown]
        return Read(
            inputs={0: rows([[number for _, number in some] for some in found])},
            explained_input=0,
            texts=tuple(read),
            notes=unknown_note(unknown, len(pairs)),
        )

    def named(self, numbers: Sequence[int]) -> Text:
        """The tokens with these numbers."""
        return self._text([self._words.get(number, f"#{number}") for number in numbers])

    def _pairs(self, text: str) -> list[tuple[str, int]]:
        given = list(self._tokenizer(text))
        try:
            return [(str(token), int(number)) for token, number in given]
        except (TypeError, ValueError) as error:
            raise InputError(
                f"The tokenizer {self.name} gave {given[:3]!r} …; expected a list of (token, number), such as "
                "[('a', 4), ('film', 71)]."
            ) from error

    def _text(self, tokens: Sequence[str]) -> Text:
        scheme = self._scheme if self._scheme.mark else find_scheme(tokens)
        return Text(tuple(tokens), words_by_marks(tokens, [_is_special(token) for token in tokens], scheme))


class Unread:
    """Stands in for the text reader of a model that came without a tokenizer. Token numbers have no words then.

    Args:
        why: why texts cannot be read, for the message.
    """

    name = ""
    stand_in = None

    def __init__(self, why: str) -> None:
        self._why = why

    def read(self, texts: Sequence[str]) -> Read:
        """Refuse to read texts.

        Raises:
            InputError: always; the message says what is missing.
        """
        raise InputError(f"A text was given, and {self._why}")

    def named(self, numbers: Sequence[int]) -> Text:
        """Tokens named by their numbers."""
        return numbered(numbers)


def as_reader(tokenizer: Any) -> TextReader:
    """The text reader for a tokenizer of the user's own: a vocabulary, or a function.

    Raises:
        InputError: if it is neither.
    """
    if isinstance(tokenizer, TextReader):
        return tokenizer
    if isinstance(tokenizer, Mapping):
        tokenizer = Vocabulary(tokenizer)
    if not callable(tokenizer):
        raise InputError(
            f"tokenizer={type(tokenizer).__name__}: expected a Hugging Face tokenizer, a dictionary word → number, a "
            "camscope.Vocabulary, or a function from a text to a list of (token, number)."
        )
    return TokenReader(tokenizer)


def numbered(numbers: Sequence[int]) -> Text:
    """A text of which only the token numbers are known; its tokens are written `#4`, `#71`."""
    tokens = [f"#{number}" for number in numbers]
    return Text(tuple(tokens), words_by_marks(tokens, [False] * len(tokens), Scheme()))


def rows(numbers: Sequence[Sequence[int]], fill: int = 0) -> Int[np.ndarray, "batch token"]:
    """Lists of numbers as rows of one length, the shorter ones filled up with `fill`."""
    filled = np.full((len(numbers), max(map(len, numbers))), fill, dtype=np.int64)
    for row, some in zip(filled, numbers, strict=True):
        row[: len(some)] = some
    return filled


def unknown_note(unknown: Sequence[str], total: int) -> tuple[str, ...]:
    """A note about tokens that are not in the vocabulary; no note if there are none.

    Args:
        unknown: these tokens.
        total: how many tokens the texts have.
    """
    if not unknown:
        return ()
    some = list(dict.fromkeys(unknown))
    shown = ", ".join(some[:5]) + (f" and {len(some) - 5} more" if len(some) > 5 else "")
    return (
        f"{len(unknown)} of {total} tokens are not in the vocabulary, and the model reads them all alike: {shown}.",
    )


def _is_special(token: str) -> bool:
    """Whether a token is not part of the text. The token for unknown words is part of it."""
    return bool(_SPECIAL.fullmatch(token)) and token not in UNKNOWN

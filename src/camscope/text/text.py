"""A text as a model reads it: its tokens, and the words that a person sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Word:
    """One word and the tokens it is made of.

    Attributes:
        text: the word as it is written.
        start: the number of its first token.
        stop: the number of the first token after it.
        glued: whether it follows the word before it without a space.
    """

    text: str
    start: int
    stop: int
    glued: bool = False


@dataclass(frozen=True)
class Text:
    """One text of a batch.

    Attributes:
        tokens: the tokens as the tokenizer writes them, without padding.
        words: the words in order. Tokens outside of all words are special: `[CLS]`, `</s>`, or padding that was given
            as tokens.
        first: the position of the first token in the batch's row: 0, unless the row is padded on the left.
    """

    tokens: tuple[str, ...]
    words: tuple[Word, ...]
    first: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def unpadded(self) -> Text:
        """The same text in a row of its own, where it begins at position 0."""
        return replace(self, first=0)

    @property
    def readable(self) -> str:
        """The words with the spaces between them."""
        return "".join(("" if word.glued or not i else " ") + word.text for i, word in enumerate(self.words))

    def of_words(self, values: Float[np.ndarray, "*lead token"]) -> Float[np.ndarray, "*lead word"]:
        """The sum of values over each word's tokens.

        Evidence adds up, so a word does not lose evidence by being cut into many tokens.
        """
        sums = [values[..., word.start : word.stop].sum(axis=-1) for word in self.words]
        empty = np.zeros((*values.shape[:-1], 0), dtype=values.dtype)
        return np.stack(sums, axis=-1) if sums else empty

    def to_dict(self) -> dict[str, Any]:
        """The text as plain values that JSON can store."""
        words = [[word.text, word.start, word.stop, word.glued] for word in self.words]
        return {"tokens": list(self.tokens), "words": words, "first": self.first}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Text:
        """The inverse of `to_dict`."""
        words = tuple(Word(*word) for word in fields["words"])
        return cls(tuple(fields["tokens"]), words, fields["first"])

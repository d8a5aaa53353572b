"""Merges sub-words into words, by their places in the text or by the marks that tokenizers put on them.

Either way a punctuation mark is a word of its own, except an apostrophe between letters: *don't* is one word, *film.*
is two.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from camscope.text.text import Word

_APOSTROPHES = "'’ʼ＇"
_CLOSING = ".,;:!?…)]}%»”’"
UNKNOWN = ("<unk>", "[UNK]", "UNK", "<UNK>", "xxunk", "unk", "<oov>")
"""The tokens that tokenizers use for words that are not in their vocabulary."""


@dataclass(frozen=True)
class Scheme:
    """How a tokenizer marks which tokens belong to one word.

    Attributes:
        mark: the characters it puts on a token; empty if it marks nothing, so that every token is a word.
        means: what the mark says of its token. `continues`: it continues the word of the token before it (WordPiece's
            ##ing). `begins`: it begins a word (Ġ of byte-level BPE, ▁ of SentencePiece). `goes on`: its word goes on in
            the next token (subword-nmt's un@@). `ends`: it ends a word (</w> of CLIP's BPE).
    """

    mark: str = ""
    means: Literal["continues", "begins", "goes on", "ends"] = "continues"

    def begins(self, token: str, before: str) -> bool:
        """Whether a token begins a word, after the one before it."""
        if not self.mark:
            return True
        if self.means == "continues":
            return not token.startswith(self.mark)
        if self.means == "begins":
            return token.startswith(self.mark)
        return before.endswith(self.mark) == (self.means == "ends")

    def bare(self, token: str) -> str:
        """The token without its mark."""
        if self.means in ("continues", "begins"):
            return token.removeprefix(self.mark)
        return token.removesuffix(self.mark)


_SCHEMES = (
    Scheme("##", "continues"),
    Scheme("Ġ", "begins"),
    Scheme("▁", "begins"),
    Scheme("@@", "goes on"),
    Scheme("</w>", "ends"),
)


def find_scheme(vocabulary: Iterable[str]) -> Scheme:
    """The scheme that most tokens of a vocabulary (or of a text) are marked by; one without a mark if none is."""
    counts = dict.fromkeys(_SCHEMES, 0)
    for token in vocabulary:
        for scheme in _SCHEMES:
            counts[scheme] += scheme.bare(token) != token
    best = max(counts, key=lambda scheme: counts[scheme])
    return best if counts[best] else Scheme()


def words_by_marks(
    tokens: Sequence[str],
    special: Sequence[bool],
    scheme: Scheme,
    spell: Callable[[Sequence[str]], str] | None = None,
) -> tuple[Word, ...]:
    """Words from tokens alone.

    Args:
        tokens: the tokens of one text.
        special: which tokens are not part of the text.
        scheme: how the tokens are marked.
        spell: writes some tokens as ordinary text, which byte-level tokens are not; None concatenates them without
            their marks.
    """

    def plain(some: Sequence[str]) -> str:
        return (spell(some) if spell else "".join(scheme.bare(token) for token in some)).strip()

    bare = ["" if off else plain([token]) for token, off in zip(tokens, special, strict=True)]
    starts: list[int] = []
    for i in range(len(tokens)):
        if special[i]:
            continue
        begins = i == 0 or special[i - 1] or scheme.begins(tokens[i], tokens[i - 1])
        if begins or not _go_on(bare, i):
            starts.append(i)
    words: list[Word] = []
    for number, start in enumerate(starts):
        after = starts[number + 1] if number + 1 < len(starts) else len(tokens)
        stop = next((i for i in range(start, after) if special[i]), after)
        text = plain(tokens[start:stop])
        marked = bool(scheme.mark) and start > 0 and not scheme.begins(tokens[start], tokens[start - 1])
        closing = bool(text) and all(c in _CLOSING for c in text) and scheme.means == "continues"
        words.append(Word(text, start, stop, glued=bool(words) and (marked or closing)))
    return tuple(word for word in words if word.text)


def words_by_offsets(
    source: str,
    offsets: Sequence[tuple[int, int]],
    special: Sequence[bool],
    numbers: Sequence[int | None] | None = None,
) -> tuple[Word, ...]:
    """Words from the places of the tokens in the text.

    Args:
        source: the text.
        offsets: the start and end of each token in the text, in characters.
        special: which tokens are not part of the text.
        numbers: the number of the word that the tokenizer assigns each token to. Tokens of different words stay apart
            even without a space between them (Chinese characters). None merges all tokens without a space between.
    """
    spans: list[
        list[int]
    ] = []  # each word's first token, end of its tokens, first character, end of its characters
    for i, (start, stop) in enumerate(offsets):
        if special[i]:
            continue
        start += len(source[start:stop]) - len(source[start:stop].lstrip())
        if spans and not special[i - 1] and _together(source, spans[-1], start, numbers, i):
            spans[-1][1], spans[-1][3] = i + 1, max(stop, spans[-1][3])
        else:
            spans.append([i, i + 1, start, stop])
    words = []
    for i, (first, after, start, stop) in enumerate(spans):
        glued = i > 0 and not source[spans[i - 1][3] : start] and source[start - 1 : start].strip() != ""
        words.append(Word(source[start:stop].strip(), first, after, glued))
    return tuple(word for word in words if word.text)


def _together(
    source: str, before: Sequence[int], start: int, numbers: Sequence[int | None] | None, i: int
) -> bool:
    """Whether a token goes on with the word before it."""
    end = before[3]
    if not source[before[2] : end].strip():  # the tokens so far only mark the beginning of a word
        return start <= end
    if start < end:  # one character's bytes are several tokens
        return True
    if start > end or source[end - 1].isspace():
        return False
    same = numbers is None or numbers[i - 1] == numbers[i]
    left, right = source[end - 1], source[start : start + 1]
    if _wordy(left) == _wordy(right):
        return same
    around = source[max(0, end - 2) : start + 2]
    if left in _APOSTROPHES:
        return len(around) >= 3 and _wordy(source[end - 2 : end - 1]) and _wordy(right)
    if right and right in _APOSTROPHES:
        return _wordy(left) and _wordy(source[start + 1 : start + 2])
    return False


def _go_on(bare: Sequence[str], i: int) -> bool:
    """Whether a piece without a mark of its own goes on with the word before it."""
    before, here = bare[i - 1], bare[i]
    if not before:  # the token before only marks the beginning of a word
        return True
    if here in UNKNOWN or before in UNKNOWN:
        return False
    return _wordy(before) == _wordy(here) or _apostrophe(bare, i)


def _apostrophe(bare: Sequence[str], i: int) -> bool:
    """Whether two pieces stand on the two sides of an apostrophe between letters."""
    here, before = bare[i], bare[i - 1]
    after = bare[i + 1] if i + 1 < len(bare) else ""
    if here in _APOSTROPHES:
        return _wordy(before) and _wordy(after)
    return before in _APOSTROPHES and i > 1 and _wordy(bare[i - 2]) and _wordy(here)


def _wordy(text: str) -> bool:
    """Whether a piece has a letter or a digit in it, or a mark that is written over or under letters."""
    return any(c.isalnum() or unicodedata.category(c).startswith("M") for c in text)

"""Texts: how they become token numbers, and how tokens become words again. This room knows no framework or model."""

from __future__ import annotations

from camscope.text.merging import Scheme, find_scheme, words_by_marks, words_by_offsets
from camscope.text.readers import (
    Read,
    TextReader,
    Tokenizer,
    TokenReader,
    Unread,
    Vocabulary,
    as_reader,
    numbered,
)
from camscope.text.text import Text, Word

__all__ = [
    "Read",
    "Scheme",
    "Text",
    "TextReader",
    "TokenReader",
    "Tokenizer",
    "Unread",
    "Vocabulary",
    "Word",
    "as_reader",
    "find_scheme",
    "numbered",
    "words_by_marks",
    "words_by_offsets",
]

"""The token numbers of a batch and the words they stand for, from texts or from token numbers that were given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from camscope.arrays import to_numpy
from camscope.errors import InputError
from camscope.libraries.huggingface.tokenizers import text_of_encoding
from camscope.libraries.info import ModelInfo
from camscope.models.batch import Batch
from camscope.text import Read, Text, TextReader, numbered

_MASKS = ("attention_mask", "input_mask", "mask")
"""The keywords of inputs that say which tokens are not padding."""

BESIDE_TOKENS = (*_MASKS, "token_type_ids", "position_ids", "global_attention_mask", "special_tokens_mask")
"""The keywords of inputs that have a value for each token, but are not the token numbers."""


def are_texts(inputs: Any) -> bool:
    """Whether the inputs are one or several strings: texts, or the names of photos."""
    if isinstance(inputs, (list, tuple)):
        return bool(inputs) and all(isinstance(one, str) for one in inputs)
    return isinstance(inputs, str)


def read(inputs: Any, reader: TextReader) -> Read:
    """Read one or several texts.

    Raises:
        InputError: if a text is empty, or longer than the model takes.
    """
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    for number, text in enumerate(texts):
        if not text.strip():
            which = f"Text {number} of the list" if len(texts) > 1 else "The text"
            raise InputError(f"{which} is empty, so there is nothing to explain.")
    return reader.read(texts)


def names_file(text: str) -> bool:
    """Whether there is a file of that name; a text that cannot be a file's name is none."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def refuse_unread(inputs: Any, info: ModelInfo) -> None:
    """Refuse a text for a model that can read neither texts nor photos.

    Raises:
        InputError: if the text is not the name of a file; the message says what is missing.
    """
    if info.texts is not None or info.preprocessing is not None or info.prepare is not None:
        return
    some = inputs if isinstance(inputs, str) else next(iter(inputs))
    if names_file(some):
        return
    raise InputError(
        f"{some[:40]!r} is no file. If it is a text, say how this model's texts become token numbers: "
        "Explainer(model, tokenizer=…), a Hugging Face tokenizer, a dictionary word → number, or a function from a "
        "text to a list of (token, number)."
    )


def texts_of_tokens(batch: Batch, given: Any, reader: TextReader | None) -> tuple[Text, ...]:
    """The texts of token numbers that were given, without their padding.

    Args:
        batch: the inputs; an `attention_mask` among its keywords says what is padding.
        given: what the user gave. If a fast tokenizer returned it, it knows its tokens.
        reader: names tokens by their numbers; None if there is no tokenizer.

    Raises:
        InputError: if all tokens of a text are masked.
    """
    numbers = to_numpy(batch.x)
    texts = []
    for row, (start, stop) in enumerate(_spans(batch, numbers.shape)):
        text = text_of_encoding(given, row, start, stop) if isinstance(given, Mapping) else None
        if text is None:
            some = numbers[row, start:stop].tolist()
            text = numbered(some) if reader is None else reader.named(some)
        texts.append(Text(text.tokens, text.words, start))
    return tuple(texts)


def _spans(batch: Batch, shape: tuple[int, ...]) -> Int[np.ndarray, "batch 2"]:
    """Where the tokens of each row begin and end."""
    mask = next((batch.kwargs[name] for name in _MASKS if name in batch.kwargs), None)
    if mask is None or tuple(getattr(mask, "shape", ())) != shape:
        return np.tile([0, shape[1]], (shape[0], 1))
    real = to_numpy(mask) != 0
    if not real.any(axis=1).all():
        hidden = ", ".join(map(str, np.flatnonzero(~real.any(axis=1))))
        raise InputError(f"The attention mask hides every token of text {hidden} of the batch.")
    return np.stack([real.argmax(axis=1), shape[1] - real[:, ::-1].argmax(axis=1)], axis=1)

"""Hugging Face tokenizers: from texts to a model's inputs, and from tokens back to words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from camscope.errors import InputError
from camscope.models.batch import Batch
from camscope.models.decoding import LogitsDecoder
from camscope.text import Read, Scheme, Text, find_scheme, words_by_marks, words_by_offsets
from camscope.text.readers import rows, unknown_note
from camscope.undoing import surely


class TextClassifier(LogitsDecoder):
    """The output decoder of a text classifier.

    Texts come without padding. So a model that classifies by the last token finds it, even if it has no padding token.
    """

    def call(self, model: Any, batch: Batch) -> Any:
        """Run the model.

        Raises:
            InputError: if the text is longer than the model takes by its configuration.
        """
        try:
            return self._called(model, batch)
        except (RuntimeError, IndexError) as error:
            most, tokens = most_tokens(getattr(model, "config", None)), batch.space[0]
            if most is None or tokens <= most:
                raise
            raise _too_long("The text", tokens, most) from error

    def _called(self, model: Any, batch: Batch) -> Any:
        config: Any = getattr(model, "config", None)
        if len(batch) < 2 or getattr(config, "pad_token_id", _NO_TOKEN) is not None:
            return super().call(model, batch)

        def undo() -> None:
            config.pad_token_id = None

        with surely(undo):
            # for several texts the model insists on one, even if no text is padded
            config.pad_token_id = _NO_TOKEN
            return super().call(model, batch)


_NO_TOKEN = -1

_NO_LIMIT = 10**6
"""A tokenizer without a limit gives a number far above this."""


class HuggingFaceTexts:
    """Reads texts by a tokenizer of transformers. See `camscope.text.TextReader`.

    Args:
        tokenizer: a fast tokenizer, which knows where tokens stand in the text, or a slow one. A slow one's words are
            found by the marks on its tokens.
        limit: how many tokens the model takes at most; None if that is not known.
    """

    def __init__(self, tokenizer: Any, limit: int | None = None) -> None:
        self._tokenizer = tokenizer
        own = getattr(tokenizer, "model_max_length", None) or _NO_LIMIT
        self._limit = min(own, limit or _NO_LIMIT)
        self.name = type(tokenizer).__name__

    def read(self, texts: Sequence[str]) -> Read:
        """Texts as the model takes them."""
        fast = bool(getattr(self._tokenizer, "is_fast", False))
        found = self._tokenizer(
            list(texts),
            padding=False,
            truncation=False,
            return_special_tokens_mask=True,
            return_offsets_mapping=fast,
            verbose=False,
        )
        read = []
        for i, text in enumerate(texts):
            self._check_length(text, len(found["input_ids"][i]))
            tokens = self._tokenizer.convert_ids_to_tokens(found["input_ids"][i])
            special = self._special(found["input_ids"][i], found["special_tokens_mask"][i])
            if all(special):
                raise InputError(f"The text {text!r} has no token in it, so there is nothing to explain.")
            if fast:
                words = words_by_offsets(text, found["offset_mapping"][i], special, found.word_ids(i))
            else:
                words = words_by_marks(tokens, special, self._scheme, self._spell)
            read.append(Text(tuple(tokens), words))
        taken = {
            name: rows(values)
            for name, values in found.items()
            if name not in ("special_tokens_mask", "offset_mapping")
        }
        unknown = [
            self._written(text, found, row, place, fast)
            for row, text in enumerate(texts)
            for place, number in enumerate(found["input_ids"][row])
            if number == self._tokenizer.unk_token_id and not self._unknown_is_special
        ]
        return Read(taken, "input_ids", tuple(read), unknown_note(unknown, sum(map(len, read))))

    def named(self, numbers: Sequence[int]) -> Text:
        """The tokens with these numbers, and their words by the tokens' marks."""
        tokens = self._tokenizer.convert_ids_to_tokens(list(numbers))
        tokens = [f"#{n}" if token is None else token for token, n in zip(tokens, numbers, strict=True)]
        special = self._special(numbers, [0] * len(numbers))
        return Text(tuple(tokens), words_by_marks(tokens, special, self._scheme, self._spell))

    @property
    def stand_in(self) -> tuple[int, str] | None:
        """The mask token; without one that for unknown words, unless it also begins or ends texts."""
        tokenizer = self._tokenizer
        if getattr(tokenizer, "mask_token_id", None) is not None:
            return int(tokenizer.mask_token_id), str(tokenizer.mask_token)
        if tokenizer.unk_token_id is None or self._unknown_is_special:
            return None
        return int(tokenizer.unk_token_id), str(tokenizer.unk_token)

    @cached_property
    def _scheme(self) -> Scheme:
        return find_scheme(self._tokenizer.get_vocab())

    def _spell(self, tokens: Sequence[str]) -> str:
        """The tokens as ordinary text. Tokens of byte-level BPE are bytes, so several may make up one letter."""
        if self._scheme.means == "begins" and self._scheme.mark == "Ġ":
            return str(self._tokenizer.convert_tokens_to_string(list(tokens)))
        return "".join(self._scheme.bare(token) for token in tokens)

    @property
    def _unknown_is_special(self) -> bool:
        """Whether the token for unknown words also begins or ends texts, as GPT-2's does."""
        tokenizer = self._tokenizer
        return tokenizer.unk_token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id)

    def _special(self, numbers: Sequence[int], mask: Sequence[int]) -> list[bool]:
        """Which tokens are not part of the text. The token for unknown words is, unless it also begins or ends one."""
        ids = set(self._tokenizer.all_special_ids)
        if not self._unknown_is_special:
            ids.discard(self._tokenizer.unk_token_id)
            return [number in ids for number in numbers]
        return [bool(of) or number in ids for number, of in zip(numbers, mask, strict=True)]

    def _check_length(self, text: str, tokens: int) -> None:
        if tokens > self._limit:
            raise _too_long(f"The text {text[:40]!r}…", tokens, self._limit)

    def _written(self, text: str, found: Any, row: int, place: int, fast: bool) -> str:
        """The part of the text that a token stands for."""
        if not fast:
            return str(self._tokenizer.unk_token)
        start, stop = found["offset_mapping"][row][place]
        return text[start:stop].strip()


def _too_long(what: str, tokens: int, most: int) -> InputError:
    return InputError(
        f"{what} has {tokens} tokens; the model takes {most} at most. Give a shorter text, or its beginning: "
        "explain(model, tokenizer(text, truncation=True, return_tensors='pt'), tokenizer=tokenizer)."
    )


def reader_of(tokenizer: Any, model: Any) -> HuggingFaceTexts:
    """The text reader for a model and its tokenizer."""
    return HuggingFaceTexts(tokenizer, most_tokens(getattr(model, "config", None)))


def most_tokens(config: Any) -> int | None:
    """How many tokens a model takes at most by its configuration; None if it has no table of positions.

    RoBERTa and models like it begin to count positions after the number of the padding token.
    """
    most = getattr(config, "max_position_embeddings", None)
    if not isinstance(most, int) or most < 1 or getattr(config, "position_biased_input", True) is False:
        return None
    shifted = any(
        name in str(getattr(config, "model_type", "")) for name in ("roberta", "camembert", "mpnet")
    )
    if shifted and isinstance(getattr(config, "pad_token_id", None), int):
        return int(most - config.pad_token_id - 1)
    return most


def is_text_model(model: Any) -> bool:
    """Whether a model is a classifier of texts."""
    return "SequenceClassification" in type(model).__name__ or (
        getattr(model, "main_input_name", "") == "input_ids" and "Classif" in type(model).__name__
    )


def saved_tokenizer(name: str) -> Any:
    """The tokenizer beside the model's weights, in its folder or the cache. Nothing is downloaded."""
    if not name:
        return None
    import transformers

    try:
        found = transformers.AutoTokenizer.from_pretrained(name, local_files_only=True)
    except (
        OSError,
        ValueError,
        KeyError,
        ImportError,
        TypeError,
        AttributeError,
    ):  # raised if there is none; that is allowed
        return None
    # for some types transformers makes one where none is saved, to which every word is unknown
    return found if len(found) > len(set(found.all_special_tokens)) else None


def text_of_encoding(inputs: Mapping[str, Any], row: int, start: int, stop: int) -> Text | None:
    """Some tokens of a row and their words, from what a fast tokenizer returned.

    Args:
        inputs: what the user gave; if it is not from a fast tokenizer, the result is None.
        row: the number of the text in the batch.
        start: the first of the row's tokens to take.
        stop: the first of the row's tokens not to take.
    """
    encodings = getattr(inputs, "encodings", None)
    if not encodings:
        return None
    tokens = list(encodings[row].tokens)[start:stop]
    special = [bool(mask) for mask in encodings[row].special_tokens_mask][start:stop]
    return Text(tuple(tokens), words_by_marks(tokens, special, find_scheme(tokens)))

"""What a model says of texts in which words are left out: their tokens replaced by what stands for nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from camscope.arrays import from_indices, to_numpy
from camscope.engine.explaining import asking
from camscope.engine.length_buckets import images_of_bucket, length_buckets, targets_of_bucket
from camscope.engine.model import Model
from camscope.errors import InputError
from camscope.evidence import ModelEvidence, Responses, Variants
from camscope.inputs import Inputs
from camscope.models.adapter import Adapter, EmbeddingAdapter
from camscope.models.batch import Batch
from camscope.models.observing import responses, slices_of
from camscope.outputs import Outputs
from camscope.targets import Targets, TargetsLike
from camscope.text import Text

_TOKENS = 2**13
"""Tokens of altered texts that are run at a time."""


@dataclass(frozen=True)
class _Row:
    """One text: itself in a batch of one, and what is asked of it."""

    batch: Batch
    targets: Targets
    text: Text
    there: Bool[np.ndarray, " token"]


@dataclass(frozen=True)
class AlteredTexts:
    """Runs the model on texts without some words. See `camscope.evidence.Rerun`.

    Attributes:
        adapter: runs the model.
        rows: the texts.
        token: the number of the token that is put in place of one that is gone; None if none is known: then it is the
            mean embedding, where the adapter can put that there.
    """

    adapter: Adapter
    rows: Mapping[int, _Row]
    token: int | None

    def __call__(self, image: int, count: int, variants: Variants) -> Responses:
        """The responses to variants of one text, each `1 token` of booleans: True where a token is left.

        Raises:
            InputError: if nothing is known that stands for nothing.
        """
        row = self.rows[image]
        own = np.asarray(to_numpy(row.batch.x))[0]
        first, found = row.text.first, []
        for some in slices_of(count, max(1, _TOKENS // len(own))):
            numbers = np.arange(some.start, some.stop)
            left = np.asarray(variants(numbers), bool)[:, 0, first : first + len(own)]
            gone = ~left & row.there
            tokens: Int[np.ndarray, "chunk token"] = np.where(
                gone, own if self.token is None else self.token, own
            )
            altered = row.batch.altered(from_indices(tokens.astype(own.dtype), like=row.batch.x))
            with self.without(altered, gone), self.adapter.observe(altered, {}) as seen:
                targets = row.targets.images(np.zeros(len(numbers), np.int64))
                found.append(responses(targets, seen.outputs))
        return Responses.concatenated(found)

    def without(
        self, altered: Batch, gone: Bool[np.ndarray, "chunk token"]
    ) -> AbstractContextManager[object]:
        """Within it the model sees nothing of what is gone: where a token stands for that, it does so already.

        Args:
            altered: copies of a text.
            gone: True where a token is left out.

        Raises:
            InputError: if nothing is known that stands for nothing.
        """
        if self.token is not None:
            return nullcontext()
        if isinstance(self.adapter, EmbeddingAdapter) and self.adapter.embeds(altered):
            return self.adapter.mean_embedding(altered, gone)
        raise InputError(
            "A word that is left out must be replaced by something. This model's tokenizer has no token for it, "
            "neither a mask nor one for unknown words, and where the model looks its embeddings up, to put their mean "
            "there, is not known. Name a token: tokenizer.mask_token = '…' of a Hugging Face tokenizer, "
            "camscope.Vocabulary(numbers, unknown='…') of a plain vocabulary; token numbers alone need "
            "Explainer(model, tokenizer=…)."
        )


def altered_texts(
    model: Model,
    batch: Batch,
    given: Inputs,
    targets: TargetsLike,
    names: Callable[[Outputs], Sequence[str] | None],
) -> ModelEvidence:
    """What the model says of texts, and of the same without some words. Texts of one length run together.

    Its `inputs` are `batch 1 token` of booleans: True at the tokens of words, which can be left out; special tokens and
    padding always stay.

    Args:
        model: the model.
        batch: the texts, in rows of one length.
        given: the texts as they were prepared.
        targets: as the user gave them.
        names: from the outputs to the names of the classes.
    """
    texts = given.input_images.texts
    reader = model.info.texts
    stand_in = None if reader is None else reader.stand_in
    found: dict[int, _Row] = {}
    said, order = [], []
    for rows, part in length_buckets(batch, texts):
        theirs = targets_of_bucket(targets, rows, len(texts))
        inputs = Inputs(part, images_of_bucket(texts, rows), None)
        with model.adapter.observe(part, {}) as seen:
            asked = asking(inputs, theirs, names)(seen.outputs)
            said.append(responses(asked, seen.outputs))
        order.extend(rows.tolist())
        for k, row in enumerate(rows.tolist()):
            index = np.array([k])
            found[row] = _Row(part.images(index), asked.images(index), texts[row], _in_words(texts[row]))
    there = np.zeros((len(texts), 1, batch.space[0]), bool)
    for row, text in enumerate(texts):
        there[row, 0, text.first : text.first + len(text)] = found[row].there
    whole = Responses.concatenated(said).rows(np.argsort(order))
    masked = AlteredTexts(model.adapter, found, None if stand_in is None else stand_in[0])
    words = "the mean embedding" if stand_in is None else f"the token {stand_in[1]}"
    return ModelEvidence(there, whole, masked, stand_in=words)


def _in_words(text: Text) -> Bool[np.ndarray, " token"]:
    there = np.zeros(len(text), bool)
    for word in text.words:
        there[word.start : word.stop] = True
    return there

"""Length buckets: texts of one length run together, without padding, and their explanations are put into one.

So the maps of a text do not depend on what else is in the batch, whatever the method, and even if the model takes no
mask.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from jaxtyping import Bool, Int

from camscope.arrays import Array
from camscope.errors import InputError, TargetError
from camscope.inputs.input_images import InputImages, images_of_texts
from camscope.models.batch import Batch
from camscope.results.explanation import Explanation
from camscope.results.map_data import Channels, Key
from camscope.targets import PerImage, Target, TargetsLike
from camscope.text import Text

Rows: TypeAlias = Int[np.ndarray, " _"]
"""The numbers of some texts of the batch."""


def length_buckets(batch: Batch, texts: Sequence[Text]) -> list[tuple[Rows, Batch]]:
    """Split a batch into buckets of texts of one length, without padding; the longest texts come first.

    Raises:
        InputError: for a text of one token.
    """
    lengths = np.array([len(text) for text in texts])
    if 1 in lengths:
        raise InputError(
            f"Text {int(np.argmin(lengths))} of the batch is a single token, so there is nothing to point at in it: "
            "all of its score is that token's."
        )
    first = np.array([text.first for text in texts])
    parts = []
    for length in sorted(set(lengths.tolist()), reverse=True):
        rows = np.flatnonzero(lengths == length)
        whole = len(rows) == len(texts) and (length,) == batch.space
        parts.append((rows, batch if whole else batch.tokens(rows, first[rows], length)))
    return parts


def images_of_bucket(texts: Sequence[Text], rows: Rows) -> InputImages:
    """The texts of a bucket."""
    return images_of_texts([texts[row].unpadded for row in rows])


def targets_of_bucket(targets: TargetsLike, rows: Rows, count: int) -> TargetsLike:
    """The targets of a bucket's texts.

    Args:
        targets: the targets as the user gave them, for the whole batch.
        rows: the numbers of the bucket's texts.
        count: how many texts the batch has.

    Raises:
        TargetError: if there is not one target, or one list, for each text.
    """
    if isinstance(targets, Target):
        return targets.of_images(rows)
    if isinstance(targets, (list, tuple)):
        return [t.of_images(rows) if isinstance(t, Target) else t for t in targets]
    if not isinstance(targets, PerImage):
        return targets
    if len(targets.targets) != count:
        raise TargetError(
            f"PerImage holds {len(targets.targets)} targets, the batch {count} texts: give one for each."
        )
    return PerImage([targets.targets[row] for row in rows])


def whole_batch(
    parts: Sequence[tuple[Rows, Explanation]], input_images: InputImages, width: int
) -> Explanation:
    """Put the explanations of the buckets into one. Where a text has no token, its maps are zero.

    Args:
        parts: the numbers of each bucket's texts, and their explanation; the longest texts come first.
        input_images: the texts of the whole batch.
        width: how many tokens a row of the batch has, with padding.
    """
    each = [e for _, e in parts]
    if len(each) == 1 and each[0].input_size == (width,):
        return each[0]
    rows = np.concatenate([rows for rows, _ in parts])
    place = _Places(rows, [len(e) for e in each], [e.input_size[0] for e in each], input_images, width)
    raw, spans = {}, {}
    for key in each[0].raw:
        raw[key], spans[key] = place.side_by_side([e.raw[key] for e in each])
    channels = {}
    for layer in each[0].channels:
        kept = [e.channels[layer] for e in each]
        channels[layer] = Channels(
            index=place.in_order([k.index for k in kept]),
            weights=place.in_order([k.weights for k in kept]),
            contributions=place.in_order([k.contributions for k in kept]),
            activations=place.side_by_side([k.activations for k in kept])[0],
        )
    targets = [of_text for e in each for of_text in e.targets]
    return dataclasses.replace(
        each[0],
        raw=raw,
        spans=spans,
        scores=place.in_order([e.scores for e in each]),
        logits=place.in_order([e.logits for e in each]),
        probabilities=None
        if each[0].probabilities is None
        else place.in_order([e.probabilities for e in each]),
        targets=tuple(targets[i] for i in place.order),
        input_size=(width,),
        input_images=input_images,
        channels=channels,
        gradient_free={key: place.in_order([_gradient_free(e, key) for e in each]) for key in raw},
    )


class _Places:
    """Where the rows of the buckets stand in the batch.

    Args:
        rows: the number of the text that each row of all buckets, one after the other, is of.
        counts: how many rows each bucket has.
        lengths: how many tokens each bucket's texts have.
        input_images: the texts of the whole batch, which know where they begin in their rows.
        width: how many tokens a row of the batch has, with padding.
    """

    def __init__(
        self, rows: Rows, counts: Sequence[int], lengths: Sequence[int], input_images: InputImages, width: int
    ) -> None:
        self.order = np.argsort(rows, kind="stable")
        self._rows = np.split(rows, np.cumsum(counts)[:-1])
        self._lengths = lengths
        self._first = [text.first for text in input_images.texts]
        self._width = width

    def in_order(self, arrays: Sequence[Array]) -> Array:
        """One array from the buckets' arrays, with the texts in the order of the batch."""
        xp = array_namespace(arrays[0])
        whole = xp.concat(list(arrays), axis=0)
        return xp.take(whole, xp.asarray(self.order, device=device(whole)), axis=0)

    def side_by_side(self, arrays: Sequence[Array]) -> tuple[Array, Int[np.ndarray, "text 2"]]:
        """One array from the buckets' arrays, whose last axis is along the text, and each text's start and end on it.

        Zeros fill the rest of the last axis. Where a layer has a position for each token, a position stands where its
        token stands in the batch's row.
        """
        by_token = all(a.shape[-1] == length for a, length in zip(arrays, self._lengths, strict=True))
        room = self._width if by_token else max(a.shape[-1] for a in arrays)
        spans = np.zeros((len(self._first), 2), dtype=np.int64)
        padded = []
        for array, rows in zip(arrays, self._rows, strict=True):
            for i, row in enumerate(rows.tolist()):
                start = self._first[row] if by_token else 0
                spans[row] = start, start + array.shape[-1]
                padded.append(_padded(array[i : i + 1], start, room))
        return self.in_order(padded), spans


def _gradient_free(e: Explanation, key: Key) -> Bool[np.ndarray, "text target"]:
    return e.gradient_free.get(key, np.zeros(tuple(e.scores.shape), dtype=bool))


def _padded(array: Array, start: int, room: int) -> Array:
    """The array with zeros before and after it along the last axis."""
    xp = array_namespace(array)
    before, behind = (
        xp.zeros((*array.shape[:-1], count), dtype=array.dtype, device=device(array))
        for count in (start, room - start - array.shape[-1])
    )
    return xp.concat([before, array, behind], axis=-1)

"""Maps of texts of several lengths: where each text lies on a map's last axis, and its values token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from array_api_compat import array_namespace
from jaxtyping import Float, Int

from camscope.arrays import Array, resize
from camscope.text import Text

Span: TypeAlias = Int[np.ndarray, "batch 2"]
"""The start and end of each text on the last axis of a map."""


def positions(spans: Span | None, image: int) -> slice:
    """The part of a map's last axis that belongs to one input: all of it if there are no spans."""
    return slice(None) if spans is None else slice(*spans[image].tolist())


def token_by_token(
    maps: Float[Array, "batch target position"],
    spans: Span,
    texts: Sequence[Text],
    width: int,
    order: int = 1,
) -> Float[Array, "batch target token"]:
    """The values of maps at the tokens of the batch's rows; NaN where a row is padded.

    Args:
        maps: the maps at the layer's positions.
        spans: where each text lies among these positions.
        texts: the texts of the batch.
        width: how many tokens a row of the batch has, with padding.
        order: see `camscope.arrays.resize`.
    """
    xp = array_namespace(maps)
    padding = xp.full_like(maps[:1, :, :1], xp.nan)
    rows = []
    for image, text in enumerate(texts):
        own = resize(maps[image : image + 1, :, positions(spans, image)], (len(text),), order)
        after = width - len(text) - text.first
        rows.append(xp.concat([*[padding] * text.first, own, *[padding] * after], axis=2))
    return xp.concat(rows, axis=0)
